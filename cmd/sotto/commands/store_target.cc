#include "cmd/sotto/commands/store_target.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "cmd/config/check_config.h"
#include "cmd/sotto/commands/local_files.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/member.h"
#include "store/file_rules.h"
#include "store/kek_source.h"

namespace sotto::cli {

std::string WholeStoreUrl(const std::string& url) {
  const auto path = SqlitePath(url);
  if (!path.ok()) return url;
  std::error_code failed;
  const std::filesystem::path whole = std::filesystem::weakly_canonical(*path, failed);
  return failed ? url : "sqlite:" + std::filesystem::absolute(whole).string();
}

void SetPasswordFile(const std::string& password_file, StoreOptions* options) {
  if (password_file.empty()) return;
  options->password = "file:" + password_file;
  options->also_owner = FolderOwner(FolderOf(password_file));
}

void SetFileOwner(const std::string& url, StoreOptions* options) {
  const auto path = SqlitePath(url);
  if (path.ok()) options->also_owner = FolderOwner(FolderOf(*path));
}

std::string LocalActor() { return "uid " + std::to_string(getuid()); }

absl::StatusOr<StoreTarget> StoreTargetOf(const Context& context, const StoreFlags& flags) {
  StoreTarget target;
  Config config;
  if (flags.store.empty() || flags.cluster.empty()) {
    SOTTO_ASSIGN_OR_RETURN(config, LoadSettings(context));
    target.cluster = config.node.cluster;
    target.url = config.store.url;
    // The file's password is for the file's database.
    if (flags.store.empty()) target.options = StoreOptionsOf(config, ServiceOwner(config));
    target.policy = KeyPolicyOf(config, nullptr);
  }
  KekSettings settings = KekSettingsOf(config, ServiceOwner(config));
  if (!flags.kek.empty()) settings = {.source = flags.kek};
  if (!flags.kek_active.empty()) settings.active = flags.kek_active;
  KekLoader loader;
  SOTTO_ASSIGN_OR_RETURN(target.policy.keks, loader.Load(settings));
  if (!flags.store.empty()) target.url = flags.store;
  if (!flags.cluster.empty()) target.cluster = flags.cluster;
  if (!IsValidClusterName(target.cluster)) {
    return CodedError(
        absl::StatusCode::kInvalidArgument, "CLUSTER_NAME_INVALID",
        "\"" + target.cluster + "\" is no cluster's name: 1 to 40 of A-Z a-z 0-9 . _ -");
  }
  target.url = WholeStoreUrl(target.url);
  SetPasswordFile(flags.password_file, &target.options);
  SetFileOwner(target.url, &target.options);
  return target;
}

}  // namespace sotto::cli
