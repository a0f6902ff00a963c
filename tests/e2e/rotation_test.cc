// The cluster's key is changed while daemons run: with members killed, stopped, cut off, restarted
// and joining; by steps, by a raw UPDATE, through a leader that dies, a database that goes away.
#include <signal.h>
#include <sys/stat.h>

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/e2e/rotation_fixture.h"
#include "tests/store/sql_relay.h"
#include "tests/support/raw_sqlite.h"

namespace sotto {
namespace {

TEST_P(RotationTest, LosesNoFrameAndNoMember) {
  StartCluster(4);
  const auto since = NextEvents();
  for (int round = 0; round < 3; ++round) {
    Rotate(round % 4, All());
    ASSERT_FALSE(HasFatalFailure());
    Remove(0, round + 1);
  }
  EXPECT_EQ(ActiveIn(1), 4);
  ExpectNoKeyDrops(All());
  EXPECT_TRUE(Said("died", since).empty()) << testing::PrintToString(Said("died", since));
}

TEST_P(RotationTest, MembersThatWereAwayComeBackByThemselves) {
  StartCluster(6);
  // n3 is killed, n4 stopped, n5 cut off from the others (though not from the database).
  lab_->Kill(2);
  lab_->process(3)->Signal(SIGSTOP);
  lab_->relay()->Partition({{4}, {0, 1, 2, 3, 5}}, RelayStreams::kStall);
  const std::vector<int> living = {0, 1, 5};
  ASSERT_TRUE(lab_->WaitUntil(Seconds(40), [&] { return lab_->AllAgree(living, living); }))
      << Views();
  Rotate(0, living);
  ASSERT_FALSE(HasFatalFailure());
  // One is restarted and one joins under the new key, before the old one goes.
  lab_->Kill(5);
  ASSERT_TRUE(lab_->Start(5).ok());
  const int joined = AddNode(StoreUrl());
  // On a server n5 would find the newcomer by its row, and the others through it.
  lab_->relay()->Partition({{4}, {0, 1, 2, 3, 5, joined}}, RelayStreams::kStall);
  ASSERT_TRUE(lab_->Start(joined).ok());
  ASSERT_TRUE(lab_->WaitAgree({0, 1, 5, joined}, {0, 1, 5, joined}, Seconds(20))) << Views();
  // Who is away has only the old key on record.
  const auto refused = lab_->Post(0, "/v1/keys/remove", json::object{{"generation", 1}});
  EXPECT_NE(Problem(refused).find("n3"), std::string::npos) << Problem(refused);

  ASSERT_TRUE(lab_->Start(2).ok());
  lab_->process(3)->Signal(SIGCONT);
  lab_->relay()->Heal();
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
  EXPECT_TRUE(lab_->WaitUntil(Seconds(15), [&] { return AllSealWith(All(), next_id_); }));
  Remove(0, 1);
}

TEST_P(RotationTest, ARawUpdateIsARotation) {
  StartCluster(4);
  const auto since = NextEvents();
  int64_t generation = 1;
  // 256 bits at first; then each length that there is.
  for (const char* value : {kKey128, kKey192, kKey256}) {
    Write(value);
    ++generation;
    ASSERT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return ActiveIn(0) == generation; })) << value;
    const json::value status = Status(0);
    const std::string id = status.at("active").at("id").as_string().c_str();
    ASSERT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return AllSealWith(All(), id); }));
    Remove(1, generation - 1);
  }
  ExpectNoKeyDrops(All());
  EXPECT_TRUE(Said("died", since).empty()) << testing::PrintToString(Said("died", since));

  // What is no key changes nothing and is red; an old key never returns.
  const std::string id = SealsWith(0);
  Write("no key at all");
  for (const int node : All())
    EXPECT_TRUE(AwaitCode(node, "\"KEY_BAD_BASE64\"")) << StoreCode(node);
  Write(kKey128);
  for (const int node : All()) EXPECT_TRUE(AwaitCode(node, "\"KEY_RETURNS\"")) << StoreCode(node);
  EXPECT_TRUE(AllSealWith(All(), id));
  EXPECT_EQ(ActiveIn(0), generation);
  EXPECT_TRUE(lab_->AllAgree(All(), All())) << Views();
  const auto mended = lab_->Post(0, "/v1/keys/verify", json::object{{"repair", true}});
  EXPECT_TRUE(mended.ok()) << Problem(mended);
  for (const int node : All()) EXPECT_TRUE(AwaitCode(node, "null")) << StoreCode(node);
}

