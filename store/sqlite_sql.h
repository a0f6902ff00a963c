// SQLite behind sql.h: the default, for one host (design K3).
//
// The file holds a plain key, so it falls under the rules for secrets (file_rules.h): 0600. A file
// that another program made is used as it is: no pragma that lasts is changed. One that is made
// here is in WAL mode, so that a reader never waits for a writer. A file that is replaced or
// removed while open is noticed by IsUsable.
// Errors: beside those of sql.h, DB_MISSING (no such file; nothing is made unless Connect may) and
// the codes of CheckSecretFile.
#ifndef SOTTO_STORE_SQLITE_SQL_H_
#define SOTTO_STORE_SQLITE_SQL_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "store/sql.h"

namespace sotto {

// `path` is a file name, never an SQLite URI. `also_owner` as in FileRules. `vfs` is the name of a
// registered VFS; empty for the system's.
std::unique_ptr<SqlDriver> MakeSqliteDriver(std::string path, std::optional<uid_t> also_owner,
                                            std::string vfs);

}  // namespace sotto

#endif  // SOTTO_STORE_SQLITE_SQL_H_
