// Completion scripts: the one for bash is run by bash; the others are looked at.
#include <gtest/gtest.h>

#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "tests/cmd/fake_daemon.h"
#include "tests/support/temp_dir.h"

namespace sotto::testing {
namespace {

std::string Shell(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
  std::string text;
  std::array<char, 4096> buffer;
  while (pipe != nullptr && fgets(buffer.data(), buffer.size(), pipe.get()) != nullptr) {
    text += buffer.data();
  }
  return text;
}

class Bash : public ::testing::Test {
 protected:
  Bash() {
    std::ofstream(dir_.File("sotto.bash")) << RunSotto({"completion", "bash"}).out;
    // Stands in for `sotto` where the script asks for names.
    std::ofstream(dir_.File("sotto"))
        << "#!/bin/sh\ncase \"$1\" in members) printf 'gw-1\\ngw-2\\n' ;; "
           "explain) printf 'KEY_WEAK\\n' ;; keys) printf '13\\n12\\n' ;; esac\n";
    std::system(("chmod +x " + dir_.File("sotto")).c_str());
  }

  // What is offered at the end of `line` (words parted by spaces, the last one unfinished).
  std::string Complete(const std::string& line) {
    std::ofstream(dir_.File("run.bash"))
        << "PATH=" << dir_.path() << ":$PATH\nsource " << dir_.File("sotto.bash")
        << "\nIFS=' ' read -ra COMP_WORDS <<< '" << line << "'\n"
        << (line.back() == ' ' ? "COMP_WORDS+=('')\n" : "")
        << "COMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_sotto\necho \" ${COMPREPLY[@]} \"\n";
    return Shell("bash " + dir_.File("run.bash") + " 2>&1");
  }

  TempDir dir_;
};

TEST_F(Bash, OffersVerbsFlagsValuesAndNames) {
  const auto has = [&](const std::string& line, const std::string& word) {
    const std::string offered = Complete(line);
    return offered.find(" " + word + " ") != std::string::npos
               ? ::testing::AssertionSuccess()
               : ::testing::AssertionFailure() << "for \"" << line << "\": " << offered;
  };
  EXPECT_TRUE(has("sotto mem", "members"));
  EXPECT_TRUE(has("sotto ", "status"));
  EXPECT_TRUE(has("sotto keys ", "import"));
  EXPECT_TRUE(has("sotto keys import --", "--from"));
  EXPECT_TRUE(has("sotto -o ", "jsonl"));
  EXPECT_TRUE(has("sotto -o json mem", "members"));
  EXPECT_TRUE(has("sotto members -o ", "wide"));
  EXPECT_TRUE(has("sotto members show ", "gw-2"));
  EXPECT_TRUE(has("sotto forget gw", "gw-1"));
  EXPECT_TRUE(has("sotto explain KEY", "KEY_WEAK"));
  EXPECT_FALSE(has("sotto keys ", "issue"));
  EXPECT_TRUE(has("sotto keys ro", "rotate"));
  EXPECT_TRUE(has("sotto keys rotate --sk", "--skip"));
  EXPECT_TRUE(has("sotto keys rotate --skip ", "gw-2"));
  EXPECT_FALSE(has("sotto keys rotate --retire-after ", "gw-2"));
  EXPECT_TRUE(has("sotto keys remove ", "12"));
  EXPECT_TRUE(has("sotto keys remove 12 --yes-lock-out gw", "gw-1"));
  EXPECT_TRUE(has("sotto keys import --from " + dir_.path() + "/sotto.b", dir_.File("sotto.bash")));
}

TEST(Completion, EveryShellKnowsEveryVerb) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const RunResult result = RunSotto({"completion", shell});
    EXPECT_EQ(result.exit, 0);
    for (const char* verb :
         {"status",       "members",      "events",  "join",     "leave",         "forget",
          "tags",         "keys",         "certs",   "config",   "wait",          "explain",
          "demo",         "completion",   "version", "generate", "event",         "query",
          "ping",         "rtt",          "reach",   "watch",    "top",           "--no-ack",
          "--no-headers", "--key-agreed", "rotate",  "activate", "--yes-lock-out"}) {
      const std::string word = std::string(verb).substr(verb[0] == '-' ? 2 : 0);
      EXPECT_NE(result.out.find(word), std::string::npos) << shell << " " << verb;
    }
    EXPECT_EQ(boost::json::parse(RunSotto({"completion", shell, "-o", "json"}).out)
                  .at("data")
                  .at("script")
                  .as_string(),
              result.out);
  }
}

}  // namespace
}  // namespace sotto::testing
