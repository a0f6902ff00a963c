#include "store/systems_rows.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"
#include "store/sql_internal.h"

namespace sotto {
namespace {

using internal::DbError;

// A collation may take many names for one; in a table without a primary key all of them are there.
constexpr size_t kRowsMax = 64;

std::string_view BytesOfValue(SqlDialect dialect) {
  switch (dialect) {
    case SqlDialect::kSqlite:
      return "length(CAST(Value AS BLOB))";
    case SqlDialect::kPostgres:
      return "octet_length(CAST(Value AS text))";
    case SqlDialect::kMysql:
      break;
  }
  return "octet_length(Value)";
}

// Name, length, and the value where it is no longer than allowed: a row of the wrong shape is told
// without being copied.
std::string SelectRows(SqlDialect dialect, RowLock lock) {
  const std::string bytes(BytesOfValue(dialect));
  return absl::StrCat("SELECT Name, ", bytes, ", CASE WHEN ", bytes,
                      " <= ", SystemsTable::kValueBytesMax,
                      " THEN Value END FROM Systems WHERE Name = ? LIMIT ", kRowsMax,
                      lock == RowLock::kForUpdate ? std::string(SqlForUpdate(dialect)) : "");
}

std::string TypeOf(const SqlValue& value) {
  if (const auto* other = std::get_if<SqlOther>(&value)) return other->type;
  if (std::holds_alternative<int64_t>(value)) return "integer";
  return std::holds_alternative<std::string>(value) ? "text" : "null";
}

absl::Status InvalidRow(const SqlTransaction& transaction, std::string_view code,
                        const std::string& message) {
  return DbError(absl::StatusCode::kInvalidArgument, code, transaction.where(), message);
}

absl::StatusOr<std::string> ValueOf(const SqlTransaction& transaction, const std::string& name,
                                    SqlRow& row) {
  const auto* bytes = std::get_if<int64_t>(&row[1]);
  if (bytes != nullptr && *bytes > static_cast<int64_t>(SystemsTable::kValueBytesMax)) {
    return InvalidRow(transaction, "KEY_TOO_LONG",
                      absl::StrCat("the value of ", name, " is longer than ",
                                   SystemsTable::kValueBytesMax, " bytes"));
  }
  auto* text = std::get_if<std::string>(&row[2]);
  if (text != nullptr) return std::move(*text);
  return InvalidRow(
      transaction, "KEY_ROW_TYPE",
      absl::StrCat("the value of ", name, " is of type ", TypeOf(row[2]), ", not text"));
}

absl::Status ClashOf(const SqlTransaction& transaction, const std::string& name) {
  return DbError(absl::StatusCode::kFailedPrecondition, "ROW_NAME_CLASH", transaction.where(),
                 absl::StrCat("Systems holds a row that it takes for ", name,
                              ", with other letters or blanks in its name"));
}

absl::Status CheckSizes(std::string_view name, std::string_view value) {
  if (name.empty() || name.size() > SystemsTable::kNameBytesMax) {
    return CodedError(absl::StatusCode::kInvalidArgument, "ROW_NAME_INVALID",
                      absl::StrCat("a row's name of ", name.size(), " bytes, want 1 to ",
                                   SystemsTable::kNameBytesMax));
  }
  if (value.size() > SystemsTable::kValueBytesMax) {
    return CodedError(absl::StatusCode::kInvalidArgument, "KEY_TOO_LONG",
                      absl::StrCat("a value of ", value.size(), " bytes, want at most ",
                                   SystemsTable::kValueBytesMax));
  }
  return absl::OkStatus();
}

bool IsMissingRow(const absl::Status& status) { return ErrorCode(status) == "ROW_MISSING"; }

class SqlSystemsTable : public SystemsTable {
 public:
  explicit SqlSystemsTable(std::shared_ptr<Database> database) : database_(std::move(database)) {}

  absl::StatusOr<std::string> Get(std::string_view name) override {
    SOTTO_RETURN_IF_ERROR(CheckSizes(name, {}));
    absl::StatusOr<std::string> value;
    const absl::Status status =
        database_->Transact(SqlMode::kRead, [&](SqlTransaction& transaction) {
          value = ReadSystemsRow(transaction, name);
          return value.status();
        });
    if (!status.ok()) return status;
    return value;
  }

  absl::StatusOr<std::string> InsertIfAbsent(std::string_view name,
                                             std::string_view value) override {
    SOTTO_RETURN_IF_ERROR(CheckSizes(name, value));
    std::string held;
    const auto read_or_add = [&](SqlTransaction& transaction) -> absl::Status {
      absl::StatusOr<std::string> found = ReadSystemsRow(transaction, name);
      if (!found.ok() && !IsMissingRow(found.status())) return found.status();
      if (!found.ok()) SOTTO_RETURN_IF_ERROR(AddSystemsRow(transaction, name, value));
      WipeText(&held);
      held = found.ok() ? *std::move(found) : std::string(value);
      return absl::OkStatus();
    };
    const absl::Status status = database_->Transact(SqlMode::kWrite, read_or_add);
    if (status.ok()) return held;
    WipeText(&held);
    return status;
  }