// A rotation that nobody drives: the leader goes on with it, and when it dies, the next one does.
TEST_P(RotationTest, ALeaderThatDiesIsFollowedByTheNext) {
  StartCluster(4);
  // n4 is stopped, so that the rotation waits with the key PREPARED.
  lab_->process(3)->Signal(SIGSTOP);
  Write(kKey192);
  ASSERT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return Status(1).at("next").is_object(); }));
  ASSERT_EQ(std::string(Status(1).at("leader").as_string().c_str()), "n1");
  lab_->Kill(0);
  lab_->process(3)->Signal(SIGCONT);
  ASSERT_TRUE(lab_->WaitUntil(Seconds(40), [&] { return ActiveIn(1) == 2; }))
      << json::serialize(Status(1));
  const json::value status = Status(1);
  const std::string id = status.at("active").at("id").as_string().c_str();
  ASSERT_TRUE(lab_->Start(0).ok());
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(20))) << Views();
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return AllSealWith(All(), id); }));
}

// Two operators at once, on two nodes: each step is done once.
TEST_P(RotationTest, TwoOperatorsAtOnceMakeOneKey) {
  StartCluster(3);
  const int64_t one = Prepare(0);
  const std::string id = next_id_;
  EXPECT_EQ(Prepare(2), one);
  EXPECT_EQ(next_id_, id);
  ASSERT_TRUE(Activate(0, one)) << last_;
  ASSERT_TRUE(Activate(2, one)) << last_;
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return AllSealWith(All(), id); }));
  EXPECT_EQ(ActiveIn(1), 2);
}

INSTANTIATE_TEST_SUITE_P(Stores, RotationTest,
                         testing::Values(SqlDialect::kSqlite, SqlDialect::kPostgres,
                                         SqlDialect::kMysql),
                         NameOfStore);

// ---- where a store has to be of a certain kind --------------------------------------------------

class ServerRotation : public RotationTest {};

// The database is stopped at each step; what was asked for is done once it is back.
TEST_P(ServerRotation, TheDatabaseMayGoAtEveryStep) {
  StartCluster(3);
  server_->Stop();
  const auto refused = lab_->Post(0, "/v1/keys/prepare", json::object{});
  EXPECT_NE(Problem(refused).find("DB_"), std::string::npos) << Problem(refused);
  server_->Start();
  ASSERT_TRUE(lab_->WaitUntil(
      Seconds(30), [&] { return lab_->Post(0, "/v1/keys/prepare", json::object{}).ok(); }));
  const int64_t generation = Prepare(0);
  EXPECT_EQ(generation, 2);
  server_->Stop();
  EXPECT_NE(Problem(lab_->Post(0, "/v1/keys/activate", json::object{{"generation", generation}})),
            "ok");
  server_->Start();
  ASSERT_TRUE(Activate(0, generation)) << last_;
  server_->Stop();
  // The others hear frames under the key that they hold, and need no database to follow.
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return AllSealWith(All(), next_id_); }));
  server_->Start();
  Remove(0, 1);
  ExpectNoKeyDrops(All());
  EXPECT_TRUE(lab_->AllAgree(All(), All())) << Views();
}

