#include "cmd/sotto/commands/local_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include "cmd/sotto/complaint.h"
#include "gossip/base/coded_error.h"

namespace sotto::cli {

absl::StatusOr<Config> LoadSettings(const Context& context) {
  ConfigSources sources;
  sources.path = context.ConfigPath();
  sources.env = SottoEnvironment();
  if (!FileExists(sources.path)) {
    return WithLine(CodedError(absl::StatusCode::kNotFound, "FILE_MISSING",
                               "there is no configuration at " + sources.path),
                    "do", "name one with --config FILE, or make one with `sotto config init`");
  }
  ConfigResult result = LoadConfig(sources);
  if (!result.ok()) return WithLine(result.status(), "do", "sotto config check");
  return std::move(result.config);
}

std::optional<uid_t> FolderOwner(const std::string& folder) {
  struct stat info {};
  if (geteuid() != 0 || stat(folder.c_str(), &info) != 0) return std::nullopt;
  return info.st_uid;
}

bool FileExists(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0;
}

}  // namespace sotto::cli
