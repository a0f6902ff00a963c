// From the URL of `[store] url` (store_url.h) to the database and its Systems table.
//
// With an "env:" password the variable leaves the environment of the process, and so do some of
// libpq's and libmariadb's own (postgres_sql.h, mysql_sql.h): open before there are threads that
// read the environment.
#ifndef SOTTO_STORE_OPEN_STORE_H_
#define SOTTO_STORE_OPEN_STORE_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "store/database.h"
#include "store/store_url.h"
#include "store/systems_table.h"

namespace sotto {

inline constexpr size_t kStorePasswordBytesMax = 1024;

struct StoreOptions {
  // May make the file and the table (design K4): `sotto config init`, `demo`, `store.create =
  // true`.
  bool create = false;
  // How long a call may take: on a server all of it, on SQLite its waits for locks of others.
  std::chrono::milliseconds deadline = std::chrono::seconds(5);
  // Where the password of a server's user lies (secret_source.h); empty: there is none.
  std::string password;
  // See FileRules.
  std::optional<uid_t> also_owner;
  // The name of a registered SQLite VFS; empty for the system's. Fault tests put a shim there.
  std::string sqlite_vfs;
};

// The database behind the URL; connects at the first transaction.
// STORE_URL_INVALID; the codes of ReadSecretSource; FILE_MISSING, FILE_UNREADABLE for a file of
// authorities.
absl::StatusOr<std::shared_ptr<Database>> OpenDatabase(std::string_view url,
                                                       const StoreOptions& options = {});

// A first look at its Systems table, which is made where it is missing and `create` says so.
absl::Status CheckStore(Database& database, bool create);

// Its Systems table, after a first look at it. Also the codes of sql.h, and for SQLite those of
// CheckSecretFile.
absl::StatusOr<std::unique_ptr<SystemsTable>> OpenSystemsTable(std::string_view url,
                                                               const StoreOptions& options = {});

}  // namespace sotto

#endif  // SOTTO_STORE_OPEN_STORE_H_
