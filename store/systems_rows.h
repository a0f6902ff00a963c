// The table `Systems(Name, Value)` in a transaction, for all three dialects: what SystemsTable does
// one row at a time, and what keys and their states do together with tables of our own.
//
// A table that Mattermost or anybody else made is used as it is. Names are compared byte for byte,
// whatever the collation of the column says: "clusterencryptionkey" is another row. Errors: as
// systems_table.h. Threads: as the transaction.
#ifndef SOTTO_STORE_SYSTEMS_ROWS_H_
#define SOTTO_STORE_SYSTEMS_ROWS_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/database.h"
#include "store/systems_table.h"

namespace sotto {

enum class RowLock : uint8_t { kNone, kForUpdate };

// The value of the row; the caller wipes it. kForUpdate: nobody else changes the row before this
// transaction ends.
absl::StatusOr<std::string> ReadSystemsRow(SqlTransaction& transaction, std::string_view name,
                                           RowLock lock = RowLock::kNone);

// Adds the row, which ReadSystemsRow has not found. FAILED_PRECONDITION ROW_NAME_CLASH: the
// column's collation takes another row's name for the same one.
absl::Status AddSystemsRow(SqlTransaction& transaction, std::string_view name,
                           std::string_view value);

// Sets the row that ReadSystemsRow has found.
absl::Status SetSystemsRow(SqlTransaction& transaction, std::string_view name,
                           std::string_view value);

// Makes the table where there is none, with Mattermost's columns.
absl::Status CreateSystemsTable(Database& database);
// DB_TABLE_MISSING, DB_PERMISSION.
absl::Status CheckSystemsTable(Database& database);

// The one implementation over a database.
std::unique_ptr<SystemsTable> MakeSystemsTable(std::shared_ptr<Database> database);

}  // namespace sotto

#endif  // SOTTO_STORE_SYSTEMS_ROWS_H_
