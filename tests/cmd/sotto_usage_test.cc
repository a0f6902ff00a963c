// The command line itself: what is wrong with it, and what its help says.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "gossip/event.h"
#include "tests/cmd/fake_daemon.h"
#include "tests/support/temp_dir.h"

namespace sotto::testing {
namespace {

struct BadUsage {
  std::vector<std::string> args;
  std::string said;
};

void ExpectUsageErrors(std::span<const BadUsage> rows) {
  for (const BadUsage& row : rows) {
    const RunResult result = RunSotto(row.args);
    EXPECT_EQ(result.exit, 2) << row.said << "\n" << result.err;
    EXPECT_NE(result.err.find(row.said), std::string::npos) << row.said << "\n" << result.err;
    EXPECT_EQ(result.err.rfind("error ", 0), 0u) << result.err;
    EXPECT_LE(std::count(result.err.begin(), result.err.end(), '\n'), 8) << result.err;
    EXPECT_EQ(result.err.find('\x1b'), std::string::npos);
    EXPECT_EQ(result.out, "") << row.said;
  }
}

TEST(Usage, NamesTheWrongWordAndTheNearestRightOne) {
  const BadUsage rows[] = {
      {{"mebmers"}, "\"sotto\" has no verb \"mebmers\"; did you mean \"members\"?"},
      {{"members", "shwo"}, "\"sotto members\" has no verb \"shwo\"; did you mean \"show\"?"},
      {{"members", "-o", "json", "--al"}, "has no flag \"--al\"; did you mean \"--all\"?"},
      {{"status", "json", "--outptu"}, "takes no word, and \"json\" is one too many"},
      {{"status", "--outptu", "json"}, "\"--outptu\"; did you mean \"--output\"?"},
      {{"status", "-z"}, "has no flag \"-z\""},
      {{"status", "-qz"}, "has no flag \"-z\""},
      {{"status", "-o"}, "-o needs a value: table|wide|json|jsonl|tsv"},
      {{"status", "-o", "jsn"}, "did you mean \"json\"?"},
      {{"status", "--timeout", "soon"}, "want a time such as 500ms"},
      {{"status", "--timeout", "0"}, "want a time such as 500ms"},
      {{"status", "--color=blue"}, "want auto, always or never"},
      {{"wait"}, "needs to know what for"},
      {{"wait", "--members", "-1"}, "whole number from 0"},
      {{"wait", "--members", "99999999999999999999"}, "whole number from 0"},
      {{"forget"}, "\"sotto forget\" needs MEMBER"},
      {{"forget", "a", "b"}, "at most 1 word, and \"b\" is one too many"},
      {{"join"}, "\"sotto join\" needs ADDR"},
      {{"keys"},
       "\"sotto keys\" needs a verb: ls, status, rotate, prepare, activate, remove, verify, "
       "history, generate or import"},
      {{"keys", "generate"}, "needs --to FILE"},
      {{"keys", "generate", "--to", "x", "--bits", "100"}, "want 128, 192 or 256"},
      {{"keys", "generate", "--to", "-"}, "needs --to FILE"},
      {{"members", "show", ""}, "is no member's name"},
      {{"members", "show", "a b"}, "is no member's name"},
      {{"forget", "a/b"}, "is no member's name"},
      {{"join", "a:b:c"}, "ADDRESS_INVALID"},
      {{"certs", "issue", "a", "a"}, "\"a\" is named twice"},
      {{"certs", "issue", "a b"}, "MEMBER_NAME_INVALID"},
      {{"config", "init", "--bind", "127.0.0.1:7950"}, "needs --cluster NAME"},
      {{"config", "init", "--cluster", "c"}, "needs --bind ADDR"},
      {{"keys", "import"}, "needs --from FILE"},
      {{"kek"}, "\"sotto kek\" needs a verb: generate, ls, check or rekey"},
      {{"kek", "generate"}, "needs --to FILE"},
      {{"kek", "generate", "--to", "-"}, "needs --to FILE"},
      {{"kek", "rekey", "--backup", "a", "--rollback", "b"}, "exclude each other"},
      {{"store"}, "\"sotto store\" needs a verb: copy"},
      {{"store", "copy", "--from", "sqlite:/a"}, "needs --from URL and --to URL"},
      {{"store", "copy", "--from", "sqlite:/a", "--to", "sqlite:/b", "--cluster", "a b"},
       "CLUSTER_NAME_INVALID"},
      {{"certs", "ca", "create"}, "needs --cluster NAME"},
      {{"events", "--since", "yesterday"}, "--since wants an age"},
      {{"tags", "set", "novalue"}, "a tag is KEY=VALUE"},
      {{"tags", "set", "a=1", "a=2"}, "\"a\" is named twice"},
      {{"--target", "localhost:7950", "status"}, "is not the path of a Unix socket"},
      {{"--target", "unix:/" + std::string(200, 'x'), "status"}, "SOCKET_PATH_TOO_LONG"},
      {{"sta\x1b[31mtus"}, "\\x1b[31m"},
      {{""}, "has no verb \"\""},
      {{"-"}, "has no verb \"-\""},
      {{"--", "--help"}, "has no verb \"--help\""},
      {{"--="}, "has no flag \"--\""},
      {{"---"}, "has no flag"},
  };
  ExpectUsageErrors(rows);
}

TEST(Usage, OfTheKeysVerbs) {
  const BadUsage rows[] = {
      {{"keys", "rotat"}, "did you mean \"rotate\"?"},
      {{"keys", "activate"}, "needs GEN"},
      {{"keys", "activate", "new"}, "GEN is a key's number, got \"new\""},
      {{"keys", "activate", "0"}, "GEN is a key's number"},
      {{"keys", "activate", "13x"}, "GEN is a key's number"},
      {{"keys", "activate", "99999999999999999999"}, "GEN is a key's number"},
      {{"keys", "activate", "13", "14"}, "at most 1 word, and \"14\" is one too many"},
      {{"keys", "activate", "13", "--skip", "a b"}, "is no member's name"},
      {{"keys", "activate", "13", "--skip"}, "--skip needs a value: MEMBER"},
      {{"keys", "activate", "13", "--retire-after", "soon"}, "--retire-after wants a time"},
      {{"keys", "remove"}, "needs GEN"},
      {{"keys", "remove", "--", "-1"}, "GEN is a key's number"},
      {{"keys", "remove", "12", "--yes-lock-out", "a/b"}, "is no member's name"},
      {{"keys", "rotate", "13"}, "takes no word, and \"13\" is one too many"},
      {{"keys", "rotate", "--skip", ""}, "is no member's name"},
      {{"keys", "rotate", "--retire-after", "99999d"}, "--retire-after wants a time"},
      {{"keys", "rotate", "--now", "--retire-after", "1h"}, "--now removes the old key at once"},
      {{"keys", "rotate", "--timeout", "0"}, "want a time such as 500ms"},
      {{"keys", "history", "--limit", "0"}, "whole number from 1"},
      {{"keys", "status", "--wiat"}, "did you mean \"--wait\"?"},
  };
  ExpectUsageErrors(rows);
}

TEST(Usage, SurvivesEveryMixOfOddWords) {
  const std::vector<std::string> words = {"members", "show",      "-o",  "json", "--",   "-",
                                          "",        "--timeout", "=",   "-w=",  "\xff", "--help=x",
                                          "keys",    "status",    "-oo", "%s",   "help"};
  // Nothing listens there, so that whatever parses ends at once.
  TempDir dir;
  for (const std::string& a : words) {
    for (const std::string& b : words) {
      for (const std::string& c : {std::string("members"), std::string("-o")}) {
        const RunResult result =
            RunSotto({"--target", dir.File("none.sock"), "--timeout", "100ms", a, b, c});
        EXPECT_TRUE(result.exit == 0 || result.exit == 2 || result.exit == 4 || result.exit == 1)
            << a << "|" << b << "|" << c << ": " << result.exit << result.err;
      }
    }
  }
}

TEST(Help, OpensWithExamplesAndFitsAScreen) {
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{}, {"--help"}, {"-h"}, {"help"}}) {
    const RunResult result = RunSotto(args);
    EXPECT_EQ(result.exit, 0);
    EXPECT_EQ(result.err, "");
    EXPECT_LE(std::count(result.out.begin(), result.out.end(), '\n'), 47) << result.out;
    EXPECT_LT(result.out.find("examples"), result.out.find("verbs"));
    EXPECT_NE(result.out.find("sotto demo"), std::string::npos);
  }
}

