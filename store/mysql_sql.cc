#include "store/mysql_sql.h"

#include <fcntl.h>
#include <mariadb/mysql.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"
#include "store/host_lookup.h"
#include "store/sql_internal.h"

namespace sotto {
namespace {

using internal::DbError;
using internal::FirstLine;
using internal::LeftUntil;
using std::chrono::milliseconds;

constexpr unsigned kBinaryCharset = 63;
// Enough for an operation that is told again and again that its time is over.
constexpr int kStepsToGiveUp = 1000;
// Read before the first statement of ours.
constexpr char kSession[] =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, "
    "completion_type = 0";
constexpr char kAuthPlugins[] =
    "mysql_native_password,client_ed25519,caching_sha2_password,sha256_password";

// libmariadb writes to sockets that may be closed. A SIGPIPE that this causes is for nobody.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec none{};
    if (!was_pending_) {
      while (sigtimedwait(&pipe_, nullptr, &none) == SIGPIPE) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_{}, before_{};
  bool was_pending_ = false;
};

struct ErrorRow {
  unsigned number;
  absl::StatusCode kind;
  std::string_view code;
};
constexpr ErrorRow kErrors[] = {
    {1020, absl::StatusCode::kAborted, "DB_CONFLICT"},
    {1021, absl::StatusCode::kResourceExhausted, "DB_FULL"},
    {1028, absl::StatusCode::kResourceExhausted, "DB_FULL"},
    {1040, absl::StatusCode::kUnavailable, "DB_TOO_MANY_CLIENTS"},
    {1044, absl::StatusCode::kPermissionDenied, "DB_PERMISSION"},
    {1045, absl::StatusCode::kUnauthenticated, "DB_AUTH_FAILED"},
    {1049, absl::StatusCode::kNotFound, "DB_DATABASE_MISSING"},
    {1050, absl::StatusCode::kAlreadyExists, "DB_DUPLICATE"},
    {1053, absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
    {1062, absl::StatusCode::kAlreadyExists, "DB_DUPLICATE"},
    {1114, absl::StatusCode::kResourceExhausted, "DB_FULL"},
    {1129, absl::StatusCode::kUnauthenticated, "DB_AUTH_FAILED"},
    {1130, absl::StatusCode::kUnauthenticated, "DB_AUTH_FAILED"},
    {1142, absl::StatusCode::kPermissionDenied, "DB_PERMISSION"},
    {1143, absl::StatusCode::kPermissionDenied, "DB_PERMISSION"},
    {1146, absl::StatusCode::kNotFound, "DB_TABLE_MISSING"},
    {1203, absl::StatusCode::kUnavailable, "DB_TOO_MANY_CLIENTS"},
    {1205, absl::StatusCode::kUnavailable, "DB_LOCKED"},
    {1213, absl::StatusCode::kAborted, "DB_CONFLICT"},
    {1226, absl::StatusCode::kUnavailable, "DB_TOO_MANY_CLIENTS"},
    {1227, absl::StatusCode::kPermissionDenied, "DB_PERMISSION"},
    {1251, absl::StatusCode::kUnauthenticated, "DB_AUTH_FAILED"},
    {1290, absl::StatusCode::kPermissionDenied, "DB_READ_ONLY"},
    {1370, absl::StatusCode::kPermissionDenied, "DB_PERMISSION"},
    {1406, absl::StatusCode::kInvalidArgument, "KEY_TOO_LONG"},
    {1698, absl::StatusCode::kUnauthenticated, "DB_AUTH_FAILED"},
    {1792, absl::StatusCode::kPermissionDenied, "DB_READ_ONLY"},
    {1836, absl::StatusCode::kPermissionDenied, "DB_READ_ONLY"},
    {1927, absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
    {1969, absl::StatusCode::kDeadlineExceeded, "DB_TIMEOUT"},
    {2005, absl::StatusCode::kUnavailable, "DB_HOST_UNKNOWN"},
    {2006, absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
    {2012, absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
    {2013, absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
    {2055, absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
    {2059, absl::StatusCode::kUnauthenticated, "DB_AUTH_FAILED"},
    {2061, absl::StatusCode::kUnauthenticated, "DB_AUTH_FAILED"},
    {3024, absl::StatusCode::kDeadlineExceeded, "DB_TIMEOUT"},
    {3572, absl::StatusCode::kUnavailable, "DB_LOCKED"},
    {4031, absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
};

// The errno in "Can't connect to server on 'db' (111)"; 0 if there is none.
int ErrnoIn(std::string_view text) {
  const size_t open = text.rfind('(');
  if (open == std::string_view::npos) return 0;
  int number = 0;
  std::from_chars(text.data() + open + 1, text.data() + text.size(), number);
  return number;
}

absl::Status FromNoConnection(const std::string& where, const std::string& text) {
  switch (ErrnoIn(text)) {
    case EACCES:
      return DbError(absl::StatusCode::kPermissionDenied, "DB_UNREADABLE", where, text);
    case ECONNREFUSED:
    case ENOENT:
      return DbError(absl::StatusCode::kUnavailable, "DB_REFUSED", where, text);
    default:
      return DbError(absl::StatusCode::kUnavailable, "DB_HOST_UNREACHABLE", where, text);
  }
}

absl::Status FromTls(const std::string& where, const std::string& text) {
  struct Row {
    std::string_view words, code;
  };
  for (const Row& row : {Row{"server does not support it", "DB_TLS_NOT_OFFERED"},
                         Row{"Validation of SSL server certificate failed", "DB_TLS_WRONG_NAME"},
                         Row{"certificate", "DB_TLS_UNTRUSTED"}}) {
    if (text.find(row.words) != std::string::npos) {
      return DbError(absl::StatusCode::kUnauthenticated, row.code, where, text);
    }
  }
  return DbError(absl::StatusCode::kUnauthenticated, "DB_TLS_FAILED", where, text);
}

// `text` is libmariadb's or the server's. Statements hold values, and so may a message about one
// that no row above names.
absl::Status FromNumber(unsigned number, const std::string& where, const std::string& text,
                        bool has_values) {
  if (number == 2002 || number == 2003) return FromNoConnection(where, text);
  if (number == 2026) return FromTls(where, text);
  // "Got error 28 … from storage engine", errno of the disk.
  if ((number == 1030 || number == 1026 || number == 3) && text.find("28") != std::string::npos) {
    return DbError(absl::StatusCode::kResourceExhausted, "DB_FULL", where, text);
  }
  for (const ErrorRow& row : kErrors) {
    if (row.number != number) continue;
    const bool is_about_value = row.code == "DB_DUPLICATE" || row.code == "KEY_TOO_LONG";
    return DbError(
        row.kind, row.code, where,
        is_about_value ? absl::StrCat("the server refused a value (", number, ")") : text);
  }
  return DbError(absl::StatusCode::kUnavailable, "DB_UNAVAILABLE", where,
                 has_values ? absl::StrCat("the server refused the statement (MySQL ", number, ")")
                            : absl::StrCat(text, " (MySQL ", number, ")"));
}

SqlValue ValueOf(const MYSQL_FIELD& field, const char* data, size_t size) {
  if (data == nullptr) return SqlValue();
  const std::string_view text(data, size);
  switch (field.type) {
    case MYSQL_TYPE_TINY:
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_LONGLONG:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_YEAR: {
      int64_t number = 0;
      const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
      if (read.ec != std::errc()) return SqlValue(SqlOther{"bigint unsigned"});
      return SqlValue(number);
    }
    case MYSQL_TYPE_VARCHAR:
    case MYSQL_TYPE_VAR_STRING:
    case MYSQL_TYPE_STRING:
    case MYSQL_TYPE_TINY_BLOB:
    case MYSQL_TYPE_MEDIUM_BLOB:
    case MYSQL_TYPE_LONG_BLOB:
    case MYSQL_TYPE_BLOB:
      if (field.charsetnr == kBinaryCharset) return SqlValue(SqlOther{"binary"});
      return SqlValue(std::string(text));
    default:
      return SqlValue(SqlOther{absl::StrCat("of MySQL's number ", static_cast<int>(field.type))});
  }
}

// The statement with its values in it. A text goes as hex digits: nothing in it can end a literal.
std::string Filled(std::string_view sql, std::span<const SqlParam> params) {
  std::string out;
  size_t bytes = sql.size();
  for (const SqlParam& param : params) {
    const auto* text = std::get_if<std::string_view>(&param);
    bytes += text != nullptr ? text->size() * 2 + 16 : 24;
  }
  out.reserve(bytes);  // no copy of a secret is left behind by growing
  size_t next = 0;
  for (const char c : sql) {
    if (c != '?') {
      out += c;
      continue;
    }
    SOTTO_CHECK(next < params.size());
    const SqlParam& param = params[next++];
    if (const auto* number = std::get_if<int64_t>(&param)) {
      absl::StrAppend(&out, *number);
    } else if (const auto* text = std::get_if<std::string_view>(&param)) {
      constexpr char kHex[] = "0123456789abcdef";
      out += "_utf8mb4 X'";
      for (const char byte : *text) {
        out += kHex[static_cast<uint8_t>(byte) >> 4];
        out += kHex[static_cast<uint8_t>(byte) & 15];
      }
      out += '\'';
    } else {
      out += "NULL";
    }
  }
  SOTTO_CHECK(next == params.size());
  return out;
}

struct ResultCloser {
  void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
};
using Result = std::unique_ptr<MYSQL_RES, ResultCloser>;

// A handle of libmariadb whose calls end by a deadline.
class Handle {
 public:
  Handle() : mysql_(mysql_init(nullptr)) { SOTTO_CHECK(mysql_ != nullptr); }
  ~Handle() { Close(); }
  Handle(Handle&& other) noexcept : mysql_(std::exchange(other.mysql_, nullptr)) {}
  Handle& operator=(Handle&&) = delete;

  MYSQL* get() const { return mysql_; }

  void Close() {
    if (mysql_ == nullptr) return;
    const NoSigpipe quiet;
    mysql_close(mysql_);
    mysql_ = nullptr;
  }

  // Runs an operation: `start` and `go_on` give what libmariadb waits for, 0 when it is done. False
  // if the deadline came first; the handle is then good for nothing but closing.
  bool Drive(const std::function<int()>& start, const std::function<int(int)>& go_on,
             SqlTime deadline) {
    const NoSigpipe quiet;
    int waits_for = start();
    while (waits_for != 0) {
      const int got = Await(waits_for, deadline);
      if (got == 0) {
        GiveUp(go_on);
        return false;
      }
      waits_for = go_on(got);
    }
    return true;
  }

 private:
  int Await(int waits_for, SqlTime deadline) const {
    const int events = ((waits_for & MYSQL_WAIT_READ) != 0 ? POLLIN : 0) |
                       ((waits_for & MYSQL_WAIT_WRITE) != 0 ? POLLOUT : 0) |
                       ((waits_for & MYSQL_WAIT_EXCEPT) != 0 ? POLLPRI : 0);
    const int ready = internal::PollUntil(mysql_get_socket(mysql_), events, -1, deadline);
    if (ready == 0) return 0;
    int got = 0;
    if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0) got |= waits_for & MYSQL_WAIT_READ;
    if ((ready & (POLLOUT | POLLHUP | POLLERR)) != 0) got |= waits_for & MYSQL_WAIT_WRITE;
    if ((ready & POLLPRI) != 0) got |= waits_for & MYSQL_WAIT_EXCEPT;
    return got != 0 ? got : waits_for & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE);
  }

  // The operation lives on a stack of its own, which is to be left in good order: each of its waits
  // ends at once until it has failed.
  void GiveUp(const std::function<int(int)>& go_on) {
    const my_socket fd = mysql_get_socket(mysql_);
    if (fd >= 0) shutdown(fd, SHUT_RDWR);
    int waits_for = go_on(MYSQL_WAIT_TIMEOUT);
    for (int i = 0; waits_for != 0 && i < kStepsToGiveUp; ++i) {
      waits_for = go_on(MYSQL_WAIT_TIMEOUT);
    }
    // Better a leak than a stack that is freed while in use.
    if (waits_for != 0) mysql_ = nullptr;
  }

  MYSQL* mysql_;
};

class MysqlConnection : public SqlConnection {
 public:
  MysqlConnection(std::string where, Handle handle)
      : where_(std::move(where)), handle_(std::move(handle)) {
    is_mariadb_ = mariadb_connection(handle_.get()) != 0;
  }

  SqlDialect dialect() const override { return SqlDialect::kMysql; }
  bool IsUsable() override { return !is_lost_; }

  absl::StatusOr<SqlResult> Run(std::string_view sql, std::span<const SqlParam> params,
                                SqlTime deadline) override {
    std::string text = Filled(sql, params);
    absl::StatusOr<SqlResult> result = Query(text, !params.empty(), deadline);
    WipeText(&text);
    return result;
  }

  absl::Status Begin(SqlMode mode, SqlTime deadline) override {
    SOTTO_RETURN_IF_ERROR(SetLimits(deadline));
    const char* isolation = mode == SqlMode::kRead    ? "REPEATABLE READ"
                            : mode == SqlMode::kWrite ? "SERIALIZABLE"
                                                      : "READ COMMITTED";
    SOTTO_RETURN_IF_ERROR(
        Query(absl::StrCat("SET TRANSACTION ISOLATION LEVEL ", isolation), false, deadline)
            .status());
    return Query(mode == SqlMode::kRead ? "START TRANSACTION READ ONLY" : "START TRANSACTION",
                 false, deadline)
        .status();
  }

  absl::Status Commit(SqlTime deadline) override {
    return Query("COMMIT", false, deadline).status();
  }

  absl::Status Rollback(SqlTime deadline) override {
    if (is_lost_) return absl::OkStatus();  // the server does it
    return Query("ROLLBACK", false, deadline).status();
  }

 private:
  // MariaDB can refuse a lock at once, and the caller's loop then does the waiting; MySQL waits for
  // whole seconds only.
  absl::Status SetLimits(SqlTime deadline) {
    const auto wait = std::chrono::floor<std::chrono::seconds>(internal::LockWait(deadline));
    const int64_t seconds = std::max<int64_t>(wait.count(), is_mariadb_ ? 0 : 1);
    const auto left = std::max(LeftUntil(deadline), milliseconds(1));
    const std::string limits = absl::StrCat(
        "SET SESSION innodb_lock_wait_timeout = ", seconds, ", lock_wait_timeout = ", seconds,
        is_mariadb_ ? absl::StrFormat(", max_statement_time = %.3f",
                                      std::chrono::duration<double>(left).count())
                    : "");
    return Query(limits, false, deadline).status();
  }

  absl::Status Late() {
    is_lost_ = true;
    handle_.Close();
    return internal::DbTimeout(where_, "a statement ran");
  }

  absl::Status LastError(bool has_values) {
    absl::Status status = FromNumber(mysql_errno(handle_.get()), where_,
                                     FirstLine(mysql_error(handle_.get())), has_values);
    if (ErrorCode(status) == "DB_CONNECTION_LOST") {
      is_lost_ = true;
      handle_.Close();
    }
    return status;
  }

  absl::StatusOr<SqlResult> Query(const std::string& sql, bool has_values, SqlTime deadline) {
    if (is_lost_) return internal::DbLost(where_, "before a statement");
    MYSQL* const mysql = handle_.get();
    int failed = 0;
    if (!handle_.Drive(
            [&] { return mysql_real_query_start(&failed, mysql, sql.data(), sql.size()); },
            [&](int got) { return mysql_real_query_cont(&failed, mysql, got); }, deadline)) {
      return Late();
    }
    if (failed != 0) return LastError(has_values);
    MYSQL_RES* raw = nullptr;
    if (!handle_.Drive([&] { return mysql_store_result_start(&raw, mysql); },
                       [&](int got) { return mysql_store_result_cont(&raw, mysql, got); },
                       deadline)) {
      return Late();
    }
    const Result result(raw);
    SqlResult out;
    if (result == nullptr) {
      if (mysql_errno(mysql) != 0) return LastError(has_values);
      out.changed = static_cast<int64_t>(mysql_affected_rows(mysql));
      return out;
    }
    Take(result.get(), &out);
    return out;
  }

  static void Take(MYSQL_RES* result, SqlResult* out) {
    const MYSQL_FIELD* fields = mysql_fetch_fields(result);
    const unsigned columns = mysql_num_fields(result);
    while (MYSQL_ROW row = mysql_fetch_row(result)) {
      const unsigned long* lengths = mysql_fetch_lengths(result);
      SqlRow values;
      for (unsigned column = 0; column < columns; ++column) {
        values.push_back(ValueOf(fields[column], row[column], lengths[column]));
        // It may be a secret, and libmariadb does not wipe what it frees.
        if (row[column] != nullptr) explicit_bzero(row[column], lengths[column]);
      }
      out->rows.push_back(std::move(values));
    }
  }

  const std::string where_;
  Handle handle_;
  bool is_mariadb_ = false;
  bool is_lost_ = false;
};

class MysqlDriver : public SqlDriver {
 public:
  MysqlDriver(StoreUrl url, SecretBytes password)
      : url_(std::move(url)), password_(std::move(password)) {
    static std::once_flag once;
    std::call_once(once, [] {
      // Read once, when the library starts: a default port and socket, and code to load.
      for (const char* name : {"MYSQL_TCP_PORT", "MYSQL_UNIX_PORT", "MARIADB_UNIX_PORT",
                               "LIBMYSQL_PLUGINS", "MARIADB_PLUGIN_DIR", "MYSQL_PWD"}) {
        unsetenv(name);
      }
      SOTTO_CHECK(mysql_library_init(0, nullptr, nullptr) == 0);
    });
  }

  SqlDialect dialect() const override { return SqlDialect::kMysql; }
  const std::string& display_url() const override { return url_.display; }

  absl::StatusOr<std::unique_ptr<SqlConnection>> Connect(bool, SqlTime deadline) override {
    if (!url_.host.empty()) {
      SOTTO_RETURN_IF_ERROR(LookUpHost(url_.host, url_.display, deadline).status());
    }
    Handle handle;
    SetOptions(handle.get());
    std::string password(password_.view().begin(), password_.view().end());
    MYSQL* connected = nullptr;
    const bool in_time = handle.Drive(
        [&] {
          return mysql_real_connect_start(
              &connected, handle.get(), url_.host.empty() ? nullptr : url_.host.c_str(),
              url_.user.c_str(), password.c_str(), url_.database.c_str(), url_.port,
              url_.socket.empty() ? nullptr : url_.socket.c_str(), CLIENT_FOUND_ROWS);
        },
        [&](int got) { return mysql_real_connect_cont(&connected, handle.get(), got); }, deadline);
    WipeText(&password);
    if (!in_time) return internal::DbTimeout(url_.display, "a connection was made");
    if (connected == nullptr) return ConnectError(handle.get());
    // libmariadb leaves the socket of a TLS session as it was before the handshake, blocking; its
    // next read would then wait in the kernel, where no deadline reaches it.
    const my_socket fd = mysql_get_socket(handle.get());
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
      return internal::DbLost(url_.display, "its socket cannot be made to wait no longer");
    }
    return std::make_unique<MysqlConnection>(url_.display, std::move(handle));
  }

 private:
  void SetOptions(MYSQL* mysql) const {
    const my_bool yes = 1;
    const unsigned off = 0;
    const unsigned protocol = url_.host.empty() ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    mysql_options(mysql, MYSQL_OPT_NONBLOCK, nullptr);
    mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &off);
    mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_options(mysql, MYSQL_INIT_COMMAND, kSession);
    mysql_options(mysql, MARIADB_OPT_RESTRICTED_AUTH, kAuthPlugins);
    if (!url_.tls) return;
    mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &yes);
    mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
    mysql_options(mysql, MYSQL_OPT_SSL_CA, url_.ca_file.c_str());
    mysql_options(mysql, MARIADB_OPT_TLS_VERSION, "TLSv1.2,TLSv1.3");
  }

  absl::Status ConnectError(MYSQL* mysql) const {
    const unsigned number = mysql_errno(mysql);
    if (number == 1045 && password_.empty()) {
      return DbError(absl::StatusCode::kUnauthenticated, "DB_AUTH_FAILED", url_.display,
                     absl::StrCat("the server does not let \"", url_.user,
                                  "\" in without a password, and store.password_file names none"));
    }
    return FromNumber(number, url_.display, FirstLine(mysql_error(mysql)), false);
  }

  const StoreUrl url_;
  const SecretBytes password_;
};

}  // namespace

std::unique_ptr<SqlDriver> MakeMysqlDriver(StoreUrl url, SecretBytes password) {
  return std::make_unique<MysqlDriver>(std::move(url), std::move(password));
}

}  // namespace sotto
