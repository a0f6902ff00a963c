// What `--help` prints, made from the verb tree: examples first, then what there is, on one screen.
#ifndef SOTTO_CMD_SOTTO_HELP_H_
#define SOTTO_CMD_SOTTO_HELP_H_

#include <string>

#include "cmd/sotto/context.h"

namespace sotto::cli {

std::string HelpOf(const CLI::App& app, const Context& context);

// "sotto keys import".
std::string PathOf(const CLI::App& app);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_HELP_H_
