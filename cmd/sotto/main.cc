// sotto: the command-line tool.
#include <unistd.h>

#include <clocale>
#include <iostream>
#include <string>
#include <vector>

#include "cmd/sotto/cli.h"
#include "cmd/sotto/terminal.h"

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");  // the width of letters in tables; numbers stay as they are
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  sotto::cli::Streams streams;
  streams.in = &std::cin;
  streams.out = &std::cout;
  streams.err = &std::cerr;
  streams.in_is_terminal = isatty(STDIN_FILENO) == 1;
  streams.out_is_terminal = isatty(STDOUT_FILENO) == 1;
  streams.err_is_terminal = isatty(STDERR_FILENO) == 1;
  streams.columns = sotto::SizeOfTerminal().columns;
  return sotto::cli::RunCli(args, streams);
}
