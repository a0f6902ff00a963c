// A bare SQLite connection for tests: what another program does to our database.
#ifndef SOTTO_TESTS_SUPPORT_RAW_SQLITE_H_
#define SOTTO_TESTS_SUPPORT_RAW_SQLITE_H_

#include <sqlite3.h>
#include <sys/stat.h>

#include <string>

#include "gossip/base/check.h"

namespace sotto {

class RawSqlite {
 public:
  // Makes the file if it is missing, with mode 0600.
  explicit RawSqlite(const std::string& path) {
    const mode_t before = umask(0077);
    SOTTO_CHECK(sqlite3_open(path.c_str(), &db_) == SQLITE_OK);
    umask(before);
    sqlite3_busy_timeout(db_, 10'000);
  }
  ~RawSqlite() { sqlite3_close(db_); }
  RawSqlite(const RawSqlite&) = delete;
  RawSqlite& operator=(const RawSqlite&) = delete;

  // The first column of the first row, or empty. Ends the test's process if SQLite refuses.
  std::string Run(const std::string& sql) {
    std::string first;
    bool has_first = false;
    sqlite3_stmt* statement = nullptr;
    const char* rest = sql.c_str();
    while (*rest != '\0') {
      SOTTO_CHECK(sqlite3_prepare_v2(db_, rest, -1, &statement, &rest) == SQLITE_OK);
      int rc = SQLITE_OK;
      while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
        if (!has_first && text != nullptr) first = text;
        has_first = true;
      }
      SOTTO_CHECK(rc == SQLITE_DONE);
      sqlite3_finalize(statement);
    }
    return first;
  }

  // Sets `name` in Systems to exactly these bytes, as text.
  void SetRow(const std::string& name, const std::string& value) {
    sqlite3_stmt* statement = nullptr;
    SOTTO_CHECK(sqlite3_prepare_v2(db_, "INSERT OR REPLACE INTO Systems VALUES (?1, ?2)", -1,
                                   &statement, nullptr) == SQLITE_OK);
    sqlite3_bind_text(statement, 1, name.data(), static_cast<int>(name.size()), SQLITE_TRANSIENT);
    sqlite3_bind_text(statement, 2, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT);
    SOTTO_CHECK(sqlite3_step(statement) == SQLITE_DONE);
    sqlite3_finalize(statement);
  }

 private:
  sqlite3* db_ = nullptr;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_SUPPORT_RAW_SQLITE_H_
