// What `sotto` does with a daemon that is missing, frozen, refusing, odd, or doing as it is told.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cmd/sotto/cli.h"
#include "tests/cmd/fake_daemon.h"
#include "tests/support/other_user.h"
#include "tests/support/temp_dir.h"

namespace sotto::testing {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string Envelope(const std::string& schema, const std::string& data) {
  return R"({"schema":"sotto.)" + schema +
         R"(/1","observer":"gw-1","as_of":"2026-11-21T14:02:11.120Z","complete":true,"data":)" +
         data + "}";
}

std::string Problem(int status, const std::string& code, const std::string& fix) {
  return R"({"status":)" + std::to_string(status) + R"(,"code":")" + code +
         R"(","title":"t","detail":"what happened","fix":")" + fix + "\"}";
}

TEST(Unreachable, NoSocketIsExit4) {
  TempDir dir;
  const std::string path = dir.File("admin.sock");
  const RunResult result = RunSotto({"--target", "unix:" + path, "members"});
  EXPECT_EQ(result.exit, 4);
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(Has(result.err, "error DAEMON_UNREACHABLE: no sottod answers on " + path + "\n"))
      << result.err;
  EXPECT_TRUE(Has(result.err, "  tried   socket exists: no\n")) << result.err;
  EXPECT_TRUE(Has(result.err, "\n  do      ")) << result.err;
}

TEST(Unreachable, ASocketThatNobodyHears) {
  TempDir dir;
  const std::string path = dir.File("s");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(fd);
  const RunResult result = RunSotto({"--target", path, "status"});
  EXPECT_EQ(result.exit, 4);
  EXPECT_TRUE(Has(result.err, "socket exists: yes")) << result.err;
  std::ofstream(dir.File("file")) << "x";
  EXPECT_TRUE(Has(RunSotto({"--target", dir.File("file"), "status"}).err, "something else"));
}

TEST(Unreachable, AnotherUsersSocketIsExit7) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  TempDir dir;  // mode 0700
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/status", kStatusJson);
  const std::string path = dir.File("s");
  EXPECT_EQ(RunSotto({"--target", path, "status"}).exit, 0);
  const std::string told = AsOtherUser([&] {
    const RunResult result = RunSotto({"--target", path, "status"});
    return std::to_string(result.exit) + " " + result.err;
  });
  EXPECT_TRUE(Has(told, "7 error DAEMON_FORBIDDEN")) << told;
}

// A process that listens, and is then stopped.
class Frozen {
 public:
  explicit Frozen(const std::string& path) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    pid_ = fork();
    if (pid_ == 0) {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      std::memcpy(address.sun_path, path.data(), path.size());
      const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
      const bool ok = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                      listen(fd, 1) == 0;
      if (!ok || write(ready[1], "x", 1) != 1) _exit(1);
      while (true) pause();
    }
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    kill(pid_, SIGSTOP);
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
  }
  ~Frozen() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

TEST(Frozen, IsExit6AtTheDeadlineAndNamed) {
  TempDir dir;
  const Frozen frozen(dir.File("s"));
  const std::string pid = std::to_string(frozen.pid());
  // Often enough to fill the queue of the listener too.
  for (int i = 0; i < 4; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const RunResult result = RunSotto({"--target", dir.File("s"), "--timeout", "200ms", "members"});
    const double took =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    EXPECT_EQ(result.exit, 6);
    EXPECT_GE(took, 0.19);
    EXPECT_LT(took, 5);
    EXPECT_TRUE(Has(result.err, "error DAEMON_TIMEOUT")) << result.err;
    if (i > 0) continue;
    const RunResult post =
        RunSotto({"--target", dir.File("s"), "--timeout", "200ms", "tags", "unset", "a"});
    EXPECT_TRUE(Has(post.err, "  state   unknown: the daemon has the request")) << post.err;
    EXPECT_TRUE(Has(result.err, "(pid " + pid + ")")) << result.err;
    EXPECT_TRUE(Has(result.err, "the process is stopped")) << result.err;
    EXPECT_TRUE(Has(result.err, "  do      kill -CONT " + pid + "\n")) << result.err;
  }
}

