// The terminal itself: its size, and single keys.
#ifndef SOTTO_CMD_SOTTO_TERMINAL_H_
#define SOTTO_CMD_SOTTO_TERMINAL_H_

#include <termios.h>

#include <chrono>

namespace sotto {

struct TerminalSize {
  int columns = 80;
  int rows = 24;
};
// Of the terminal behind standard output; where there is none, COLUMNS and 24.
TerminalSize SizeOfTerminal();

// Standard input without line buffering and echo, as long as this lives.
class RawTerminal {
 public:
  // `interrupts_are_keys`: Ctrl-C comes as '\x03' instead of ending the process, which would leave
  // the terminal as it is now.
  explicit RawTerminal(bool interrupts_are_keys = false);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  // The next key; 0 if none came within `limit`, 'q' at the end of the input.
  char Key(std::chrono::milliseconds limit);

 private:
  termios before_{};
  bool changed_ = false;
};

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTO_TERMINAL_H_
