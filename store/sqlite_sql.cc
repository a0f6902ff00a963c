#include "store/sqlite_sql.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"
#include "store/sql_internal.h"

namespace sotto {
namespace {

using internal::DbError;

// One row can be no longer than this for SQLite itself: room for a foreign row, not for a flood.
constexpr int kSqliteBytesMax = 1 << 20;
// A look at the clock each so many steps of SQLite's machine.
constexpr int kStepsBetweenLooks = 10'000;

struct StatementCloser {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, StatementCloser>;

struct Closer {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Handle = std::unique_ptr<sqlite3, Closer>;

// Which file this is, so that a replaced one is noticed.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  friend bool operator==(const FileId&, const FileId&) = default;
};

absl::Status MissingFile(const std::string& path) {
  return DbError(absl::StatusCode::kNotFound, "DB_MISSING", path, "there is no such database file");
}

// An SQLite result to a status. `rc` is the extended code.
absl::Status FromSqlite(int rc, const std::string& path, const char* detail) {
  const std::string text = absl::StrCat(detail == nullptr ? sqlite3_errstr(rc) : detail);
  if (rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_UNIQUE) {
    return DbError(absl::StatusCode::kAlreadyExists, "DB_DUPLICATE", path, text);
  }
  switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return DbError(absl::StatusCode::kUnavailable, "DB_LOCKED", path,
                     "another program keeps the database locked");
    case SQLITE_NOTADB:
      return DbError(absl::StatusCode::kDataLoss, "DB_NOT_A_DATABASE", path,
                     "the file is not an SQLite database");
    case SQLITE_CORRUPT:
      return DbError(absl::StatusCode::kDataLoss, "DB_CORRUPT", path,
                     absl::StrCat("the database is damaged: ", text));
    case SQLITE_READONLY:
      return DbError(absl::StatusCode::kPermissionDenied, "DB_READ_ONLY", path,
                     absl::StrCat("this user may not write the database: ", text));
    case SQLITE_FULL:
      return DbError(absl::StatusCode::kResourceExhausted, "DB_FULL", path,
                     "no space is left for the database");
    case SQLITE_TOOBIG:
      return DbError(absl::StatusCode::kInvalidArgument, "KEY_TOO_LONG", path,
                     "the row's value is longer than 1024 bytes");
    case SQLITE_INTERRUPT:
      return internal::DbTimeout(path, "a statement ran");
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return DbError(absl::StatusCode::kPermissionDenied, "DB_UNREADABLE", path, text);
    default:
      return DbError(absl::StatusCode::kUnavailable, "DB_UNAVAILABLE", path,
                     absl::StrCat(text, " (SQLite ", rc, ")"));
  }
}

class SqliteConnection : public SqlConnection {
 public:
  SqliteConnection(const std::string& path, Handle db, FileId file)
      : path_(path), file_(file), db_(std::move(db)) {
    sqlite3_progress_handler(db_.get(), kStepsBetweenLooks, &SqliteConnection::IsLate, this);
  }

  // Settings that do not last in the file.
  absl::Status Configure() {
    sqlite3_limit(db_.get(), SQLITE_LIMIT_LENGTH, kSqliteBytesMax);
    // The caller's loop waits, with jitter and one deadline for the whole call.
    sqlite3_busy_timeout(db_.get(), 0);
    // A key must not be used before it would survive the loss of power. Schemas of a foreign file
    // may not call functions with effects.
    SOTTO_RETURN_IF_ERROR(Execute("PRAGMA synchronous = FULL"));
    return Execute("PRAGMA trusted_schema = OFF");
  }

  absl::Status Execute(const char* sql) { return Run(sql, {}, SqlTime::max()).status(); }

  SqlDialect dialect() const override { return SqlDialect::kSqlite; }

  bool IsUsable() override {
    // Reading on from an unlinked file would show yesterday's key for ever.
    struct stat info {};
    return stat(path_.c_str(), &info) == 0 && file_ == FileId{info.st_dev, info.st_ino};
  }

