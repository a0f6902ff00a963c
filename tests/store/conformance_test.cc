// What the store promises, on each of the three databases.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/cluster_key.h"
#include "store/systems_rows.h"
#include "tests/store/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::Eq;

StoreUnderTest& Store() { return StoreUnderTest::Get(); }

StoreOptions Within(milliseconds deadline) {
  StoreOptions options;
  options.deadline = deadline;
  return options;
}

TEST(Conformance, KeepsRows) {
  const std::string database = NewStore();
  {
    const auto table = OpenTable(database);
    EXPECT_THAT(table->Get("a"), HasCode("ROW_MISSING"));
    EXPECT_THAT(table->InsertIfAbsent("a", "1"), IsOkAndHolds(Eq("1")));
    EXPECT_THAT(table->InsertIfAbsent("a", "2"), IsOkAndHolds(Eq("1")));
    EXPECT_THAT(table->Replace("a", "2", "3"), HasCode("ROW_CHANGED"));
    EXPECT_THAT(table->Replace("a", std::nullopt, "3"), HasCode("ROW_CHANGED"));
    EXPECT_THAT(table->Replace("b", "2", "3"), HasCode("ROW_CHANGED"));
    EXPECT_THAT(table->Get("a"), IsOkAndHolds(Eq("1")));
    SOTTO_EXPECT_OK(table->Replace("a", "1", "4"));
    SOTTO_EXPECT_OK(table->Replace("a", "4", "4"));
    SOTTO_EXPECT_OK(table->Replace("b", std::nullopt, "5"));
  }
  const auto table = OpenTable(database);
  EXPECT_THAT(table->Get("a"), IsOkAndHolds(Eq("4")));
  EXPECT_THAT(table->Get("b"), IsOkAndHolds(Eq("5")));
  const auto session = Store().Session(database);
  EXPECT_EQ(session->Run("SELECT Value FROM Systems WHERE Name = 'a'"), "4");
}

TEST(Conformance, HasLimits) {
  const auto table = OpenTable(NewStore());
  const std::string name(64, 'n'), value(1024, 'v');
  EXPECT_THAT(table->InsertIfAbsent(name, value), IsOkAndHolds(Eq(value)));
  EXPECT_THAT(table->Get(name), IsOkAndHolds(Eq(value)));
  EXPECT_THAT(table->InsertIfAbsent(name + "n", "v"), HasCode("ROW_NAME_INVALID"));
  EXPECT_THAT(table->Get(""), HasCode("ROW_NAME_INVALID"));
  EXPECT_THAT(table->InsertIfAbsent("m", value + "v"), HasCode("KEY_TOO_LONG"));
  EXPECT_THAT(table->Replace("m", std::nullopt, value + "v"), HasCode("KEY_TOO_LONG"));
}

TEST(Conformance, KeepsEveryCharacter) {
  const auto table = OpenTable(NewStore());
  for (const std::string& value :
       {std::string("it's; -- \"quoted\" \\ \\' $1 ? %s"), std::string("ключ 鍵 🔑"),
        std::string(" padded "), std::string(), std::string("a\nb\tc\r\n")}) {
    const std::string name = "row " + std::to_string(value.size());
    ASSERT_THAT(table->InsertIfAbsent(name, value), IsOkAndHolds(Eq(value)));
    EXPECT_THAT(table->Get(name), IsOkAndHolds(Eq(value)));
    SOTTO_EXPECT_OK(table->Replace(name, value, value + "."));
    EXPECT_THAT(table->Get(name), IsOkAndHolds(Eq(value + ".")));
  }
  EXPECT_THAT(table->Get("x' OR '1'='1"), HasCode("ROW_MISSING"));
}

TEST(Conformance, UsesMattermostsTableAsItIs) {
  const std::string database = NewStore();
  const auto session = Store().Session(database);
  session->Run("INSERT INTO Systems (Name, Value) VALUES ('DiagnosticId', 'abc')");
  session->Run("INSERT INTO Systems (Name) VALUES ('Nothing')");
  StoreOptions options = Within(seconds(20));
  options.create = true;
  const auto table = OpenTable(database, options);
  EXPECT_THAT(table->Get("DiagnosticId"), IsOkAndHolds(Eq("abc")));
  EXPECT_THAT(table->Get("Nothing"), HasCode("KEY_ROW_TYPE"));
  EXPECT_THAT(table->InsertIfAbsent("Nothing", "x"), HasCode("KEY_ROW_TYPE"));
  EXPECT_THAT(table->InsertIfAbsent("ClusterEncryptionKey", "k"), IsOkAndHolds(Eq("k")));
  EXPECT_EQ(session->Run("SELECT count(*) FROM Systems"), "3");
}

