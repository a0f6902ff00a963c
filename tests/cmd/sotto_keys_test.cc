// The verbs of `sotto keys` against a daemon that knows its lines: what they say to it, what they
// end with. How a rotation goes on step by step is in sotto_rotation_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cmd/sotto/cli.h"
#include "cmd/sotto/interrupt.h"
#include "tests/cmd/fake_daemon.h"
#include "tests/support/temp_dir.h"

namespace sotto::testing {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Envelope(const std::string& schema, const json::value& data) {
  return json::serialize(json::object{{"schema", "sotto." + schema + "/1"},
                                      {"observer", "gw-1"},
                                      {"as_of", "2026-11-21T14:02:11.120Z"},
                                      {"complete", true},
                                      {"data", data}});
}

std::string Problem(int status, const std::string& code, const std::string& detail) {
  return json::serialize(json::object{{"status", status},
                                      {"code", code},
                                      {"title", "t"},
                                      {"detail", detail},
                                      {"fix", "the page's own line"}});
}

struct Standing {
  int active = 12;
  int next = 0;
  int gw2_held = 12, gw2_sealing = 12;
  std::string store_code = {};
  bool automatic = false;
};

// Three members: gw-1 always as far as can be, gw-2 as told, gw-3 dead since long ago.
std::string StatusOf(const Standing& standing) {
  const auto key = [](int generation) {
    return json::object{{"generation", generation},
                        {"id", generation == 12 ? "9f3c-21aa" : "41d0-77be"}};
  };
  json::object active = key(standing.active);
  active["activated_at"] = "2026-11-21T13:00:00.000Z";
  json::value next;
  if (standing.next != 0) {
    json::object prepared = key(standing.next);
    prepared["automatic"] = standing.automatic;
    prepared["actor"] = "uid 0";
    prepared["created_at"] = "2026-11-21T14:02:00.000Z";
    prepared["kek"] = nullptr;
    next = prepared;
  }
  json::array retiring;
  if (standing.active == 13) {
    json::object old = key(12);
    old["retire_at"] = "2026-11-22T13:00:00.000Z";
    retiring.push_back(old);
  }
  const auto member = [](const char* name, const char* state, int held, int sealing) {
    const bool living = std::string(state) != "dead";
    return json::object{
        {"name", name},       {"state", state},
        {"living", living},   {"held", held},
        {"sealing", sealing}, {"trouble", nullptr},
        {"seen_s", 0.1},      {"in_store", true},
        {"answered", living}, {"key_drops", living ? json::value(0) : json::value()}};
  };
  const int newest = std::max(standing.active, standing.next);
  const bool down = !standing.store_code.empty();
  return Envelope(
      "key_status",
      json::object{
          {"cluster", "edge-prod"},
          {"store", json::object{{"url", "postgresql://db.internal/app"},
                                 {"ok", !down},
                                 {"code", down ? json::value(standing.store_code) : json::value()},
                                 {"message", down ? json::value("it is away") : json::value()}}},
          {"leader", "gw-1"},
          {"active", active},
          {"next", next},
          {"retiring", retiring},
          {"members", json::array{member("gw-1", "alive", newest, standing.active),
                                  member("gw-2", "alive", standing.gw2_held, standing.gw2_sealing),
                                  member("gw-3", "dead", 12, 12)}},
          {"next_rotation_at", nullptr},
          {"retire_after_s", 86400},
          {"blocked", nullptr},
          {"key_agreed", standing.gw2_sealing == standing.active}});
}

const char kAsk[] = "GET /v1/keys/status?ask=1";

std::string Prepared(bool resumed) {
  return Envelope("key_prepare",
                  json::object{{"generation", 13},
                               {"id", "41d0-77be"},
                               {"active", json::object{{"generation", 12}, {"id", "9f3c-21aa"}}},
                               {"kek", nullptr},
                               {"resumed", resumed}});
}

class Keys : public ::testing::Test {
 protected:
  Keys() : daemon_(std::make_unique<FakeDaemon>(dir_.File("s"))) {}

  RunResult Ask(std::vector<std::string> args, const RunOptions& options = {}) {
    args.insert(args.begin(), {"--target", "unix:" + dir_.File("s"), "keys"});
    return RunSotto(args, options);
  }