  absl::StatusOr<SqlResult> Run(std::string_view sql, std::span<const SqlParam> params,
                                SqlTime deadline) override {
    deadline_ = deadline;
    sqlite3_stmt* raw = nullptr;
    int rc = sqlite3_prepare_v2(db_.get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
    const Statement statement(raw);
    if (rc != SQLITE_OK) return LastError(rc);
    for (size_t i = 0; i < params.size(); ++i) {
      rc = Bind(raw, static_cast<int>(i) + 1, params[i]);
      if (rc != SQLITE_OK) return LastError(rc);
    }
    SqlResult result;
    while ((rc = sqlite3_step(raw)) == SQLITE_ROW) {
      SqlRow row;
      for (int column = 0; column < sqlite3_column_count(raw); ++column) {
        SOTTO_ASSIGN_OR_RETURN(SqlValue value, ValueAt(raw, column));
        row.push_back(std::move(value));
      }
      result.rows.push_back(std::move(row));
    }
    if (rc != SQLITE_DONE) return LastError(rc);
    result.changed = sqlite3_stmt_readonly(raw) != 0 ? 0 : sqlite3_changes(db_.get());
    return result;
  }

  absl::Status Begin(SqlMode mode, SqlTime deadline) override {
    return Run(mode == SqlMode::kRead ? "BEGIN" : "BEGIN IMMEDIATE", {}, deadline).status();
  }

  absl::Status Commit(SqlTime deadline) override { return Run("COMMIT", {}, deadline).status(); }

  absl::Status Rollback(SqlTime) override {
    // SQLite has rolled back by itself after some errors. This has to work past the deadline too.
    if (sqlite3_get_autocommit(db_.get()) != 0) return absl::OkStatus();
    return Execute("ROLLBACK");
  }

 private:
  static int IsLate(void* self) {
    return std::chrono::steady_clock::now() > static_cast<SqliteConnection*>(self)->deadline_;
  }

  static int Bind(sqlite3_stmt* statement, int index, const SqlParam& param) {
    if (const auto* number = std::get_if<int64_t>(&param)) {
      return sqlite3_bind_int64(statement, index, *number);
    }
    if (const auto* text = std::get_if<std::string_view>(&param)) {
      return sqlite3_bind_text(statement, index, text->data(), static_cast<int>(text->size()),
                               SQLITE_STATIC);
    }
    return sqlite3_bind_null(statement, index);
  }

  absl::StatusOr<SqlValue> ValueAt(sqlite3_stmt* statement, int column) const {
    switch (sqlite3_column_type(statement, column)) {
      case SQLITE_NULL:
        return SqlValue();
      case SQLITE_INTEGER:
        return SqlValue(int64_t{sqlite3_column_int64(statement, column)});
      case SQLITE_FLOAT:
        return SqlValue(SqlOther{"real"});
      case SQLITE_BLOB:
        return SqlValue(SqlOther{"blob"});
      default:
        break;
    }
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
    const auto size = static_cast<size_t>(sqlite3_column_bytes(statement, column));
    if (text == nullptr) return LastError(SQLITE_NOMEM);
    return SqlValue(std::string(text, size));
  }

  absl::Status LastError(int rc) const {
    const int extended = sqlite3_extended_errcode(db_.get());
    const char* text = sqlite3_errmsg(db_.get());
    // SQLite has no code of its own for this.
    constexpr std::string_view kNoTable = "no such table: ";
    if (const std::string_view message = text; message.starts_with(kNoTable)) {
      return DbError(
          absl::StatusCode::kNotFound, "DB_TABLE_MISSING", path_,
          absl::StrCat("the database has no table ", std::string(message.substr(kNoTable.size()))));
    }
    return FromSqlite(extended != SQLITE_OK ? extended : rc, path_, text);
  }

  const std::string path_;
  const FileId file_;
  SqlTime deadline_ = SqlTime::max();
  Handle db_;
};

class SqliteDriver : public SqlDriver {
 public:
  SqliteDriver(std::string path, std::optional<uid_t> also_owner, std::string vfs)
      : path_(std::move(path)),
        url_(absl::StrCat("sqlite:", path_)),
        also_owner_(also_owner),
        vfs_(std::move(vfs)) {}