TEST(Conformance, MakesTheTableWhereItMay) {
  const std::string database = NewStore(/*table=*/false);
  EXPECT_THAT(OpenSystemsTable(Store().Url(database), Store().Options()),
              HasCode("DB_TABLE_MISSING"));
  StoreOptions options = Within(seconds(20));
  options.create = true;
  SOTTO_EXPECT_OK(OpenTable(database, options)->InsertIfAbsent("a", "1"));
  EXPECT_THAT(OpenTable(database, options)->Get("a"), IsOkAndHolds(Eq("1")));
}

TEST(Conformance, ManyMakeTheTableAtOnce) {
  const std::string database = NewStore(/*table=*/false);
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      StoreOptions options = Within(seconds(30));
      options.create = true;
      SOTTO_EXPECT_OK(OpenTable(database, options)->InsertIfAbsent("a", "1"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Store().Session(database)->Run("SELECT count(*) FROM Systems"), "1");
}

TEST(Conformance, ComparesNamesByteForByte) {
  const std::string database = NewStore();
  const auto session = Store().Session(database);
  session->Run("INSERT INTO Systems (Name, Value) VALUES ('clusterencryptionkey', 'other')");
  const auto table = OpenTable(database);
  EXPECT_THAT(table->Get("ClusterEncryptionKey"), HasCode("ROW_MISSING"));
  EXPECT_THAT(table->Get("clusterencryptionkey "), HasCode("ROW_MISSING"));
  EXPECT_THAT(table->Get("clusterencryptionkey"), IsOkAndHolds(Eq("other")));
  const auto added = table->InsertIfAbsent("ClusterEncryptionKey", "own");
  if (Store().dialect() == SqlDialect::kMysql) {
    // Its key takes both for one name.
    EXPECT_THAT(added, HasCode("ROW_NAME_CLASH"));
    EXPECT_THAT(table->InsertIfAbsent("clusterencryptionkey ", "own"), HasCode("ROW_NAME_CLASH"));
  } else {
    EXPECT_THAT(added, IsOkAndHolds(Eq("own")));
  }
  EXPECT_THAT(table->Get("clusterencryptionkey"), IsOkAndHolds(Eq("other")));
}

TEST(Conformance, RefusesRowsOfTheWrongShape) {
  const std::string texts = NewStore(/*table=*/false);
  auto session = Store().Session(texts);
  session->Run(Store().LooseTable("TEXT"));
  session->Run("INSERT INTO Systems VALUES ('null', NULL), ('twice', 'a'), ('twice', 'b')");
  session->Run("INSERT INTO Systems VALUES ('long', '" + std::string(1025, 'x') + "'), ('fits', '" +
               std::string(1024, 'x') + "')");
  const auto table = OpenTable(texts);
  EXPECT_THAT(table->Get("null"), HasCode("KEY_ROW_TYPE"));
  EXPECT_THAT(table->Get("twice"), HasCode("KEY_ROW_DUPLICATE"));
  EXPECT_THAT(table->Replace("twice", "a", "c"), HasCode("KEY_ROW_DUPLICATE"));
  EXPECT_THAT(table->Get("long"), HasCode("KEY_TOO_LONG"));
  EXPECT_THAT(table->Get("fits"), IsOkAndHolds(Eq(std::string(1024, 'x'))));
  for (const std::string& type : {std::string("INTEGER"), Store().BlobType()}) {
    const std::string odd = NewStore(/*table=*/false);
    session = Store().Session(odd);
    session->Run(Store().LooseTable(type));
    session->Run(type == "INTEGER" ? "INSERT INTO Systems VALUES ('a', 1)"
                 : Store().dialect() == SqlDialect::kSqlite
                     ? "INSERT INTO Systems VALUES ('a', x'6162')"
                     : "INSERT INTO Systems VALUES ('a', 'ab')");
    EXPECT_THAT(OpenTable(odd)->Get("a"), HasCode("KEY_ROW_TYPE")) << type;
  }
}

// ---- several at once ----------------------------------------------------------------------------

TEST(Conformance, ThreadsWithConnectionsOfTheirOwnEndWithOneValue) {
  for (const bool has_key : {true, false}) {
    const std::string database = NewStore(has_key);
    // Where no key keeps two rows of one name apart, serializable transactions do.
    if (!has_key) Store().Session(database)->Run(Store().LooseTable("VARCHAR(1024)"));
    for (int round = 0; round < 5; ++round) {
      const std::string name = "row " + std::to_string(round);
      std::array<absl::StatusOr<std::string>, 5> held;
      std::vector<std::thread> threads;
      for (size_t t = 0; t < held.size(); ++t) {
        threads.emplace_back([&, t] {
          held[t] = OpenTable(database)->InsertIfAbsent(name, "value of " + std::to_string(t));
        });
      }
      for (std::thread& thread : threads) thread.join();
      std::set<std::string> values;
      for (const auto& value : held) {
        SOTTO_ASSERT_OK(value);
        values.insert(*value);
      }
      EXPECT_EQ(values.size(), 1u);
      EXPECT_THAT(OpenTable(database)->Get(name), IsOkAndHolds(Eq(*held[0])));
    }
  }
}

TEST(Conformance, ThreadsShareOneTable) {
  const auto table = OpenTable(NewStore());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const std::string name = "row " + std::to_string(i);
        const auto held = table->InsertIfAbsent(name, std::to_string(t));
        EXPECT_THAT(held, IsOk());
        EXPECT_EQ(*table->Get(name), *held);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Processes that start at the same instant: one key, and one that says it made it.
TEST(Conformance, ProcessesEndWithOneKey) {
  constexpr size_t kProcesses = 5;
  for (int round = 0; round < 3; ++round) {
    const std::string database = NewStore();
    const std::string url = Store().Url(database);
    StoreOptions options = Store().Options();
    options.deadline = seconds(30);
    std::array<int, 2> gate{}, answers{};
    ASSERT_EQ(pipe(gate.data()), 0);
    ASSERT_EQ(pipe(answers.data()), 0);
    std::vector<pid_t> children;
    for (size_t i = 0; i < kProcesses; ++i) {
      const pid_t child = fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        close(gate[1]);
        char go = 0;
        if (read(gate[0], &go, 1) != 0) _exit(2);  // the end of the pipe is the start for all
        const auto table = OpenSystemsTable(url, options);
        if (!table.ok()) _exit(3);
        const auto stored = LoadOrCreateClusterKey(**table, "edge", {.may_create = true});
        if (!stored.ok()) _exit(4);
        const std::string line = ToString(stored->key->id()) + (stored->created ? "+" : "-") + "\n";
        _exit(write(answers[1], line.data(), line.size()) == static_cast<ssize_t>(line.size()) ? 0
                                                                                               : 5);
      }
      children.push_back(child);
    }
    close(gate[0]);
    close(gate[1]);
    close(answers[1]);
    for (const pid_t child : children) {
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
    }
    std::string text;
    std::array<char, 1024> chunk{};
    for (ssize_t n = 0; (n = read(answers[0], chunk.data(), chunk.size())) > 0;) {
      text.append(chunk.data(), static_cast<size_t>(n));
    }
    close(answers[0]);
    ASSERT_EQ(text.size(), 11 * kProcesses) << text;
    std::set<std::string> ids;
    for (size_t at = 0; at < text.size(); at += 11) ids.insert(text.substr(at, 9));
    EXPECT_EQ(ids.size(), 1u) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '+'), 1) << text;
  }
}

