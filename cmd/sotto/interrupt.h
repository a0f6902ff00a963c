// Ctrl-C (SIGINT) and SIGTERM as something that a long command looks at, instead of an end in the
// middle of a line. The second one ends the process as ever; a signal that was ignored stays so.
//
// Threads: one of these at a time in the process.
#ifndef SOTTO_CMD_SOTTO_INTERRUPT_H_
#define SOTTO_CMD_SOTTO_INTERRUPT_H_

#include <signal.h>

namespace sotto::cli {

class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool raised() const;
  // Waits; false as soon as it is raised.
  bool Sleep(double seconds);

 private:
  struct sigaction int_before_ {};
  struct sigaction term_before_ {};
};

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_INTERRUPT_H_
