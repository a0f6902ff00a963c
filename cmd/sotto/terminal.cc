#include "cmd/sotto/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace sotto {

TerminalSize SizeOfTerminal() {
  TerminalSize out;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    out.columns = size.ws_col;
    if (size.ws_row > 0) out.rows = size.ws_row;
    return out;
  }
  const char* columns = std::getenv("COLUMNS");
  const int value = columns == nullptr ? 0 : std::atoi(columns);
  if (value > 0 && value < 10'000) out.columns = value;
  return out;
}

RawTerminal::RawTerminal(bool interrupts_are_keys) {
  if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
  termios raw = before_;
  raw.c_lflag &= static_cast<tcflag_t>(~(ICANON | ECHO));
  if (interrupts_are_keys) raw.c_lflag &= static_cast<tcflag_t>(~ISIG);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  changed_ = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

RawTerminal::~RawTerminal() {
  if (changed_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

char RawTerminal::Key(std::chrono::milliseconds limit) {
  pollfd waiting{STDIN_FILENO, POLLIN, 0};
  if (poll(&waiting, 1, static_cast<int>(limit.count())) <= 0) return 0;
  char key = 0;
  const ssize_t got = read(STDIN_FILENO, &key, 1);
  if (got == 0) return 'q';
  return got == 1 ? key : '\0';
}

}  // namespace sotto
