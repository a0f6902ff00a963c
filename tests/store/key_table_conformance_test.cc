// The steps of a rotation in the database, on each of the three.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "crypto/envelope.h"
#include "gossip/base/coded_error.h"
#include "store/cluster_key.h"
#include "store/key_table.h"
#include "store/schema.h"
#include "store/systems_rows.h"
#include "tests/store/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

using testing::Eq;
using testing::HasSubstr;
using testing::SizeIs;

constexpr char kCluster[] = "edge";
constexpr char kKeyA[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr char kKeyB[] = "gIWKj5SZnqOorbK3vMHGy9DV2t/k6e7z";  // 24 bytes
constexpr int64_t kDayMs = 86'400'000;

StoreUnderTest& Store() { return StoreUnderTest::Get(); }
SqlTime Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(20); }

KekRingRef Keks(uint8_t seed) {
  std::vector<uint8_t> bytes(32);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(seed + 7 * i);
  return *KekRing::Create(*Kek::Create(SecretBytes(bytes)), {});
}

class KeyTableConformance : public testing::Test {
 protected:
  KeyTableConformance() : database_(NewStore()) {
    SOTTO_EXPECT_OK(EnsureSchema(*OpenBase(database_), Soon()));
    SOTTO_EXPECT_OK(OpenTable(database_)->InsertIfAbsent("ClusterEncryptionKey", kKeyA));
  }

  KeyTable Table() {
    return KeyTable(OpenBase(database_), kCluster, [this] { return now_ms_.load(); });
  }
  KeyRows Read() {
    KeyTable table = Table();
    absl::StatusOr<KeyRows> rows = table.Read();
    SOTTO_EXPECT_OK(rows);
    return rows.ok() ? *std::move(rows) : KeyRows();
  }
  std::string States() {
    std::string out;
    for (const KeyRow& key : Read().keys) {
      out += std::to_string(key.generation) + ":" + std::string(ToString(key.state)) + " ";
    }
    return out;
  }
  std::string Run(const std::string& sql) { return Store().Session(database_)->Run(sql); }
  std::string Value() { return Run("SELECT Value FROM Systems WHERE Name='ClusterEncryptionKey'"); }
  void SetValue(const std::string& value) {
    Run("UPDATE Systems SET Value = '" + value + "' WHERE Name = 'ClusterEncryptionKey'");
  }
  void Ack(const std::string& name, uint64_t held, uint64_t sealing) {
    SOTTO_ASSERT_OK(Table().Acknowledge({name, held, sealing, "", now_ms_}));
  }
  // The invariant of key_table.h.
  void ExpectMirrored() {
    const KeyRows rows = Read();
    ASSERT_NE(rows.active(), nullptr) << States();
    EXPECT_EQ(rows.value, rows.active()->value);
  }

  KeyPolicy policy_;
  std::atomic<int64_t> now_ms_ = 1'764'000'000'000;
  const std::string database_;
};

TEST_F(KeyTableConformance, AdoptsWhatSystemsHolds) {
  EXPECT_THAT(Table().Prepare(policy_, {}), HasCode("KEY_TABLE_EMPTY"));
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-2"));
  EXPECT_EQ(States(), "1:ACTIVE ");
  ExpectMirrored();
  EXPECT_THAT(Table().History(10), IsOkAndHolds(SizeIs(1)));
  // Another cluster in the same database is another cluster.
  KeyTable other(OpenBase(database_), "other");
  EXPECT_THAT(other.Prepare(policy_, {}), HasCode("KEY_TABLE_EMPTY"));
}