TEST(Answers, ProblemsBecomeExitCodes) {
  const std::pair<int, int> rows[] = {{400, 1},  {403, 7}, {404, 1},  {409, 5},
                                      {429, 75}, {500, 1}, {503, 75}, {504, 6}};
  for (const auto& [status, exit] : rows) {
    TempDir dir;
    FakeDaemon daemon(dir.File("s"));
    daemon.Answer("GET /v1/tags", Problem(status, "SOME_CODE", "do this"), status);
    const RunResult result = RunSotto({"--target", dir.File("s"), "tags"});
    EXPECT_EQ(result.exit, exit) << status;
    EXPECT_TRUE(Has(result.err,
                    std::string(exit == 5 ? "refused" : "error") + " SOME_CODE: what happened\n"))
        << result.err;
    EXPECT_TRUE(Has(result.err, "  do      do this\n")) << result.err;
  }
}

TEST(Answers, OddOnesAreToldAndNeverCrash) {
  const std::string rows[] = {
      "",
      "garbage\r\n\r\n",
      "SSH-2.0-OpenSSH_9.2\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{\"a",
      "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n{\"a\":1}",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
      "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
      "HTTP/1.1 502 X\r\nContent-Length: 4\r\n\r\noops",
      "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + std::string(3000, '['),
  };
  for (const std::string& bytes : rows) {
    TempDir dir;
    FakeDaemon daemon(dir.File("s"));
    daemon.AnswerRaw("GET /v1/members", bytes);
    const RunResult result = RunSotto({"--target", dir.File("s"), "--timeout", "2s", "members"});
    EXPECT_TRUE(result.exit == 1 || result.exit == 4) << bytes << result.exit << result.err;
    EXPECT_TRUE(Has(result.err, "error API_BAD_ANSWER") || Has(result.err, "error DAEMON_GONE"))
        << result.err;
    EXPECT_EQ(result.out, "");
  }
}

TEST(Answers, FieldsOfAnotherShapeAreShownAsUnknown) {
  const char* shapes[] = {"null",
                          "5",
                          "[]",
                          "{}",
                          R"([null,5,"x",[],{}])",
                          R"([{"name":5,"state":[],"since_s":"x","addresses":{},"tags":[1],
                              "incarnation":7,"rtt_s":-1e400}])",
                          R"([{"name":null,"state":"new-state","since_s":1e300,"tags":{"a":{}}}])"};
  for (const char* shape : shapes) {
    TempDir dir;
    FakeDaemon daemon(dir.File("s"));
    for (const char* call :
         {"GET /v1/members", "GET /v1/status", "GET /v1/events?limit=50", "GET /v1/keys?ask=1",
          "GET /v1/keys/status?ask=1", "GET /v1/keys/history?limit=50", "POST /v1/keys/verify",
          "GET /v1/tags", "GET /v1/certs", "GET /v1/members/x"}) {
      daemon.Answer(call, Envelope("x", shape));
    }
    for (const char* format : {"table", "wide", "json", "jsonl", "tsv"}) {
      for (const std::vector<std::string>& verb : {std::vector<std::string>{"members"},
                                                   {"status"},
                                                   {"events"},
                                                   {"keys", "ls"},
                                                   {"keys", "status"},
                                                   {"keys", "history"},
                                                   {"keys", "verify"},
                                                   {"keys", "rotate", "--dry-run"},
                                                   {"tags"},
                                                   {"certs", "ls", "--running"},
                                                   {"members", "show", "x"}}) {
        std::vector<std::string> args = {"--target", dir.File("s"), "-o", format};
        args.insert(args.end(), verb.begin(), verb.end());
        const RunResult result = RunSotto(args);
        EXPECT_TRUE(result.exit == 0 || result.exit == 1) << shape << verb[0] << result.err;
      }
    }
  }
}

