// Copying a cluster's keys between an SQLite file and each of the three databases, both ways.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>

#include "gossip/base/coded_error.h"
#include "store/cluster_key.h"
#include "store/key_table.h"
#include "store/schema.h"
#include "store/store_copy.h"
#include "tests/store/store_under_test.h"
#include "tests/support/raw_sqlite.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using testing::HasSubstr;

constexpr char kCluster[] = "edge";
constexpr char kKeyA[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr char kKeyB[] = "gIWKj5SZnqOorbK3vMHGy9DV2t/k6e7z";  // 24 bytes
constexpr char kOwnRow[] = "ClusterEncryptionKey:edge";
constexpr char kCommonRow[] = "ClusterEncryptionKey";

SqlTime Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(30); }

class StoreCopyConformance : public testing::Test {
 protected:
  StoreCopyConformance() : file_(dir_.File("house.db")), server_(NewStore()) {
    RawSqlite raw(file_);
    raw.Run("CREATE TABLE Systems (Name VARCHAR(64) PRIMARY KEY, Value VARCHAR(1024))");
  }

  // The file, and the database under test.
  std::shared_ptr<Database> File() {
    StoreOptions options;
    options.deadline = std::chrono::seconds(20);
    auto database = OpenDatabase("sqlite:" + file_, options);
    SOTTO_EXPECT_OK(database);
    return *database;
  }
  std::shared_ptr<Database> Server() { return OpenBase(server_); }
  std::unique_ptr<RawSession> Raw() { return StoreUnderTest::Get().Session(server_); }

  // A cluster with an ACTIVE and a REMOVED key, a member, and a history.
  void Fill(const std::shared_ptr<Database>& database) {
    SOTTO_ASSERT_OK(EnsureSchema(*database, Soon()));
    SOTTO_ASSERT_OK(MakeKey(*database));
    KeyTable table(database, kCluster, [] { return int64_t{1'764'000'000'000}; });
    SOTTO_ASSERT_OK(table.Adopt(policy_, "gw-1"));
    SOTTO_ASSERT_OK(table.Acknowledge({"gw-1", 2, 2, "", 1'764'000'000'001}));
    SOTTO_ASSERT_OK(table.Acknowledge({"Gw-1", 2, 2, "KEK_MISSING", 1'764'000'000'002}));
    SOTTO_ASSERT_OK(table.Prepare(policy_, {.actor = "uid 0"}));
    SOTTO_ASSERT_OK(table.Activate(policy_, {2, {}, 0, "uid 0"}));
    SOTTO_ASSERT_OK(table.Remove({1, {}, "uid 0"}));
  }
  static absl::Status MakeKey(Database& database) {
    return database.Transact(SqlMode::kLocked, [](SqlTransaction& transaction) {
      return transaction
          .Run("INSERT INTO Systems (Name, Value) VALUES (?, ?)",
               {std::string_view(kCommonRow), std::string_view(kKeyA)})
          .status();
    });
  }

  absl::StatusOr<StoreCopyReport> Copy(Database& from, Database& to, int die_at = 0) {
    StoreCopyParams params;
    params.cluster = kCluster;
    params.actor = "uid 0";
    params.now_ms = 1'764'000'100'000;
    params.deadline = Soon();
    if (die_at != 0) {
      params.progress = [die_at](int step) {
        if (step == die_at) raise(SIGKILL);
      };
    }
    return CopyStore(from, to, params);
  }

  KeyRows Rows(const std::shared_ptr<Database>& database) {
    KeyTable table(database, kCluster);
    auto rows = table.Read();
    SOTTO_EXPECT_OK(rows);
    return rows.ok() ? *std::move(rows) : KeyRows();
  }
  absl::Status Rotate(const std::shared_ptr<Database>& database) {
    return KeyTable(database, kCluster).Prepare(policy_, {.actor = "uid 7"}).status();
  }
  static size_t Events(const std::shared_ptr<Database>& database) {
    const auto events = KeyTable(database, kCluster).History(1000);
    return events.ok() ? events->size() : 0;
  }
  // Whether keys can be changed there, without changing them for good.
  bool IsLive(const std::shared_ptr<Database>& database) {
    return Rows(database).moved_to.empty() && !Rows(database).keys.empty();
  }
  void ExpectSameKeys() {
    const KeyRows a = Rows(File());
    const KeyRows b = Rows(Server());
    EXPECT_EQ(a.value, b.value);
    ASSERT_EQ(a.keys.size(), b.keys.size());
    for (size_t i = 0; i < a.keys.size(); ++i) {
      EXPECT_EQ(a.keys[i].generation, b.keys[i].generation);
      EXPECT_EQ(a.keys[i].id, b.keys[i].id);
      EXPECT_EQ(a.keys[i].state, b.keys[i].state);
      EXPECT_EQ(a.keys[i].value, b.keys[i].value);
      EXPECT_EQ(a.keys[i].actor, b.keys[i].actor);
      EXPECT_EQ(a.keys[i].retire_at_ms, b.keys[i].retire_at_ms);
    }
    ASSERT_EQ(a.members.size(), b.members.size());
    for (size_t i = 0; i < a.members.size(); ++i) {
      EXPECT_EQ(a.members[i].name, b.members[i].name);
      EXPECT_EQ(a.members[i].trouble, b.members[i].trouble);
      EXPECT_EQ(a.members[i].last_seen_ms, b.members[i].last_seen_ms);
    }
  }

