// Programs that the daemon runs on events: what they are given, how they are ended, what waits.
// With real scripts.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "cmd/config/handlers.h"
#include "cmd/sottod/handler_process.h"
#include "cmd/sottod/handler_runner.h"
#include "gossip/base/coded_error.h"
#include "gossip/endpoint_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

bool IsRunning(const std::string& pid_text) {
  const pid_t pid = std::atoi(pid_text.c_str());
  if (pid <= 0 || kill(pid, 0) != 0) return false;
  // A zombie that nobody has waited for is dead all the same.
  const std::string stat = ReadFile("/proc/" + std::to_string(pid) + "/stat");
  const size_t end = stat.rfind(')');
  return end != std::string::npos && stat[end + 2] != 'Z';
}

// Waits on a named pipe or for a file by looking; false after 20 s.
bool WaitFor(const std::function<bool()>& condition) {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  const auto deadline = Clock::now() + seconds(20);
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    never.wait_for(lock, milliseconds(5));
  }
  return true;
}

class HandlerTest : public testing::Test {
 protected:
  HandlerTest() { signal(SIGPIPE, SIG_IGN); }

  std::string Script(const std::string& name, const std::string& body) {
    const std::string path = dir_.File(name);
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    EXPECT_EQ(chmod(path.c_str(), 0755), 0);
    return path;
  }

  ProgramRun Of(const std::string& body, milliseconds timeout = seconds(20)) {
    ProgramRun run;
    run.argv = {Script("program", body)};
    run.environment = {{"PATH", "/usr/bin:/bin"}};
    run.timeout = timeout;
    run.grace = milliseconds(100);
    run.output_bytes_max = 1024;
    return run;
  }

  std::string Out() const { return ReadFile(dir_.File("out")); }

  TempDir dir_;
  StopSignal stop_;
};

// ---- one run ------------------------------------------------------------------------------------

// A link is led elsewhere between the check and the start: what was checked runs, under the name of
// the link.
TEST_F(HandlerTest, WhatWasJudgedRunsThoughItsLinkIsFlipped) {
  const std::string link = dir_.File("link");
  ASSERT_EQ(symlink(Script("good", "echo good").c_str(), link.c_str()), 0);
  const auto program = ResolveProgram(link);
  SOTTO_ASSERT_OK(program.status());
  ASSERT_EQ(unlink(link.c_str()), 0);
  ASSERT_EQ(symlink(Script("bad", "echo bad").c_str(), link.c_str()), 0);
  ProgramRun run = Of("");
  run.program = *program;
  run.argv = {link};
  EXPECT_EQ(RunProgram(run, stop_).output, "good\n");
  run.program = "/bin/sh";
  run.argv = {"called", "-c", "echo $0"};
  EXPECT_EQ(RunProgram(run, stop_).output, "called\n");
}

TEST_F(HandlerTest, AProgramGetsItsWordsItsEnvironmentItsInputAndNothingElse) {
  setenv("SOTTO_TEST_SECRET", "hunter2", 1);
  ProgramRun run = Of("printf '%s|' \"$@\"; cat; env | sort; pwd; ls /proc/self/fd | tr '\\n' ' '");
  run.argv.insert(run.argv.end(), {"a b", "", "$HOME;x"});
  run.environment.emplace_back("SOTTO_EVENT", "two\nlines");
  run.input = "in put\n";
  const int leak = open("/dev/null", O_RDONLY);  // without O_CLOEXEC
  const ProgramResult result = RunProgram(run, stop_);
  close(leak);
  SOTTO_EXPECT_OK(result.status);
  EXPECT_THAT(result.output, HasSubstr("a b||$HOME;x|in put\n"));
  EXPECT_THAT(result.output, HasSubstr("PATH=/usr/bin:/bin"));
  EXPECT_THAT(result.output, HasSubstr("SOTTO_EVENT=two\nlines"));
  EXPECT_THAT(result.output, Not(HasSubstr("hunter2")));
  EXPECT_THAT(result.output, Not(HasSubstr("HOME=")));
  EXPECT_THAT(result.output, HasSubstr("\n/\n"));
  EXPECT_THAT(result.output, HasSubstr("0 1 2 3 ")) << "3 is ls's own";
  EXPECT_THAT(result.output, Not(HasSubstr(" 4 ")));
}

