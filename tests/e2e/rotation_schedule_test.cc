// Rotations that nobody asks for: by the schedule, by the number of frames; and one with a key that
// is carried from host to host, where no database is shared.
#include <sys/stat.h>

#include <boost/json.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/e2e/rotation_fixture.h"
#include "tests/e2e/tool.h"
#include "tests/support/raw_sqlite.h"

namespace sotto {
namespace {

class ScheduledRotation : public RotationTest {};

TEST_P(ScheduledRotation, ComesByItselfAgainAndAgain) {
  StartCluster(3, "500ms", "[rotation]\ninterval = \"5s\"\nretire_after = \"2s\"\n");
  const auto since = NextEvents();
  const int64_t first = ActiveIn(0);
  // The key of the start and the two that came after it are gone: two full rotations at least.
  ASSERT_TRUE(lab_->WaitUntil(Seconds(90), [&] {
    EXPECT_EQ(KeysThatAre("ACTIVE"), "1");
    return std::stoi(KeysThatAre("REMOVED")) >= 3;
  })) << Keys();
  EXPECT_GE(ActiveIn(0), first + 2);
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return AllSealWith(All(), ActiveId()); }));
  // The leader made all of them.
  EXPECT_EQ(Sql("SELECT COUNT(*) FROM ClusterKeyHistory WHERE Action = 'prepare' AND Actor <> "
                "'schedule (n1)'"),
            "0");
  ExpectNoKeyDrops(All());
  EXPECT_TRUE(Said("died", since).empty()) << testing::PrintToString(Said("died", since));
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(10))) << Views();
}

INSTANTIATE_TEST_SUITE_P(Stores, ScheduledRotation,
                         testing::Values(SqlDialect::kSqlite, SqlDialect::kPostgres,
                                         SqlDialect::kMysql),
                         NameOfStore);

class FileSchedule : public RotationTest {
 protected:
  // `sotto` with the configuration of `node`; its exit code.
  std::optional<int> Run(int node, std::vector<std::string> words) {
    std::vector<std::string> all = {"--config", lab_->File(node, "sottod.toml")};
    all.insert(all.end(), words.begin(), words.end());
    Tool tool(all, folder_.File("tool.log"));
    const std::optional<int> exit = tool.Wait(Seconds(30));
    last_ = tool.Output();
    return exit;
  }
};

TEST_P(FileSchedule, ManyFramesUnderOneKeyMakeANewOne) {
  AddNode(StoreUrl(), "500ms", "[rotation]\ninterval = \"0s\"\n");
  AddNode(StoreUrl(), "500ms", "[rotation]\ninterval = \"0s\"\nframes_max = 300\n");
  AddNode(StoreUrl(), "500ms", "[rotation]\ninterval = \"0s\"\n");
  for (const int node : All()) ASSERT_TRUE(lab_->Start(node).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(20))) << Views();
  const auto since = NextEvents();
  const std::string first = SealsWith(0);
  // n2 talks until it has sealed so many.
  ASSERT_TRUE(lab_->WaitUntil(Seconds(60), [&] {
    static_cast<void>(lab_->Post(1, "/v1/event", json::object{{"name", "tick"}}));
    return ActiveIn(0) == 2;
  })) << json::serialize(Status(1));
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] {
    const std::string id = SealsWith(1);
    return id != first && AllSealWith(All(), id);
  }));
  EXPECT_EQ(Sql("SELECT Actor FROM ClusterKeys WHERE Generation = 2"), "schedule (n2)");
  EXPECT_NE(lab_->LogOf(1).find("many frames were sealed with it"), std::string::npos);
  // n1 leads, and goes on with what n2 began.
  EXPECT_NE(lab_->LogOf(0).find("key_activated"), std::string::npos);
  ExpectNoKeyDrops(All());
  EXPECT_TRUE(Said("died", since).empty()) << testing::PrintToString(Said("died", since));
}

// Every host has a file of its own, and the next key is carried to each.
TEST_P(FileSchedule, AKeyIsCarriedFromHostToHost) {
  std::vector<std::unique_ptr<RawSqlite>> stores;
  for (int i = 0; i < 3; ++i) {
    const std::string file = folder_.File(absl::StrCat("own", i, ".db"));
    RawSqlite(lab_->store_path()).Run("VACUUM INTO '" + file + "'");
    ASSERT_EQ(chmod(file.c_str(), 0600), 0);
    AddNode("sqlite:" + file);
    stores.push_back(std::make_unique<RawSqlite>(file));
  }
  for (const int node : All()) ASSERT_TRUE(lab_->Start(node).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(20))) << Views();
  const auto since = NextEvents();
  const std::string first = SealsWith(0);

  const std::string key = folder_.File("next.key");
  ASSERT_EQ(Run(0, {"keys", "generate", "--to", key}), 0) << last_;
  ASSERT_EQ(Run(0, {"keys", "import", "--from", key, "--prepared"}), 0) << last_;
  // Two hosts have it not.
  EXPECT_NE(Run(0, {"keys", "activate", "2"}), 0);
  EXPECT_NE(last_.find("KEY_NOT_SPREAD"), std::string::npos) << last_;
  for (const int node : {1, 2}) {
    ASSERT_EQ(Run(node, {"keys", "import", "--from", key, "--prepared"}), 0) << last_;
  }
  EXPECT_TRUE(AllSealWith(All(), first));
  ASSERT_TRUE(lab_->WaitUntil(Seconds(30), [&] {
    return Run(0, {"keys", "activate", "2"}) == 0;
  })) << last_;

  const std::string id = stores[0]->Run("SELECT KeyId FROM ClusterKeys WHERE State = 'ACTIVE'");
  EXPECT_NE(id, first);
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return AllSealWith(All(), id); })) << id;
  for (const auto& store : stores) {
    EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] {
      return store->Run(
                 "SELECT COUNT(*) FROM ClusterKeys JOIN Systems USING (Value) WHERE State = "
                 "'ACTIVE' AND Generation = 2 AND KeyId = '" +
                 id + "'") == "1";
    })) << store->Run("SELECT State FROM ClusterKeys WHERE Generation = 2");
    EXPECT_EQ(store->Run("SELECT COUNT(*) FROM ClusterKeys WHERE State = 'ACTIVE'"), "1");
  }
  ExpectNoKeyDrops(All());
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(10))) << Views();
  EXPECT_TRUE(Said("died", since).empty()) << testing::PrintToString(Said("died", since));
}

INSTANTIATE_TEST_SUITE_P(Files, FileSchedule, testing::Values(SqlDialect::kSqlite), NameOfStore);

}  // namespace
}  // namespace sotto
