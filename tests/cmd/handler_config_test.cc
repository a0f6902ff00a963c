// [[handler]]: strict in every key, told with line and column; which events a trigger means; which
// programs may be run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "cmd/config/config.h"
#include "cmd/config/handlers.h"
#include "gossip/event.h"
#include "tests/support/other_user.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kRest[] =
    "[node]\ncluster='c'\nname='n'\n[gossip]\nbind='127.0.0.1:1'\n"
    "[sync.tls]\nca='/a'\ncert='/b'\nkey='/c'\n";

ConfigResult Load(const std::string& handlers) {
  return LoadConfigText(kRest + handlers, "/etc/sotto/sottod.toml");
}

std::vector<std::string> Lines(const ConfigResult& result) {
  std::vector<std::string> out;
  for (const ConfigFinding& finding : result.findings) out.push_back(ToString(finding));
  return out;
}

TEST(HandlerConfig, IsRead) {
  const ConfigResult result = Load(R"(
[[handler]]
on = ["member_died", "user_event:deploy-*"]
run = ["/usr/bin/failover", "--now", "a b"]
timeout = "1m"
queue = 7
batch = true
[[handler]]
on = "*"
run = ["hooks/log"]
)");
  EXPECT_THAT(Lines(result), ElementsAre());
  ASSERT_EQ(result.config.handlers.size(), 2u);
  const HandlerConfig& first = result.config.handlers[0];
  EXPECT_THAT(first.on, ElementsAre("member_died", "user_event:deploy-*"));
  EXPECT_THAT(first.run, ElementsAre("/usr/bin/failover", "--now", "a b"));
  EXPECT_EQ(first.timeout, Duration::Minutes(1));
  EXPECT_EQ(first.queue, 7);
  EXPECT_TRUE(first.batch);
  EXPECT_EQ(first.origin, "/etc/sotto/sottod.toml:11:1");
  EXPECT_EQ(result.config.handlers[1].run[0], "/etc/sotto/hooks/log")
      << "from the file's own folder";
  EXPECT_EQ(result.config.handlers[1].timeout, Duration::Seconds(10));
  EXPECT_EQ(result.values.back().key, "handler");
  EXPECT_THAT(result.values.back().value, HasSubstr("\"--now\", \"a b\""));
}

TEST(HandlerConfig, EveryFaultHasItsPlace) {
  struct {
    const char* text;
    const char* finding;
  } const rows[] = {
      {"[[handler]]\non=['member_dead']\nrun=['/x']\n",
       ":11:4: handler: on: there is no event \"member_dead\"; did you mean \"member_died\"?"},
      {"[[handler]]\non=['died']\nrun=['/x']\n", "did you mean \"member_died\"?"},
      {"[[handler]]\non=['query:']\nrun=['/x']\n", "there is no event \"query:\""},
      {"[[handler]]\non=['*']\nrun='/bin/true'\n", ":12:5: handler: run: want a list"},
      {"[[handler]]\non=['*']\nrun=['true']\n", "is no path; want one with a /"},
      {"[[handler]]\non=['*']\nrun=['/x', 3]\n", "run: want a list"},
      {"[[handler]]\non=['*']\nrun=[\"/x\\u0000y\"]\n", "a zero byte"},
      {"[[handler]]\non=['*']\n", ":10:1: handler: run is not set"},
      {"[[handler]]\nrun=['/x']\n", "on is not set"},
      {"[[handler]]\non=[]\nrun=['/x']\n", "on is not set"},
      {"[[handler]]\non=['*']\nrun=['/x']\ntimout='3s'\n",
       ":13:1: unknown key \"handler.timout\"; did you mean \"timeout\"?"},
      {"[[handler]]\non=['*']\nrun=['/x']\ntimeout=3\n", "want a duration in quotes"},
      {"[[handler]]\non=['*']\nrun=['/x']\ntimeout='2h'\n", "want 10ms to 1h"},
      {"[[handler]]\non=['*']\nrun=['/x']\nqueue=0\n", "from 1 to 10000"},
      {"[[handler]]\non=['*']\nrun=['/x']\nbatch='yes'\n", "want true or false"},
      {"[handler]\non=['*']\nrun=['/x']\n", "handler: want [[handler]]"},
      {"handler = 3\n", "handler"},
      {"[[handlers]]\non=['*']\nrun=['/x']\n", "did you mean \"handler\"?"},
  };
  for (const auto& row : rows) {
    const ConfigResult result =
        row.text[0] == 'h' ? LoadConfigText(std::string(row.text) + kRest, "/f") : Load(row.text);
    EXPECT_FALSE(result.ok()) << row.text;
    EXPECT_THAT(Lines(result), testing::Contains(HasSubstr(row.finding))) << row.text;
    EXPECT_TRUE(result.config.handlers.empty()) << row.text;
  }
}

