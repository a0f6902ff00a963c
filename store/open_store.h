// From the URL of `[store] url` to the backend that serves it.
#ifndef SOTTO_STORE_OPEN_STORE_H_
#define SOTTO_STORE_OPEN_STORE_H_

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "store/systems_table.h"

namespace sotto {

struct StoreOptions {
  // May make the file and the table (design K4): `sotto config init`, `demo`, `store.create =
  // true`.
  bool create = false;
  // How long a call may wait for a lock held by others.
  std::chrono::milliseconds deadline = std::chrono::seconds(5);
  // See FileRules.
  std::optional<uid_t> also_owner;
  // The name of a registered SQLite VFS; empty for the system's. Fault tests put a shim there.
  std::string sqlite_vfs;
};

// `sqlite:/absolute/path` or `sqlite:relative/path`.
// STORE_URL_INVALID, STORE_UNSUPPORTED (postgres://, postgresql://, mysql://), and the backend's
// codes.
absl::StatusOr<std::unique_ptr<SystemsTable>> OpenSystemsTable(std::string_view url,
                                                               const StoreOptions& options = {});

// The path of an sqlite URL; STORE_URL_INVALID or STORE_UNSUPPORTED for the others.
absl::StatusOr<std::string> SqlitePath(std::string_view url);

// `url` without user name, password and parameters: fit for a log.
std::string RedactStoreUrl(std::string_view url);

}  // namespace sotto

#endif  // SOTTO_STORE_OPEN_STORE_H_