TEST_F(KeyTableConformance, RotatesStepByStepAndEachStepAgain) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  Ack("gw-1", 1, 1);
  Ack("gw-2", 1, 1);
  const auto prepared = Table().Prepare(policy_, {.actor = "uid 0"});
  SOTTO_ASSERT_OK(prepared);
  EXPECT_EQ(prepared->generation, 2u);
  EXPECT_FALSE(prepared->resumed);
  const auto again = Table().Prepare(policy_, {.actor = "uid 1"});
  SOTTO_ASSERT_OK(again);
  EXPECT_TRUE(again->resumed);
  EXPECT_EQ(again->id, prepared->id);
  ExpectMirrored();
  EXPECT_EQ(Value(), kKeyA);

  const auto activate = [&] {
    return Table().Activate(policy_, {2, {"gw-1", "gw-2"}, kDayMs, "uid 0"});
  };
  Ack("gw-1", 2, 1);
  EXPECT_THAT(activate(), HasCode("KEY_NOT_SPREAD"));
  EXPECT_THAT(std::string(activate().message()), HasSubstr("held by gw-2"));
  EXPECT_EQ(States(), "1:ACTIVE 2:PREPARED ");
  Ack("gw-2", 2, 1);
  SOTTO_EXPECT_OK(activate());
  SOTTO_EXPECT_OK(activate());
  EXPECT_EQ(States(), "1:RETIRED 2:ACTIVE ");
  ExpectMirrored();
  EXPECT_NE(Value(), kKeyA);
  EXPECT_EQ(Read().Find(1)->retire_at_ms, now_ms_ + kDayMs);

  EXPECT_THAT(Table().Remove({2, {}, "uid 0"}), HasCode("KEY_IN_USE"));
  EXPECT_THAT(Table().Remove({7, {}, "uid 0"}), HasCode("KEY_UNKNOWN"));
  Ack("gw-1", 2, 2);
  EXPECT_THAT(Table().Remove({1, {}, "uid 0"}), HasCode("KEY_STILL_NEEDED"));
  SOTTO_EXPECT_OK(Table().Remove({1, {"gw-2"}, "uid 0"}));
  SOTTO_EXPECT_OK(Table().Remove({1, {}, "uid 0"}));
  EXPECT_EQ(States(), "1:REMOVED 2:ACTIVE ");
  EXPECT_EQ(Run("SELECT count(*) FROM ClusterKeys WHERE Value IS NULL"), "1");
  EXPECT_THAT(Table().Activate(policy_, {1, {}, 0, ""}), HasCode("KEY_STATE"));

  const auto history = Table().History(10);
  SOTTO_ASSERT_OK(history);
  std::vector<std::string> actions;
  for (const KeyEvent& event : *history) actions.push_back(event.action);
  EXPECT_THAT(actions, testing::UnorderedElementsAre("remove", "activate", "prepare", "adopt"));
}

TEST_F(KeyTableConformance, HoldsFourKeysAndNamesWhoIsInTheWay) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  Ack("gw-6", 1, 1);
  for (uint64_t generation = 2; generation <= 4; ++generation) {
    SOTTO_ASSERT_OK(Table().Prepare(policy_, {}));
    SOTTO_ASSERT_OK(Table().Activate(policy_, {generation, {}, kDayMs, ""}));
  }
  const absl::Status full = Table().Prepare(policy_, {}).status();
  EXPECT_THAT(full, HasCode("KEY_RING_FULL"));
  EXPECT_THAT(std::string(full.message()), HasSubstr("gw-6"));
  SOTTO_ASSERT_OK(Table().ForgetMember("gw-6"));
  SOTTO_ASSERT_OK(Table().Remove({1, {}, ""}));
  SOTTO_EXPECT_OK(Table().Prepare(policy_, {}));
}

TEST_F(KeyTableConformance, TakesARawUpdate) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  SOTTO_EXPECT_OK(Table().TakeExternal(policy_));
  EXPECT_EQ(Read().next(), nullptr);
  SetValue(kKeyB);
  EXPECT_THAT(Table().Prepare(policy_, {}), HasCode("ROW_CHANGED"));
  SOTTO_EXPECT_OK(Table().TakeExternal(policy_));
  SOTTO_EXPECT_OK(Table().TakeExternal(policy_));
  EXPECT_EQ(States(), "1:ACTIVE 2:PREPARED ");
  EXPECT_TRUE(Read().next()->automatic);
  EXPECT_EQ(Value(), kKeyB) << "what the operator wrote stands";
  SOTTO_ASSERT_OK(Table().Activate(policy_, {2, {}, 0, "leader"}));
  ExpectMirrored();
  EXPECT_EQ(Value(), kKeyB);

  // Back to the old key, by hand or by an old copy of the row: never.
  SetValue(kKeyA);
  EXPECT_THAT(Table().TakeExternal(policy_), HasCode("KEY_RETURNS"));
  SetValue(kKeyB);
  SOTTO_ASSERT_OK(Table().Remove({1, {}, ""}));
  SetValue(kKeyA);
  EXPECT_THAT(Table().TakeExternal(policy_), HasCode("KEY_RETURNS"));
  EXPECT_EQ(States(), "1:REMOVED 2:ACTIVE ");
}

