// What the verbs share that work on files, without a daemon.
#ifndef SOTTO_CMD_SOTTO_COMMANDS_LOCAL_FILES_H_
#define SOTTO_CMD_SOTTO_COMMANDS_LOCAL_FILES_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "cmd/config/config.h"
#include "cmd/sotto/context.h"

namespace sotto::cli {

// The settings of --config or the default file, with the environment's. An error lists what is
// wrong; FILE_MISSING where there is no file.
absl::StatusOr<Config> LoadSettings(const Context& context);

// Where root works in somebody's folder: that user, whose files count as safe too (FileRules).
std::optional<uid_t> FolderOwner(const std::string& folder);

bool FileExists(const std::string& path);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMMANDS_LOCAL_FILES_H_
