// Runs one program to its end: argv without a shell, an environment made from nothing, bytes in,
// bytes out, a time limit.
//
// The program is the head of a process group of its own. At the limit, or when the daemon stops,
// the group gets SIGTERM and, after a grace, SIGKILL; what is left of the group when the program
// has ended is killed as well. The kernel kills the program if the daemon dies.
// Threads: Run blocks its caller, which must outlive the program (the kernel ties them).
#ifndef SOTTO_CMD_SOTTOD_HANDLER_PROCESS_H_
#define SOTTO_CMD_SOTTOD_HANDLER_PROCESS_H_

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace sotto {

// Tells blocked runs to end. Threads: Stop from any.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  void Stop();
  int fd() const { return fd_; }  // readable once stopped

 private:
  int fd_;
};

struct ProgramRun {
  std::string program;            // its absolute path; empty: the first of argv
  std::vector<std::string> argv;  // the first is what the program is called
  std::vector<std::pair<std::string, std::string>> environment;  // without zero bytes
  std::string input;
  std::chrono::milliseconds timeout{0};
  std::chrono::milliseconds grace{2000};  // between SIGTERM and SIGKILL
  size_t output_bytes_max = 0;            // of standard output; 0: it goes nowhere
};

struct ProgramResult {
  // OK: it ended with 0.
  //   HANDLER_NOT_STARTED      UNAVAILABLE         fork or exec failed
  //   HANDLER_FAILED           INTERNAL            another exit code, or a signal
  //   HANDLER_TIMEOUT          DEADLINE_EXCEEDED   it was ended at its limit
  //   HANDLER_OUTPUT_TOO_LONG  RESOURCE_EXHAUSTED  more than output_bytes_max
  //   HANDLER_STOPPED          CANCELLED           the daemon ends
  absl::Status status;
  std::string output;
  std::string error_text;  // the end of standard error, bounded
};

ProgramResult RunProgram(const ProgramRun& run, const StopSignal& stop);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_HANDLER_PROCESS_H_