TEST_F(HandlerTest, HowItEndedIsTold) {
  ProgramResult failed = RunProgram(Of("echo it broke >&2; exit 3"), stop_);
  EXPECT_THAT(failed.status, HasCode("HANDLER_FAILED"));
  EXPECT_THAT(std::string(failed.status.message()), HasSubstr("exit code 3"));
  EXPECT_EQ(failed.error_text, "it broke\n");
  EXPECT_THAT(std::string(RunProgram(Of("kill -SEGV $$"), stop_).status.message()),
              HasSubstr("signal 11"));
  ProgramRun missing = Of("");
  missing.argv[0] = dir_.File("none");
  EXPECT_THAT(RunProgram(missing, stop_).status, HasCode("HANDLER_NOT_STARTED"));
  std::ofstream(dir_.File("program")) << "#!/no/such/shell\n";
  missing.argv[0] = dir_.File("program");
  EXPECT_THAT(RunProgram(missing, stop_).status, HasCode("HANDLER_NOT_STARTED"));
}

TEST_F(HandlerTest, InputThatNobodyReadsAndMuchOfBothDoNotHang) {
  ProgramRun run = Of("exit 0");
  run.input.assign(1 << 20, 'x');
  SOTTO_EXPECT_OK(RunProgram(run, stop_).status);
  run = Of("cat; cat /dev/zero | head -c 100000 >&2");
  run.input.assign(300'000, 'x');
  run.output_bytes_max = 300'000;
  const ProgramResult result = RunProgram(run, stop_);
  SOTTO_EXPECT_OK(result.status);
  EXPECT_EQ(result.output, run.input);
  EXPECT_LE(result.error_text.size(), 1024u);
}

TEST_F(HandlerTest, AnAnswerThatIsTooLongIsRefusedWhole) {
  const ProgramResult exact = RunProgram(Of("head -c 1024 /dev/zero"), stop_);
  SOTTO_EXPECT_OK(exact.status);
  EXPECT_EQ(exact.output.size(), 1024u);
  const ProgramResult result = RunProgram(Of("head -c 1025 /dev/zero"), stop_);
  EXPECT_THAT(result.status, HasCode("HANDLER_OUTPUT_TOO_LONG"));
  EXPECT_EQ(result.output, "");
  EXPECT_THAT(RunProgram(Of("yes"), stop_).status, HasCode("HANDLER_OUTPUT_TOO_LONG"));
}

TEST_F(HandlerTest, AtItsLimitTheWholeGroupEnds) {
  const std::string pids = dir_.File("pids");
  const std::string body = "echo $$ > " + pids +
                           "; (trap '' TERM; echo $$; sleep 1000) & echo $! >> " + pids +
                           "; trap '' TERM; while :; do sleep 1000; done";
  const auto begin = Clock::now();
  const ProgramResult result = RunProgram(Of(body, milliseconds(300)), stop_);
  EXPECT_THAT(result.status, HasCode("HANDLER_TIMEOUT"));
  EXPECT_LT(Clock::now() - begin, seconds(15));
  const auto lines = LinesOf(ReadFile(pids));
  ASSERT_EQ(lines.size(), 2u);
  for (const std::string& pid : lines) {
    EXPECT_TRUE(WaitFor([&] { return !IsRunning(pid); })) << pid;
  }
}

TEST_F(HandlerTest, SigtermComesFirstSoThatItCanTidyUp) {
  const std::string out = dir_.File("out");
  ProgramRun run = Of("trap 'echo tidied > " + out + "; exit 0' TERM; while :; do sleep 0.01; done",
                      milliseconds(500));
  run.grace = seconds(20);
  EXPECT_THAT(RunProgram(run, stop_).status, HasCode("HANDLER_TIMEOUT"));
  EXPECT_EQ(Out(), "tidied\n");
}

TEST_F(HandlerTest, WhatItLeavesBehindEndsWithIt) {
  const std::string pids = dir_.File("pids");
  // The one left behind holds standard output open, too.
  const auto begin = Clock::now();
  SOTTO_EXPECT_OK(RunProgram(Of("sleep 1000 & echo $! > " + pids), stop_).status);
  EXPECT_LT(Clock::now() - begin, seconds(15));
  EXPECT_TRUE(WaitFor([&] { return !IsRunning(ReadFile(pids)); }));
}

TEST_F(HandlerTest, AStopEndsItAtOnce) {
  const std::string started = dir_.File("started");
  std::thread stopper([&] {
    EXPECT_TRUE(WaitFor([&] { return !ReadFile(started).empty(); }));
    stop_.Stop();
  });
  EXPECT_THAT(RunProgram(Of("echo yes > " + started + "; sleep 1000"), stop_).status,
              HasCode("HANDLER_STOPPED"));
  stopper.join();
}

TEST_F(HandlerTest, ItDiesWithItsParent) {
  const std::string pid_file = dir_.File("pid");
  const ProgramRun run = Of("echo $$ > " + pid_file + "; exec sleep 1000");
  const pid_t daemon = fork();
  if (daemon == 0) {
    StopSignal stop;
    RunProgram(run, stop);
    _exit(0);
  }
  ASSERT_TRUE(WaitFor([&] { return ReadFile(pid_file).ends_with("\n"); }));
  EXPECT_TRUE(IsRunning(ReadFile(pid_file)));
  ASSERT_EQ(kill(daemon, SIGKILL), 0);
  waitpid(daemon, nullptr, 0);
  EXPECT_TRUE(WaitFor([&] { return !IsRunning(ReadFile(pid_file)); }));
}

TEST_F(HandlerTest, SigpipeWorksInItAsUsual) {
  const ProgramResult result = RunProgram(Of("yes | head -n 1"), stop_);
  SOTTO_EXPECT_OK(result.status);
  EXPECT_EQ(result.output, "y\n");
}

// ---- handlers -----------------------------------------------------------------------------------

class RunnerTest : public HandlerTest {
 protected:
  HandlerConfig Config(std::vector<std::string> on, const std::string& name,
                       const std::string& body) {
    HandlerConfig config;
    config.on = std::move(on);
    config.run = {Script(name, body)};
    config.timeout = Duration::Seconds(20);
    return config;
  }

  void Start(std::vector<HandlerConfig> handlers) {
    runner_ = std::make_unique<HandlerRunner>(
        std::move(handlers), HandlerIdentity{"edge-prod", "gw-1", "/run/sotto/admin.sock"},
        std::vector<Tag>{{"zone-a", "fra 1"}}, [this](const LogRecord& record) {
          std::lock_guard lock(mutex_);
          log_ += FormatRecord(record) + "\n";
        });
  }

  void Died(const std::string& member) {
    Event event;
    event.kind = EventKind::kDied;
    event.member = member;
    event.by = {"gw-2"};
    event.incarnation = Incarnation::Of(3, 1);
    MemberInfo info;
    info.name = member;
    info.state = MemberState::kDead;
    AliveClaims claims;
    claims.addresses = {*ParseEndpoint("10.0.0.3:7950")};
    claims.tags = {{"role", "gate\"way"}};
    info.claims = std::make_shared<const AliveClaims>(std::move(claims));
    runner_->OnEvent("member_died", event, &info);
  }

  bool WaitForRuns(uint64_t runs) {
    return WaitFor([&] {
      uint64_t all = 0;
      for (const HandlerStats& stats : runner_->Stats()) all += stats.runs;
      return all >= runs;
    });
  }

  std::string Log() {
    std::lock_guard lock(mutex_);
    return log_;
  }

  std::mutex mutex_;
  std::string log_;
  std::unique_ptr<HandlerRunner> runner_;
};

TEST_F(RunnerTest, AMemberEventIsALineOfJsonAndVariables) {
  Start({Config({"member_died"}, "h", "{ env | grep ^SOTTO_ | sort; cat; } > " + dir_.File("out")),
         Config({"member_left"}, "other", "echo wrong > " + dir_.File("wrong"))});
  Died("gw-3");
  ASSERT_TRUE(WaitForRuns(1));
  const auto lines = LinesOf(Out());
  ASSERT_EQ(lines.size(), 8u) << Out();
  EXPECT_THAT(std::vector<std::string>(lines.begin(), lines.begin() + 7),
              ElementsAre("SOTTO_CLUSTER=edge-prod", "SOTTO_COUNT=1", "SOTTO_EVENT=member_died",
                          "SOTTO_MEMBER=gw-3", "SOTTO_NODE=gw-1", "SOTTO_TAG_ZONE_A=fra 1",
                          "SOTTO_TARGET=unix:/run/sotto/admin.sock"));
  const boost::json::value line = boost::json::parse(lines[7]);
  EXPECT_EQ(line.at("member").as_string(), "gw-3");
  EXPECT_EQ(line.at("state").as_string(), "dead");
  EXPECT_EQ(line.at("addresses").as_array()[0].as_string(), "10.0.0.3:7950");
  EXPECT_EQ(line.at("tags").at("role").as_string(), "gate\"way");
  EXPECT_EQ(line.at("by").as_array()[0].as_string(), "gw-2");
  EXPECT_EQ(ReadFile(dir_.File("wrong")), "");
}

TEST_F(RunnerTest, EventsOfOneHandlerRunOneByOneInOrder) {
  const std::string lock = dir_.File("lock");
  Start({Config({"*"}, "h",
                "mkdir " + lock + " || echo overlap >> " + dir_.File("out") + "; sleep 0.01; " +
                    "echo \"$SOTTO_MEMBER$SOTTO_USER_EVENT$(cat | wc -c)\" >> " + dir_.File("out") +
                    "; rmdir " + lock)});
  std::string expected;
  for (int i = 0; i < 20; ++i) {
    runner_->OnUserEvent(
        {"gw-2", "e" + std::to_string(i), std::string(static_cast<size_t>(i), 'p'), 7, false});
    expected += "e" + std::to_string(i) + std::to_string(i) + "\n";
  }
  ASSERT_TRUE(WaitForRuns(20));
  EXPECT_EQ(Out(), expected);
}

TEST_F(RunnerTest, WhatWaitsIsBoundedAndTheRestIsCounted) {
  const std::string gate = dir_.File("gate");
  HandlerConfig slow = Config({"member_died"}, "slow",
                              "while [ ! -e " + gate +
                                  " ]; do sleep 0.01; done; echo $SOTTO_MEMBER "
                                  ">> " +
                                  dir_.File("out"));
  slow.queue = 2;
  Start({slow, Config({"member_died"}, "quick", "true")});
  Died("m0");
  ASSERT_TRUE(WaitFor([&] { return runner_->Stats()[0].waiting == 0; }));  // it runs
  for (int i = 1; i <= 5; ++i) Died("m" + std::to_string(i));
  EXPECT_EQ(runner_->Stats()[0].dropped, 3u);
  EXPECT_EQ(runner_->Stats()[0].waiting, 2u);
  EXPECT_TRUE(WaitFor([&] { return runner_->Stats()[1].runs == 6; }))
      << "a slow one holds up no other";
  std::ofstream(gate).flush();
  ASSERT_TRUE(WaitFor([&] { return runner_->Stats()[0].runs == 3; }));
  EXPECT_EQ(Out(), "m0\nm1\nm2\n");
  EXPECT_THAT(Log(), HasSubstr("code=HANDLER_QUEUE_FULL"));
}

TEST_F(RunnerTest, ABatchTakesNeighboursOfOneKind) {
  const std::string gate = dir_.File("gate");
  HandlerConfig handler = Config({"*"}, "h",
                                 "while [ ! -e " + gate +
                                     " ]; do sleep 0.01; done; echo "
                                     "\"$SOTTO_EVENT $SOTTO_COUNT $(cat | wc -l)\" >> " +
                                     dir_.File("out"));
  handler.batch = true;
  Start({handler});
  Died("m0");
  ASSERT_TRUE(WaitFor([&] { return runner_->Stats()[0].waiting == 0; }));
  for (int i = 1; i <= 3; ++i) Died("m" + std::to_string(i));
  runner_->OnUserEvent({"gw-2", "deploy", "", 1, false});
  runner_->OnUserEvent({"gw-2", "deploy", "", 2, false});
  Died("m4");
  std::ofstream(gate).flush();
  ASSERT_TRUE(WaitForRuns(5));
  EXPECT_EQ(Out(),
            "member_died 1 1\nmember_died 3 3\nuser_event 1 0\nuser_event 1 0\nmember_died 1 1\n");
}

TEST_F(RunnerTest, AQueryIsAnsweredByTheOutput) {
  Start({Config({"query:load"}, "h", "echo \"$SOTTO_QUERY_NAME from $SOTTO_FROM: $(cat)\""),
         Config({"*"}, "all", "echo wrong > " + dir_.File("wrong"))});
  std::mutex mutex;
  std::vector<std::string> answers;
  const auto answer = [&](std::string payload) {
    std::lock_guard lock(mutex);
    answers.push_back(std::move(payload));
  };
  EXPECT_TRUE(
      runner_->OnQuery({"gw-2", "load", "now?", 1, false}, Clock::time_point::max(), answer));
  EXPECT_FALSE(runner_->OnQuery({"gw-2", "disk", "", 1, false}, Clock::time_point::max(), answer));
  ASSERT_TRUE(WaitFor([&] {
    std::lock_guard lock(mutex);
    return !answers.empty();
  }));
  EXPECT_THAT(answers, ElementsAre("load from gw-2: now?\n"));
  EXPECT_EQ(ReadFile(dir_.File("wrong")), "") << "* does not mean queries";
}

TEST_F(RunnerTest, AFailedOrLateQueryHandlerAnswersNothing) {
  Start({Config({"query"}, "h", "echo half; exit 1")});
  const auto never = [](const std::string& payload) { ADD_FAILURE() << payload; };
  EXPECT_TRUE(runner_->OnQuery({"gw-2", "a", "", 1, false}, Clock::time_point::max(), never));
  EXPECT_TRUE(runner_->OnQuery({"gw-2", "b", "", 1, false}, Clock::now(), never));
  ASSERT_TRUE(WaitForRuns(2));
  EXPECT_EQ(runner_->Stats()[0].failed, 2u);
  EXPECT_THAT(Log(), HasSubstr("code=HANDLER_FAILED"));
  EXPECT_THAT(Log(), HasSubstr("code=HANDLER_TOO_LATE"));
  EXPECT_THAT(runner_->Stats()[0].last_error, HasSubstr("HANDLER_TOO_LATE"));
}

TEST_F(RunnerTest, AProgramThatOthersCameToWriteIsNotRun) {
  const HandlerConfig handler = Config({"*"}, "h", "echo ran > " + dir_.File("out"));
  Start({handler});
  ASSERT_EQ(chmod(handler.run[0].c_str(), 0777), 0);
  Died("gw-3");
  ASSERT_TRUE(WaitForRuns(1));
  EXPECT_EQ(Out(), "");
  EXPECT_THAT(Log(), HasSubstr("code=FILE_WRITABLE"));
}

TEST_F(RunnerTest, AChangeOfHandlersLeavesTheOthersAlone) {
  const HandlerConfig stays = Config({"*"}, "stays", "echo stays >> " + dir_.File("out"));
  const std::string pid = dir_.File("pid");
  Start({stays, Config({"*"}, "goes", "echo $$ > " + pid + "; exec sleep 1000")});
  Died("gw-3");
  ASSERT_TRUE(WaitFor([&] { return ReadFile(pid).ends_with("\n"); }));
  ASSERT_TRUE(WaitFor([&] { return runner_->Stats()[0].runs == 1; }));
  runner_->Replace({Config({"*"}, "new", "true"), stays});
  EXPECT_FALSE(IsRunning(ReadFile(pid)));
  ASSERT_EQ(runner_->Stats().size(), 2u);
  EXPECT_EQ(runner_->Stats()[1].runs, 1u) << "the same worker";
  Died("gw-3");
  EXPECT_TRUE(WaitForRuns(3));
}

TEST_F(RunnerTest, TheEndOfTheDaemonIsTheEndOfItsPrograms) {
  const std::string pid = dir_.File("pid");
  Start({Config({"*"}, "h", "echo $$ > " + pid + "; exec sleep 1000")});
  Died("gw-3");
  Died("gw-4");
  ASSERT_TRUE(WaitFor([&] { return ReadFile(pid).ends_with("\n"); }));
  const auto begin = Clock::now();
  runner_.reset();
  EXPECT_LT(Clock::now() - begin, seconds(10));
  EXPECT_FALSE(IsRunning(ReadFile(pid)));
}

}  // namespace
}  // namespace sotto