TEST(Commands, SayToTheDaemonWhatWasAsked) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("POST /v1/join", Envelope("join", R"({"answered":1})"));
  daemon.Answer("POST /v1/leave", Envelope("leave", R"({"heard":true})"));
  daemon.Answer("POST /v1/forget", Envelope("forget", R"({"name":"gw-4"})"));
  daemon.Answer("GET /v1/members?all=1", kMembersJson);
  daemon.Answer("POST /v1/tags", kTagsJson);
  const std::string target = "unix:" + dir.File("s");
  EXPECT_EQ(RunSotto({"--target", target, "join", "a:1", "b", "--timeout", "5s"}).out,
            "gw-1: 1 contact of 2 answered\n");
  EXPECT_EQ(RunSotto({"--target", target, "--yes", "leave"}).out, "gw-1 has left; sottod stops\n");
  EXPECT_TRUE(
      Has(RunSotto({"--target", target, "--yes", "forget", "gw-4"}).out, "gw-4 is forgotten"));
  EXPECT_EQ(RunSotto({"--target", target, "tags", "set", "role=gateway", "zone=a=b"}).exit, 0);
  EXPECT_EQ(RunSotto({"--target", target, "tags", "unset", "zone"}).exit, 0);
  std::vector<std::string> bodies;
  for (const auto& request : daemon.requests()) {
    if (request.line.rfind("POST", 0) == 0) bodies.push_back(request.body);
  }
  ASSERT_EQ(bodies.size(), 5u);
  EXPECT_EQ(boost::json::parse(bodies[0]),
            boost::json::parse(R"({"contacts":["a:1","b:7950"],"timeout_s":4})"));
  EXPECT_EQ(boost::json::parse(bodies[2]), boost::json::parse(R"({"name":"gw-4"})"));
  EXPECT_EQ(boost::json::parse(bodies[3]),
            boost::json::parse(R"({"set":{"role":"gateway","zone":"a=b"}})"));
  EXPECT_EQ(boost::json::parse(bodies[4]), boost::json::parse(R"({"unset":["zone"]})"));
}

TEST(Commands, AMemberMayBeCalledAsAVerbIs) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/members/status", kMemberJson);
  daemon.Answer("GET /v1/members/ls", kMemberJson);
  EXPECT_EQ(RunSotto({"--target", dir.File("s"), "members", "show", "status"}).exit, 0);
  EXPECT_EQ(RunSotto({"--target", dir.File("s"), "members", "show", "ls"}).exit, 0);
}

TEST(Commands, AnUnheardGoodbyeIsExit3) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("POST /v1/leave", Envelope("leave", R"({"heard":false})"));
  EXPECT_EQ(RunSotto({"--target", dir.File("s"), "--yes", "leave"}).exit, 3);
  // A script has to say that it means it.
  const RunResult unasked = RunSotto({"--target", dir.File("s"), "leave"});
  EXPECT_EQ(unasked.exit, 5);
  EXPECT_TRUE(Has(unasked.err, "refused CONFIRMATION_NEEDED")) << unasked.err;
  EXPECT_TRUE(Has(unasked.err, "add --yes")) << unasked.err;
  daemon.Answer("GET /v1/members?all=1", kMembersJson);
  EXPECT_EQ(RunSotto({"--target", dir.File("s"), "forget", "gw-1"}).exit, 5);
  EXPECT_EQ(daemon.requests().back().line.rfind("GET", 0), 0u);
}