  KeyPolicy policy_;
  const TempDir dir_;
  const std::string file_;
  const std::string server_;
};

TEST_F(StoreCopyConformance, GoesFromAFileToTheDatabaseAndTheFileIsChangedNoMore) {
  Fill(File());
  const size_t events = Events(File());
  const auto report = Copy(*File(), *Server());
  SOTTO_ASSERT_OK(report);
  EXPECT_TRUE(report->copied);
  EXPECT_FALSE(report->history_cut);
  EXPECT_EQ(report->row, kCommonRow);
  EXPECT_EQ(report->keys, 2u);
  EXPECT_EQ(report->members, 2u);
  EXPECT_EQ(report->events, events);
  ExpectSameKeys();
  EXPECT_EQ(Rows(File()).moved_to, Server()->display_url());
  EXPECT_EQ(Rows(Server()).moved_to, "");
  EXPECT_THAT(Rotate(File()), HasCode("STORE_MOVED"));
  // "store copy" beside what was there, in both.
  EXPECT_EQ(Events(File()), events + 1);
  EXPECT_EQ(Events(Server()), events + 1);

  // Again: compared, nothing written; also after the target has moved on.
  for (int i = 0; i < 2; ++i) {
    const auto again = Copy(*File(), *Server());
    SOTTO_ASSERT_OK(again);
    EXPECT_FALSE(again->copied);
    EXPECT_EQ(Rows(Server()).keys.size(), 2u + static_cast<size_t>(i));
    if (i == 0) {
      SOTTO_ASSERT_OK(Rotate(Server()));
    }
  }
  EXPECT_EQ(Events(Server()), events + 2) << "copy and prepare";
}

TEST_F(StoreCopyConformance, GoesFromTheDatabaseToAFileAndBackAgain) {
  Fill(Server());
  SOTTO_ASSERT_OK(Copy(*Server(), *File()));
  ExpectSameKeys();
  EXPECT_THAT(Rotate(Server()), HasCode("STORE_MOVED"));
  SOTTO_ASSERT_OK(Rotate(File()));
  // The way back takes what was made in the meantime.
  const auto back = Copy(*File(), *Server());
  SOTTO_ASSERT_OK(back);
  EXPECT_TRUE(back->copied);
  EXPECT_EQ(back->keys, 3u);
  ExpectSameKeys();
  EXPECT_TRUE(IsLive(Server()));
  EXPECT_THAT(Rotate(File()), HasCode("STORE_MOVED"));
}

