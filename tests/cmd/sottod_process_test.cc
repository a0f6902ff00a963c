// The daemon as a process: flags, exit codes, signals, and one node alone from start to end.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "store/file_rules.h"
#include "tests/cmd/api_schema.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_pki.h"
#include "tests/support/unix_http.h"

namespace sotto {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::chrono::seconds kPatience{30};

// A running sottod whose output goes to a file; killed at the end if it still runs.
class Process {
 public:
  Process(const std::vector<std::string>& args, std::string log) : log_(std::move(log)) {
    std::vector<std::string> all = {"cmd/sottod/sottod"};
    all.insert(all.end(), args.begin(), args.end());
    std::vector<char*> argv;
    for (std::string& arg : all) argv.push_back(arg.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      const int fd = open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      dup2(fd, STDOUT_FILENO);
      dup2(fd, STDERR_FILENO);
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  ~Process() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Signal(int signal) const { kill(pid_, signal); }

  // -1 if it did not end in time, 128 + n if a signal ended it.
  int WaitForExit() {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return -1;
  }

  std::string Output() const {
    std::ifstream file(log_);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  bool WaitForOutput(const std::string& text) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (Output().find(text) == std::string::npos) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

 private:
  std::string log_;
  pid_t pid_ = -1;
};

class SottodTest : public testing::Test {
 protected:
  // Starts and waits for the end.
  struct Ended {
    int exit = -1;
    std::string output;
  };
  Ended RunToEnd(const std::vector<std::string>& args) {
    Process process(args, folder_.File("ended.log"));
    const int exit = process.WaitForExit();
    return {exit, process.Output()};
  }

  // A whole configuration for one node alone, on a free port, with its own database and
  // certificate.
  void WriteAll() {
    const PemPair node = pki_.Issue("gw-1");
    Write("ca.crt", pki_.ca_pem());
    Write("node.crt", node.certificate_pem);
    Write("node.key", node.key_pem);
    WriteConfig("a");
  }

  void WriteConfig(const std::string& zone) {
    Write("sottod.toml",
          "[node]\ncluster = \"edge-prod\"\nname = \"gw-1\"\nstate_dir = \"state\"\n"
          "tags = { zone = \"" +
              zone +
              "\" }\n[gossip]\nbind = \"127.0.0.1:0\"\nprofile = \"local\"\n[store]\nurl = "
              "\"sqlite:" +
              folder_.File("sotto.db") +
              "\"\ncreate = true\n[sync.tls]\nca = \"ca.crt\"\ncert = \"node.crt\"\nkey = "
              "\"node.key\"\n[admin]\nsocket = \"" +
              socket_ + "\"\n[log]\nformat = \"text\"\n");
  }

  void Write(const std::string& name, const std::string& text) {
    SOTTO_ASSERT_OK(AtomicWrite(folder_.File(name), text, 0600));
  }

  std::unique_ptr<Process> StartNode() {
    auto process = std::make_unique<Process>(std::vector<std::string>{"--config", config_},
                                             folder_.File("log" + std::to_string(++starts_)));
    EXPECT_TRUE(process->WaitForOutput(" info ready ")) << process->Output();
    return process;
  }

  TempDir folder_;
  int starts_ = 0;
  TestPki pki_;
  std::string config_ = folder_.File("sottod.toml");
  std::string socket_ = folder_.File("run/admin.sock");
};

TEST_F(SottodTest, HelpOpensWithExamplesAndTellsTheExitCodes) {
  const Ended help = RunToEnd({"--help"});
  EXPECT_EQ(help.exit, 0);
  EXPECT_THAT(help.output, StartsWith("Examples:\n  sottod --config"));
  EXPECT_THAT(help.output, HasSubstr("75 busy, try again later"));
  EXPECT_EQ(RunToEnd({"--version"}).output, "sottod 0.1.0\n");
}

TEST_F(SottodTest, AWrongCommandLineIsExit2) {
  EXPECT_EQ(RunToEnd({"--bogus"}).exit, 2);
  EXPECT_EQ(RunToEnd({"surplus"}).exit, 2);
  EXPECT_EQ(RunToEnd({"--config"}).exit, 2);
  const Ended set = RunToEnd({"--set", "log.level"});
  EXPECT_EQ(set.exit, 2);
  EXPECT_THAT(set.output, HasSubstr("error CONFIG_SYNTAX"));
}

TEST_F(SottodTest, EveryErrorOfTheConfigurationIsToldAtOnce) {
  WriteAll();
  for (const bool check : {false, true}) {
    std::vector<std::string> args = {"--config",      config_, "--set",
                                     "log.levl=info", "--set", "gossip.profile=wide"};
    if (check) args.emplace_back("--check");
    const Ended ended = RunToEnd(args);
    EXPECT_EQ(ended.exit, 78) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr("did you mean \"log.level\"? [CONFIG_UNKNOWN_KEY]"));
    EXPECT_THAT(ended.output, HasSubstr("--set gossip.profile"));
    EXPECT_THAT(ended.output, HasSubstr("2 errors, 0 warnings. Nothing was started."));
  }
  EXPECT_NE(access(folder_.File("state").c_str(), F_OK), 0);
}

TEST_F(SottodTest, ASecretThatOthersCanReadStopsTheStart) {
  WriteAll();
  ASSERT_EQ(chmod(folder_.File("node.key").c_str(), 0644), 0);
  const Ended ended = RunToEnd({"--config", config_});
  EXPECT_EQ(ended.exit, 78);
  EXPECT_THAT(ended.output, HasSubstr("SECRET_READABLE"));
}

TEST_F(SottodTest, CheckOfAGoodConfigurationIsOkAndMakesNothing) {
  WriteAll();
  const Ended ended = RunToEnd({"--config", config_, "--check"});
  EXPECT_EQ(ended.exit, 0) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("0 errors"));
  EXPECT_NE(access(folder_.File("state").c_str(), F_OK), 0);
  EXPECT_NE(access(folder_.File("sotto.db").c_str(), F_OK), 0);
  EXPECT_NE(access(folder_.File("run").c_str(), F_OK), 0);
}

TEST_F(SottodTest, OneNodeAloneFromStartToEnd) {
  WriteAll();
  const auto node = StartNode();
  EXPECT_THAT(node->Output(), testing::ContainsRegex(
                                  "info ready cluster=edge-prod node=gw-1 bound=127.0.0.1:[0-9]+ "
                                  "advertised=127.0.0.1:[0-9]+ cipher=AES-256-GCM key=[-0-9a-f]+ "
                                  "boot=1 "));
  UnixHttp http(socket_);
  for (const char* target : {"/v1/version", "/v1/status", "/v1/members", "/v1/members/gw-1",
                             "/v1/events", "/v1/tags", "/v1/keys", "/v1/certs"}) {
    const HttpReply reply = http.Get(target);
    EXPECT_EQ(reply.status, 200) << target;
    EXPECT_EQ(CheckAnswer(reply.body), "") << target;
  }
  node->Signal(SIGTERM);
  EXPECT_EQ(node->WaitForExit(), 0) << node->Output();
  EXPECT_NE(access(socket_.c_str(), F_OK), 0);
  // The next life has a higher boot number.
  EXPECT_THAT(StartNode()->Output(), HasSubstr(" boot=2 "));
}

TEST_F(SottodTest, ASecondDaemonInTheSamePlaceIsToldToTryLater) {
  WriteAll();
  const auto node = StartNode();
  const Ended same = RunToEnd({"--config", config_});
  EXPECT_EQ(same.exit, 75);
  EXPECT_THAT(same.output, HasSubstr("code=ADMIN_SOCKET_IN_USE"));
  const Ended state =
      RunToEnd({"--config", config_, "--set", "admin.socket=" + folder_.File("run2/s")});
  EXPECT_EQ(state.exit, 75);
  EXPECT_THAT(state.output, HasSubstr("code=STATE_IN_USE"));
  const std::string log = node->Output();
  const size_t at = log.find("bound=") + 6;
  const std::string bound = log.substr(at, log.find(' ', at) - at);
  const Ended port =
      RunToEnd({"--config", config_, "--set", "admin.socket=" + folder_.File("run2/s"), "--set",
                "node.state_dir=" + folder_.File("state2"), "--set", "gossip.bind=" + bound});
  EXPECT_EQ(port.exit, 75) << port.output;
  EXPECT_THAT(port.output, HasSubstr("code=ADDRESS_IN_USE"));
}

TEST_F(SottodTest, HangUpReloadsAllOrNothing) {
  WriteAll();
  const auto node = StartNode();
  UnixHttp http(socket_);
  WriteConfig("b");
  node->Signal(SIGHUP);
  ASSERT_TRUE(node->WaitForOutput("info reloaded applied=node.tags")) << node->Output();
  EXPECT_THAT(http.Get("/v1/tags").body, HasSubstr(R"("data":{"zone":"b"})"));
  // A renewed certificate of the same CA is taken; one of another CA is not, and nothing else is.
  const PemPair renewed = pki_.Issue("gw-1");
  Write("node.crt", renewed.certificate_pem);
  Write("node.key", renewed.key_pem);
  node->Signal(SIGHUP);
  ASSERT_TRUE(node->WaitForOutput("applied=sync.tls.cert,sync.tls.key")) << node->Output();
  const std::string certs = boost::json::serialize(
      boost::json::parse(http.Get("/v1/certs").body).at("data").at(0).at("serial"));
  const TestPki stranger;
  const PemPair foreign = stranger.Issue("gw-1");
  Write("node.crt", foreign.certificate_pem);
  Write("node.key", foreign.key_pem);
  WriteConfig("c");
  node->Signal(SIGHUP);
  ASSERT_TRUE(node->WaitForOutput("error reload_refused code=CERT_UNTRUSTED")) << node->Output();
  EXPECT_THAT(http.Get("/v1/tags").body, HasSubstr(R"("data":{"zone":"b"})"));
  EXPECT_THAT(http.Get("/v1/certs").body, HasSubstr(certs));
  const HttpReply refused = http.Post("/v1/reload", "");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(CheckAnswer(refused.body), "");
  // The refusal stands in the status until a reload goes well.
  EXPECT_THAT(http.Get("/v1/status").body, HasSubstr("RELOAD_FAILED"));
  Write("node.crt", renewed.certificate_pem);
  Write("node.key", renewed.key_pem);
  WriteConfig("b");
  EXPECT_EQ(http.Post("/v1/reload", "").status, 200);
  EXPECT_THAT(node->Output(), HasSubstr("info reloaded applied=none"));
  EXPECT_THAT(http.Get("/v1/status").body, testing::Not(HasSubstr("RELOAD_FAILED")));
}

TEST_F(SottodTest, LeaveOverTheApiAnswersAndEndsTheDaemon) {
  WriteAll();
  const auto node = StartNode();
  UnixHttp http(socket_);
  const HttpReply reply = http.Post("/v1/leave", "");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(CheckAnswer(reply.body), "");
  EXPECT_EQ(node->WaitForExit(), 0) << node->Output();
}

TEST_F(SottodTest, AKilledDaemonsSocketIsTakenOver) {
  WriteAll();
  {
    const auto node = StartNode();
    node->Signal(SIGKILL);
    EXPECT_EQ(node->WaitForExit(), 128 + SIGKILL);
  }
  EXPECT_EQ(access(socket_.c_str(), F_OK), 0);
  const auto again = StartNode();
  EXPECT_EQ(UnixHttp(socket_).Get("/v1/version").status, 200);
}

}  // namespace
}  // namespace sotto
