// The Systems table in an SQLite file: the default, for one host (design K3).
//
// The file holds a plain key, so it falls under the rules for secrets (file_rules.h): 0600.
// A file that another program made is used as it is: no pragma that lasts is changed. One that is
// made here is in WAL mode, so that a reader never waits for a writer. A file that is replaced or
// removed while open is noticed at the next call.
#ifndef SOTTO_STORE_SQLITE_SYSTEMS_TABLE_H_
#define SOTTO_STORE_SQLITE_SYSTEMS_TABLE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "store/open_store.h"
#include "store/systems_table.h"

namespace sotto {

// `path` is a file name, never an SQLite URI. Opens, and with `options.create` makes what is
// missing.
//   DB_MISSING         NOT_FOUND            no such file
//   DB_TABLE_MISSING   NOT_FOUND            a database without the table Systems
//   DB_NOT_A_DATABASE  DATA_LOSS            the file is something else
//   DB_CORRUPT         DATA_LOSS            a damaged database
//   DB_LOCKED          UNAVAILABLE          another program kept it locked for the whole deadline
//   DB_READ_ONLY       PERMISSION_DENIED    a write was needed
//   DB_FULL            RESOURCE_EXHAUSTED   no space on the disk
//   DB_UNREADABLE      PERMISSION_DENIED    this user may not open it
//   DB_UNAVAILABLE     UNAVAILABLE          an I/O error, or anything else
//   and the codes of CheckSecretFile
absl::StatusOr<std::unique_ptr<SystemsTable>> OpenSqliteSystemsTable(const std::string& path,
                                                                     const StoreOptions& options);

}  // namespace sotto

#endif  // SOTTO_STORE_SQLITE_SYSTEMS_TABLE_H_