// Two read a number before either writes it back: one of them has to begin again.
TEST(Conformance, AConflictIsTriedAgain) {
  const std::string database = NewStore();
  SOTTO_ASSERT_OK(OpenTable(database)->InsertIfAbsent("n", "0"));
  std::mutex mutex;
  std::condition_variable both_have_read;
  int readers = 0;
  std::atomic<int> attempts{0};
  const auto add_one = [&] {
    const auto base = OpenBase(database);
    const auto body = [&](SqlTransaction& transaction) -> absl::Status {
      ++attempts;
      SOTTO_ASSIGN_OR_RETURN(const std::string held, ReadSystemsRow(transaction, "n"));
      {
        // On SQLite the second one does not get to read: nobody waits for long.
        std::unique_lock<std::mutex> lock(mutex);
        ++readers;
        both_have_read.notify_all();
        both_have_read.wait_for(lock, milliseconds(500), [&] { return readers >= 2; });
      }
      return SetSystemsRow(transaction, "n", std::to_string(std::stoi(held) + 1));
    };
    SOTTO_EXPECT_OK(base->Transact(SqlMode::kWrite, body));
  };
  std::thread other(add_one);
  add_one();
  other.join();
  EXPECT_THAT(OpenTable(database)->Get("n"), IsOkAndHolds(Eq("2")));
  EXPECT_GE(attempts, Store().dialect() == SqlDialect::kSqlite ? 2 : 3);
}