  // A daemon with which a rotation goes through at once.
  void AnswerARotation() {
    daemon_->Answer(kAsk, StatusOf({}));
    daemon_->Answer("POST /v1/keys/prepare", Prepared(false));
    daemon_->Answer(kAsk, StatusOf({.next = 13}));
    daemon_->Answer(kAsk, StatusOf({.next = 13, .gw2_held = 13}));
    daemon_->Answer("POST /v1/keys/activate",
                    Envelope("key_activate", json::object{{"generation", 13}}));
    daemon_->Answer(kAsk, StatusOf({.active = 13, .gw2_held = 13}));
    daemon_->Answer(kAsk, StatusOf({.active = 13, .gw2_held = 13, .gw2_sealing = 13}));
  }

  std::vector<std::pair<std::string, json::value>> Posts() const {
    std::vector<std::pair<std::string, json::value>> posts;
    for (const auto& request : daemon_->requests()) {
      if (request.line.rfind("POST ", 0) != 0) continue;
      posts.emplace_back(request.line.substr(5), json::parse(request.body));
    }
    return posts;
  }

  TempDir dir_;
  std::unique_ptr<FakeDaemon> daemon_;
};

TEST_F(Keys, RotateGoesThroughAllSteps) {
  AnswerARotation();
  const RunResult result = Ask({"rotate", "--retire-after", "1h", "--skip", "gw-3"});
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("Done in "));
  EXPECT_THAT(result.out, HasSubstr("gw-3 is absent: it takes generation 13 from its database"));
  EXPECT_THAT(result.err, HasSubstr("2/4 spread: 2 of 2 living members hold it, 1 absent"));
  EXPECT_THAT(result.err, HasSubstr("3/4 activate: all 2 now seal with generation 13"));
  EXPECT_THAT(result.err, HasSubstr("until 2026-11-22 13:00 UTC"));
  const auto posts = Posts();
  ASSERT_EQ(posts.size(), 2u);
  EXPECT_EQ(posts[0].first, "/v1/keys/prepare");
  EXPECT_EQ(posts[1].first, "/v1/keys/activate");
  EXPECT_EQ(posts[1].second,
            json::parse(R"({"generation":13,"skip":["gw-3"],"retire_after_s":3600})"));
}

TEST_F(Keys, RotateTellsProgramsInJson) {
  AnswerARotation();
  const RunResult result = Ask({"rotate", "-o", "json", "--progress", "json"});
  EXPECT_EQ(result.exit, 0) << result.err;
  const json::value envelope = json::parse(result.out);
  EXPECT_EQ(envelope.at("schema").as_string(), "sotto.key_rotation/1");
  EXPECT_EQ(envelope.at("data").at("absent"), json::parse(R"(["gw-3"])"));
  EXPECT_EQ(envelope.at("data").at("key_drops_members").to_number<int>(), 2);
  std::istringstream lines(result.err);
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_NO_THROW(json::parse(line)) << line;
    last = line;
  }
  EXPECT_EQ(json::parse(last).at("result").as_string(), "ok");
}

TEST_F(Keys, RotateSaysNothingWhenQuiet) {
  AnswerARotation();
  const RunResult result = Ask({"-q", "rotate"});
  EXPECT_EQ(result.exit, 0);
  EXPECT_EQ(result.out + result.err, "");
}

TEST_F(Keys, AStalledRotationIsExit3) {
  daemon_->Answer(kAsk, StatusOf({.next = 13}));
  daemon_->Answer("POST /v1/keys/prepare", Prepared(true));
  const RunResult result = Ask({"rotate", "--timeout", "600ms"});
  EXPECT_EQ(result.exit, 3);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("error KEY_SPREAD_STALLED: gw-2 did not take generation 13"));
  EXPECT_THAT(result.err, HasSubstr("\n  state   nothing was activated"));
  EXPECT_EQ(Posts().size(), 1u);
}

// Sends itself a signal once `sign` was written.
class Trigger : public std::stringbuf {
 public:
  Trigger(int signal, std::string sign) : signal_(signal), sign_(std::move(sign)) {}

 protected:
  int sync() override {
    if (signal_ != 0 && str().find(sign_) != std::string::npos) {
      kill(getpid(), std::exchange(signal_, 0));
    }
    return 0;
  }

 private:
  int signal_;
  const std::string sign_;
};

RunResult RunUntilSignal(const std::vector<std::string>& args, int signal, std::string sign) {
  Trigger text(signal, std::move(sign));
  std::istringstream in;
  std::ostringstream out;
  std::ostream err(&text);
  cli::Streams streams;
  streams.in = &in;
  streams.out = &out;
  streams.err = &err;
  RunResult result;
  result.exit = cli::RunCli(args, streams);
  result.out = out.str();
  result.err = text.str();
  return result;
}

