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
    daemon_.Answer("GET /v1/keys", kKeysJson);
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
  for (const char* text :
       {kStatusJson, kMembersJson, kMemberJson, kEventsJson, kKeysJson, kTagsJson, kCertsJson}) {
    EXPECT_EQ(CheckAnswer(text), "") << text;
  }
}

TEST_F(Golden, EveryVerbInEveryForm) {
  const std::pair<const char*, std::vector<std::string>> verbs[] = {
      {"status", {"status"}},
      {"members", {"members"}},
      {"member", {"members", "show", "gw-3"}},
      {"events", {"events"}},
      {"keys", {"keys", "ls"}},
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
            "882\t2026-11-21T13:58:02.590Z\trefuted\tgw-3\t\tit answered\n");
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
