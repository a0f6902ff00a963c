// A child process of ours: started by its path, known by its pid, dead at the latest when we are.
//
// The kernel kills it when the thread that started it ends, however that comes about, so start
// children from the main thread. Ownership: the destructor kills (SIGKILL) and reaps.
// Threads: one at a time.
#ifndef SOTTO_CMD_DEMO_PROCESS_H_
#define SOTTO_CMD_DEMO_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace sotto {

class ChildProcess {
 public:
  struct Options {
    std::vector<std::string> argv;  // argv[0] is the path of the program
    // Added to our environment, from which every SOTTO_ variable is taken away.
    std::vector<std::pair<std::string, std::string>> env;
    std::string output;        // standard output and error are appended to this file (0600)
    std::optional<uid_t> uid;  // run as this user and group (needs root)
    int net_namespace = -1;    // an open network namespace to run in (needs root); borrowed
    int input = -1;            // borrowed: its standard input; nothing to read by default
  };

  // INTERNAL PROCESS_START_FAILED. A program that cannot be executed shows as exit code 127.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const Options& options);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  bool Running();
  // Nothing if it has ended.
  void Signal(int signal);
  // Its exit code, or 128 + the signal that ended it; nothing if it still runs after `limit`.
  std::optional<int> Wait(std::chrono::milliseconds limit);

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  bool Reap(bool block);

  pid_t pid_;
  std::optional<int> exit_;
};

// Removes a folder when this process ends without having done so itself, also after SIGKILL: a
// small child waits for our end. Make it before any thread is started.
class FolderGuard {
 public:
  explicit FolderGuard(const std::string& folder);
  // Removes the folder now, unless it was released.
  ~FolderGuard();
  FolderGuard(const FolderGuard&) = delete;
  FolderGuard& operator=(const FolderGuard&) = delete;

  // The folder stays.
  void Release();

 private:
  void EndChild(char word);

  std::string folder_;
  int pipe_ = -1;
  pid_t child_ = -1;
};

}  // namespace sotto

#endif  // SOTTO_CMD_DEMO_PROCESS_H_
