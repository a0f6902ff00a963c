// Completion scripts, made by walking the verb tree, so that they cannot drift from it.
#ifndef SOTTO_CMD_SOTTO_COMPLETION_H_
#define SOTTO_CMD_SOTTO_COMPLETION_H_

#include <string>

namespace CLI {
class App;
}

namespace sotto::cli {

// Words named MEMBER complete to the members' names and CODE to the codes, both asked of `sotto`
// itself; FILE, DIR and PATH to files.
std::string BashCompletion(const CLI::App& root);
std::string ZshCompletion(const CLI::App& root);
std::string FishCompletion(const CLI::App& root);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMPLETION_H_