TEST(Help, EveryVerbHasItsOwn) {
  const std::vector<std::vector<std::string>> verbs = {{"status"},
                                                       {"members"},
                                                       {"members", "ls"},
                                                       {"members", "show"},
                                                       {"events"},
                                                       {"join"},
                                                       {"leave"},
                                                       {"forget"},
                                                       {"tags"},
                                                       {"tags", "ls"},
                                                       {"tags", "set"},
                                                       {"tags", "unset"},
                                                       {"keys"},
                                                       {"keys", "ls"},
                                                       {"keys", "status"},
                                                       {"keys", "rotate"},
                                                       {"keys", "prepare"},
                                                       {"keys", "activate"},
                                                       {"keys", "remove"},
                                                       {"keys", "verify"},
                                                       {"keys", "history"},
                                                       {"keys", "generate"},
                                                       {"keys", "import"},
                                                       {"kek"},
                                                       {"kek", "generate"},
                                                       {"kek", "ls"},
                                                       {"kek", "check"},
                                                       {"kek", "rekey"},
                                                       {"store"},
                                                       {"store", "copy"},
                                                       {"certs"},
                                                       {"certs", "ca"},
                                                       {"certs", "ca", "create"},
                                                       {"certs", "issue"},
                                                       {"certs", "ls"},
                                                       {"certs", "show"},
                                                       {"config"},
                                                       {"config", "init"},
                                                       {"config", "check"},
                                                       {"config", "show"},
                                                       {"wait"},
                                                       {"explain"},
                                                       {"demo"},
                                                       {"completion"},
                                                       {"completion", "bash"},
                                                       {"version"}};
  for (std::vector<std::string> args : verbs) {
    std::string usage = "usage: sotto";
    for (const std::string& word : args) usage += " " + word;
    args.emplace_back("--help");
    const RunResult result = RunSotto(args);
    EXPECT_EQ(result.exit, 0) << usage;
    EXPECT_NE(result.out.find(usage), std::string::npos) << result.out;
    EXPECT_LE(std::count(result.out.begin(), result.out.end(), '\n'), 40) << result.out;
    for (size_t at = 0; at < result.out.size();) {
      const size_t end = result.out.find('\n', at);
      EXPECT_LE(end - at, 120u) << result.out.substr(at, end - at);
      at = end + 1;
    }
  }
}