TEST(Commands, EventsOfBeforeARestartMayBeMissing) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  const std::string answer =
      R"({"schema":"sotto.events/1","observer":"a","as_of":"x","complete":false,"next":7,"data":[]})";
  daemon.Answer("GET /v1/events?since=99&limit=1000", answer);
  daemon.Answer("GET /v1/events?limit=1", answer);
  // A number of before the daemon's restart: events may have been missed, and that is said.
  EXPECT_EQ(RunSotto({"--target", dir.File("s"), "events", "--since", "99"}).exit, 3);
  EXPECT_EQ(RunSotto({"--target", dir.File("s"), "events", "-n", "0"}).out, "");
}

TEST(Commands, AskOnATerminalUnlessToldNotTo) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("POST /v1/leave", Envelope("leave", R"({"heard":true})"));
  RunOptions terminal;
  terminal.in_is_terminal = terminal.err_is_terminal = true;
  terminal.in = "n\n";
  const RunResult no = RunSotto({"--target", dir.File("s"), "--color", "never", "leave"}, terminal);
  EXPECT_EQ(no.exit, 5);
  EXPECT_TRUE(Has(no.err, "[y/N] refused NOT_CONFIRMED: nothing was done")) << no.err;
  EXPECT_TRUE(daemon.requests().empty());
  terminal.in = "y\n";
  EXPECT_EQ(RunSotto({"--target", dir.File("s"), "leave"}, terminal).exit, 0);
  terminal.in = "";
  EXPECT_EQ(RunSotto({"--target", dir.File("s"), "leave", "--yes"}, terminal).exit, 0);
}

TEST(Commands, AnUnknownMemberBringsTheNearestName) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/members?all=1", kMembersJson);
  daemon.Answer("POST /v1/forget", Problem(404, "MEMBER_UNKNOWN", ""), 404);
  daemon.Answer("GET /v1/members/gw3", Problem(404, "MEMBER_UNKNOWN", ""), 404);
  for (const std::vector<std::string>& verb :
       {std::vector<std::string>{"forget", "gw3"}, {"members", "show", "gw3"}}) {
    std::vector<std::string> args = {"--target", dir.File("s")};
    args.insert(args.end(), verb.begin(), verb.end());
    const RunResult result = RunSotto(args);
    EXPECT_EQ(result.exit, 1);
    EXPECT_TRUE(Has(result.err, "did you mean \"gw-3\"?")) << result.err;
  }
}

TEST(Streams, FollowedEventsComeOneALineUntilTheDaemonEnds) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/events?limit=50", kEventsJson);
  const std::string event =
      R"({"seq":884,"t":"2026-11-21T14:03:00.000Z","event":"died","member":"gw-3","by":["gw-2"],)"
      R"("incarnation":{"boot_number":3,"counter":1},"detail":"\u001b[2J"})";
  daemon.AnswerStream("GET /v1/stream?since=884",
                      {"event: snapshot\ndata: {}\n\n: still here\n\nid: 884\neve",
                       "nt: event\ndata: " + event + "\n\n", "event: resync\ndata: {}\n\n"});
  const RunResult table = RunSotto({"--target", dir.File("s"), "events", "-f"});
  EXPECT_EQ(table.exit, 4);  // it ended; a script must not take that for the end of events
  EXPECT_TRUE(Has(table.out, "14:03:00.000  gw-3 died by gw-2: \\x1b[2J\n")) << table.out;
  EXPECT_TRUE(Has(table.err, "some events were not delivered")) << table.err;
  EXPECT_TRUE(Has(table.err, "error DAEMON_GONE")) << table.err;
  const RunResult lines = RunSotto({"--target", dir.File("s"), "events", "-f", "-o", "jsonl"});
  EXPECT_EQ(std::count(lines.out.begin(), lines.out.end(), '\n'), 5) << lines.out;
  const std::string last = lines.out.substr(lines.out.rfind('\n', lines.out.size() - 2) + 1);
  EXPECT_EQ(boost::json::parse(last), boost::json::parse(event));
}

