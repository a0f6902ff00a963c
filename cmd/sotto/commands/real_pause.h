// The clock, and pauses that Ctrl-C ends.
// Threads: as Interrupt, one of these at a time in the process.
#ifndef SOTTO_CMD_SOTTO_COMMANDS_REAL_PAUSE_H_
#define SOTTO_CMD_SOTTO_COMMANDS_REAL_PAUSE_H_

#include <chrono>

#include "cmd/sotto/interrupt.h"
#include "cmd/sotto/rotation/rotation.h"

namespace sotto::cli {

class RealPause final : public Pause {
 public:
  double Now() override {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  bool Sleep(double seconds) override { return interrupt_.Sleep(seconds); }
  bool interrupted() const override { return interrupt_.raised(); }

 private:
  Interrupt interrupt_;
};

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMMANDS_REAL_PAUSE_H_
