// Daemons that join, die, return, leave and start at the same instant.
#include <signal.h>

#include <algorithm>
#include <set>

#include "tests/support/daemon_cluster.h"

namespace sotto {
namespace {

class Join : public DaemonTest {
 protected:
  // SIGKILL of `victim` is known to the others; its restart is accepted by all at once.
  void KillAndRestart(int victim) {
    const int64_t boot = lab_->StatusNumber(victim, "incarnation.boot_number");
    ASSERT_GT(boot, 0);
    lab_->Kill(victim);
    std::vector<int> others = All();
    std::erase(others, victim);
    ASSERT_TRUE(lab_->WaitUntil(Seconds(20), [&] {
      for (const int other : others) {
        auto states = lab_->StatesAt(other);
        if (states[lab_->name(victim)] != "dead") return false;
      }
      return true;
    })) << Views();
    const auto since = NextEvents();
    ASSERT_TRUE(lab_->Start(victim).ok());
    ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(5))) << Views();
    EXPECT_GT(lab_->StatusNumber(victim, "incarnation.boot_number"), boot);
    auto since_others = since;
    since_others[static_cast<size_t>(victim)] = 0;
    ExpectCalm(Seconds(1.5), since_others);
  }
};

TEST_F(Join, FiveOnIpv4DieAndReturn) {
  MakeLab();
  StartNodes(5);
  KillAndRestart(3);
  KillAndRestart(0);  // the contact of the others
}

TEST_F(Join, EveryMemberIsToldOnceHoweverEarlyItCame) {
  MakeLab();
  StartNodes(4);
  std::vector<std::string> joined, announced;
  for (const int observer : All()) {
    announced.push_back(absl::StrCat(lab_->name(observer), ":", lab_->name(observer)));
    for (const int member : All()) {
      if (member == observer) continue;
      joined.push_back(absl::StrCat(lab_->name(observer), ":", lab_->name(member)));
    }
  }
  auto said = Said("joined", {});
  std::sort(said.begin(), said.end());
  EXPECT_EQ(said, joined);
  EXPECT_EQ(Said("announced", {}), announced);
}

TEST_F(Join, ThreeOnIpv6DieAndReturn) {
  LabOptions options;
  options.ipv6 = true;
  MakeLab(options);
  StartNodes(3);
  EXPECT_EQ(lab_->bind(0).substr(0, 6), "[::1]:");
  KillAndRestart(2);
}

TEST_F(Join, ARestartBeforeAnybodyNoticedIsAccepted) {
  MakeLab();
  StartNodes(3);
  const auto since = NextEvents();
  const int64_t boot = lab_->StatusNumber(1, "incarnation.boot_number");
  lab_->Kill(1);
  ASSERT_TRUE(lab_->Start(1).ok());
  ASSERT_TRUE(lab_->WaitUntil(Seconds(8), [&] {
    return lab_->StatusNumber(1, "incarnation.boot_number") > boot && lab_->AllAgree(All(), All());
  })) << Views();
  // The former life's silence must not bury the new one.
  EXPECT_TRUE(Holds(Seconds(4), [&] {
    auto states = lab_->StatesAt(0);
    return states["n2"] == "alive" || states["n2"] == "suspect";
  })) << Views();
  auto since_others = since;
  since_others[1] = 0;
  EXPECT_EQ(Said("died", since_others), std::vector<std::string>());
}

class JoinWithKeyBytes : public DaemonTest, public testing::WithParamInterface<size_t> {};

TEST_P(JoinWithKeyBytes, SealsWithTheCipherOfItsLength) {
  LabOptions options;
  options.key_bytes = GetParam();
  MakeLab(options);
  StartNodes(2);
  const auto status = lab_->Get(0, "/v1/status");
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->at("data").at("key").at("algorithm").as_string(),
            absl::StrCat("AES-", GetParam() * 8, "-GCM"));
  EXPECT_TRUE(
      lab_->WaitUntil(Seconds(5), [&] { return lab_->StatusNumber(1, "frames.received") > 3; }));
}

INSTANTIATE_TEST_SUITE_P(Aes, JoinWithKeyBytes, testing::Values(16, 24, 32));

TEST_F(Join, LeavingIsToldAndNotDeath) {
  MakeLab();
  StartNodes(3);
  const auto since = NextEvents();
  const auto left = lab_->Post(1, "/v1/leave", boost::json::object{{"timeout_s", 5}});
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_EQ(lab_->process(1)->Wait(Seconds(8)), 0);
  lab_->process(2)->Signal(SIGTERM);
  EXPECT_EQ(lab_->process(2)->Wait(Seconds(10)), 0) << "SIGTERM leaves, too";
  EXPECT_TRUE(lab_->WaitUntil(Seconds(5), [&] {
    auto states = lab_->StatesAt(0);
    return states["n2"] == "left" && states["n3"] == "left";
  })) << Views();
  EXPECT_TRUE(Holds(Seconds(3), [&] { return lab_->StatesAt(0)["n2"] == "left"; }));
  EXPECT_EQ(Said("died", since), std::vector<std::string>());
}

TEST_F(Join, TagsChangeWhileItRuns) {
  MakeLab();
  StartNodes(3);
  const auto set = lab_->Post(
      1, "/v1/tags", boost::json::object{{"set", boost::json::object{{"role", "standby"}}}});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_TRUE(lab_->WaitUntil(Seconds(5), [&] {
    for (const int node : {0, 2}) {
      const auto member = lab_->Get(node, "/v1/members/n2");
      if (!member.ok()) return false;
      const auto* tags = member->at("data").as_object().if_contains("tags");
      const auto* role = tags == nullptr ? nullptr : tags->as_object().if_contains("role");
      if (role == nullptr || role->as_string() != "standby") return false;
    }
    return true;
  }));
}

TEST_F(Join, AllRestartedAtOnceFindEachOther) {
  MakeLab();
  StartNodes(5);
  for (const int node : All()) lab_->process(node)->Signal(SIGKILL);
  for (const int node : All()) lab_->process(node)->Wait(Seconds(5));
  for (const int node : All()) ASSERT_TRUE(lab_->Start(node).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
  ExpectCalm(Seconds(3), std::vector<int64_t>(5, 0));
}

TEST_F(Join, AnUnknownNameIsForgottenByNobodyAndAKnownOneByAll) {
  MakeLab();
  StartNodes(3);
  EXPECT_FALSE(lab_->Post(0, "/v1/forget", boost::json::object{{"name", "nobody"}}).ok());
  lab_->Kill(2);
  ASSERT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return lab_->StatesAt(0)["n3"] == "dead"; }));
  const auto done = lab_->Post(0, "/v1/forget", boost::json::object{{"name", "n3"}});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_TRUE(lab_->WaitUntil(Seconds(8), [&] {
    for (const int node : {0, 1}) {
      const auto shown = lab_->Get(node, "/v1/members");
      if (!shown.ok()) return false;
      for (const auto& member : shown->at("data").as_array()) {
        if (member.at("name").as_string() == "n3") return false;
      }
    }
    return true;
  })) << Views();
}

}  // namespace
}  // namespace sotto
