// The real `sotto` as a child, whose words are read as they come.
// Threads: one at a time, the main thread (see ChildProcess).
#ifndef SOTTO_TESTS_E2E_TOOL_H_
#define SOTTO_TESTS_E2E_TOOL_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cmd/demo/process.h"

namespace sotto {

class Tool {
 public:
  // `output`: a new file for what it says.
  Tool(const std::vector<std::string>& words, const std::string& output);

  // A line of its output that has all of `parts`; empty: none so far.
  std::string Line(const std::vector<std::string>& parts) const;
  // Until there is one, with `meanwhile` called about every 50 ms.
  bool AwaitLine(const std::vector<std::string>& parts, std::chrono::milliseconds limit,
                 const std::function<void()>& meanwhile = nullptr);
  // It has begun to speak to a daemon.
  bool HasSocket() const;
  // SIGKILL; whether it still ran.
  bool Kill();
  std::optional<int> Wait(std::chrono::milliseconds limit) { return process_->Wait(limit); }
  std::string Output() const;

 private:
  const std::string output_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_E2E_TOOL_H_
