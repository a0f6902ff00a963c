// Daemons behind a relay that cuts, flaps, loses and spoils. After each fault ends, one view again,
// and nobody who lives is called dead.
#include "tests/support/daemon_cluster.h"

namespace sotto {
namespace {

class Partition : public DaemonTest {
 protected:
  void SetUp() override {
    MakeLab();
    StartNodes(5);
  }

  // Cuts, waits until each side has buried the other, heals; then one view, and no further death.
  void CutAndHeal(const std::vector<int>& few, const std::vector<int>& many, RelayStreams streams) {
    lab_->relay()->Partition({few, many}, streams);
    ASSERT_TRUE(lab_->WaitUntil(Seconds(30), [&] {
      return lab_->AllAgree(many, many) && (few.size() == 1 || lab_->AllAgree(few, few));
    })) << Views();
    const auto since = NextEvents();
    lab_->relay()->Heal();
    ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
    ExpectCalm(Seconds(3), since);
  }
};

TEST_F(Partition, TwoAndThree) { CutAndHeal({0, 1}, {2, 3, 4}, RelayStreams::kStall); }

TEST_F(Partition, TwoAndThreeWithResets) { CutAndHeal({3, 4}, {0, 1, 2}, RelayStreams::kClose); }

TEST_F(Partition, OneAndFour) {
  const auto since = NextEvents();
  CutAndHeal({2}, {0, 1, 3, 4}, RelayStreams::kStall);
  // The one that was alone accused nobody: it heard nobody, and knew that.
  for (const std::string& said : Said("died", since)) {
    EXPECT_FALSE(said.starts_with("n3:")) << said;
  }
}

TEST_F(Partition, OneDirectionOfOnePairKillsNobody) {
  const auto since = NextEvents();
  lab_->relay()->CutOneWay(1, 3);
  EXPECT_TRUE(Holds(Seconds(8), [&] { return Said("died", since).empty(); }))
      << testing::PrintToString(Said("died", since));
  lab_->relay()->Heal();
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(10))) << Views();
}

TEST_F(Partition, OneThatHearsAndIsNotHeardComesBack) {
  for (const int other : {0, 1, 2, 3}) lab_->relay()->CutOneWay(4, other);
  ASSERT_TRUE(lab_->WaitUntil(Seconds(30), [&] {
    for (const int other : {0, 1, 2, 3}) {
      if (lab_->StatesAt(other)["n5"] != "dead") return false;
    }
    return true;
  })) << Views();
  // It must not have taken the others with it.
  EXPECT_TRUE(lab_->AllAgree({0, 1, 2, 3}, {0, 1, 2, 3})) << Views();
  const auto since = NextEvents();
  lab_->relay()->Heal();
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
  EXPECT_EQ(Said("died", since), std::vector<std::string>());
}

TEST_F(Partition, AFlappingLinkEndsInOneView) {
  for (int i = 0; i < 6; i++) {
    lab_->relay()->Partition({{0, 1}, {2, 3, 4}});
    lab_->WaitUntil(Millis(900), [] { return false; });
    lab_->relay()->Heal();
    lab_->WaitUntil(Millis(600), [] { return false; });
  }
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
  const auto since = NextEvents();
  ExpectCalm(Seconds(4), since);
}

TEST_F(Partition, LossDelayDuplicatesReorderAndBitFlipsKillNobody) {
  const auto since = NextEvents();
  RelayFaults faults;
  faults.drop_percent = 15;
  faults.duplicate_percent = 10;
  faults.reorder_percent = 10;
  faults.corrupt_percent = 5;
  faults.delay_min = Millis(1);
  faults.delay_max = Millis(20);
  lab_->relay()->SetAllFaults(faults);
  EXPECT_TRUE(Holds(Seconds(12), [&] { return Said("died", since).empty(); }))
      << testing::PrintToString(Said("died", since));
  lab_->relay()->Heal();
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(10))) << Views();
  int64_t spoiled = 0, twice = 0;
  for (const int node : All()) {
    const auto status = lab_->Get(node, "/v1/status");
    ASSERT_TRUE(status.ok());
    const auto& dropped = status->at("data").at("frames").at("dropped").as_object();
    spoiled += dropped.at("bad_tag").to_number<int64_t>();
    twice += dropped.at("replay_duplicate").to_number<int64_t>();
  }
  EXPECT_GT(spoiled, 0) << "flipped bits must have been found";
  EXPECT_GT(twice, 0) << "doubled datagrams must have been found";
}

}  // namespace
}  // namespace sotto