// A member that cannot reach the database gets the key from the others, wrapped, over TLS.
TEST_P(ServerRotation, AMemberWithoutADatabaseTakesTheKeyFromOthers) {
  UseKek();
  for (int i = 0; i < 2; ++i) AddNode(StoreUrl());
  SqlRelay relay(server_->port());
  const std::string url = StoreUrl();
  AddNode(absl::StrReplaceAll(
      url, {{absl::StrCat(":", server_->port()), absl::StrCat(":", relay.port())}}));
  for (const int node : All()) ASSERT_TRUE(lab_->Start(node).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(40))) << Views();
  relay.Mute();
  const std::string first = SealsWith(2);
  for (int round = 0; round < 2; ++round) {
    Rotate(round, All());
    ASSERT_FALSE(HasFatalFailure()) << json::serialize(Status(0));
  }
  EXPECT_NE(SealsWith(2), first);
  EXPECT_NE(lab_->LogOf(2).find("key_taken"), std::string::npos);
  EXPECT_TRUE(lab_->AllAgree(All(), All())) << Views();
  ExpectNoKeyDrops({0, 1});
}

INSTANTIATE_TEST_SUITE_P(Servers, ServerRotation,
                         testing::Values(SqlDialect::kPostgres, SqlDialect::kMysql), NameOfStore);

class FileRotation : public RotationTest {};

// An old copy of the database comes back under a running cluster, and under one that is restarted.
TEST_P(FileRotation, AnOldBackupIsRefusedAndMended) {
  UseKek();
  StartCluster(3);
  RawSqlite(folder_.File("kek.db")).Run("VACUUM INTO '" + folder_.File("backup.db") + "'");
  Rotate(0, All());
  ASSERT_FALSE(HasFatalFailure());
  const std::string id = next_id_;
  RawSqlite(folder_.File("kek.db"))
      .Run("ATTACH '" + folder_.File("backup.db") +
           "' AS old; DELETE FROM ClusterKeys; INSERT INTO ClusterKeys SELECT * FROM "
           "old.ClusterKeys; DELETE FROM Systems; INSERT INTO Systems SELECT * FROM old.Systems");
  for (const int node : All()) EXPECT_TRUE(AwaitCode(node, "\"KEY_ROLLBACK\"")) << StoreCode(node);
  EXPECT_TRUE(AllSealWith(All(), id));
  EXPECT_NE(Problem(lab_->Post(0, "/v1/keys/prepare", json::object{})).find("KEY_ROLLBACK"),
            std::string::npos);
  // A node that is restarted now remembers as well.
  lab_->process(2)->Signal(SIGTERM);
  ASSERT_TRUE(lab_->process(2)->Wait(Seconds(20)).has_value());
  ASSERT_TRUE(lab_->Start(2).ok());
  EXPECT_EQ(lab_->process(2)->Wait(Seconds(20)), 78);
  EXPECT_NE(lab_->LogOf(2).find("KEY_ROLLBACK"), std::string::npos);
  // Those that run give back what they hold.
  const auto mended = lab_->Post(0, "/v1/keys/verify", json::object{{"repair", true}});
  ASSERT_TRUE(mended.ok()) << Problem(mended);
  for (const int node : {0, 1}) EXPECT_TRUE(AwaitCode(node, "null")) << StoreCode(node);
  ASSERT_TRUE(lab_->Start(2).ok());
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(20))) << Views();
  EXPECT_TRUE(AllSealWith(All(), id));
}

