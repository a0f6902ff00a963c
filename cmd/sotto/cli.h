// The whole of `sotto` as a function: the verb tree, its errors, its help.
#ifndef SOTTO_CMD_SOTTO_CLI_H_
#define SOTTO_CMD_SOTTO_CLI_H_

#include <string>
#include <vector>

#include "cmd/sotto/context.h"

namespace sotto::cli {

// Runs one command line (without the program's name) and returns the exit code. Flags also come
// from SOTTO_<FLAG> in the environment of the process.
int RunCli(const std::vector<std::string>& args, const Streams& streams);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_CLI_H_
