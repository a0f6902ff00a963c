#include "tests/e2e/tool.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gossip/base/check.h"

namespace sotto {
namespace {

constexpr std::chrono::milliseconds kPoll{2};
constexpr int kPollsBetween = 25;

}  // namespace

Tool::Tool(const std::vector<std::string>& words, const std::string& output) : output_(output) {
  std::error_code ignored;
  std::filesystem::remove(output_, ignored);
  ChildProcess::Options options;
  options.argv = {std::filesystem::current_path().string() + "/cmd/sotto/sotto"};
  options.argv.insert(options.argv.end(), words.begin(), words.end());
  options.output = output_;
  auto process = ChildProcess::Start(options);
  SOTTO_CHECK(process.ok());
  process_ = *std::move(process);
}

std::string Tool::Output() const {
  std::ifstream file(output_);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string Tool::Line(const std::vector<std::string>& parts) const {
  std::istringstream lines(Output());
  for (std::string line; std::getline(lines, line);) {
    const bool has_all = std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
      return line.find(part) != std::string::npos;
    });
    if (has_all) return line;
  }
  return "";
}

bool Tool::AwaitLine(const std::vector<std::string>& parts, std::chrono::milliseconds limit,
                     const std::function<void()>& meanwhile) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (int polls = 0; Line(parts).empty(); ++polls) {
    if (std::chrono::steady_clock::now() >= deadline || !process_->Running()) {
      return !Line(parts).empty();
    }
    if (meanwhile && polls % kPollsBetween == 0) meanwhile();
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

bool Tool::HasSocket() const {
  std::error_code error;
  const std::string folder = absl::StrCat("/proc/", process_->pid(), "/fd");
  for (std::filesystem::directory_iterator file(folder, error), end; !error && file != end;
       file.increment(error)) {
    std::error_code gone;
    if (std::filesystem::read_symlink(file->path(), gone).string().starts_with("socket:")) {
      return true;
    }
  }
  return false;
}

bool Tool::Kill() {
  const bool ran = process_->Running();
  process_->Signal(SIGKILL);
  process_->Wait(std::chrono::seconds(5));
  return ran;
}

}  // namespace sotto
