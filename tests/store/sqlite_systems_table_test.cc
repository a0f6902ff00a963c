#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gossip/base/coded_error.h"
#include "store/open_store.h"
#include "tests/store/fault_vfs.h"
#include "tests/support/other_user.h"
#include "tests/support/raw_sqlite.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using std::chrono::milliseconds;
using testing::Eq;

const StoreOptions kCreate{.create = true};
const StoreOptions kImpatient{.deadline = milliseconds(50)};

constexpr char kForeignTable[] =
    "CREATE TABLE Systems (Name VARCHAR(64) PRIMARY KEY, Value VARCHAR(1024));"
    "INSERT INTO Systems VALUES ('DiagnosticId', 'abc');";

void Write(const std::string& path, const std::string& text, mode_t mode) {
  std::ofstream(path) << text;
  ASSERT_EQ(chmod(path.c_str(), mode), 0);
}

TEST(SqliteSystemsTable, KeepsRows) {
  const TempDir dir;
  {
    const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"), kCreate);
    SOTTO_ASSERT_OK(table);
    EXPECT_THAT((*table)->Get("a"), HasCode("ROW_MISSING"));
    EXPECT_THAT((*table)->InsertIfAbsent("a", "1"), IsOkAndHolds(Eq("1")));
    EXPECT_THAT((*table)->InsertIfAbsent("a", "2"), IsOkAndHolds(Eq("1")));
    EXPECT_THAT((*table)->Replace("a", "2", "3"), HasCode("ROW_CHANGED"));
    EXPECT_THAT((*table)->Replace("a", std::nullopt, "3"), HasCode("ROW_CHANGED"));
    EXPECT_THAT((*table)->Get("a"), IsOkAndHolds(Eq("1")));
    SOTTO_EXPECT_OK((*table)->Replace("a", "1", "4"));
    SOTTO_EXPECT_OK((*table)->Replace("b", std::nullopt, "5"));
    EXPECT_EQ((*table)->DisplayUrl(), "sqlite:" + dir.File("s.db"));
  }
  const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"));
  SOTTO_ASSERT_OK(table);
  EXPECT_THAT((*table)->Get("a"), IsOkAndHolds(Eq("4")));
  EXPECT_THAT((*table)->Get("b"), IsOkAndHolds(Eq("5")));
}

TEST(SqliteSystemsTable, HasLimits) {
  const TempDir dir;
  const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"), kCreate);
  SOTTO_ASSERT_OK(table);
  const std::string name(64, 'n'), value(1024, 'v');
  EXPECT_THAT((*table)->InsertIfAbsent(name, value), IsOkAndHolds(Eq(value)));
  EXPECT_THAT((*table)->Get(name), IsOkAndHolds(Eq(value)));
  EXPECT_THAT((*table)->InsertIfAbsent(name + "n", "v"), HasCode("ROW_NAME_INVALID"));
  EXPECT_THAT((*table)->Get(""), HasCode("ROW_NAME_INVALID"));
  EXPECT_THAT((*table)->InsertIfAbsent("m", value + "v"), HasCode("KEY_TOO_LONG"));
  EXPECT_THAT((*table)->Replace("m", std::nullopt, value + "v"), HasCode("KEY_TOO_LONG"));
}

TEST(SqliteSystemsTable, MakesNothingUnasked) {
  const TempDir dir;
  EXPECT_THAT(OpenSystemsTable("sqlite:" + dir.File("s.db")), HasCode("DB_MISSING"));
  EXPECT_NE(access(dir.File("s.db").c_str(), F_OK), 0);
  EXPECT_THAT(OpenSystemsTable("sqlite:" + dir.File("no/s.db"), kCreate), HasCode("DB_MISSING"));
  Write(dir.File("empty.db"), "", 0600);
  EXPECT_THAT(OpenSystemsTable("sqlite:" + dir.File("empty.db")), HasCode("DB_TABLE_MISSING"));
  SOTTO_EXPECT_OK(OpenSystemsTable("sqlite:" + dir.File("empty.db"), kCreate));
}