TEST_F(Keys, CtrlCSaysHowToGoOn) {
  daemon_->Answer(kAsk, StatusOf({.next = 13}));
  daemon_->Answer("POST /v1/keys/prepare", Prepared(true));
  for (const int signal : {SIGINT, SIGTERM}) {
    const RunResult rotate =
        RunUntilSignal({"--target", dir_.File("s"), "keys", "rotate"}, signal, "gw-2  waiting");
    EXPECT_EQ(rotate.exit, 3);
    EXPECT_THAT(rotate.err, HasSubstr("error INTERRUPTED: stopped at 2/4"));
    EXPECT_THAT(rotate.err, HasSubstr("`sotto keys rotate` again: it resumes at 2/4"));
    EXPECT_THAT(rotate.err, HasSubstr("`sotto keys remove 13` to give the new key up"));
    const RunResult wait = RunUntilSignal({"--target", dir_.File("s"), "keys", "status", "--wait"},
                                          signal, "waiting for gw-2");
    EXPECT_EQ(wait.exit, 3);
    EXPECT_EQ(wait.out, "");
    EXPECT_THAT(wait.err, HasSubstr("error INTERRUPTED: stopped after"));
    EXPECT_THAT(wait.err, HasSubstr("still waiting for gw-2 to take generation 13"));
  }
}

TEST(Interrupt, CatchesTheFirstSignalAndLeavesTheSecond) {
  struct sigaction ours {};
  sigaction(SIGINT, nullptr, &ours);
  {
    cli::Interrupt interrupt;
    EXPECT_FALSE(interrupt.raised());
    EXPECT_TRUE(interrupt.Sleep(0.001));
    raise(SIGINT);
    EXPECT_TRUE(interrupt.raised());
    EXPECT_FALSE(interrupt.Sleep(60));
    struct sigaction after {};
    sigaction(SIGINT, nullptr, &after);
    EXPECT_EQ(after.sa_handler, SIG_DFL) << "the second one ends the process";
  }
  struct sigaction restored {};
  sigaction(SIGINT, nullptr, &restored);
  EXPECT_EQ(restored.sa_handler, ours.sa_handler);
  signal(SIGTERM, SIG_IGN);
  {
    cli::Interrupt interrupt;
    raise(SIGTERM);
    EXPECT_FALSE(interrupt.raised()) << "whoever started us wants it ignored";
  }
  signal(SIGTERM, SIG_DFL);
}

TEST_F(Keys, ADaemonThatGoesAwayInTheMiddleIsExit3) {
  // Its answers are gone once the key is prepared.
  daemon_->Answer(kAsk, StatusOf({}));
  daemon_->Answer("POST /v1/keys/prepare", Prepared(false));
  daemon_->AnswerRaw(kAsk, "");
  const RunResult result = Ask({"rotate"});
  EXPECT_EQ(result.exit, 3);
  EXPECT_THAT(result.err, HasSubstr("error DAEMON_GONE"));
  EXPECT_THAT(result.err, HasSubstr("generation 13 waits as PREPARED"));
  EXPECT_THAT(result.err, HasSubstr("it resumes at 2/4"));
}

TEST_F(Keys, ADaemonThatIsNotThereIsExit4) {
  for (const char* verb : {"ls", "status", "rotate", "prepare", "verify", "history"}) {
    const RunResult result = RunSotto({"--target", dir_.File("none"), "keys", verb});
    EXPECT_EQ(result.exit, 4) << verb;
    EXPECT_THAT(result.err, HasSubstr("error DAEMON_UNREACHABLE")) << verb;
  }
}

TEST_F(Keys, RefusalsAreExit5) {
  const std::pair<int, const char*> rows[] = {{409, "STORE_NOT_SHARED"}, {429, "KEY_RING_FULL"},
                                              {409, "KEY_ROLLBACK"},     {409, "STORE_MOVED"},
                                              {409, "KEY_STATE"},        {409, "KEY_RETURNS"}};
  for (const auto& [status, code] : rows) {
    FakeDaemon daemon(dir_.File("r"));
    daemon.Answer(kAsk, StatusOf({}));
    daemon.Answer("POST /v1/keys/prepare", Problem(status, code, "because"), status);
    for (const char* verb : {"rotate", "prepare"}) {
      const RunResult result = RunSotto({"--target", dir_.File("r"), "keys", verb});
      EXPECT_EQ(result.exit, 5) << code;
      EXPECT_THAT(result.err, HasSubstr(std::string("refused ") + code + ": because\n"));
    }
  }
  // Not refused: somebody else wrote at that moment.
  daemon_->Answer("POST /v1/keys/prepare", Problem(409, "ROW_CHANGED", "because"), 409);
  EXPECT_EQ(Ask({"prepare"}).exit, 75);
}

