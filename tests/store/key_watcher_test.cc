#include "store/key_watcher.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "crypto/kek.h"
#include "gossip/base/coded_error.h"
#include "store/open_store.h"
#include "tests/support/raw_sqlite.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

constexpr char kKey[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr char kOtherKey[] = "IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
// kKey of the cluster "edge", generation 5, under the KEK of bytes 64, 65, 66, …
constexpr char kWrapped[] =
    "sottok1:LSfGgNInMfs:5:tQcg8HDDro4/nsP/1OIOBn77QSv38ubG62DzytjtkiVkZWZnaGlqa2xtbm8HZD"
    "Pekig/eoRJXOqZ5rtqV1tIkePtaFNcqTygg/iExgP5cZvFATTgRsJGU/+fEVc=";
constexpr auto kDeadline = std::chrono::seconds(30);

// A watcher over a database that the test changes beside it.
class KeyWatcherTest : public testing::Test {
 protected:
  KeyWatcherTest() : raw_(std::make_unique<RawSqlite>(dir_.File("s.db"))) {
    raw_->Run("CREATE TABLE Systems (Name VARCHAR(64) PRIMARY KEY, Value VARCHAR(1024))");
    raw_->SetRow("ClusterEncryptionKey", kKey);
    auto opened = OpenSystemsTable("sqlite:" + dir_.File("s.db"),
                                   {.deadline = std::chrono::milliseconds(20)});
    SOTTO_CHECK(opened.ok());
    table_ = *std::move(opened);
    key_ = LoadClusterKey(*table_, "edge", {})->key;
    Watch({.interval = std::chrono::hours(1)});
  }

  void Watch(const KeyWatcher::Options& options) {
    watcher_.reset();
    reports_ = 0;
    watcher_ = std::make_unique<KeyWatcher>(table_, key_, options, [this](const KeyReport& report) {
      const std::lock_guard<std::mutex> lock(mutex_);
      last_ = report;
      ++reports_;
      reported_.notify_all();
    });
  }

  // The report of a look that began after this call.
  KeyReport Look() {
    std::unique_lock<std::mutex> lock(mutex_);
    const int before = reports_;
    watcher_->PollNow();
    EXPECT_TRUE(reported_.wait_for(lock, kDeadline, [&] { return reports_ > before; }));
    return last_;
  }

  TempDir dir_;
  std::unique_ptr<RawSqlite> raw_;
  std::shared_ptr<SystemsTable> table_;
  ClusterKeyRef key_;
  std::mutex mutex_;
  std::condition_variable reported_;
  KeyReport last_;
  int reports_ = 0;
  std::unique_ptr<KeyWatcher> watcher_;  // last: its thread uses what stands above
};

TEST_F(KeyWatcherTest, FindsAllWell) {
  EXPECT_EQ(watcher_->Latest().polls, 0u);
  SOTTO_EXPECT_OK(watcher_->Latest().status);
  const KeyReport report = Look();
  SOTTO_EXPECT_OK(report.status);
  EXPECT_EQ(report.key, key_);
  EXPECT_EQ(report.polls, 1u);
  EXPECT_EQ(report.errors, 0u);
  EXPECT_FALSE(report.changed);
  EXPECT_GT(report.last_read.time_since_epoch().count(), 0);
}

TEST_F(KeyWatcherTest, LooksByItself) {
  Watch({.interval = std::chrono::milliseconds(1)});
  std::unique_lock<std::mutex> lock(mutex_);
  EXPECT_TRUE(reported_.wait_for(lock, kDeadline, [&] { return reports_ >= 3; }));
}

// Whatever the row turns into at run time, the key in use stays and the code says what is wrong.
TEST_F(KeyWatcherTest, KeepsTheLastGoodKeyWhateverTheRowHolds) {
  struct {
    const char* value;
    const char* code;
  } const rows[] = {
      {"", "KEY_EMPTY"},
      {"AAECAwQFBgcICQoLDA0ODw", "KEY_BAD_BASE64"},
      {"AAECAwQFBgcICQoLDA0ODw==\n", "KEY_BAD_BASE64"},
      {"AAECAwQFBgcICQoLDA0O", "KEY_BAD_LENGTH"},
      {"00112233445566778899aabbccddeeff", "KEY_LOOKS_HEX"},
      {"cGFzc3dvcmRwYXNzd29yZA==", "KEY_WEAK"},
      {"sottok1:AAAAAAAA:1:AAAA", "KEY_CORRUPT"},
      {kWrapped, "KEK_MISSING"},
      {"sottok2:x", "KEY_UNSUPPORTED_VERSION"},
      {kOtherKey, "KEY_CHANGED"},
  };
  uint64_t errors = 0;
  for (const auto& row : rows) {
    raw_->SetRow("ClusterEncryptionKey", row.value);
    const KeyReport report = Look();
    EXPECT_THAT(report.status, HasCode(row.code));
    EXPECT_EQ(report.key, key_) << row.code;
    EXPECT_EQ(report.errors, ++errors);
    EXPECT_EQ(report.status.message().find(kOtherKey), absl::string_view::npos);
  }
  raw_->SetRow("ClusterEncryptionKey", kKey);
  const KeyReport healed = Look();
  SOTTO_EXPECT_OK(healed.status);
  EXPECT_TRUE(healed.changed);
  EXPECT_FALSE(Look().changed);
}

TEST_F(KeyWatcherTest, KeepsTheKeyWhenTheRowGoes) {
  raw_->Run("DELETE FROM Systems");
  EXPECT_THAT(Look().status, HasCode("KEY_MISSING"));
  EXPECT_EQ(watcher_->Latest().key, key_);
  EXPECT_EQ(raw_->Run("SELECT count(*) FROM Systems"), "0") << "a key was minted at run time";
  raw_->Run("DROP TABLE Systems");
  EXPECT_THAT(Look().status, HasCode("DB_TABLE_MISSING"));
  EXPECT_EQ(watcher_->Latest().key, key_);
}

TEST_F(KeyWatcherTest, NoticesARowOfItsOwnCluster) {
  raw_->SetRow("ClusterEncryptionKey:edge", kOtherKey);
  EXPECT_THAT(Look().status, HasCode("KEY_CHANGED"));
}

TEST_F(KeyWatcherTest, KeepsTheKeyWhenTheDatabaseGoesOrIsLocked) {
  raw_->Run("BEGIN EXCLUSIVE");
  EXPECT_THAT(Look().status, HasCode("DB_LOCKED"));
  raw_->Run("COMMIT");
  SOTTO_EXPECT_OK(Look().status);
  ASSERT_EQ(rename(dir_.File("s.db").c_str(), dir_.File("away").c_str()), 0);
  EXPECT_THAT(Look().status, HasCode("DB_MISSING"));
  EXPECT_EQ(watcher_->Latest().key, key_);
  ASSERT_EQ(rename(dir_.File("away").c_str(), dir_.File("s.db").c_str()), 0);
  SOTTO_EXPECT_OK(Look().status);
}

TEST_F(KeyWatcherTest, TakesOtherKeksWhileItRuns) {
  std::vector<uint8_t> bytes;
  for (uint8_t i = 0; i < 32; ++i) bytes.push_back(static_cast<uint8_t>(64 + i));
  const KekRef kek = *Kek::Create(SecretBytes(bytes), /*allow_weak=*/true);
  KeyPolicy policy;
  policy.keks = *KekRing::Create(kek, {});
  watcher_->SetPolicy(policy);
  EXPECT_THAT(Look().status, HasCode("KEY_PLAIN_REFUSED"));
  raw_->SetRow("ClusterEncryptionKey", kWrapped);
  const KeyReport wrapped = Look();
  SOTTO_EXPECT_OK(wrapped.status);
  EXPECT_EQ(wrapped.kek, kek->id());
  EXPECT_EQ(wrapped.key, key_);
  policy.generation_seen = 6;
  watcher_->SetPolicy(policy);
  EXPECT_THAT(Look().status, HasCode("KEY_ROLLBACK"));
  watcher_->SetPolicy({});
  EXPECT_THAT(Look().status, HasCode("KEK_MISSING"));
  EXPECT_EQ(Look().key, key_);
}

// A start from the key cache: no table could be opened, and each look tries it.
TEST_F(KeyWatcherTest, WaitsForATableThatWasNotThere) {
  ASSERT_EQ(rename(dir_.File("s.db").c_str(), dir_.File("away").c_str()), 0);
  table_.reset();
  KeyWatcher::Options options{.interval = std::chrono::hours(1)};
  options.table_status = CodedError(absl::StatusCode::kUnavailable, "DB_UNAVAILABLE", "away");
  options.open = [this]() -> absl::StatusOr<std::shared_ptr<SystemsTable>> {
    auto opened = OpenSystemsTable("sqlite:" + dir_.File("s.db"));
    if (!opened.ok()) return opened.status();
    return std::shared_ptr<SystemsTable>(*std::move(opened));
  };
  Watch(options);
  EXPECT_THAT(watcher_->Latest().status, HasCode("DB_UNAVAILABLE"));
  EXPECT_TRUE(watcher_->Latest().from_cache);
  EXPECT_EQ(watcher_->Latest().last_read.time_since_epoch().count(), 0);
  EXPECT_THAT(Look().status, HasCode("DB_MISSING"));
  EXPECT_TRUE(watcher_->Latest().from_cache);
  ASSERT_EQ(rename(dir_.File("away").c_str(), dir_.File("s.db").c_str()), 0);
  const KeyReport back = Look();
  SOTTO_EXPECT_OK(back.status);
  EXPECT_TRUE(back.changed);
  EXPECT_FALSE(back.from_cache);
}

TEST_F(KeyWatcherTest, EndsAtOnceThoughTheIntervalIsLong) {
  const auto start = std::chrono::steady_clock::now();
  watcher_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, kDeadline);
}

}  // namespace
}  // namespace sotto
