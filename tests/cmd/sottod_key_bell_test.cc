// What wakes the key keeper, and how soon.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "cmd/sottod/key_bell.h"
#include "store/open_store.h"
#include "tests/support/database_server.h"

namespace sotto {
namespace {

using Clock = KeyBell::Clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kHour = std::chrono::hours(1);

// Between what a reason waits for and an hour, with room for a loaded machine.
constexpr milliseconds kSlack = std::chrono::minutes(1);

milliseconds PaceOf(KeyWake wake) { return milliseconds(static_cast<int64_t>(wake)); }

// A wait that would last an hour ends only because somebody rang.
class Waiting {
 public:
  explicit Waiting(KeyBell* bell, Database* database = nullptr) : bell_(bell) {
    thread_ = std::thread([this, database] {
      bell_->Wait(begun_, kHour, database, "edge");
      ended_ = Clock::now();
    });
  }
  // How long it was, once it has ended.
  milliseconds Took() {
    thread_.join();
    return std::chrono::duration_cast<milliseconds>(ended_ - begun_);
  }

 private:
  KeyBell* const bell_;
  const Clock::time_point begun_ = Clock::now();
  Clock::time_point ended_;
  std::thread thread_;
};

TEST(KeyBell, TheIntervalIsKept) {
  KeyBell bell;
  const auto last = Clock::now();
  bell.Wait(last, milliseconds(20), nullptr, "edge");
  EXPECT_GE(Clock::now() - last, milliseconds(20));
}

TEST(KeyBell, EachReasonHasItsPaceSinceTheLastLook) {
  for (const KeyWake wake : {KeyWake::kNotified, KeyWake::kHint, KeyWake::kUnknownKey}) {
    KeyBell bell;
    Waiting waiting(&bell);
    bell.Ring(wake);
    const milliseconds took = waiting.Took();
    EXPECT_GE(took, PaceOf(wake));
    EXPECT_LT(took, PaceOf(wake) + kSlack);
  }
  // The pace counts from the last look: where that is long ago, no reason waits.
  KeyBell bell;
  bell.Ring(KeyWake::kUnknownKey);
  bell.Wait(Clock::now() - seconds(5), kHour, nullptr, "edge");
}

TEST(KeyBell, AFloodOfJunkKeysNeitherHastensNorDelaysAnything) {
  KeyBell bell;
  for (int i = 0; i < 100'000; ++i) bell.Ring(KeyWake::kUnknownKey);
  Waiting waiting(&bell);
  for (int i = 0; i < 100'000; ++i) bell.Ring(KeyWake::kUnknownKey);
  bell.Ring(KeyWake::kHint);
  for (int i = 0; i < 100'000; ++i) bell.Ring(KeyWake::kUnknownKey);
  const milliseconds took = waiting.Took();
  EXPECT_GE(took, PaceOf(KeyWake::kHint));
  EXPECT_LT(took, PaceOf(KeyWake::kUnknownKey));
  // What was served is over: the next wait is a new one.
  Waiting next(&bell);
  bell.Ring(KeyWake::kHint);
  EXPECT_GE(next.Took(), PaceOf(KeyWake::kHint));
}

TEST(KeyBell, AnOrderAndTheEndWakeAtOnce) {
  KeyBell bell;
  Waiting waiting(&bell);
  bell.Ring(KeyWake::kUnknownKey);
  bell.Ring(KeyWake::kNow);
  EXPECT_LT(waiting.Took(), PaceOf(KeyWake::kUnknownKey)) << "the more urgent reason counts";
  EXPECT_FALSE(bell.stopped());
  Waiting last(&bell);
  bell.Stop();
  EXPECT_LT(last.Took(), kSlack);
  EXPECT_TRUE(bell.stopped());
  bell.Wait(Clock::now(), kHour, nullptr, "edge");
}

TEST(KeyBell, PostgresqlRings) {
  const std::unique_ptr<DatabaseServer> server = DatabaseServer::StartPostgres();
  const std::string name = server->NewDatabase();
  auto database = OpenDatabase(server->SocketUrl(name), server->Options());
  ASSERT_TRUE(database.ok()) << database.status();
  const std::unique_ptr<RawSession> session = server->Session(name);
  KeyBell bell;
  Waiting waiting(&bell, database->get());
  // Told until it is heard, since nobody says when it listens.
  std::atomic<bool> heard{false};
  std::thread notifier([&] {
    while (!heard) {
      session->Run("NOTIFY sotto_keys, 'another'");
      session->Run("NOTIFY sotto_keys, 'edge'");
    }
  });
  EXPECT_GE(waiting.Took(), PaceOf(KeyWake::kNotified));
  heard = true;
  notifier.join();
  // What was told meanwhile is heard out: a wait without any news lasts its interval.
  constexpr milliseconds kQuiet{1'000};
  while (true) {
    const auto begun = Clock::now();
    bell.Wait(begun, kQuiet, database->get(), "edge");
    if (Clock::now() - begun >= kQuiet) break;
  }
  // Another cluster's changes are not ours.
  Waiting quiet(&bell, database->get());
  for (int i = 0; i < 100; ++i) session->Run("NOTIFY sotto_keys, 'another'");
  bell.Ring(KeyWake::kHint);
  EXPECT_GE(quiet.Took(), PaceOf(KeyWake::kHint));
}

}  // namespace
}  // namespace sotto