TEST(Streams, WatchedMembersAreShownAnewWhenSomethingChanges) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/members", kMembersJson);
  const std::string change =
      R"(event: event)"
      "\n"
      R"(data: {"t":"2026-11-21T14:03:00.000Z","event":"died","member":"gw-3","by":[]})"
      "\n\n";
  daemon.AnswerStream("GET /v1/stream", {"event: snapshot\ndata: {}\n\n", change});
  const RunResult plain = RunSotto({"--target", dir.File("s"), "members", "-w"});
  EXPECT_EQ(plain.exit, 4);
  EXPECT_TRUE(Has(plain.out, "gw-2  ")) << plain.out;
  EXPECT_TRUE(Has(plain.out, "14:03:00.000  gw-3 died\n")) << plain.out;
  EXPECT_FALSE(Has(plain.out, "\x1b"));
  RunOptions terminal;
  terminal.out_is_terminal = true;
  const RunResult live = RunSotto({"--target", dir.File("s"), "members", "-w"}, terminal);
  EXPECT_EQ(live.out.rfind("\x1b[H\x1b[2J", 0), 0u) << live.out;
  const RunResult json = RunSotto({"--target", dir.File("s"), "members", "-w", "-o", "json"});
  EXPECT_EQ(boost::json::parse(json.out.substr(0, json.out.find('\n'))),
            boost::json::parse(kMembersJson));
}

std::string StatusWith(int alive, int agree, int known) {
  std::string text = kStatusJson;
  const auto put = [&](const std::string& before, const std::string& after) {
    text.replace(text.find(before), before.size(), after);
  };
  put("\"alive\":5", "\"alive\":" + std::to_string(alive));
  put("\"agree\":4,\"known\":4",
      "\"agree\":" + std::to_string(agree) + ",\"known\":" + std::to_string(known));
  return text;
}

TEST(Wait, EndsWhenAllIsAsAsked) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/status", StatusWith(1, 0, 0));
  daemon.Answer("GET /v1/status", StatusWith(3, 0, 2));
  daemon.Answer("GET /v1/status", StatusWith(3, 2, 2));
  daemon.Answer("GET /v1/keys/status?ask=1", kKeyStatusJson);
  const RunResult result = RunSotto(
      {"--target", dir.File("s"), "wait", "--members", "3", "--views-agree", "--key-agreed"});
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_TRUE(Has(result.out, "3 of 3 members alive, views agree 2 of 2")) << result.out;
  EXPECT_TRUE(Has(result.err, "waiting for 2 members to come alive")) << result.err;
  EXPECT_TRUE(Has(result.err, "waiting for all views to agree")) << result.err;
}

TEST(Wait, SaysAtItsDeadlineWhatIsMissing) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/status", StatusWith(3, 1, 2));
  const RunResult result = RunSotto({"--target", dir.File("s"), "wait", "--members", "5",
                                     "--views-agree", "--timeout", "400ms", "--progress", "json"});
  EXPECT_EQ(result.exit, 6);
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(Has(result.err, "error WAIT_DEADLINE")) << result.err;
  EXPECT_TRUE(Has(result.err, "still waiting for 2 members to come alive and all views to agree"))
      << result.err;
  EXPECT_TRUE(Has(result.err, "3 of 5 members alive, views agree 1 of 2")) << result.err;
  EXPECT_NO_THROW(boost::json::parse(result.err.substr(0, result.err.find('\n'))));
}

// Text that calls `then` once, when it first holds `phrase` and is flushed.
class Trigger : public std::stringbuf {
 public:
  Trigger(std::string phrase, std::function<void()> then)
      : phrase_(std::move(phrase)), then_(std::move(then)) {}

 protected:
  int sync() override {
    if (then_ && Has(str(), phrase_)) std::exchange(then_, nullptr)();
    return 0;
  }

 private:
  std::string phrase_;
  std::function<void()> then_;
};