// What somebody has damaged in either table is seen at once, and mended from what a node holds.
TEST_P(FileRotation, ADamagedValueIsFoundAndMended) {
  StartCluster(2);
  RawSqlite database(lab_->store_path());
  const auto faults = [&](bool repair) {
    const auto answer = lab_->Post(0, "/v1/keys/verify", json::object{{"repair", repair}});
    EXPECT_TRUE(answer.ok()) << Problem(answer);
    std::string out;
    if (!answer.ok()) return out;
    for (const json::value& check : answer->at("data").as_array()) {
      if (!check.at("ok").as_bool()) absl::StrAppend(&out, check.at("name").as_string().c_str());
    }
    return out;
  };
  const std::string id = SealsWith(0);
  for (const char* damage : {"UPDATE Systems SET Value = 'junk'",
                             "UPDATE ClusterKeys SET Value = 'zzz' WHERE State = 'ACTIVE'"}) {
    database.Run(damage);
    EXPECT_NE(faults(false), "") << damage;
  }
  EXPECT_EQ(faults(true), "");
  for (const int node : All()) EXPECT_TRUE(AwaitCode(node, "null")) << StoreCode(node);
  // The copy of the ACTIVE key in the other table is good for a start.
  database.Run("UPDATE ClusterKeys SET Value = 'zzz' WHERE State = 'ACTIVE'");
  lab_->Kill(1);
  ASSERT_TRUE(lab_->Start(1).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(20))) << Views();
  EXPECT_NE(StoreCode(1), "null");
  EXPECT_EQ(faults(true), "");
  EXPECT_TRUE(AllSealWith(All(), id));
}

// Whoever writes the database puts a removed key back while a node is down.
TEST_P(FileRotation, ARemovedKeyStaysAwayThroughARestart) {
  UseKek();
  StartCluster(2);
  RawSqlite database(folder_.File("kek.db"));
  const std::string old = database.Run("SELECT Value FROM ClusterKeys WHERE Generation = 1");
  Rotate(0, All());
  ASSERT_FALSE(HasFatalFailure());
  Remove(0, 1);
  // Removed, for a node, once it has looked.
  ASSERT_TRUE(lab_->WaitUntil(Seconds(20), [&] {
    std::ifstream file(lab_->File(1, "state") + "/node.state");
    return std::string(std::istreambuf_iterator<char>(file), {}).find("removed-keys 1:") !=
           std::string::npos;
  }));
  lab_->Kill(1);
  // With its time not yet over: else the leader would remove it again.
  database.Run("UPDATE ClusterKeys SET State = 'RETIRED', RetireAt = 9000000000000, Value = '" +
               old + "' WHERE Generation = 1");
  ASSERT_TRUE(lab_->Start(1).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(20))) << Views();
  const auto keys = lab_->Get(1, "/v1/keys");
  ASSERT_TRUE(keys.ok()) << keys.status();
  for (const json::value& key : keys->at("data").as_array()) {
    EXPECT_EQ(key.at("held_here").as_bool(), key.at("generation").as_int64() == 2)
        << json::serialize(key);
  }
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] {
    const json::value status = Status(1);
    const json::array& members = status.at("members").as_array();
    return std::all_of(members.begin(), members.end(), [](const json::value& member) {
      return member.at("trouble") == json::value("KEY_RETURNS");
    });
  })) << json::serialize(Status(1));
}

// Every host has a file of its own: a key made in one of them would strand the others.
TEST_P(FileRotation, StoresThatAreNotSharedRefuse) {
  for (int i = 0; i < 2; ++i) {
    const std::string file = folder_.File(absl::StrCat("own", i, ".db"));
    RawSqlite(lab_->store_path()).Run("VACUUM INTO '" + file + "'");
    ASSERT_EQ(chmod(file.c_str(), 0600), 0);
    AddNode("sqlite:" + file);
  }
  for (const int node : All()) ASSERT_TRUE(lab_->Start(node).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(20))) << Views();
  const std::string refused = Problem(lab_->Post(0, "/v1/keys/prepare", json::object{}));
  EXPECT_NE(refused.find("STORE_NOT_SHARED"), std::string::npos) << refused;
  RawSqlite(folder_.File("own0.db"))
      .Run(absl::StrCat("UPDATE Systems SET Value = '", kKey192, "'"));
  EXPECT_TRUE(AwaitCode(0, "\"STORE_NOT_SHARED\"")) << StoreCode(0);
  EXPECT_EQ(ActiveIn(0), 1);
  EXPECT_TRUE(lab_->AllAgree(All(), All())) << Views();
}

INSTANTIATE_TEST_SUITE_P(Files, FileRotation, testing::Values(SqlDialect::kSqlite), NameOfStore);

}  // namespace
}  // namespace sotto