TEST_F(StoreCopyConformance, AKilledCopyIsCompletedAndNeverLeavesTwoStoresThatChange) {
  for (int step = 1; step <= 5; ++step) {
    SCOPED_TRACE(step);
    const TempDir dir;
    RawSqlite(dir.File("h.db")).Run("CREATE TABLE Systems (Name TEXT PRIMARY KEY, Value TEXT)");
    const std::string url = "sqlite:" + dir.File("h.db");
    const std::string database = NewStore();
    const auto house = [&] { return *OpenDatabase(url, {}); };
    Fill(house());
    const pid_t child = fork();
    if (child == 0) {
      Copy(*house(), *OpenBase(database), step).status().IgnoreError();
      _exit(1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    EXPECT_EQ(IsLive(house()), step < 5);
    // At step 1 and 2 nothing of ours is in the target.
    if (step > 2) {
      EXPECT_EQ(Rows(OpenBase(database)).moved_to, house()->display_url());
    }
    EXPECT_FALSE(IsLive(OpenBase(database)));
    // Before the source is marked it may go on, and what it does comes along.
    const bool rotated = step < 5 && Rotate(house()).ok();
    EXPECT_EQ(rotated, step < 5);
    const auto report = Copy(*house(), *OpenBase(database));
    SOTTO_ASSERT_OK(report);
    EXPECT_EQ(report->keys, rotated ? 3u : 2u);
    EXPECT_FALSE(IsLive(house()));
    EXPECT_TRUE(IsLive(OpenBase(database)));
    EXPECT_EQ(Rows(house()).value, Rows(OpenBase(database)).value);
    EXPECT_EQ(Rows(house()).keys.size(), Rows(OpenBase(database)).keys.size());
  }
}

TEST_F(StoreCopyConformance, NeverWritesOverKeysThatAreThere) {
  Fill(File());
  Fill(Server());
  const std::string before = Rows(Server()).value;
  const auto refused = Copy(*File(), *Server());
  EXPECT_THAT(refused.status(), HasCode("STORE_NOT_EMPTY"));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("keys of edge"));
  EXPECT_EQ(Rows(Server()).value, before);
  EXPECT_TRUE(IsLive(File()));
  EXPECT_TRUE(IsLive(Server()));
}

TEST_F(StoreCopyConformance, AMemberAloneOrARowOfItsOwnIsSomething) {
  Fill(File());
  SOTTO_ASSERT_OK(EnsureSchema(*Server(), Soon()));
  SOTTO_ASSERT_OK(KeyTable(Server(), kCluster).Acknowledge({"gw-9", 1, 1, "", 5}));
  EXPECT_THAT(Copy(*File(), *Server()).status(), HasCode("STORE_NOT_EMPTY"));
  Raw()->Run("DELETE FROM ClusterMembers");
  Raw()->Run(std::string("INSERT INTO Systems (Name, Value) VALUES ('") + kOwnRow + "', '" + kKeyB +
             "')");
  EXPECT_THAT(Copy(*File(), *Server()).status(), HasCode("STORE_NOT_EMPTY"));
  EXPECT_EQ(Raw()->Run("SELECT count(*) FROM ClusterKeys"), "0");
  EXPECT_TRUE(IsLive(File()));
}

TEST_F(StoreCopyConformance, LeavesTheRowOfOthersAndTakesItsOwn) {
  Fill(File());
  Raw()->Run(std::string("INSERT INTO Systems (Name, Value) VALUES ('") + kCommonRow + "', '" +
             kKeyB + "')");
  const auto report = Copy(*File(), *Server());
  SOTTO_ASSERT_OK(report);
  EXPECT_EQ(report->row, kOwnRow);
  ExpectSameKeys();
  EXPECT_EQ(Raw()->Run(std::string("SELECT Value FROM Systems WHERE Name = '") + kCommonRow + "'"),
            kKeyB);
  EXPECT_EQ(Rows(Server()).row, kOwnRow);
}

TEST_F(StoreCopyConformance, TakesOtherClustersNowhere) {
  Fill(File());
  KeyTable other(File(), "other");
  SOTTO_ASSERT_OK(other.Adopt(policy_, "ow-1"));
  SOTTO_ASSERT_OK(Copy(*File(), *Server()));
  EXPECT_EQ(Raw()->Run("SELECT count(*) FROM ClusterKeys WHERE ClusterName <> 'edge'"), "0");
  EXPECT_EQ(Raw()->Run("SELECT count(*) FROM ClusterKeyHistory WHERE ClusterName <> 'edge'"), "0");
  SOTTO_EXPECT_OK(other.Prepare(policy_, {.actor = "uid 0"}));
}

TEST_F(StoreCopyConformance, RefusesAThirdStoreAndItself) {
  Fill(File());
  SOTTO_ASSERT_OK(Copy(*File(), *Server()));
  const std::string third = NewStore();
  EXPECT_THAT(Copy(*File(), *OpenBase(third)).status(), HasCode("STORE_MOVED"));
  EXPECT_THAT(Copy(*Server(), *Server()).status(), HasCode("STORE_SAME"));
  EXPECT_TRUE(IsLive(Server()));
}

TEST_F(StoreCopyConformance, RefusesASourceWithoutAKeyOrWithRowsThatItCannotRead) {
  SOTTO_ASSERT_OK(EnsureSchema(*File(), Soon()));
  EXPECT_THAT(Copy(*File(), *Server()).status(), HasCode("KEY_MISSING"));
  EXPECT_EQ(Raw()->Run("SELECT count(*) FROM ClusterMoves"), "0");
  Fill(Server());
  Raw()->Run("UPDATE ClusterKeys SET State = 'active' WHERE Generation = 2");
  EXPECT_THAT(Copy(*Server(), *File()).status(), HasCode("KEY_TABLE_MALFORMED"));
  EXPECT_FALSE(IsLive(File()));
}

TEST_F(StoreCopyConformance, AChangedSourceNeverPassesForACopyOfTheTarget) {
  Fill(File());
  SOTTO_ASSERT_OK(Copy(*File(), *Server()));
  RawSqlite(file_).Run("UPDATE ClusterKeys SET KeyId = '0000-0001' WHERE Generation = 1");
  EXPECT_THAT(Copy(*File(), *Server()).status(), HasCode("STORE_NOT_EMPTY"));
}

}  // namespace
}  // namespace sotto