// The same by a lock that both take first; nobody has to begin again.
TEST(Conformance, ALockedRowWaits) {
  const std::string database = NewStore();
  SOTTO_ASSERT_OK(OpenTable(database)->InsertIfAbsent("n", "0"));
  constexpr int kThreads = 4, kTimes = 10;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const auto base = OpenBase(database, seconds(60));
      for (int i = 0; i < kTimes; ++i) {
        const auto add_one = [](SqlTransaction& transaction) -> absl::Status {
          SOTTO_ASSIGN_OR_RETURN(const std::string held,
                                 ReadSystemsRow(transaction, "n", RowLock::kForUpdate));
          return SetSystemsRow(transaction, "n", std::to_string(std::stoi(held) + 1));
        };
        SOTTO_EXPECT_OK(base->Transact(SqlMode::kLocked, add_one));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(OpenTable(database)->Get("n"), IsOkAndHolds(Eq(std::to_string(kThreads * kTimes))));
}

TEST(Conformance, AFailedBodyLeavesNothing) {
  const std::string database = NewStore();
  const auto base = OpenBase(database);
  const auto status = base->Transact(SqlMode::kWrite, [](SqlTransaction& transaction) {
    EXPECT_THAT(AddSystemsRow(transaction, "a", "1"), IsOk());
    return CodedError(absl::StatusCode::kFailedPrecondition, "ROW_CHANGED", "enough");
  });
  EXPECT_THAT(status, HasCode("ROW_CHANGED"));
  EXPECT_EQ(Store().Session(database)->Run("SELECT count(*) FROM Systems"), "0");
  // And the connection is as good as before.
  SOTTO_EXPECT_OK(base->Transact(SqlMode::kWrite, [](SqlTransaction& transaction) {
    return AddSystemsRow(transaction, "a", "1");
  }));
}

// ---- a lock that is not given back --------------------------------------------------------------

TEST(Conformance, ALockedTableIsToldAtTheDeadline) {
  const std::string database = NewStore();
  const auto table = OpenTable(database, Within(milliseconds(1500)));
  SOTTO_ASSERT_OK(table->InsertIfAbsent("a", "1"));
  const auto session = Store().Session(database);
  Store().LockSystems(*session);
  for (const bool is_read : {true, false}) {
    const auto start = steady_clock::now();
    const absl::Status status = is_read ? table->Get("a").status() : table->Replace("a", "1", "2");
    const auto took = steady_clock::now() - start;
    EXPECT_THAT(status, HasCode("DB_LOCKED"));
    EXPECT_GE(took, milliseconds(1000));
    EXPECT_LE(took, milliseconds(10'000));
  }
  // Who waits long enough gets through.
  absl::StatusOr<std::string> value;
  std::thread waiter([&] { value = OpenTable(database, Within(seconds(60)))->Get("a"); });
  Store().Unlock(*session);
  waiter.join();
  EXPECT_THAT(value, IsOkAndHolds(Eq("1")));
  EXPECT_THAT(table->Get("a"), IsOkAndHolds(Eq("1")));
}

TEST(Conformance, ACallWaitsForItsTurnUntilItsDeadline) {
  const std::string database = NewStore();
  const auto base = OpenBase(database);
  std::mutex mutex;
  std::condition_variable changed;
  bool is_inside = false, may_leave = false;
  std::thread holder([&] {
    SOTTO_EXPECT_OK(base->Transact(SqlMode::kRead, [&](SqlTransaction&) {
      std::unique_lock<std::mutex> lock(mutex);
      is_inside = true;
      changed.notify_all();
      changed.wait(lock, [&] { return may_leave; });
      return absl::OkStatus();
    }));
  });
  {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return is_inside; });
  }
  EXPECT_THAT(base->Transact(
                  SqlMode::kRead, [](SqlTransaction&) { return absl::OkStatus(); },
                  steady_clock::now() + milliseconds(100)),
              HasCode("DB_TIMEOUT"));
  {
    const std::lock_guard<std::mutex> lock(mutex);
    may_leave = true;
  }
  changed.notify_all();
  holder.join();
}

}  // namespace
}  // namespace sotto
