#include "cmd/sotto/commands/store_target.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "cmd/config/check_config.h"
#include "cmd/sotto/commands/local_files.h"
#include "cmd/sotto/complaint.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/member.h"
#include "store/file_rules.h"
#include "store/kek_source.h"
#include "store/store_url.h"

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

absl::Status CheckClusterName(const std::string& name) {
  if (IsValidClusterName(name)) return absl::OkStatus();
  return CodedError(absl::StatusCode::kInvalidArgument, "CLUSTER_NAME_INVALID",
                    "\"" + name + "\" is no cluster's name: 1 to 40 of A-Z a-z 0-9 . _ -");
}

absl::StatusOr<std::string> ClusterOf(const Context& context, const std::string& given,
                                      std::string_view why) {
  std::string cluster = given;
  if (cluster.empty()) {
    const auto config = LoadSettings(context);
    if (!config.ok()) {
      return WithLine(WithContext(config.status(), why), "do",
                      "add --cluster NAME, or --config FILE");
    }
    cluster = config->node.cluster;
  }
  SOTTO_RETURN_IF_ERROR(CheckClusterName(cluster));
  return cluster;
}

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
  SOTTO_RETURN_IF_ERROR(CheckClusterName(target.cluster));
  target.url = WholeStoreUrl(target.url);
  SOTTO_ASSIGN_OR_RETURN(const StoreUrl parsed, ParseStoreUrl(target.url));
  target.shown = parsed.display;
  SetPasswordFile(flags.password_file, &target.options);
  SetFileOwner(target.url, &target.options);
  return target;
}

}  // namespace sotto::cli