TEST(SqliteSystemsTable, MakesTheFileForItsOwnerAlone) {
  const TempDir dir;
  const mode_t before = umask(0);
  const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"), kCreate);
  umask(before);
  SOTTO_ASSERT_OK(table);
  SOTTO_ASSERT_OK((*table)->InsertIfAbsent("a", "1"));
  for (const char* name : {"s.db", "s.db-wal", "s.db-shm"}) {
    struct stat info {};
    ASSERT_EQ(stat(dir.File(name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 07777, 0600u) << name;
  }
}

TEST(SqliteSystemsTable, UsesAForeignTableAsItIs) {
  const TempDir dir;
  {
    RawSqlite raw(dir.File("s.db"));
    raw.Run("PRAGMA journal_mode = DELETE");
    raw.Run(kForeignTable);
  }
  {
    const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"), kCreate);
    SOTTO_ASSERT_OK(table);
    EXPECT_THAT((*table)->Get("DiagnosticId"), IsOkAndHolds(Eq("abc")));
    EXPECT_THAT((*table)->InsertIfAbsent("ClusterEncryptionKey", "k"), IsOkAndHolds(Eq("k")));
  }
  RawSqlite raw(dir.File("s.db"));
  EXPECT_EQ(raw.Run("PRAGMA journal_mode"), "delete");
  EXPECT_EQ(raw.Run("SELECT count(*) FROM Systems"), "2");
}

TEST(SqliteSystemsTable, RefusesRowsOfTheWrongShape) {
  const TempDir dir;
  RawSqlite raw(dir.File("s.db"));
  raw.Run("CREATE TABLE Systems (Name, Value)");  // no key, no types
  raw.Run(
      "INSERT INTO Systems VALUES ('int', 1), ('real', 1.5), ('blob', x'6162'), ('null', NULL),"
      "('twice', 'a'), ('twice', 'b'), ('long', printf('%.*c', 1025, 'x')),"
      "('huge', printf('%.*c', 3000000, 'x'))");
  const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"));
  SOTTO_ASSERT_OK(table);
  for (const char* name : {"int", "real", "blob", "null"}) {
    EXPECT_THAT((*table)->Get(name), HasCode("KEY_ROW_TYPE")) << name;
  }
  EXPECT_THAT((*table)->Get("twice"), HasCode("KEY_ROW_DUPLICATE"));
  EXPECT_THAT((*table)->Get("long"), HasCode("KEY_TOO_LONG"));
  EXPECT_THAT((*table)->Get("huge"), HasCode("KEY_TOO_LONG"));
}

TEST(SqliteSystemsTable, TellsALockAndWaitsForIt) {
  const TempDir dir;
  RawSqlite raw(dir.File("s.db"));
  raw.Run(kForeignTable);
  const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"), kImpatient);
  SOTTO_ASSERT_OK(table);
  raw.Run("BEGIN EXCLUSIVE");
  EXPECT_THAT((*table)->Get("DiagnosticId"), HasCode("DB_LOCKED"));
  EXPECT_THAT((*table)->InsertIfAbsent("a", "1"), HasCode("DB_LOCKED"));
  EXPECT_THAT(OpenSystemsTable("sqlite:" + dir.File("s.db"), kImpatient), HasCode("DB_LOCKED"));

  const auto patient = [&] {
    const auto waiting =
        OpenSystemsTable("sqlite:" + dir.File("s.db"), {.deadline = std::chrono::seconds(60)});
    return waiting.ok() ? (*waiting)->Get("DiagnosticId") : waiting.status();
  };
  absl::StatusOr<std::string> value;
  std::thread waiter([&] { value = patient(); });
  raw.Run("COMMIT");
  waiter.join();
  EXPECT_THAT(value, IsOkAndHolds(Eq("abc")));
}

TEST(SqliteSystemsTable, TellsWhatIsNoDatabase) {
  const TempDir dir;
  Write(dir.File("text.db"), std::string(5000, 'x'), 0600);
  EXPECT_THAT(OpenSystemsTable("sqlite:" + dir.File("text.db"), kCreate),
              HasCode("DB_NOT_A_DATABASE"));
  EXPECT_THAT(OpenSystemsTable("sqlite:" + dir.path()), HasCode("FILE_NOT_REGULAR"));
}

TEST(SqliteSystemsTable, TellsADamagedOne) {
  const TempDir dir;
  {
    RawSqlite raw(dir.File("s.db"));
    raw.Run("PRAGMA page_size = 512");
    raw.Run(kForeignTable);
  }
  // The schema's page stays; the pages of the table and its index turn to noise.
  std::fstream file(dir.File("s.db"), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(512);
  file << std::string(1024, '\xa5');
  file.close();
  const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"));
  SOTTO_ASSERT_OK(table);
  EXPECT_THAT((*table)->Get("DiagnosticId"), HasCode("DB_CORRUPT"));
}

TEST(SqliteSystemsTable, FallsUnderTheRulesForSecrets) {
  const TempDir dir;
  {
    RawSqlite raw(dir.File("s.db"));
    raw.Run(kForeignTable);
  }
  ASSERT_EQ(chmod(dir.File("s.db").c_str(), 0640), 0);
  EXPECT_THAT(OpenSystemsTable("sqlite:" + dir.File("s.db")), HasCode("SECRET_READABLE"));
  ASSERT_EQ(chmod(dir.File("s.db").c_str(), 0600), 0);
  SOTTO_EXPECT_OK(OpenSystemsTable("sqlite:" + dir.File("s.db")));
}

TEST(SqliteSystemsTable, ReadsButDoesNotWriteWhereItMayNot) {
  const TempDir dir;
  {
    RawSqlite raw(dir.File("s.db"));
    raw.Run(kForeignTable);
  }
  if (geteuid() == 0) {
    ASSERT_EQ(chown(dir.File("s.db").c_str(), kOtherUser, kOtherUser), 0);
  }
  ASSERT_EQ(chmod(dir.File("s.db").c_str(), 0400), 0);
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  const auto read_and_write = [&]() -> std::string {
    const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"));
    if (!table.ok()) return Describe(table.status());
    const auto value = (*table)->Get("DiagnosticId");
    if (!value.ok()) return Describe(value.status());
    return *value + " " + ErrorCode((*table)->InsertIfAbsent("a", "1").status());
  };
  EXPECT_EQ(AsOtherUser(read_and_write), "abc DB_READ_ONLY");
  EXPECT_EQ(AsOtherUser([&] {
              return ErrorCode(OpenSystemsTable("sqlite:" + dir.File("new.db"), kCreate).status());
            }),
            geteuid() == 0 ? "DB_READ_ONLY" : "");
}

TEST(SqliteSystemsTable, TellsAFileOfAnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "needs a file of another user";
  const TempDir dir;
  {
    RawSqlite raw(dir.File("s.db"));
    raw.Run(kForeignTable);
  }
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  EXPECT_EQ(AsOtherUser(
                [&] { return ErrorCode(OpenSystemsTable("sqlite:" + dir.File("s.db")).status()); }),
            "DB_UNREADABLE");
}

TEST(SqliteSystemsTable, TellsAFullDisk) {
  const TempDir dir;
  if (geteuid() != 0 || mount("none", dir.path().c_str(), "tmpfs", 0, "size=32k") != 0) {
    GTEST_SKIP() << "needs a small file system of its own";
  }
  std::ofstream(dir.File("filler")) << std::string(32 * 1024 - 4096, 'x');
  EXPECT_THAT(OpenSystemsTable("sqlite:" + dir.File("s.db"), kCreate), HasCode("DB_FULL"));
  ASSERT_EQ(unlink(dir.File("filler").c_str()), 0);
  EXPECT_EQ(umount(dir.path().c_str()), 0);
}

TEST(SqliteSystemsTable, NoticesThatTheFileWentAwayOrWasReplaced) {
  const TempDir dir;
  const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"), kCreate);
  SOTTO_ASSERT_OK(table);
  SOTTO_ASSERT_OK((*table)->InsertIfAbsent("a", "1"));
  for (const char* name : {"s.db", "s.db-wal", "s.db-shm"}) unlink(dir.File(name).c_str());
  EXPECT_THAT((*table)->Get("a"), HasCode("DB_MISSING"));
  EXPECT_NE(access(dir.File("s.db").c_str(), F_OK), 0) << "made anew at run time";
  {
    RawSqlite raw(dir.File("s.db"));
    raw.Run(kForeignTable);
  }
  EXPECT_THAT((*table)->Get("DiagnosticId"), IsOkAndHolds(Eq("abc")));
  EXPECT_THAT((*table)->Get("a"), HasCode("ROW_MISSING"));
}

TEST(SqliteSystemsTable, ServesThreads) {
  const TempDir dir;
  const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"), kCreate);
  SOTTO_ASSERT_OK(table);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const std::string name = std::to_string(i);
        const auto held = (*table)->InsertIfAbsent(name, std::to_string(t));
        EXPECT_THAT(held, IsOk());
        EXPECT_EQ(*(*table)->Get(name), *held);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A second connection that opens and closes the file must not drop the locks of the first: POSIX
// drops all locks of a process when it closes any descriptor of the file.
TEST(SqliteSystemsTable, KeepsItsLocksWhileOthersOpenTheFile) {
  const TempDir dir;
  RawSqlite raw(dir.File("s.db"));
  raw.Run(kForeignTable);
  raw.Run("BEGIN EXCLUSIVE");
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(OpenSystemsTable("sqlite:" + dir.File("s.db"), kImpatient), HasCode("DB_LOCKED"));
  }
  // Another process sees the lock still held.
  const pid_t child = fork();
  if (child == 0) {
    sqlite3* db = nullptr;
    sqlite3_open(dir.File("s.db").c_str(), &db);
    _exit(sqlite3_exec(db, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr) == SQLITE_BUSY ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  raw.Run("ROLLBACK");
}

// ---- faults: the k-th call to the disk fails; the row is there whole, or not at all -------------

struct Fault {
  const char* name;
  int result;
  bool for_good;
};

class FaultLoop : public testing::TestWithParam<Fault> {};

TEST_P(FaultLoop, LeavesTheOldOrTheNewState) {
  FaultVfs vfs(std::string("fault-") + GetParam().name);
  int runs = 0;
  for (int k = 1;; ++k) {
    ASSERT_LT(k, 500) << "the loop finds no end";
    const TempDir dir;
    const std::string url = "sqlite:" + dir.File("s.db");
    const StoreOptions faulty{
        .create = true, .deadline = milliseconds(0), .sqlite_vfs = vfs.name()};
    vfs.FailAt(k, GetParam().result, GetParam().for_good);
    absl::StatusOr<std::string> told;
    {
      const auto table = OpenSystemsTable(url, faulty);
      told = table.ok() ? (*table)->InsertIfAbsent("key", "value") : table.status();
    }
    const bool has_failed = vfs.has_failed();
    vfs.Heal();

    const auto table = OpenSystemsTable(url, kCreate);
    SOTTO_ASSERT_OK(table);
    const auto held = (*table)->Get("key");
    if (told.ok()) {
      EXPECT_THAT(told, IsOkAndHolds(Eq("value")));
      ASSERT_THAT(held, IsOkAndHolds(Eq("value"))) << "lost at k=" << k;
    } else if (held.ok()) {
      ASSERT_EQ(*held, "value") << "torn at k=" << k;
    } else {
      ASSERT_THAT(held, HasCode("ROW_MISSING")) << "k=" << k;
    }
    // And the next one to try gets through, with one value.
    ASSERT_THAT((*table)->InsertIfAbsent("key", "value"), IsOkAndHolds(Eq("value"))) << "k=" << k;
    RawSqlite raw(dir.File("s.db"));
    ASSERT_EQ(raw.Run("PRAGMA integrity_check"), "ok") << "k=" << k;
    if (!has_failed) break;
    if (!told.ok() && GetParam().result == SQLITE_FULL) {
      EXPECT_THAT(told, HasCode("DB_FULL")) << "k=" << k;
    }
    ++runs;
  }
  EXPECT_GT(runs, 5) << "hardly a call went through the shim";
}

INSTANTIATE_TEST_SUITE_P(Faults, FaultLoop,
                         testing::Values(Fault{"io", SQLITE_IOERR, false},
                                         Fault{"killed", SQLITE_IOERR, true},
                                         Fault{"full", SQLITE_FULL, false},
                                         Fault{"full_for_good", SQLITE_FULL, true}),
                         [](const auto& row) { return row.param.name; });

TEST(FaultLoop, ReplacesWholeOrNotAtAll) {
  FaultVfs vfs("fault-replace");
  for (int k = 1;; ++k) {
    ASSERT_LT(k, 500) << "the loop finds no end";
    const TempDir dir;
    const std::string url = "sqlite:" + dir.File("s.db");
    {
      const auto table = OpenSystemsTable(url, kCreate);
      SOTTO_ASSERT_OK(table);
      SOTTO_ASSERT_OK((*table)->InsertIfAbsent("key", "old"));
    }
    vfs.FailAt(k, SQLITE_IOERR, true);
    absl::Status told;
    {
      const auto table =
          OpenSystemsTable(url, {.deadline = milliseconds(0), .sqlite_vfs = vfs.name()});
      told = table.ok() ? (*table)->Replace("key", "old", "new") : table.status();
    }
    const bool has_failed = vfs.has_failed();
    vfs.Heal();
    const auto table = OpenSystemsTable(url);
    SOTTO_ASSERT_OK(table);
    const auto held = (*table)->Get("key");
    SOTTO_ASSERT_OK(held);
    if (told.ok()) {
      ASSERT_EQ(*held, "new") << "k=" << k;
    } else {
      ASSERT_TRUE(*held == "old" || *held == "new") << "k=" << k << " holds " << *held;
    }
    if (!has_failed) break;
  }
}

}  // namespace
}  // namespace sotto