TEST_F(Keys, PrepareNamesTheKeyAndTheNextStep) {
  daemon_->Answer("POST /v1/keys/prepare", Prepared(false));
  daemon_->Answer("POST /v1/keys/prepare", Prepared(true));
  const RunResult fresh = Ask({"prepare"});
  EXPECT_EQ(fresh.exit, 0);
  EXPECT_EQ(fresh.out, "generation 13 (fp 41d0-77be) is PREPARED\n");
  EXPECT_THAT(fresh.err, HasSubstr("sotto keys activate 13"));
  EXPECT_EQ(Ask({"prepare"}).out, "generation 13 (fp 41d0-77be) was PREPARED before\n");
}

TEST_F(Keys, ActivateIsSaidAsItWasAsked) {
  daemon_->Answer("POST /v1/keys/activate",
                  Envelope("key_activate", json::object{{"generation", 13}}));
  EXPECT_EQ(Ask({"activate", "13"}).exit, 0);
  EXPECT_EQ(Ask({"activate", "13", "--skip", "gw-2", "--skip", "gw-3", "--retire-after", "0"}).exit,
            0);
  const auto posts = Posts();
  ASSERT_EQ(posts.size(), 2u);
  EXPECT_EQ(posts[0].second, json::parse(R"({"generation":13})"));
  EXPECT_EQ(posts[1].second,
            json::parse(R"({"generation":13,"skip":["gw-2","gw-3"],"retire_after_s":0})"));
}

TEST_F(Keys, ARefusedActivationNamesWhomToWaitFor) {
  daemon_->Answer("POST /v1/keys/activate",
                  Problem(409, "KEY_NOT_SPREAD", "generation 13 is not held by gw-2"), 409);
  daemon_->Answer("GET /v1/keys/status", StatusOf({.next = 13}));
  const RunResult result = Ask({"activate", "13"});
  EXPECT_EQ(result.exit, 5);
  EXPECT_THAT(result.err, HasSubstr("refused KEY_NOT_SPREAD: generation 13 is not held by gw-2\n"));
  EXPECT_THAT(result.err, HasSubstr("  do      wait for them: sotto keys status --wait"));
  EXPECT_THAT(result.err, HasSubstr("sotto keys activate 13 --skip gw-2\n"));
  EXPECT_THAT(result.err, Not(HasSubstr("the page's own line")));
}

TEST_F(Keys, RemoveIsSaidAsItWasAsked) {
  daemon_->Answer("POST /v1/keys/remove", Envelope("key_remove", json::object{{"generation", 12}}));
  EXPECT_EQ(Ask({"remove", "12"}).exit, 0);
  EXPECT_EQ(Ask({"remove", "12", "--yes-lock-out", "gw-3"}).exit, 0);
  const auto posts = Posts();
  ASSERT_EQ(posts.size(), 2u);
  EXPECT_EQ(posts[0].second, json::parse(R"({"generation":12})"));
  EXPECT_EQ(posts[1].second, json::parse(R"({"generation":12,"lock_out":["gw-3"]})"));
}

TEST_F(Keys, ConsentToALockOutDoesNotLieInTheEnvironment) {
  daemon_->Answer("POST /v1/keys/remove", Envelope("key_remove", json::object{{"generation", 12}}));
  setenv("SOTTO_YES_LOCK_OUT", "gw-3", 1);
  EXPECT_EQ(Ask({"remove", "12"}).exit, 0);
  unsetenv("SOTTO_YES_LOCK_OUT");
  EXPECT_EQ(Posts().front().second, json::parse(R"({"generation":12})"));
}

