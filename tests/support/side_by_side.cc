#include "tests/support/side_by_side.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cmd/demo/process.h"
#include "gossip/base/check.h"
#include "tests/support/temp_dir.h"

namespace sotto {

namespace {

using Clock = std::chrono::steady_clock;

constexpr char kMark[] = "CASE_SIDE_BY_SIDE";

// All cases of this program that the filter lets through, each in its process.
class Cases {
 public:
  Cases() : started_(Clock::now()) {
    char self[4096];
    const ssize_t size = readlink("/proc/self/exe", self, sizeof(self));
    SOTTO_CHECK(size > 0);
    const testing::UnitTest& program = *testing::UnitTest::GetInstance();
    for (int i = 0; i < program.total_test_suite_count(); i++) {
      const testing::TestSuite& suite = *program.GetTestSuite(i);
      for (int j = 0; j < suite.total_test_count(); j++) {
        const testing::TestInfo& info = *suite.GetTestInfo(j);
        if (!info.should_run()) continue;
        const std::string name = absl::StrCat(suite.name(), ".", info.name());
        ChildProcess::Options options;
        // The file by which the tool learns of an early end is the first process's own.
        options.argv = {"/usr/bin/env",
                        "-u",
                        "TEST_PREMATURE_EXIT_FILE",
                        std::string(self, static_cast<size_t>(size)),
                        absl::StrCat("--gtest_filter=", name),
                        "--gtest_color=no",
                        absl::StrCat("--gtest_output=xml:", folder_.File(name + ".xml"))};
        options.env = {{kMark, "1"}};
        options.output = folder_.File(name);
        auto process = ChildProcess::Start(options);
        SOTTO_CHECK(process.ok());
        processes_[name] = std::move(*process);
      }
    }
  }

  Clock::time_point started() const { return started_; }
  ChildProcess& Of(const std::string& name) { return *processes_.at(name); }
  std::string OutputOf(const std::string& name) const {
    std::ifstream file(folder_.File(name));
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

 private:
  TempDir folder_;
  FolderGuard guard_{folder_.path()};
  const Clock::time_point started_;
  std::map<std::string, std::unique_ptr<ChildProcess>> processes_;
};

}  // namespace

bool IsProcessOfCase() { return std::getenv(kMark) != nullptr; }

void RunSideBySide(std::chrono::milliseconds limit, const std::function<void()>& story) {
  if (IsProcessOfCase()) return story();
  static Cases cases;
  const testing::TestInfo& info = *testing::UnitTest::GetInstance()->current_test_info();
  const std::string name = absl::StrCat(info.test_suite_name(), ".", info.name());
  const auto left = cases.started() + limit - Clock::now();
  const std::optional<int> code = cases.Of(name).Wait(std::max(
      std::chrono::duration_cast<std::chrono::milliseconds>(left), std::chrono::milliseconds(0)));
  if (!code.has_value()) cases.Of(name).Signal(SIGKILL);
  // The notes of a case that passed are worth reading, too: what was said, and how long it took.
  if (code == 0) {
    std::cout << cases.OutputOf(name);
  } else {
    ADD_FAILURE() << (code.has_value() ? absl::StrCat("exit ", *code) : "not done in time") << "\n"
                  << cases.OutputOf(name);
  }
}

}  // namespace sotto
