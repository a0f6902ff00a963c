// MySQL and MariaDB behind sql.h, by the non-blocking calls of libmariadb.
//
// No my.cnf is read and no MYSQL_* variable has a say. A host means TCP, "localhost" too. Sessions
// run in strict mode, so that a value too long is an error and not cut, and in utf8mb4. The server
// is never given a local file, nor a password in the clear.
// The host's name is resolved by the deadline before libmariadb resolves it again; only that second
// look, which nearly always comes from a cache, cannot be cut short.
// A call that is late closes the connection.
#ifndef SOTTO_STORE_MYSQL_SQL_H_
#define SOTTO_STORE_MYSQL_SQL_H_

#include <memory>

#include "crypto/secret_bytes.h"
#include "store/sql.h"
#include "store/store_url.h"

namespace sotto {

// An empty password: none is sent.
std::unique_ptr<SqlDriver> MakeMysqlDriver(StoreUrl url, SecretBytes password);

}  // namespace sotto

#endif  // SOTTO_STORE_MYSQL_SQL_H_