TEST_F(KeyTableConformance, ChangesNothingForAValueThatIsNoKey) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  const std::pair<const char*, const char*> rows[] = {{"", "KEY_EMPTY"},
                                                      {"not base64!", "KEY_BAD_BASE64"},
                                                      {"AAEC", "KEY_BAD_LENGTH"},
                                                      {"sottok1:x:2:y", "KEY_CORRUPT"}};
  for (const auto& [value, code] : rows) {
    SetValue(value);
    EXPECT_THAT(Table().TakeExternal(policy_), HasCode(code)) << value;
    EXPECT_EQ(States(), "1:ACTIVE ");
    EXPECT_EQ(Value(), value);
  }
  // The step that mends it.
  const auto key = ParseClusterKey(kKeyA, kCluster, policy_);
  SOTTO_ASSERT_OK(Table().Restore(policy_, std::vector<KeyTable::HeldKey>{{*key}}, 1, "uid 0"));
  ExpectMirrored();
  EXPECT_THAT(Table().Restore(policy_, std::vector<KeyTable::HeldKey>{{*key}}, 1, "uid 0"),
              HasCode("KEY_STATE"));
  Run("DELETE FROM Systems");
  EXPECT_THAT(Table().TakeExternal(policy_), HasCode("KEY_MISSING"));
  SOTTO_ASSERT_OK(Table().Restore(policy_, std::vector<KeyTable::HeldKey>{{*key}}, 1, "uid 0"));
  ExpectMirrored();
}

TEST_F(KeyTableConformance, GivesUpAPreparedKey) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  SetValue(kKeyB);
  SOTTO_ASSERT_OK(Table().TakeExternal(policy_));
  SOTTO_ASSERT_OK(Table().Remove({2, {}, "uid 0"}));
  EXPECT_EQ(States(), "1:ACTIVE 2:REMOVED ");
  EXPECT_EQ(Value(), kKeyA);
  SetValue(kKeyB);
  EXPECT_THAT(Table().TakeExternal(policy_), HasCode("KEY_RETURNS"));
}

TEST_F(KeyTableConformance, WrapsUnderAKek) {
  policy_.keks = Keks(3);
  SOTTO_ASSERT_OK(Table().database().Transact(SqlMode::kLocked, [&](SqlTransaction& transaction) {
    const auto key = ParseClusterKeyText(kKeyA, kCluster, policy_);
    return SetSystemsRow(transaction, "ClusterEncryptionKey",
                         *WrapKey(**key, *policy_.keks->active()));
  }));
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  SOTTO_ASSERT_OK(Table().Prepare(policy_, {}));
  const std::string wrapped = Read().next()->value;
  EXPECT_TRUE(IsWrappedKey(wrapped));
  SOTTO_ASSERT_OK(Table().Activate(policy_, {2, {}, 0, ""}));
  EXPECT_EQ(Value(), wrapped);

  // Whoever can write the database must not choose the key, in either table.
  SetValue(kKeyB);
  EXPECT_THAT(Table().TakeExternal(policy_), HasCode("KEY_PLAIN_REFUSED"));
  SetValue(wrapped);
  Run("UPDATE ClusterKeys SET Value = '" + std::string(kKeyB) + "' WHERE Generation = 2");
  EXPECT_THAT(KeyOfRow(*Read().Find(2), kCluster, policy_), HasCode("KEY_PLAIN_REFUSED"));
  // A wrapped value of one row in another, of another cluster, or under another KEK.
  Run("UPDATE ClusterKeys SET Value = '" + wrapped + "' WHERE Generation = 1");
  EXPECT_THAT(KeyOfRow(*Read().Find(1), kCluster, policy_), HasCode("KEY_CORRUPT"));
  Run("UPDATE ClusterKeys SET Value = '" + wrapped + "' WHERE Generation = 2");
  SOTTO_EXPECT_OK(KeyOfRow(*Read().Find(2), kCluster, policy_));
  EXPECT_THAT(KeyOfRow(*Read().Find(2), "other", policy_), HasCode("KEY_CORRUPT"));
  KeyPolicy strange = policy_;
  strange.keks = Keks(4);
  EXPECT_THAT(KeyOfRow(*Read().Find(2), kCluster, strange), HasCode("KEK_MISSING"));
  std::string flipped = wrapped;
  flipped[flipped.size() - 8] = flipped[flipped.size() - 8] == 'A' ? 'B' : 'A';
  Run("UPDATE ClusterKeys SET Value = '" + flipped + "' WHERE Generation = 2");
  EXPECT_THAT(KeyOfRow(*Read().Find(2), kCluster, policy_), HasCode("KEY_CORRUPT"));
}

