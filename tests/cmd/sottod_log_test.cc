#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cmd/sottod/log.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kStartMs = 1'795'269'731'120;  // 2026-11-21T14:02:11.120Z

class LogTest : public testing::Test {
 protected:
  std::unique_ptr<DaemonLog> OpenLog(LogShape shape, LogLevel level = LogLevel::kInfo) {
    DaemonLog::Options options;
    options.level = level;
    options.shape = shape;
    options.file = folder_.File("log");
    options.unix_ms = [this] { return now_ms_; };
    auto log = DaemonLog::Open(std::move(options));
    EXPECT_THAT(log, IsOk());
    return *std::move(log);
  }

  std::vector<std::string> Lines(const std::string& name = "log") const {
    std::ifstream file(folder_.File(name));
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }

  static LogRecord Rejected(const std::string& reason, const std::string& peer = "10.0.0.9:1") {
    return {LogLevel::kWarn, "frame_rejected", {{"peer", peer}, {"reason", reason}}};
  }

  TempDir folder_;
  int64_t now_ms_ = kStartMs;
};

TEST_F(LogTest, TextFormIsOneLineWithTimeLevelEventAndFields) {
  OpenLog(LogShape::kText)->Write({LogLevel::kInfo, "ready", {{"node", "gw-1"}, {"note", "a b"}}});
  EXPECT_THAT(Lines(), ElementsAre("2026-11-21T14:02:11.120Z info ready node=gw-1 note=\"a b\""));
}

TEST_F(LogTest, JournalFormBeginsWithThePriority) {
  const auto log = OpenLog(LogShape::kJournal, LogLevel::kDebug);
  log->Write({LogLevel::kDebug, "a", {}});
  log->Write({LogLevel::kInfo, "b", {}});
  log->Write({LogLevel::kWarn, "c", {}});
  log->Write({LogLevel::kError, "d", {}});
  EXPECT_THAT(Lines(), ElementsAre("<7>debug a", "<6>info b", "<4>warn c", "<3>error d"));
}

TEST_F(LogTest, JsonFormSurvivesWhatOthersSend) {
  OpenLog(LogShape::kJson)
      ->Write({LogLevel::kInfo, "sync", {{"peer", "quote\" newline\n bad\xff"}, {"count", "7"}}});
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  const auto line = boost::json::parse(lines[0]).as_object();
  EXPECT_EQ(line.at("t"), "2026-11-21T14:02:11.120Z");
  EXPECT_EQ(line.at("level"), "info");
  EXPECT_EQ(line.at("event"), "sync");
  EXPECT_EQ(line.at("peer"), "quote\" newline\n bad\xEF\xBF\xBD");
  EXPECT_EQ(line.at("count"), 7);
}

TEST_F(LogTest, AControlCharacterStartsNoLineOfItsOwn) {
  OpenLog(LogShape::kText)->Write({LogLevel::kInfo, "x", {{"peer", "a\nerror fake"}}});
  EXPECT_EQ(Lines().size(), 1u);
}

TEST_F(LogTest, TheLevelCanChangeWhileRunning) {
  const auto log = OpenLog(LogShape::kJournal, LogLevel::kWarn);
  log->Write({LogLevel::kInfo, "hidden", {}});
  log->set_level(LogLevel::kDebug);
  log->Write({LogLevel::kDebug, "shown", {}});
  log->set_level(LogLevel::kError);
  log->Write({LogLevel::kWarn, "hidden", {}});
  EXPECT_THAT(Lines(), ElementsAre("<7>debug shown"));
}

TEST_F(LogTest, OneLineAMinuteForEachReasonWithTheCountOfAll) {
  const auto log = OpenLog(LogShape::kText);
  for (int i = 0; i < 200; ++i) log->Write(Rejected("made_up", "10.0.0." + std::to_string(i)));
  log->Write(Rejected("another"));
  EXPECT_EQ(Lines().size(), 2u);
  now_ms_ += DaemonLog::kRepeatMs - 1;
  log->Write(Rejected("made_up"));
  log->Tick();
  EXPECT_EQ(Lines().size(), 2u);  // not yet
  now_ms_ += 1;
  log->Write(Rejected("made_up", "10.9.9.9:1"));
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 3u);  // now
  EXPECT_THAT(lines[0], Not(HasSubstr("count=")));
  EXPECT_THAT(lines[2], HasSubstr("peer=10.9.9.9:1 reason=made_up count=201"));
}