  SqlDialect dialect() const override { return SqlDialect::kSqlite; }
  const std::string& display_url() const override { return url_; }

  absl::StatusOr<std::unique_ptr<SqlConnection>> Connect(bool may_create, SqlTime) override {
    SOTTO_RETURN_IF_ERROR(CheckFile(may_create));
    struct stat info {};
    if (stat(path_.c_str(), &info) != 0) return MissingFile(path_);
    sqlite3* raw = nullptr;
    const int rc = sqlite3_open_v2(
        path_.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
        vfs_.empty() ? nullptr : vfs_.c_str());
    Handle db(raw);
    if (rc != SQLITE_OK) return FromSqlite(rc, path_, raw ? sqlite3_errmsg(raw) : nullptr);
    auto connection =
        std::make_unique<SqliteConnection>(path_, std::move(db), FileId{info.st_dev, info.st_ino});
    SOTTO_RETURN_IF_ERROR(connection->Configure());
    // Only for a file made here: the mode lasts in the file, and another program's is left alone.
    if (made_here_) SOTTO_RETURN_IF_ERROR(connection->Execute("PRAGMA journal_mode = WAL"));
    made_here_ = false;
    return connection;
  }

 private:
  // There, or made, and fit to hold a secret.
  absl::Status CheckFile(bool may_create) {
    if (access(path_.c_str(), F_OK) != 0) {
      if (errno == EACCES) {
        return DbError(absl::StatusCode::kPermissionDenied, "DB_UNREADABLE", path_,
                       "this user may not look into its folder");
      }
      if (!may_create) return MissingFile(path_);
      SOTTO_RETURN_IF_ERROR(CreateFile());
    }
    const absl::Status rules =
        CheckSecretFile(path_, {.bytes_max = 0, .secret = true, .also_owner = also_owner_});
    if (ErrorCode(rules) == "FILE_MISSING") return MissingFile(path_);
    if (ErrorCode(rules) == "FILE_UNREADABLE") {
      return DbError(absl::StatusCode::kPermissionDenied, "DB_UNREADABLE", path_,
                     "this user may not read the database");
    }
    return rules;
  }

  // Made by us rather than by SQLite, so that no moment passes in which the file has the umask's
  // mode.
  absl::Status CreateFile() {
    const absl::Status made = AtomicCreate(path_, "", 0600);
    if (made.ok()) made_here_ = true;
    if (made.ok() || ErrorCode(made) == "FILE_EXISTS") return absl::OkStatus();
    if (ErrorCode(made) == "DISK_FULL") {
      return DbError(absl::StatusCode::kResourceExhausted, "DB_FULL", path_,
                     std::string(made.message()));
    }
    if (ErrorCode(made) == "FILE_MISSING") {
      return DbError(absl::StatusCode::kNotFound, "DB_MISSING", path_, "its folder does not exist");
    }
    return DbError(absl::StatusCode::kPermissionDenied, "DB_READ_ONLY", path_,
                   "this user may not make the file");
  }

  const std::string path_;
  const std::string url_;
  const std::optional<uid_t> also_owner_;
  const std::string vfs_;
  bool made_here_ = false;  // and not yet in WAL mode
};

}  // namespace

std::unique_ptr<SqlDriver> MakeSqliteDriver(std::string path, std::optional<uid_t> also_owner,
                                            std::string vfs) {
  return std::make_unique<SqliteDriver>(std::move(path), also_owner, std::move(vfs));
}

}  // namespace sotto