TEST_F(KeyTableConformance, RefusesWhatAnOldBackupSays) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  SOTTO_ASSERT_OK(Table().Prepare(policy_, {}));
  const KeyRows rows = Read();
  const auto old_key = KeyOfRow(*rows.Find(1), kCluster, policy_);
  const auto new_key = KeyOfRow(*rows.Find(2), kCluster, policy_);
  SOTTO_ASSERT_OK(new_key);
  // The table as it was before, to a node that has used generation 2.
  Run("DELETE FROM ClusterKeys WHERE Generation = 2");
  policy_.generation_seen = 2;
  EXPECT_THAT(Table().Prepare(policy_, {}), HasCode("KEY_ROLLBACK"));
  EXPECT_THAT(Table().TakeExternal(policy_), HasCode("KEY_ROLLBACK"));
  SOTTO_ASSERT_OK(Table().Restore(
      policy_,
      std::vector<KeyTable::HeldKey>{{*old_key, KeyState::kRetired}, {*new_key, KeyState::kActive}},
      1, "uid 0"));
  EXPECT_EQ(States(), "1:RETIRED 2:ACTIVE ");
  ExpectMirrored();
  SOTTO_EXPECT_OK(Table().Prepare(policy_, {}));
}

TEST_F(KeyTableConformance, RecordsAnswersOnlyOfThoseWhoShareIt) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  Ack("gw-1", 1, 1);
  const KeyMember of_row{"gw-1", 2, 1, "KEK_MISSING", now_ms_ + 10};
  const KeyMember late{"gw-1", 1, 1, "", now_ms_ + 5};
  const KeyMember stranger{"gw-9", 2, 2, "", now_ms_ + 10};
  SOTTO_ASSERT_OK(Table().Record(std::vector<KeyMember>{of_row, stranger, late}));
  const KeyRows rows = Read();
  ASSERT_EQ(rows.members.size(), 1u);
  EXPECT_EQ(rows.members[0].held, 2u);
  EXPECT_EQ(rows.members[0].trouble, "KEK_MISSING");
}

TEST_F(KeyTableConformance, LeavesOutWhatItCannotRead) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  Run("INSERT INTO ClusterKeys (ClusterName, Generation, KeyId, State, Value, CreatedAt, "
      "Automatic) "
      "VALUES ('edge', 2, 'nonsense', 'ACTIVE', 'x', 1, 0)");
  const KeyRows rows = Read();
  EXPECT_EQ(rows.malformed, "ClusterKeys, the row of generation 2");
  EXPECT_EQ(rows.keys.size(), 1u);
  EXPECT_THAT(Table().Prepare(policy_, {}), HasCode("KEY_TABLE_MALFORMED"));
  Run("UPDATE ClusterKeys SET KeyId = '00000000' WHERE Generation = 2");
  EXPECT_FALSE(Read().malformed.empty());
  Run("UPDATE ClusterKeys SET KeyId = '0000-0001' WHERE Generation = 2");
  EXPECT_EQ(Read().active(), nullptr) << "two ACTIVE keys are none";
  EXPECT_THAT(Table().Prepare(policy_, {}), HasCode("KEY_STATE"));
}

TEST_F(KeyTableConformance, OneIdIsOneKeys) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  const std::string id = ToString(Read().active()->id);
  for (const char* generation : {"7", "1000000000001"}) {
    Run("DELETE FROM ClusterKeys WHERE Generation > 1");
    Run(
        absl::StrCat("INSERT INTO ClusterKeys (ClusterName, Generation, KeyId, State, Value, "
                     "CreatedAt, Automatic) VALUES ('edge', ",
                     generation, ", '", id, "', 'REMOVED', NULL, 1, 0)"));
    const KeyRows rows = Read();
    EXPECT_THAT(rows.malformed, HasSubstr(generation));
    ASSERT_NE(rows.active(), nullptr);
    EXPECT_EQ(rows.keys.size(), 1u);
  }
}