TEST(Flags, ComeFromTheEnvironmentAndTheCommandLineWins) {
  TempDir dir;
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/tags", kTagsJson);
  setenv("SOTTO_TARGET", dir.File("s").c_str(), 1);
  setenv("SOTTO_OUTPUT", "tsv", 1);
  EXPECT_EQ(RunSotto({"tags"}).out, "role\tgateway\nzone\tfra1-a\n");
  EXPECT_EQ(RunSotto({"tags", "-o", "table"}).out, "role=gateway\nzone=fra1-a\n");
  setenv("SOTTO_OUTPUT", "tvs", 1);
  const RunResult bad = RunSotto({"tags"});
  EXPECT_EQ(bad.exit, 2);
  EXPECT_NE(bad.err.find("did you mean \"tsv\"?"), std::string::npos) << bad.err;
  unsetenv("SOTTO_OUTPUT");
  unsetenv("SOTTO_TARGET");
}

TEST(Explain, KnowsItsCodesAndTheNearest) {
  const RunResult page = RunSotto({"explain", "daemon_unreachable"});
  EXPECT_EQ(page.exit, 0) << page.err;
  EXPECT_EQ(page.out.rfind("DAEMON_UNREACHABLE\n  what  ", 0), 0u) << page.out;
  EXPECT_NE(page.out.find("\n  do    "), std::string::npos) << page.out;
  const RunResult near = RunSotto({"explain", "KEY_BAD_LENGHT"});
  EXPECT_EQ(near.exit, 1);
  EXPECT_NE(near.err.find("did you mean \"KEY_BAD_LENGTH\"?"), std::string::npos) << near.err;
  EXPECT_NE(near.err.find("sotto explain KEY_BAD_LENGTH"), std::string::npos) << near.err;
  EXPECT_NE(RunSotto({"explain"}).out.find("\nKEY_BAD_LENGTH "), std::string::npos);
  EXPECT_NE(RunSotto({"explain", "events"}).out.find("\nsuspected "), std::string::npos);
}

TEST(Explain, KnowsEveryWordOfEvents) {
  const std::string words = "\n" + RunSotto({"explain", "events"}).out;
  int count = 0;
  for (; ToString(static_cast<EventKind>(count)) != "unknown"; ++count) {
    const std::string word(ToString(static_cast<EventKind>(count)));
    EXPECT_NE(words.find("\n" + word + " "), std::string::npos) << word;
  }
  EXPECT_EQ(std::count(words.begin(), words.end(), '\n'),
            count + 4);  // user_event, query, and no word too many
}

TEST(Version, SaysItsOwnWithoutADaemon) {
  TempDir dir;
  const RunResult alone = RunSotto({"--target", dir.File("none"), "version"});
  EXPECT_EQ(alone.exit, 0) << alone.err;
  EXPECT_EQ(alone.out.rfind("sotto 0.", 0), 0u);
  EXPECT_EQ(RunSotto({"--version", "--target", dir.File("none")}).out, alone.out);
  FakeDaemon daemon(dir.File("s"));
  daemon.Answer("GET /v1/version",
                R"({"schema":"sotto.version/1","observer":"a","as_of":"x","complete":true,
                    "data":{"version":"9.9.9","api":1,"frame_version":1}})");
  EXPECT_NE(RunSotto({"--target", dir.File("s"), "version"}).out.find("sottod 9.9.9\n"),
            std::string::npos);
}

}  // namespace
}  // namespace sotto::testing