  absl::Status Replace(std::string_view name, const std::optional<std::string>& expected,
                       std::string_view value) override {
    SOTTO_RETURN_IF_ERROR(CheckSizes(name, value));
    return database_->Transact(SqlMode::kWrite, [&](SqlTransaction& transaction) -> absl::Status {
      absl::StatusOr<std::string> held = ReadSystemsRow(transaction, name, RowLock::kForUpdate);
      const bool is_absent = IsMissingRow(held.status());
      if (!held.ok() && !is_absent) return held.status();
      const bool fits = is_absent ? !expected.has_value() : expected == *held;
      const bool is_done = !is_absent && transaction.may_have_committed() && *held == value;
      if (held.ok()) WipeText(&*held);
      if (is_done) return absl::OkStatus();
      if (!fits) {
        return DbError(absl::StatusCode::kAborted, "ROW_CHANGED", transaction.where(),
                       absl::StrCat("the row ", std::string(name), " holds another value by now"));
      }
      return is_absent ? AddSystemsRow(transaction, name, value)
                       : SetSystemsRow(transaction, name, value);
    });
  }

  std::string DisplayUrl() const override { return database_->display_url(); }

 private:
  const std::shared_ptr<Database> database_;
};

}  // namespace

absl::StatusOr<std::string> ReadSystemsRow(SqlTransaction& transaction, std::string_view name,
                                           RowLock lock) {
  SOTTO_ASSIGN_OR_RETURN(SqlResult result,
                         transaction.Run(SelectRows(transaction.dialect(), lock), {name}));
  const std::string wanted(name);
  SqlRow* found = nullptr;
  size_t count = 0;
  for (SqlRow& row : result.rows) {
    const auto* own_name = std::get_if<std::string>(&row[0]);
    if (own_name == nullptr || *own_name != name) continue;
    found = &row;
    ++count;
  }
  if (count > 1 || result.rows.size() == kRowsMax) {
    return InvalidRow(transaction, "KEY_ROW_DUPLICATE",
                      absl::StrCat("Systems holds several rows ", wanted));
  }
  if (found == nullptr) {
    return DbError(absl::StatusCode::kNotFound, "ROW_MISSING", transaction.where(),
                   absl::StrCat("Systems has no row ", wanted));
  }
  return ValueOf(transaction, wanted, *found);
}

absl::Status AddSystemsRow(SqlTransaction& transaction, std::string_view name,
                           std::string_view value) {
  const absl::StatusOr<SqlResult> added =
      transaction.Run("INSERT INTO Systems (Name, Value) VALUES (?, ?)", {name, value});
  if (ErrorCode(added.status()) != "DB_DUPLICATE") return added.status();
  const std::string text(name);
  // A row of that very name is another writer's, who was quicker: begin again, and find it.
  // PostgreSQL answers nothing more in this transaction.
  if (transaction.dialect() != SqlDialect::kPostgres) {
    const absl::StatusOr<std::string> again = ReadSystemsRow(transaction, name);
    if (IsMissingRow(again.status())) return ClashOf(transaction, text);
  }
  return DbError(absl::StatusCode::kAborted, "DB_CONFLICT", transaction.where(),
                 absl::StrCat("another program added the row ", text, " at the same time"));
}

absl::Status SetSystemsRow(SqlTransaction& transaction, std::string_view name,
                           std::string_view value) {
  SOTTO_ASSIGN_OR_RETURN(
      const SqlResult result,
      transaction.Run("UPDATE Systems SET Value = ? WHERE Name = ?", {value, name}));
  if (result.changed == 1) return absl::OkStatus();
  return InvalidRow(
      transaction, "KEY_ROW_DUPLICATE",
      absl::StrCat("Systems takes ", result.changed, " rows for ", std::string(name)));
}

absl::Status CheckSystemsTable(Database& database) {
  return database.Transact(SqlMode::kRead, [](SqlTransaction& transaction) {
    return transaction.Run("SELECT Name, Value FROM Systems WHERE 1 = 0").status();
  });
}

absl::Status CreateSystemsTable(Database& database) {
  return database.Transact(SqlMode::kLocked, [](SqlTransaction& transaction) -> absl::Status {
    std::string sql =
        "CREATE TABLE IF NOT EXISTS Systems (Name VARCHAR(64) PRIMARY KEY, Value VARCHAR(1024))";
    if (transaction.dialect() == SqlDialect::kMysql) {
      sql += " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
    }
    const absl::Status status = transaction.Run(sql).status();
    if (ErrorCode(status) != "DB_DUPLICATE") return status;
    // PostgreSQL, where two make it at the same time.
    return DbError(absl::StatusCode::kAborted, "DB_CONFLICT", transaction.where(),
                   "another program made the table Systems at the same time");
  });
}

std::unique_ptr<SystemsTable> MakeSystemsTable(std::shared_ptr<Database> database) {
  return std::make_unique<SqlSystemsTable>(std::move(database));
}

}  // namespace sotto