// A value that was damaged is written anew from the key itself, in both tables.
TEST_F(KeyTableConformance, RestoresADamagedValueAndNeverSpreadsIt) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  const std::string good = Value();
  const KeyRows before = Read();
  const ClusterKeyRef key = *KeyOfRow(*before.active(), kCluster, policy_);
  const KeyTable::HeldKey held[] = {{key, KeyState::kActive}};
  EXPECT_THAT(Table().Restore(policy_, held, 1, "uid 0"), HasCode("KEY_STATE"));
  Run("UPDATE ClusterKeys SET Value = 'zzz' WHERE Generation = 1");
  SOTTO_ASSERT_OK(Table().Restore(policy_, held, 1, "uid 0"));
  SetValue("junk");
  Run("UPDATE ClusterKeys SET Value = 'zzz' WHERE Generation = 1");
  SOTTO_ASSERT_OK(Table().Restore(policy_, held, 1, "uid 0"));
  const KeyRows after = Read();
  for (const std::string& value : {after.active()->value, Value()}) {
    const auto again = ParseClusterKey(value, kCluster, policy_);
    SOTTO_ASSERT_OK(again);
    EXPECT_TRUE((*again)->secret() == key->secret());
  }
}

TEST_F(KeyTableConformance, ARemovedKeyIsNotRestored) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  const auto prepared = Table().Prepare(policy_, {});
  SOTTO_ASSERT_OK(prepared);
  const KeyRows rows = Read();
  const ClusterKeyRef key = *KeyOfRow(*rows.next(), kCluster, policy_);
  // A member seals with it before it is ACTIVE: it is not given up under its feet.
  SOTTO_ASSERT_OK(Table().Acknowledge({"gw-2", 2, 2, "", 1}));
  EXPECT_THAT(Table().Remove({2, {}, ""}), HasCode("KEY_IN_USE"));
  SOTTO_ASSERT_OK(Table().ForgetMember("gw-2"));
  SOTTO_ASSERT_OK(Table().Remove({2, {}, ""}));
  const KeyTable::HeldKey held[] = {{key, KeyState::kActive}};
  EXPECT_THAT(Table().Restore(policy_, held, 1, "uid 0"), HasCode("KEY_RETURNS"));
}

// The columns are narrower than names of many members.
TEST_F(KeyTableConformance, LongNamesStopNoStep) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, std::string(128, 'a')));
  const std::string actor = "schedule (" + std::string(128, 'b') + ")";
  SOTTO_ASSERT_OK(Table().Prepare(policy_, {nullptr, false, actor}));
  std::vector<std::string> names;
  for (int i = 0; i < 40; ++i) names.push_back(absl::StrCat(std::string(100, 'c'), i));
  // Cut between characters, not within.
  names[0] = "\xc3\xa4" + names[0];
  SOTTO_ASSERT_OK(Table().Activate(policy_, {2, {}, 0, actor, names}));
  SOTTO_ASSERT_OK(Table().Remove({1, names, actor}));
  const auto history = Table().History(10);
  SOTTO_ASSERT_OK(history);
  EXPECT_EQ(history->size(), 4u);
}