TEST_F(Keys, ARefusedRemovalNamesWhoNeedsIt) {
  daemon_->Answer(
      "POST /v1/keys/remove",
      Problem(409, "KEY_STILL_NEEDED", "gw-3 seals with nothing newer than generation 12"), 409);
  daemon_->Answer("GET /v1/keys/status",
                  StatusOf({.active = 13, .gw2_held = 13, .gw2_sealing = 13}));
  const RunResult result = Ask({"remove", "12"});
  EXPECT_EQ(result.exit, 5);
  EXPECT_THAT(result.err, HasSubstr("refused KEY_STILL_NEEDED: gw-3 seals with"));
  EXPECT_THAT(result.err, HasSubstr("  do      bring gw-3 back first, or `sotto forget gw-3`, or "
                                    "add `--yes-lock-out gw-3`\n"));
  // Who holds the new key and does not seal with it needs the old one as well.
  FakeDaemon lagging(dir_.File("l"));
  lagging.Answer("POST /v1/keys/remove", Problem(409, "KEY_STILL_NEEDED", "two of them"), 409);
  lagging.Answer("GET /v1/keys/status",
                 StatusOf({.active = 13, .gw2_held = 13, .gw2_sealing = 12}));
  EXPECT_THAT(RunSotto({"--target", dir_.File("l"), "keys", "remove", "12"}).err,
              HasSubstr("  do      bring gw-2 and gw-3 back first, or `sotto forget gw-2`, "
                        "`sotto forget gw-3`, or add `--yes-lock-out gw-2 --yes-lock-out gw-3`\n"));
  // Without an answer about the members the page's own line stands.
  FakeDaemon silent(dir_.File("q"));
  silent.Answer("POST /v1/keys/remove", Problem(409, "KEY_STILL_NEEDED", "gw-3 needs it"), 409);
  EXPECT_THAT(RunSotto({"--target", dir_.File("q"), "keys", "remove", "12"}).err,
              HasSubstr("the page's own line"));
}

TEST_F(Keys, StatusWaitsUntilNothingIsUnderWay) {
  daemon_->Answer(kAsk, StatusOf({.next = 13, .automatic = true}));
  daemon_->Answer(kAsk, StatusOf({.next = 13, .gw2_held = 13, .automatic = true}));
  daemon_->Answer(kAsk, StatusOf({.active = 13, .gw2_held = 13}));
  daemon_->Answer(kAsk, StatusOf({.active = 13, .gw2_held = 13, .store_code = "DB_REFUSED"}));
  daemon_->Answer(kAsk, StatusOf({.active = 13, .gw2_held = 13, .gw2_sealing = 13}));
  const RunResult result = Ask({"status", "--wait"});
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("waiting for gw-2 to take generation 13"));
  EXPECT_THAT(result.err, HasSubstr("waiting for generation 13 to be activated"));
  EXPECT_THAT(result.err, HasSubstr("waiting for gw-2 to seal with generation 13"));
  EXPECT_THAT(result.err, HasSubstr("the daemon's database (DB_REFUSED)"));
  EXPECT_THAT(result.out, HasSubstr("2 of 2 living members seal with it"));
}

TEST_F(Keys, AKeyThatWaitsForAnOperatorIsNotWaitedFor) {
  daemon_->Answer(kAsk, StatusOf({.next = 13, .gw2_held = 13}));
  EXPECT_EQ(Ask({"status", "--wait"}).exit, 0);
}

TEST_F(Keys, StatusSaysAtItsDeadlineWhoIsMissing) {
  daemon_->Answer(kAsk, StatusOf({.next = 13}));
  const RunResult result = Ask({"status", "--wait", "--timeout", "300ms"});
  EXPECT_EQ(result.exit, 6);
  EXPECT_THAT(result.err, HasSubstr("error WAIT_DEADLINE"));
  EXPECT_THAT(result.err, HasSubstr("still waiting for gw-2 to take generation 13"));
}

TEST_F(Keys, AnAnswerWithoutTheDatabaseIsSaidToBeIncomplete) {
  std::string partial = kKeysJson;
  partial.replace(partial.find("\"complete\":true"), 15, "\"complete\":false");
  daemon_->Answer("GET /v1/keys?ask=1", partial);
  const RunResult result = Ask({"ls"});
  EXPECT_EQ(result.exit, 3);
  EXPECT_THAT(result.err, HasSubstr("not complete"));
}

TEST_F(Keys, RemovedOnesAreShownWhenAsked) {
  daemon_->Answer("GET /v1/keys?ask=1&removed=1", kKeysJson);
  EXPECT_EQ(Ask({"ls", "--removed"}).exit, 0);
}

TEST_F(Keys, RepairIsAskedForByName) {
  std::string good = kKeyVerifyJson;
  good.replace(good.find("\"ok\":false"), 10, "\"ok\":true");
  daemon_->Answer("POST /v1/keys/verify", kKeyVerifyJson);
  daemon_->Answer("POST /v1/keys/verify", good);
  const RunResult fault = Ask({"verify"});
  EXPECT_EQ(fault.exit, 1);
  EXPECT_THAT(fault.out, HasSubstr("sotto keys verify --repair"));
  EXPECT_EQ(Ask({"verify", "--repair"}).exit, 0);
  const auto posts = Posts();
  ASSERT_EQ(posts.size(), 2u);
  EXPECT_EQ(posts[0].second, json::parse(R"({"repair":false})"));
  EXPECT_EQ(posts[1].second, json::parse(R"({"repair":true})"));
}

}  // namespace
}  // namespace sotto::testing