TEST_F(LogTest, TickTellsTheCountWhenNoFurtherLineComes) {
  const auto log = OpenLog(LogShape::kText);
  for (int i = 0; i < 3; ++i) log->Write(Rejected("made_up"));
  now_ms_ += DaemonLog::kRepeatMs;
  log->Tick();
  ASSERT_EQ(Lines().size(), 2u);
  EXPECT_THAT(Lines()[1], HasSubstr("count=2"));
  now_ms_ += DaemonLog::kRepeatMs;
  log->Tick();
  EXPECT_EQ(Lines().size(), 2u);
}

TEST_F(LogTest, CountsThatRecordsBringAreAddedUp) {
  const auto log = OpenLog(LogShape::kText);
  LogRecord many = Rejected("made_up");
  many.fields.emplace_back("count", "100");
  log->Write(many);
  log->Write(many);
  log->Write(many);
  EXPECT_THAT(Lines()[0], HasSubstr("count=100"));
  log->Finish();
  ASSERT_EQ(Lines().size(), 2u);
  EXPECT_THAT(Lines()[1], HasSubstr("count=200"));
}

TEST_F(LogTest, AClockSetBackDoesNotSilenceAReason) {
  const auto log = OpenLog(LogShape::kText);
  log->Write(Rejected("made_up"));
  now_ms_ -= 3'600'000;
  log->Write(Rejected("made_up"));
  EXPECT_EQ(Lines().size(), 2u);
}

TEST_F(LogTest, NormalEventsAreNeverHeldBack) {
  const auto log = OpenLog(LogShape::kText);
  for (int i = 0; i < 5; ++i) log->Write({LogLevel::kInfo, "sync", {{"reason", "routine"}}});
  EXPECT_EQ(Lines().size(), 5u);
}

TEST_F(LogTest, RecordsWithoutAReasonAreNeverHeldBack) {
  const auto log = OpenLog(LogShape::kText);
  for (int i = 0; i < 5; ++i) log->Write({LogLevel::kInfo, "member_joined", {{"member", "gw-2"}}});
  EXPECT_EQ(Lines().size(), 5u);
}

TEST_F(LogTest, MadeUpReasonsCannotFloodTheLog) {
  const auto log = OpenLog(LogShape::kText);
  for (int i = 0; i < 5'000; ++i) log->Write(Rejected("reason-" + std::to_string(i)));
  EXPECT_LE(Lines().size(), DaemonLog::kRepeatsMax + 1);
}

TEST_F(LogTest, AWarningWithAKnownCodeHasItsHint) {
  const auto log = OpenLog(LogShape::kText);
  log->Write(Rejected("unknown_key"));
  log->Write({LogLevel::kInfo, "note", {{"code", "CERT_EXPIRED"}}});
  ASSERT_EQ(Lines().size(), 2u);
  EXPECT_THAT(Lines()[0], HasSubstr("hint="));
  EXPECT_THAT(Lines()[1], Not(HasSubstr("hint=")));
}

TEST_F(LogTest, ReopenFollowsAFileThatWasMovedAside) {
  const auto log = OpenLog(LogShape::kJournal);
  log->Write({LogLevel::kInfo, "before", {}});
  ASSERT_EQ(std::rename(folder_.File("log").c_str(), folder_.File("log.1").c_str()), 0);
  SOTTO_ASSERT_OK(log->Reopen());
  log->Write({LogLevel::kInfo, "after", {}});
  EXPECT_THAT(Lines("log.1"), ElementsAre("<6>info before"));
  EXPECT_THAT(Lines("log"), ElementsAre("<6>info after"));
}

TEST_F(LogTest, AFileThatCannotBeOpenedIsAnErrorWithItsCode) {
  DaemonLog::Options options;
  options.file = folder_.File("log") + "/below/a/file";
  std::ofstream(folder_.File("log")) << "a file, not a folder";
  EXPECT_THAT(DaemonLog::Open(std::move(options)), HasCode("LOG_UNWRITABLE"));
}

TEST_F(LogTest, LinesOfManyThreadsAreWhole) {
  const auto log = OpenLog(LogShape::kJson);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log] {
      for (int i = 0; i < 200; ++i) log->Write({LogLevel::kInfo, "e", {{"k", "v"}}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto lines = Lines();
  EXPECT_EQ(lines.size(), 800u);
  for (const std::string& line : lines) EXPECT_TRUE(boost::json::parse(line).is_object());
}

}  // namespace
}  // namespace sotto