TEST(HandlerConfig, TooManyAreRefusedAndAChangeIsReloadable) {
  std::string many;
  for (size_t i = 0; i <= kHandlersMax; ++i) many += "[[handler]]\non=['*']\nrun=['/x']\n";
  EXPECT_THAT(Lines(Load(many)), ElementsAre(HasSubstr("want at most 64")));
  const auto changes = ConfigDiff(Load(""), Load("[[handler]]\non=['*']\nrun=['/x']\n"));
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].key, "handler");
  EXPECT_TRUE(changes[0].reloadable);
}

TEST(Triggers, NameEveryEvent) {
  for (int kind = 0; kind < 64; ++kind) {
    const std::string word(ToString(static_cast<EventKind>(kind)));
    if (word == "unknown") continue;
    EXPECT_TRUE(CheckTrigger("member_" + word).ok() || CheckTrigger("node_" + word).ok()) << word;
  }
}

TEST(Triggers, MeanWhatTheySay) {
  struct {
    const char* trigger;
    const char* what;
    bool meant;
  } const rows[] = {
      {"member_died", "member_died", true},
      {"member_died", "member_left", false},
      {"member_*", "member_left", true},
      {"member_*", "node_isolated", false},
      {"node_*", "node_isolated", true},
      {"*", "member_died", true},
      {"*", "user_event:x", true},
      {"*", "query:x", false},
      {"query", "query:x", true},
      {"query", "user_event:query", false},
      {"user_event", "user_event:x", true},
      {"user_event:deploy-*", "user_event:deploy-7", true},
      {"user_event:deploy-*", "user_event:Deploy-7", false},
      {"query:load", "query:load", true},
      {"query:load", "query:loads", false},
      {"query:?oad", "query:load", true},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(TriggerMatches(row.trigger, row.what), row.meant) << row.trigger << " " << row.what;
  }
}

class Program : public testing::Test {
 protected:
  Program() {
    path_ = dir_.File("program");
    std::ofstream(path_) << "#!/bin/sh\n";
    Mode(path_, 0755);
  }
  static void Mode(const std::string& path, mode_t mode) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
  }

  TempDir dir_;
  std::string path_;
};

TEST_F(Program, MustBeOursAndClosedToOthers) {
  SOTTO_EXPECT_OK(CheckProgram(path_));
  SOTTO_EXPECT_OK(CheckProgram("/bin/sh"));
  Mode(path_, 0757);
  EXPECT_THAT(CheckProgram(path_), HasCode("FILE_WRITABLE"));
  Mode(path_, 0775);
  EXPECT_THAT(CheckProgram(path_), HasCode("FILE_WRITABLE"));
  Mode(path_, 0644);
  EXPECT_THAT(CheckProgram(path_), HasCode("HANDLER_NOT_EXECUTABLE"));
  Mode(path_, 0755);
  Mode(dir_.path(), 0777);
  EXPECT_THAT(CheckProgram(path_), HasCode("FOLDER_WRITABLE"));
  Mode(dir_.path(), 0700);
  EXPECT_THAT(CheckProgram(dir_.path()), HasCode("FILE_NOT_REGULAR"));
  EXPECT_THAT(CheckProgram(dir_.File("none")), HasCode("FILE_MISSING"));
}

TEST_F(Program, IsJudgedBehindALink) {
  ASSERT_EQ(symlink(path_.c_str(), dir_.File("link").c_str()), 0);
  SOTTO_EXPECT_OK(CheckProgram(dir_.File("link")));
  const auto program = ResolveProgram(dir_.File("link"));
  SOTTO_ASSERT_OK(program.status());
  EXPECT_EQ(*program, path_);
  Mode(path_, 0757);
  EXPECT_THAT(CheckProgram(dir_.File("link")), HasCode("FILE_WRITABLE"));
}

// Whoever can write there leads the link to another program of ours.
TEST_F(Program, OfALinkTheFolderIsJudgedToo) {
  const std::string folder = dir_.File("folder");
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  ASSERT_EQ(symlink(path_.c_str(), (folder + "/link").c_str()), 0);
  SOTTO_EXPECT_OK(CheckProgram(folder + "/link"));
  Mode(folder, 0777);
  EXPECT_THAT(CheckProgram(folder + "/link"), HasCode("FOLDER_WRITABLE"));
}

TEST_F(Program, OfAnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  ASSERT_EQ(chown(path_.c_str(), kOtherUser, kOtherUser), 0);
  EXPECT_THAT(CheckProgram(path_), HasCode("FILE_WRONG_OWNER"));
  SOTTO_EXPECT_OK(CheckProgram(path_, kOtherUser));
}

}  // namespace
}  // namespace sotto
