#include "store/sql.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

void WipeRows(std::vector<SqlRow>* rows) {
  for (SqlRow& row : *rows) {
    for (SqlValue& value : row) {
      if (auto* text = std::get_if<std::string>(&value)) WipeText(text);
    }
  }
}

std::string InsertText(std::string_view table, std::span<const std::string_view> columns) {
  std::string names, marks;
  for (const std::string_view column : columns) {
    if (!names.empty()) {
      names += ", ";
      marks += ", ";
    }
    names += column;
    marks += '?';
  }
  return absl::StrCat("INSERT INTO ", std::string(table), " (", names, ") VALUES (", marks, ")");
}

absl::Status NoNotify() {
  return CodedError(absl::StatusCode::kUnimplemented, "DB_NO_NOTIFY",
                    "this database sends no notifications");
}

}  // namespace

std::string_view ToString(SqlDialect dialect) {
  switch (dialect) {
    case SqlDialect::kSqlite:
      return "SQLite";
    case SqlDialect::kPostgres:
      return "PostgreSQL";
    case SqlDialect::kMysql:
      return "MySQL";
  }
  return "?";
}

SqlResult::~SqlResult() { WipeRows(&rows); }

SqlResult& SqlResult::operator=(SqlResult&& other) noexcept {
  if (this == &other) return *this;
  WipeRows(&rows);
  rows = std::move(other.rows);
  other.rows.clear();
  changed = other.changed;
  return *this;
}

const int64_t* SqlResult::Number(size_t row, size_t column) const {
  if (row >= rows.size() || column >= rows[row].size()) return nullptr;
  return std::get_if<int64_t>(&rows[row][column]);
}

const std::string* SqlResult::Text(size_t row, size_t column) const {
  if (row >= rows.size() || column >= rows[row].size()) return nullptr;
  return std::get_if<std::string>(&rows[row][column]);
}

absl::Status SqlConnection::Listen(std::string_view, SqlTime) { return NoNotify(); }

absl::StatusOr<std::optional<SqlNotification>> SqlConnection::WaitForNotification(SqlTime, int) {
  return NoNotify();
}

std::string_view SqlForUpdate(SqlDialect dialect) {
  return dialect == SqlDialect::kSqlite ? "" : " FOR UPDATE";
}

std::string SqlInsertIfAbsent(SqlDialect dialect, std::string_view table,
                              std::span<const std::string_view> columns) {
  SOTTO_CHECK(!columns.empty());
  const std::string insert = InsertText(table, columns);
  if (dialect != SqlDialect::kMysql) return absl::StrCat(insert, " ON CONFLICT DO NOTHING");
  // Not INSERT IGNORE, which would let a value that is too long pass, cut.
  const std::string key(columns.front());
  return absl::StrCat(insert, " ON DUPLICATE KEY UPDATE ", key, " = ", key);
}

std::string SqlUpsert(SqlDialect dialect, std::string_view table,
                      std::span<const std::string_view> columns, size_t key_columns) {
  SOTTO_CHECK(key_columns > 0 && key_columns < columns.size());
  const bool is_mysql = dialect == SqlDialect::kMysql;
  std::string keys, sets;
  for (size_t i = 0; i < columns.size(); ++i) {
    const std::string column(columns[i]);
    std::string& list = i < key_columns ? keys : sets;
    if (!list.empty()) list += ", ";
    list += column;
    if (i < key_columns) continue;
    sets +=
        is_mysql ? absl::StrCat(" = VALUES(", column, ")") : absl::StrCat(" = excluded.", column);
  }
  const std::string insert = InsertText(table, columns);
  return is_mysql ? absl::StrCat(insert, " ON DUPLICATE KEY UPDATE ", sets)
                  : absl::StrCat(insert, " ON CONFLICT (", keys, ") DO UPDATE SET ", sets);
}

}  // namespace sotto
