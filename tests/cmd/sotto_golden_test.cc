// Every verb about a running daemon, in every form of -o, against the files in golden/.
// After a change that is meant: SOTTO_UPDATE_GOLDEN=<folder of the source tree> and read the diff.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cmd/api_schema.h"
#include "tests/cmd/fake_daemon.h"
#include "tests/support/temp_dir.h"

namespace sotto::testing {
namespace {

std::string ReadGolden(const std::string& name) {
  std::ifstream file("tests/cmd/golden/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void ExpectGolden(const std::string& name, const std::string& text) {
  const char* update = std::getenv("SOTTO_UPDATE_GOLDEN");
  if (update != nullptr) {
    std::ofstream(std::string(update) + "/" + name) << text;
    return;
  }
  EXPECT_EQ(text, ReadGolden(name)) << name;
}

class Golden : public ::testing::Test {
 protected:
  Golden() : daemon_(dir_.File("s")) {
    daemon_.Answer("GET /v1/status", kStatusJson);
    daemon_.Answer("GET /v1/members", kMembersJson);
    daemon_.Answer("GET /v1/members?all=1", kMembersJson);
    daemon_.Answer("GET /v1/members/gw-3", kMemberJson);
    daemon_.Answer("GET /v1/events?limit=50", kEventsJson);
    daemon_.Answer("GET /v1/events?limit=10000", kEventsJson);
    daemon_.Answer("GET /v1/events?limit=5", kEventsJson);
    daemon_.Answer("GET /v1/ping/gw-2?timeout_s=2.000000", kPingJson);
    daemon_.Answer("GET /v1/rtt?a=gw-2&b=gw-3", kRttJson);
    daemon_.Answer("POST /v1/event", kEventSentJson);
    daemon_.Answer("GET /v1/reach?timeout_s=5.000000", kReachJson);
    daemon_.Answer("GET /v1/keys?ask=1", kKeysJson);
    daemon_.Answer("GET /v1/keys/status?ask=1", kKeyStatusJson);
    daemon_.Answer("GET /v1/keys/history?limit=50", kKeyHistoryJson);
    daemon_.Answer("POST /v1/keys/verify", kKeyVerifyJson);
    daemon_.Answer("GET /v1/tags", kTagsJson);
    daemon_.Answer("GET /v1/certs", kCertsJson);
  }

  RunResult Ask(std::vector<std::string> args, const RunOptions& options = {}) {
    args.insert(args.begin(), {"--target", "unix:" + dir_.File("s")});
    return RunSotto(args, options);
  }

  TempDir dir_;
  FakeDaemon daemon_;
};

TEST_F(Golden, TheRecordedAnswersAreAsTheApiPromises) {
  for (const char* text : {kStatusJson, kMembersJson, kMemberJson, kEventsJson, kKeysJson,
                           kTagsJson, kCertsJson, kPingJson, kRttJson, kEventSentJson, kReachJson,
                           kKeyStatusJson, kKeyHistoryJson, kKeyVerifyJson}) {
    EXPECT_EQ(CheckAnswer(text), "") << text;
  }
}

TEST_F(Golden, EveryVerbInEveryForm) {
  const std::pair<const char*, std::vector<std::string>> verbs[] = {
      {"status", {"status"}},
      {"members", {"members"}},
      {"member", {"members", "show", "gw-3"}},
      {"events", {"events"}},
      {"ping", {"ping", "gw-2"}},
      {"rtt", {"rtt", "gw-2", "gw-3"}},
      {"event", {"event", "deploy", "v7"}},
      {"keys", {"keys", "ls"}},
      {"keys_status", {"keys", "status"}},
      {"keys_history", {"keys", "history"}},
      {"tags", {"tags"}},
      {"certs", {"certs", "ls", "--running"}},
  };
  for (const auto& [name, words] : verbs) {
    for (const char* format : {"table", "wide", "json", "jsonl", "tsv"}) {
      std::vector<std::string> args = words;
      args.insert(args.end(), {"-o", format});
      const RunResult result = Ask(args);
      EXPECT_EQ(result.exit, 0) << name << " " << format << result.err;
      EXPECT_EQ(result.err, "") << name << " " << format;
      ExpectGolden(std::string(name) + "." + format + ".txt", result.out);
    }
  }
}

TEST_F(Golden, AFaultInTheKeysIsExit1) {
  for (const char* format : {"table", "wide", "json", "jsonl", "tsv"}) {
    const RunResult result = Ask({"keys", "verify", "-o", format});
    EXPECT_EQ(result.exit, 1) << format << result.err;
    ExpectGolden(std::string("keys_verify.") + format + ".txt", result.out);
  }
}

TEST_F(Golden, WhatARotationWouldDo) {
  for (const char* format : {"table", "jsonl", "tsv"}) {
    const RunResult result =
        Ask({"keys", "rotate", "--dry-run", "--skip", "gw-4", "--now", "-o", format});
    EXPECT_EQ(result.exit, 0) << format << result.err;
    ExpectGolden(std::string("keys_dry_run.") + format + ".txt", result.out);
  }
  for (const auto& request : daemon_.requests()) EXPECT_EQ(request.line.rfind("GET ", 0), 0u);
}

TEST_F(Golden, ReachIsAMatrixAndExitsWith1OnAFault) {
  for (const char* format : {"table", "json", "jsonl", "tsv"}) {
    const RunResult result = Ask({"reach", "-o", format});
    EXPECT_EQ(result.exit, 1) << format << result.err;
    ExpectGolden(std::string("reach.") + format + ".txt", result.out);
  }
}

TEST_F(Golden, TopIsOneLookWhereThereIsNoTerminal) {
  const RunResult result = Ask({"top"});
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_NE(result.err.find("no terminal"), std::string::npos);
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos);
  ExpectGolden("top.table.txt", result.out);
}

std::string Piece(const std::string& word, const std::string& data) {
  return "event: " + word + "\ndata: " + data + "\n\n";
}

std::string Reply(const std::string& from, bool ack, const std::string& payload) {
  return Piece("reply", "{\"from\":\"" + from + "\",\"ack\":" + (ack ? "true" : "false") +
                            ",\"payload\":\"" + payload + "\",\"payload_base64\":\"\"}");
}

std::string Summary(int expected, int acked, int answered, const std::string& silent) {
  return Piece("summary",
               R"({"schema":"sotto.query/1","observer":"gw-1","as_of":"2026-11-21T14:02:11.120Z",)"
               R"("complete":)" +
                   std::string(silent.empty() ? "true" : "false") +
                   R"(,"data":{"name":"load","expected":)" + std::to_string(expected) +
                   ",\"acked\":" + std::to_string(acked) +
                   ",\"answered\":" + std::to_string(answered) + ",\"silent\":[" + silent +
                   "],\"timed_out\":" + (silent.empty() ? "false" : "true") + "}}");
}

TEST_F(Golden, AQueryPrintsAnswersAndSaysWhoWasSilent) {
  daemon_.AnswerStream("POST /v1/query", {Reply("gw-2", true, ""),
                                          Reply("gw-2", false, "0.31\\n") + ": still here\n\n",
                                          Reply("gw-1", false, ""), Summary(3, 2, 2, "\"gw-3\"")});
  for (const char* format : {"table", "wide", "json", "jsonl", "tsv"}) {
    const RunResult result = Ask({"query", "load", "-o", format});
    EXPECT_EQ(result.exit, 3) << format << result.err;
    ExpectGolden(std::string("query.") + format + ".txt", result.out + "----\n" + result.err);
  }
  const RunResult filtered =
      Ask({"query", "load", "now", "--node", "gw-*", "--node", "db-1", "--tag", "zone=a*",
           "--relay", "2", "--no-ack", "--timeout", "7s"});
  EXPECT_EQ(daemon_.requests().back().body,
            R"({"name":"load","names":["gw-*","db-1"],"tags":{"zone":"a*"},"acks":false,)"
            R"("relays":2,"timeout_s":7,"payload":"now"})");
  EXPECT_EQ(Ask({"query", "load", "--tag", "zone"}).exit, 2);
  EXPECT_EQ(Ask({"query", "load", "--relay", "6"}).exit, 2);
}

TEST_F(Golden, AQueryThatNobodyHasAnythingToSayToIsTold) {
  FakeDaemon daemon(dir_.File("q"));
  daemon.AnswerStream("POST /v1/query", {Reply("gw-1", false, ""), Summary(1, 1, 1, "")});
  const RunResult result = RunSotto({"--target", dir_.File("q"), "query", "laod"});
  EXPECT_EQ(result.exit, 0);
  EXPECT_NE(result.err.find("no handler knows"), std::string::npos) << result.err;
  daemon.AnswerStream("POST /v1/query", {Reply("gw-1", false, "0.31"), Summary(1, 1, 1, "")});
  const RunResult said = RunSotto({"--target", dir_.File("q"), "query", "load"});
  EXPECT_EQ(said.err.find("no handler knows"), std::string::npos) << said.err;
}

TEST_F(Golden, AQueryEndsWithTheCodeOfItsOutcome) {
  struct {
    std::string summary;
    int exit;
  } const rows[] = {{Summary(2, 2, 2, ""), 0},
                    {Summary(2, 1, 1, "\"gw-3\""), 3},
                    {Summary(2, 1, 0, "\"gw-3\""), 6},
                    {Summary(0, 0, 0, ""), 6}};
  for (const auto& row : rows) {
    FakeDaemon daemon(dir_.File("q"));
    daemon.AnswerStream("POST /v1/query", {row.summary});
    const RunResult result = RunSotto({"--target", dir_.File("q"), "query", "load"});
    EXPECT_EQ(result.exit, row.exit) << row.summary << result.err;
    EXPECT_EQ(row.exit == 6, result.err.find("QUERY_UNANSWERED") != std::string::npos);
  }
}

TEST_F(Golden, WhatIsSaidComesFromAWordAFileOrStandardInput) {
  const auto sent = [&](const std::vector<std::string>& args, const std::string& in = "") {
    RunOptions options;
    options.in = in;
    EXPECT_EQ(Ask(args, options).exit, 0);
    return daemon_.requests().back().body;
  };
  EXPECT_EQ(sent({"event", "deploy", "v7"}), R"({"name":"deploy","coalesce":true,"payload":"v7"})");
  EXPECT_EQ(sent({"event", "deploy", "--no-coalesce"}),
            R"({"name":"deploy","coalesce":false,"payload":""})");
  EXPECT_EQ(sent({"event", "deploy", "-"}, "two\nlines\n"),
            R"({"name":"deploy","coalesce":true,"payload":"two\nlines\n"})");
  std::ofstream(dir_.File("bytes")) << std::string("\0\xff", 2);
  EXPECT_EQ(sent({"event", "deploy", "--file", dir_.File("bytes")}),
            R"({"name":"deploy","coalesce":true,"payload_base64":"AP8="})");
  EXPECT_EQ(Ask({"event", "deploy", "v7", "--file", dir_.File("bytes")}).exit, 2);
  RunOptions much;
  much.in.assign(20'000, 'x');
  const RunResult result = Ask({"event", "deploy", "-"}, much);
  EXPECT_NE(result.err.find("PAYLOAD_TOO_LONG"), std::string::npos) << result.err;
}

TEST_F(Golden, PingTellsWhatGetsThrough) {
  const auto ping = [&](const std::string& udp, const std::string& tcp) {
    FakeDaemon daemon(dir_.File("p"));
    daemon.Answer(
        "GET /v1/ping/gw-2?timeout_s=2.000000",
        R"({"schema":"sotto.ping/1","observer":"gw-1","as_of":)"
        R"("2026-11-21T14:02:11.120Z","complete":false,"data":{"member":"gw-2","udp_s":)" +
            udp + ",\"tcp_s\":" + tcp + "}}");
    return RunSotto({"--target", dir_.File("p"), "ping", "gw-2"});
  };
  EXPECT_EQ(ping("0.1", "0.2").exit, 0);
  const RunResult tcp = ping("null", "0.2");
  EXPECT_EQ(tcp.exit, 3);
  EXPECT_NE(tcp.err.find("is UDP blocked?"), std::string::npos);
  EXPECT_EQ(ping("0.1", "null").exit, 3);
  const RunResult none = ping("null", "null");
  EXPECT_EQ(none.exit, 6);
  EXPECT_NE(none.err.find("PING_UNANSWERED"), std::string::npos);
  const RunResult three = Ask({"ping", "gw-2", "-c", "3", "--interval", "1ms"});
  EXPECT_EQ(three.exit, 0);
  EXPECT_NE(three.out.find("udp 3 of 3, 0.4ms to 0.4ms, mean 0.4ms"), std::string::npos)
      << three.out;
}

TEST_F(Golden, ManyPingsAreOneDocumentInJsonAndALineEachElsewhere) {
  const auto answer = [](const std::string& udp, const std::string& tcp) {
    return R"({"schema":"sotto.ping/1","observer":"gw-1","as_of":"2026-11-21T14:02:11.120Z",)"
           R"("complete":true,"data":{"member":"gw-2","udp_s":)" +
           udp + ",\"tcp_s\":" + tcp + "}}";
  };
  const char kCall[] = "GET /v1/ping/gw-2?timeout_s=2.000000";
  const auto ping = [&](const std::vector<std::string>& answers, const char* format,
                        int last_status = 200) {
    FakeDaemon daemon(dir_.File("p"));
    for (size_t i = 0; i < answers.size(); ++i) {
      daemon.Answer(kCall, answers[i], i + 1 == answers.size() ? last_status : 200);
    }
    return RunSotto(
        {"--target", dir_.File("p"), "ping", "gw-2", "-c", "3", "--interval", "1ms", "-o", format});
  };
  for (const char* format : {"json", "jsonl", "tsv", "table"}) {
    const RunResult some =
        ping({answer("0.001", "null"), answer("0.003", "null"), answer("null", "null")}, format);
    EXPECT_EQ(some.exit, 3) << some.err;
    ExpectGolden(std::string("pings.") + format + ".txt", some.out);
  }
  const RunResult none = ping({answer("null", "null")}, "json");
  EXPECT_EQ(none.exit, 6) << none.err;
  ExpectGolden("pings_none.json.txt", none.out);
  // What was answered before the daemon went is told.
  const RunResult broken = ping(
      {answer("0.001", "0.002"), R"({"status":503,"code":"API_BUSY","title":"t","detail":"d"})"},
      "json", 503);
  EXPECT_EQ(broken.exit, 75) << broken.err;
  EXPECT_NE(broken.out.find("\"sent\": 1,"), std::string::npos) << broken.out;
  EXPECT_NE(broken.out.find("\"complete\": false"), std::string::npos) << broken.out;
}

TEST_F(Golden, WatchTellsHowThingsStandAndThenWhatChanges) {
  const std::string deploy =
      R"({"seq":883,"t":"2026-11-21T14:02:12.000Z","event":"user_event","member":"gw-2","by":[],)"
      R"("incarnation":{"boot_number":0,"counter":0},"detail":"","name":"deploy",)"
      R"("payload":"v7\u001b[31m","payload_base64":"","lamport":4,"replayed":true})";
  const std::string died =
      R"({"seq":884,"t":"2026-11-21T14:02:13.000Z","event":"died","member":"gw-3","by":["gw-2"],)"
      R"("incarnation":{"boot_number":3,"counter":1},"detail":"gw-2: its ping was not answered"})";
  std::string snapshot = kMembersJson;
  std::erase(snapshot, '\n');
  daemon_.AnswerStream("GET /v1/stream",
                       {Piece("snapshot", snapshot), Piece("event", deploy), Piece("event", died)});
  for (const char* format : {"table", "jsonl", "tsv"}) {
    const RunResult result = Ask({"watch", "-c", "2", "-o", format});
    EXPECT_EQ(result.exit, 0) << result.err;
    ExpectGolden(std::string("watch.") + format + ".txt", result.out);
  }
  const RunResult only = Ask({"watch", "--only", "died,left", "-c", "1"});
  EXPECT_EQ(only.out.find("deploy"), std::string::npos);
  EXPECT_NE(only.out.find("gw-3 died by gw-2"), std::string::npos);
  const RunResult wrong = Ask({"watch", "--only", "dyed"});
  EXPECT_EQ(wrong.exit, 2);
  EXPECT_NE(wrong.err.find("did you mean \"died\"?"), std::string::npos) << wrong.err;
}

TEST_F(Golden, JsonIsTheDaemonsAnswerUnchanged) {
  const RunResult result = Ask({"members", "-o", "json"});
  EXPECT_EQ(boost::json::parse(result.out), boost::json::parse(kMembersJson));
  EXPECT_EQ(CheckAnswer(result.out), "");
}

TEST_F(Golden, NothingForeignReachesTheTerminalUnescaped) {
  for (const char* format : {"table", "wide", "json", "jsonl", "tsv"}) {
    RunOptions options;
    options.out_is_terminal = true;
    options.columns = 200;
    const RunResult result = Ask({"--color", "never", "members", "-o", format}, options);
    EXPECT_EQ(result.out.find('\x1b'), std::string::npos) << format;
    EXPECT_EQ(result.out.find("\xc2\x9b"), std::string::npos) << format;
    EXPECT_EQ(result.out.find("\xe2\x80\xae"), std::string::npos) << format;
    EXPECT_NE(result.out.find("red"), std::string::npos) << format;
  }
}

TEST_F(Golden, ColorsOnlyWhereTheyAreWanted) {
  unsetenv("NO_COLOR");
  setenv("TERM", "xterm", 1);
  RunOptions terminal;
  terminal.out_is_terminal = true;
  EXPECT_NE(Ask({"status"}, terminal).out.find("\x1b["), std::string::npos);
  EXPECT_EQ(Ask({"status"}).out.find("\x1b["), std::string::npos);
  EXPECT_NE(Ask({"--color", "always", "status"}).out.find("\x1b["), std::string::npos);
  setenv("NO_COLOR", "1", 1);
  EXPECT_EQ(Ask({"status"}, terminal).out.find("\x1b["), std::string::npos);
  unsetenv("NO_COLOR");
}

TEST_F(Golden, NarrowTerminalsCutTagsAndNothingElse) {
  RunOptions terminal;
  terminal.out_is_terminal = true;
  terminal.columns = 70;
  const RunResult result = Ask({"--color", "never", "members", "--filter", "name=gw-2"}, terminal);
  EXPECT_NE(result.out.find("10.0.3.12:7950,[fd00::12]:7950"), std::string::npos) << result.out;
  const std::string row = result.out.substr(result.out.find("gw-2"));
  EXPECT_LE(row.find('\n'), 70u) << row;
}

TEST_F(Golden, FiltersAndColumns) {
  EXPECT_EQ(Ask({"members", "--filter", "state=suspect,dead", "-o", "tsv", "--columns",
                 "node,state", "--no-headers"})
                .out,
            "gw-3\tsuspect\ngw-4\tdead\n");
  EXPECT_EQ(Ask({"members", "--filter", "tag.zone=fra1-a", "--filter", "state=alive", "-o", "tsv",
                 "--columns", "node,rtt"})
                .out,
            "node\trtt\ngw-2\t0.0004\n");
  const RunResult state = Ask({"members", "--filter", "state=ded"});
  EXPECT_EQ(state.exit, 2);
  EXPECT_NE(state.err.find("did you mean \"dead\"?"), std::string::npos) << state.err;
  const RunResult filter = Ask({"members", "--filter", "color=red"});
  EXPECT_EQ(filter.exit, 2);
  const RunResult column = Ask({"members", "--columns", "node,sate"});
  EXPECT_EQ(column.exit, 2);
  EXPECT_NE(column.err.find("did you mean \"state\"?"), std::string::npos) << column.err;
  EXPECT_EQ(column.out, "");
}

TEST_F(Golden, EventsByAgeAndByNumber) {
  EXPECT_EQ(Ask({"events", "--since", "10m", "-o", "tsv", "--no-headers"}).out,
            "881\t2026-11-21T13:58:02.114Z\tsuspected\tgw-3\tgw-2,gw-5\t\n"
            "882\t2026-11-21T13:58:02.590Z\trefuted\tgw-3\t\tit answered\n"
            "883\t2026-11-21T14:00:00.000Z\tuser_event\tgw-2\t\tdeploy \"v7\"\n");
  daemon_.Answer("GET /v1/events?since=882&limit=1000",
                 R"({"schema":"sotto.events/1","observer":"a","as_of":"2026-11-21T14:02:11.120Z",
                     "complete":false,"data":[],"next":883})");
  const RunResult gap = Ask({"events", "--since", "882"});
  EXPECT_EQ(gap.exit, 3);  // the ring no longer holds all that was asked for
  EXPECT_NE(gap.err.find("not complete"), std::string::npos);
}

TEST_F(Golden, StatusTellsCriticalHealthByItsExitCode) {
  std::string critical = kStatusJson;
  critical.replace(critical.find("\"warning\""), 9, "\"critical\"");
  FakeDaemon daemon(dir_.File("c"));
  daemon.Answer("GET /v1/status", critical);
  EXPECT_EQ(RunSotto({"--target", dir_.File("c"), "status"}).exit, 1);
}

}  // namespace
}  // namespace sotto::testing