TEST(Wait, OutlastsADaemonThatIsStillStarting) {
  TempDir dir;
  std::unique_ptr<FakeDaemon> daemon;
  Trigger text("waiting for sottod on " + dir.File("s"), [&] {
    daemon = std::make_unique<FakeDaemon>(dir.File("s"));
    daemon->Answer("GET /v1/status", StatusWith(3, 2, 2));
  });
  std::istringstream in;
  std::ostringstream out;
  std::ostream err(&text);
  cli::Streams streams;
  streams.in = &in;
  streams.out = &out;
  streams.err = &err;
  EXPECT_EQ(cli::RunCli({"--target", dir.File("s"), "wait", "--members", "3"}, streams), 0);
  EXPECT_NE(daemon, nullptr);
  const RunResult never =
      RunSotto({"--target", dir.File("none"), "wait", "--members", "3", "--timeout", "300ms"});
  EXPECT_EQ(never.exit, 6);
  EXPECT_TRUE(Has(never.err, "DAEMON_UNREACHABLE")) << never.err;
}

std::string KeysThatAgree(bool agreed) {
  std::string text = kKeyStatusJson;
  const std::string before = "\"key_agreed\":true";
  return text.replace(text.find(before), before.size(), agreed ? before : "\"key_agreed\":false");
}

TEST(Wait, ForOneKeyAsksAboutTheKeys) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/status", StatusWith(3, 2, 2));
  daemon.Answer("GET /v1/keys/status?ask=1", KeysThatAgree(false));
  daemon.Answer("GET /v1/keys/status?ask=1", Problem(503, "API_BUSY", ""), 503);
  daemon.Answer("GET /v1/keys/status?ask=1", KeysThatAgree(true));
  const RunResult result = RunSotto({"--target", dir.File("s"), "wait", "--key-agreed"});
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_TRUE(Has(result.err, "waiting for every living member to seal with the active key"));
  EXPECT_EQ(daemon.requests().size(), 6u);
  FakeDaemon never(dir.File("n"));
  never.Answer("GET /v1/status", StatusWith(3, 2, 2));
  never.Answer("GET /v1/keys/status?ask=1", KeysThatAgree(false));
  EXPECT_EQ(
      RunSotto({"--target", dir.File("n"), "wait", "--key-agreed", "--timeout", "300ms"}).exit, 6);
}

TEST(Wait, KeyTroubleIsNoAgreement) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/keys/status?ask=1", KeysThatAgree(true));
  std::string trouble = StatusWith(3, 2, 2);
  trouble.replace(trouble.find("CERT_ENDS_SOON"), 14, "KEY_TROUBLE");
  daemon.Answer("GET /v1/status", trouble);
  EXPECT_EQ(
      RunSotto({"--target", dir.File("s"), "wait", "--key-agreed", "--timeout", "300ms"}).exit, 6);
}

TEST(Output, QuietKeepsDataAndDropsTalk) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/tags", kTagsJson);
  daemon.Answer("POST /v1/leave", Envelope("leave", R"({"heard":true})"));
  EXPECT_EQ(RunSotto({"--target", dir.File("s"), "-q", "tags"}).out, "role=gateway\nzone=fra1-a\n");
  const RunResult leave = RunSotto({"--target", dir.File("s"), "-q", "--yes", "leave"});
  EXPECT_EQ(leave.exit, 0);
  EXPECT_EQ(leave.out + leave.err, "");
}

TEST(Output, AnAnswerThatCannotBeWrittenIsAnError) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/tags", kTagsJson);
  std::istringstream in;
  std::ofstream out("/dev/full");
  std::ostringstream err;
  cli::Streams streams;
  streams.in = &in;
  streams.out = &out;
  streams.err = &err;
  EXPECT_EQ(cli::RunCli({"--target", dir.File("s"), "tags"}, streams), 1);
  EXPECT_TRUE(Has(err.str(), "error OUTPUT_FAILED")) << err.str();
}

}  // namespace
}  // namespace sotto::testing