// A clock that was ahead by a year must not keep a member's word out for a year.
TEST_F(KeyTableConformance, AWordOfTheFutureIsReplaced) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  constexpr int64_t kYear = int64_t{365} * 86'400'000;
  SOTTO_ASSERT_OK(Table().Acknowledge({"gw-2", 1, 1, "", 1'000 + kYear}));
  const KeyMember said[] = {{"gw-2", 2, 1, "", 1'000}};
  SOTTO_ASSERT_OK(Table().Record(said));
  EXPECT_EQ(Read().FindMember("gw-2")->held, 2u);
  // But what is a little older is older.
  const KeyMember late[] = {{"gw-2", 1, 1, "", 900}};
  SOTTO_ASSERT_OK(Table().Record(late));
  EXPECT_EQ(Read().FindMember("gw-2")->held, 2u);
}

TEST_F(KeyTableConformance, RefusesOnceItHasMoved) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  Run("INSERT INTO ClusterMoves (ClusterName, MovedTo, MovedAt) VALUES ('edge', 'postgres://db', "
      "1)");
  EXPECT_EQ(Read().moved_to, "postgres://db");
  EXPECT_THAT(Table().Prepare(policy_, {}), HasCode("STORE_MOVED"));
  EXPECT_THAT(Table().Activate(policy_, {1, {}, 0, ""}), HasCode("STORE_MOVED"));
  SOTTO_EXPECT_OK(Table().Acknowledge({"gw-1", 1, 1, "", 1}));
}

// Who listens hears of each change and of nothing else: otherwise every node that looks after a raw
// UPDATE would wake all the others.
TEST_F(KeyTableConformance, TellsWhoListensOfChangesAlone) {
  const auto listener = Table().database().Connect(Soon());
  SOTTO_ASSERT_OK(listener);
  if (Store().dialect() != SqlDialect::kPostgres) {
    EXPECT_THAT((*listener)->Listen(kKeysChannel, Soon()), HasCode("DB_NO_NOTIFY"));
    return;
  }
  SOTTO_ASSERT_OK((*listener)->Listen(kKeysChannel, Soon()));
  const auto hears = [&](std::chrono::milliseconds limit) {
    const auto note =
        (*listener)->WaitForNotification(std::chrono::steady_clock::now() + limit, -1);
    return note.ok() && note->has_value() && (*note)->payload == kCluster;
  };
  constexpr std::chrono::milliseconds kLong{20'000}, kShort{200};
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  EXPECT_TRUE(hears(kLong));
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-2"));
  SOTTO_ASSERT_OK(Table().TakeExternal(policy_));
  EXPECT_FALSE(hears(kShort)) << "nothing has changed";
  SetValue(kKeyB);
  SOTTO_ASSERT_OK(Table().TakeExternal(policy_));
  EXPECT_TRUE(hears(kLong));
  SOTTO_ASSERT_OK(Table().TakeExternal(policy_));
  SOTTO_ASSERT_OK(Table().Prepare(policy_, {}));
  Ack("gw-1", 2, 1);
  EXPECT_FALSE(hears(kShort)) << "it was prepared before";
  SOTTO_ASSERT_OK(Table().Activate(policy_, {2, {}, 0, ""}));
  EXPECT_TRUE(hears(kLong));
  SOTTO_ASSERT_OK(Table().Activate(policy_, {2, {}, 0, ""}));
  EXPECT_FALSE(hears(kShort));
}

// Two operators, two leaders: whoever is second finds what the first one did.
TEST_F(KeyTableConformance, ManyAtOnceEndWithOneKey) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  std::atomic<int> made = 0;
  const auto all = [&](const std::function<void(KeyTable&, int)>& step) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        KeyTable table = Table();
        step(table, i);
      });
    }
    for (std::thread& thread : threads) thread.join();
  };
  all([&](KeyTable& table, int i) {
    const auto prepared = table.Prepare(policy_, {.actor = std::to_string(i)});
    SOTTO_ASSERT_OK(prepared);
    EXPECT_EQ(prepared->generation, 2u);
    made += prepared->resumed ? 0 : 1;
  });
  EXPECT_EQ(made, 1);
  all([&](KeyTable& table, int i) {
    SOTTO_EXPECT_OK(table.Activate(policy_, {2, {}, kDayMs, std::to_string(i)}));
  });
  EXPECT_EQ(States(), "1:RETIRED 2:ACTIVE ");
  ExpectMirrored();
  EXPECT_THAT(Table().History(10), IsOkAndHolds(SizeIs(3)));
}

// Killed in the middle of a step, while it waits for the row that another session holds.
TEST_F(KeyTableConformance, AKilledStepLeavesNothing) {
  SOTTO_ASSERT_OK(Table().Adopt(policy_, "gw-1"));
  SOTTO_ASSERT_OK(Table().Prepare(policy_, {}));
  const auto holder = Store().Session(database_);
  Store().LockSystems(*holder);
  const pid_t child = fork();
  if (child == 0) {
    KeyTable table = Table();
    const absl::Status status = table.Activate(policy_, {2, {}, kDayMs, "killed"});
    _exit(status.ok() ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  int code = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  while (std::chrono::steady_clock::now() < deadline) {
    ASSERT_EQ(waitpid(child, &code, WNOHANG), 0) << "it did not wait for the row";
    std::this_thread::yield();
  }
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, &code, 0), child);
  Store().Unlock(*holder);
  EXPECT_EQ(States(), "1:ACTIVE 2:PREPARED ");
  ExpectMirrored();
  SOTTO_EXPECT_OK(Table().Activate(policy_, {2, {}, kDayMs, "rerun"}));
  EXPECT_EQ(States(), "1:RETIRED 2:ACTIVE ");
}

}  // namespace
}  // namespace sotto
