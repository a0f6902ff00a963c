// Which store, cluster and key-encryption keys a verb works on that needs no daemon: the flags',
// else the configuration's.
#ifndef SOTTO_CMD_SOTTO_COMMANDS_STORE_TARGET_H_
#define SOTTO_CMD_SOTTO_COMMANDS_STORE_TARGET_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/sotto/context.h"
#include "store/cluster_key.h"
#include "store/open_store.h"

namespace sotto::cli {

struct StoreFlags {
  std::string store, password_file, cluster, kek, kek_active;
};

struct StoreTarget {
  std::string cluster;
  std::string url;    // an SQLite file by its whole path
  std::string shown;  // the same for people: StoreUrl::display
  StoreOptions options;
  KeyPolicy policy;  // with the keys of --kek or encryption.kek; null: none is named
};

// `given`, or the configuration's; `why` it is wanted stands in the error where there is neither.
// CLUSTER_NAME_INVALID; the codes of LoadSettings.
absl::StatusOr<std::string> ClusterOf(const Context& context, const std::string& given,
                                      std::string_view why);
// CLUSTER_NAME_INVALID.
absl::Status CheckClusterName(const std::string& name);

// FILE_MISSING, …: what the flags leave open and the configuration does not say;
// CLUSTER_NAME_INVALID; STORE_URL_INVALID; the codes of store/kek_source.h.
absl::StatusOr<StoreTarget> StoreTargetOf(const Context& context, const StoreFlags& flags);

// `url` with the whole path of an SQLite file; and how it is opened: the password from
// `password_file` where that is named, files of the folder's owner where root opens them.
std::string WholeStoreUrl(const std::string& url);
void SetPasswordFile(const std::string& password_file, StoreOptions* options);
void SetFileOwner(const std::string& url, StoreOptions* options);

// "uid 0": who acts, in a history.
std::string LocalActor();

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMMANDS_STORE_TARGET_H_
