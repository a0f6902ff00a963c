#include "store/postgres_sql.h"

#include <locale.h>
#include <poll.h>
#include <postgresql/libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/host_lookup.h"
#include "store/sql_internal.h"

namespace sotto {
namespace {

using internal::DbError;
using internal::FirstLine;
using internal::LeftUntil;
using std::chrono::milliseconds;

// A path that is not there and can't be: libpq then looks for no such file at home.
constexpr char kNoFile[] = "/dev/null/none";

// libpq's and the C library's messages in English for this thread, whatever the process's locale:
// they are all that tells some causes apart.
class EnglishMessages {
 public:
  EnglishMessages() : before_(uselocale(English())) {}
  ~EnglishMessages() { uselocale(before_); }
  EnglishMessages(const EnglishMessages&) = delete;
  EnglishMessages& operator=(const EnglishMessages&) = delete;

 private:
  static locale_t English() {
    static const locale_t english = newlocale(LC_ALL_MASK, "C", nullptr);
    return english;
  }
  const locale_t before_;
};

struct ConnCloser {
  void operator()(PGconn* conn) const { PQfinish(conn); }
};
using Conn = std::unique_ptr<PGconn, ConnCloser>;

struct ResultCloser {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ResultCloser>;

// An error that the server told by its SQLSTATE; by class where there are many of a kind.
struct StateRow {
  std::string_view state;
  absl::StatusCode kind;
  std::string_view code;
};
constexpr StateRow kStates[] = {
    {"28", absl::StatusCode::kUnauthenticated, "DB_AUTH_FAILED"},
    {"3D000", absl::StatusCode::kNotFound, "DB_DATABASE_MISSING"},
    {"42P01", absl::StatusCode::kNotFound, "DB_TABLE_MISSING"},
    {"42501", absl::StatusCode::kPermissionDenied, "DB_PERMISSION"},
    {"42P07", absl::StatusCode::kAlreadyExists, "DB_DUPLICATE"},
    {"42710", absl::StatusCode::kAlreadyExists, "DB_DUPLICATE"},  // a table's type, made at once
    {"23505", absl::StatusCode::kAlreadyExists, "DB_DUPLICATE"},
    {"25006", absl::StatusCode::kPermissionDenied, "DB_READ_ONLY"},
    {"0A000", absl::StatusCode::kPermissionDenied, "DB_READ_ONLY"},  // serializable on a standby
    {"40", absl::StatusCode::kAborted, "DB_CONFLICT"},
    {"55P03", absl::StatusCode::kUnavailable, "DB_LOCKED"},
    {"57014", absl::StatusCode::kDeadlineExceeded, "DB_TIMEOUT"},
    {"53100", absl::StatusCode::kResourceExhausted, "DB_FULL"},
    {"53300", absl::StatusCode::kUnavailable, "DB_TOO_MANY_CLIENTS"},
    {"57P03", absl::StatusCode::kUnavailable, "DB_REFUSED"},
    {"57P", absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
    {"08", absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
    {"25P03", absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
    {"22001", absl::StatusCode::kInvalidArgument, "KEY_TOO_LONG"},
};

absl::Status FromState(std::string_view state, const std::string& where, std::string_view text) {
  for (const StateRow& row : kStates) {
    if (state.starts_with(row.state)) return DbError(row.kind, row.code, where, text);
  }
  return DbError(absl::StatusCode::kUnavailable, "DB_UNAVAILABLE", where,
                 absl::StrCat(std::string(text), " (SQLSTATE ", std::string(state), ")"));
}

// A connection error that no server told, by libpq's words.
struct WordsRow {
  std::string_view words;
  absl::StatusCode kind;
  std::string_view code;
};
constexpr WordsRow kWords[] = {
    {"does not support SSL", absl::StatusCode::kUnauthenticated, "DB_TLS_NOT_OFFERED"},
    {"certificate verify failed", absl::StatusCode::kUnauthenticated, "DB_TLS_UNTRUSTED"},
    {"does not match host name", absl::StatusCode::kUnauthenticated, "DB_TLS_WRONG_NAME"},
    {"server's host name", absl::StatusCode::kUnauthenticated, "DB_TLS_WRONG_NAME"},
    {"root certificate file", absl::StatusCode::kUnauthenticated, "DB_TLS_UNTRUSTED"},
    {"SSL", absl::StatusCode::kUnauthenticated, "DB_TLS_FAILED"},
    {"no password supplied", absl::StatusCode::kUnauthenticated, "DB_AUTH_FAILED"},
    {"authentication", absl::StatusCode::kUnauthenticated, "DB_AUTH_FAILED"},
    {"Connection refused", absl::StatusCode::kUnavailable, "DB_REFUSED"},
    {"No such file or directory", absl::StatusCode::kUnavailable, "DB_REFUSED"},
    {"Permission denied", absl::StatusCode::kPermissionDenied, "DB_UNREADABLE"},
    {"No route to host", absl::StatusCode::kUnavailable, "DB_HOST_UNREACHABLE"},
    {"unreachable", absl::StatusCode::kUnavailable, "DB_HOST_UNREACHABLE"},
    {"Host is down", absl::StatusCode::kUnavailable, "DB_HOST_UNREACHABLE"},
    {"Connection timed out", absl::StatusCode::kUnavailable, "DB_HOST_UNREACHABLE"},
    {"server closed the connection", absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
    {"Connection reset", absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST"},
};

// "FATAL:  28P01: password authentication failed …" stands somewhere in a verbose message.
std::string_view StateIn(std::string_view text) {
  constexpr size_t kStateBytes = 5;
  for (size_t at = text.find(":  "); at != std::string_view::npos; at = text.find(":  ", at + 1)) {
    const std::string_view state = text.substr(at + 3, kStateBytes);
    const bool is_state = state.size() == kStateBytes && text.substr(at + 8, 2) == ": " &&
                          std::all_of(state.begin(), state.end(), [](unsigned char c) {
                            return absl::ascii_isdigit(c) || absl::ascii_isupper(c);
                          });
    if (is_state) return text.substr(at + 3);
  }
  return {};
}

absl::Status ConnectError(std::string_view message, const std::string& where) {
  const std::string_view told = StateIn(message);
  if (!told.empty()) return FromState(told.substr(0, 5), where, FirstLine(told.substr(7)));
  const std::string line = FirstLine(message);
  for (const WordsRow& row : kWords) {
    if (message.find(row.words) != std::string_view::npos) {
      return DbError(row.kind, row.code, where, line);
    }
  }
  return DbError(absl::StatusCode::kUnavailable, "DB_UNAVAILABLE", where, line);
}

std::string TypeName(Oid type) {
  return type == 17 ? "bytea" : absl::StrCat("of PostgreSQL's number ", type);
}

SqlValue ValueOf(const PGresult* result, int row, int column) {
  if (PQgetisnull(result, row, column) != 0) return SqlValue();
  const std::string_view text(PQgetvalue(result, row, column),
                              static_cast<size_t>(PQgetlength(result, row, column)));
  switch (const Oid type = PQftype(result, column)) {
    case 20:    // int8
    case 21:    // int2
    case 23: {  // int4
      int64_t number = 0;
      std::from_chars(text.data(), text.data() + text.size(), number);
      return SqlValue(number);
    }
    case 16:  // bool
      return SqlValue(int64_t{text == "t" ? 1 : 0});
    case 18:    // char
    case 19:    // name
    case 25:    // text
    case 705:   // unknown
    case 1042:  // character
    case 1043:  // character varying
      return SqlValue(std::string(text));
    default:
      return SqlValue(SqlOther{TypeName(type)});
  }
}

// "?" to "$1", "$2", …
std::string Numbered(std::string_view sql, size_t params) {
  std::string out;
  size_t count = 0;
  for (const char c : sql) {
    if (c == '?') {
      absl::StrAppend(&out, "$", ++count);
    } else {
      out += c;
    }
  }
  SOTTO_CHECK(count == params);
  return out;
}

// The parameters as libpq takes them. Texts go as binary of the type text: with their length, so
// that a NUL ends nothing.
struct Arguments {
  explicit Arguments(std::span<const SqlParam> params) {
    numbers.reserve(params.size());  // the pointers below stay good
    for (const SqlParam& param : params) {
      const auto* number = std::get_if<int64_t>(&param);
      const auto* text = std::get_if<std::string_view>(&param);
      if (number != nullptr) numbers.push_back(absl::StrCat(*number));
      // Of NULL the column knows the type: 0 leaves it to the server.
      types.push_back(number != nullptr ? 20 : text != nullptr ? 25 : 0);
      formats.push_back(text != nullptr ? 1 : 0);
      lengths.push_back(text != nullptr ? static_cast<int>(text->size()) : 0);
      // libpq takes a null pointer for NULL, also where the length is 0.
      const char* of_text = text == nullptr ? nullptr : text->data() == nullptr ? "" : text->data();
      values.push_back(number != nullptr ? numbers.back().c_str() : of_text);
    }
  }
  std::vector<std::string> numbers;
  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
};

class PostgresConnection : public SqlConnection {
 public:
  PostgresConnection(std::string where, Conn conn)
      : where_(std::move(where)), conn_(std::move(conn)) {}

  SqlDialect dialect() const override { return SqlDialect::kPostgres; }
  bool IsUsable() override { return conn_ != nullptr && PQstatus(conn_.get()) == CONNECTION_OK; }

  absl::StatusOr<SqlResult> Run(std::string_view sql, std::span<const SqlParam> params,
                                SqlTime deadline) override {
    if (!IsUsable()) return Lost("before a statement");
    const EnglishMessages english;
    const std::string text = Numbered(sql, params.size());
    const Arguments arguments(params);
    const int sent = PQsendQueryParams(conn_.get(), text.c_str(), static_cast<int>(params.size()),
                                       arguments.types.data(), arguments.values.data(),
                                       arguments.lengths.data(), arguments.formats.data(), 0);
    if (sent == 0) return SendError();
    return Answer(deadline);
  }

  absl::Status Begin(SqlMode mode, SqlTime deadline) override {
    const char* isolation = mode == SqlMode::kRead    ? "REPEATABLE READ READ ONLY"
                            : mode == SqlMode::kWrite ? "SERIALIZABLE READ WRITE"
                                                      : "READ COMMITTED READ WRITE";
    // 0 would mean no limit.
    const int64_t left = std::max<int64_t>(LeftUntil(deadline).count(), 1);
    return Simple(
        absl::StrCat("BEGIN ISOLATION LEVEL ", isolation,
                     "; SET LOCAL lock_timeout = ", internal::LockWait(deadline).count(),
                     "; SET LOCAL statement_timeout = ", std::min<int64_t>(left, 1 << 30)),
        deadline);
  }

  absl::Status Commit(SqlTime deadline) override {
    if (!IsUsable()) return Lost("before COMMIT");
    const EnglishMessages english;
    if (PQsendQuery(conn_.get(), "COMMIT") == 0) return SendError();
    absl::StatusOr<SqlResult> result = Answer(deadline);
    // A transaction in which something failed ends so, without an error.
    if (result.ok() && last_tag_ == "ROLLBACK") {
      return DbError(absl::StatusCode::kAborted, "DB_CONFLICT", where_,
                     "the server rolled the transaction back");
    }
    return result.status();
  }

  absl::Status Rollback(SqlTime deadline) override {
    if (!IsUsable()) return absl::OkStatus();  // the server does it
    return Simple("ROLLBACK", deadline);
  }

  absl::Status Listen(std::string_view channel, SqlTime deadline) override {
    SOTTO_CHECK(!channel.empty() && std::all_of(channel.begin(), channel.end(), [](char c) {
      return absl::ascii_islower(static_cast<unsigned char>(c)) || c == '_' ||
             absl::ascii_isdigit(static_cast<unsigned char>(c));
    }));
    return Simple(absl::StrCat("LISTEN ", std::string(channel)), deadline);
  }

  absl::StatusOr<std::optional<SqlNotification>> WaitForNotification(SqlTime until,
                                                                     int wake_fd) override {
    const EnglishMessages english;
    while (true) {
      if (!IsUsable()) return Lost("while waiting for a notification");
      if (PQconsumeInput(conn_.get()) == 0) return Lost(PQerrorMessage(conn_.get()));
      if (PGnotify* notify = PQnotifies(conn_.get()); notify != nullptr) {
        SqlNotification out{notify->relname, notify->extra};
        PQfreemem(notify);
        return out;
      }
      if (internal::PollUntil(PQsocket(conn_.get()), POLLIN, wake_fd, until) == 0) {
        return std::nullopt;
      }
    }
  }

 private:
  absl::Status Simple(const std::string& sql, SqlTime deadline) {
    if (!IsUsable()) return Lost("before a statement");
    const EnglishMessages english;
    if (PQsendQuery(conn_.get(), sql.c_str()) == 0) return SendError();
    return Answer(deadline).status();
  }

  absl::Status Lost(std::string_view why) {
    std::string text = FirstLine(why);
    conn_.reset();
    return internal::DbLost(where_, text);
  }

  absl::Status SendError() {
    if (PQstatus(conn_.get()) != CONNECTION_OK) return Lost(PQerrorMessage(conn_.get()));
    return DbError(absl::StatusCode::kUnavailable, "DB_UNAVAILABLE", where_,
                   FirstLine(PQerrorMessage(conn_.get())));
  }

  // Late: the connection is closed, and the server ends the statement by its own limit.
  absl::Status Late() {
    conn_.reset();
    return internal::DbTimeout(where_, "a statement ran");
  }

  // OK once libpq has a whole result to give.
  absl::Status AwaitResult(SqlTime deadline) {
    while (true) {
      const int unsent = PQflush(conn_.get());
      if (unsent < 0) return Lost(PQerrorMessage(conn_.get()));
      if (unsent == 0 && PQisBusy(conn_.get()) == 0) return absl::OkStatus();
      const int events = POLLIN | (unsent > 0 ? POLLOUT : 0);
      const int ready = internal::PollUntil(PQsocket(conn_.get()), events, -1, deadline);
      if (ready == 0) return Late();
      if ((ready & ~POLLOUT) != 0 && PQconsumeInput(conn_.get()) == 0) {
        return Lost(PQerrorMessage(conn_.get()));
      }
    }
  }

  // The last result with rows of what was sent, or the first error.
  absl::StatusOr<SqlResult> Answer(SqlTime deadline) {
    SqlResult out;
    absl::Status status;
    while (true) {
      SOTTO_RETURN_IF_ERROR(AwaitResult(deadline));
      const Result result(PQgetResult(conn_.get()));
      if (result == nullptr) break;
      const ExecStatusType kind = PQresultStatus(result.get());
      if (kind == PGRES_TUPLES_OK || kind == PGRES_COMMAND_OK) {
        Take(result.get(), &out);
      } else if (status.ok()) {
        status = ErrorOf(result.get());
      }
    }
    // PQgetResult gives a last error before a connection ends; the state tells that it has.
    if (PQstatus(conn_.get()) != CONNECTION_OK) {
      const bool is_told = ErrorCode(status) == "DB_CONNECTION_LOST";
      return Lost(is_told ? std::string(status.message()) : PQerrorMessage(conn_.get()));
    }
    if (!status.ok()) return status;
    return out;
  }

  void Take(PGresult* result, SqlResult* out) {
    last_tag_ = PQcmdStatus(result);
    const std::string_view changed = PQcmdTuples(result);
    out->changed = 0;
    std::from_chars(changed.data(), changed.data() + changed.size(), out->changed);
    for (int row = 0; row < PQntuples(result); ++row) {
      SqlRow values;
      for (int column = 0; column < PQnfields(result); ++column) {
        values.push_back(ValueOf(result, row, column));
        // It may be a secret, and libpq does not wipe what it frees.
        if (PQgetisnull(result, row, column) == 0) {
          explicit_bzero(PQgetvalue(result, row, column),
                         static_cast<size_t>(PQgetlength(result, row, column)));
        }
      }
      out->rows.push_back(std::move(values));
    }
  }

  absl::Status ErrorOf(const PGresult* result) const {
    const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char* text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (state == nullptr) return internal::DbLost(where_, FirstLine(PQresultErrorMessage(result)));
    // Class 22 is about values, and may repeat them.
    const bool is_about_value = std::string_view(state).starts_with("22");
    return FromState(state, where_,
                     text == nullptr || is_about_value ? "the server refused a value" : text);
  }

  const std::string where_;
  Conn conn_;  // null once it is lost
  std::string last_tag_;
};

class PostgresDriver : public SqlDriver {
 public:
  PostgresDriver(StoreUrl url, SecretBytes password)
      : url_(std::move(url)), password_(std::move(password)) {
    for (const char* name : {"PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR", "PGREQUIREPEER",
                             "PGREQUIRESSL", "PGDATESTYLE", "PGTZ", "PGGEQO"}) {
      unsetenv(name);
    }
  }

  SqlDialect dialect() const override { return SqlDialect::kPostgres; }
  const std::string& display_url() const override { return url_.display; }

  absl::StatusOr<std::unique_ptr<SqlConnection>> Connect(bool, SqlTime deadline) override {
    if (url_.host.empty()) return ConnectTo("", deadline);
    SOTTO_ASSIGN_OR_RETURN(const std::vector<std::string> addresses,
                           LookUpHost(url_.host, url_.display, deadline));
    absl::Status first;
    for (size_t i = 0; i < addresses.size(); ++i) {
      // A silent address must not take the time of those after it.
      const SqlTime now = std::chrono::steady_clock::now();
      const auto share = (deadline - now) / static_cast<int64_t>(addresses.size() - i);
      auto connection = ConnectTo(addresses[i], now + share);
      if (connection.ok()) return connection;
      if (first.ok()) first = connection.status();
      if (first.code() == absl::StatusCode::kUnauthenticated) break;
    }
    return first;
  }

 private:
  // Each keyword whose default libpq would take from the environment or the home folder is given.
  std::vector<std::pair<const char*, std::string>> Settings(const std::string& address) const {
    std::vector<std::pair<const char*, std::string>> settings = {
        {"host", url_.host.empty() ? url_.socket : url_.host},
        {"port", absl::StrCat(url_.port)},
        {"user", url_.user},
        {"dbname", url_.database},
        {"sslmode", url_.tls ? "verify-full" : "disable"},
        {"sslrootcert", url_.tls ? url_.ca_file : kNoFile},
        {"sslcert", kNoFile},
        {"sslkey", kNoFile},
        {"sslcrl", kNoFile},
        {"sslcrldir", kNoFile},
        {"sslcompression", "0"},
        {"sslsni", "1"},
        {"ssl_min_protocol_version", "TLSv1.2"},
        {"ssl_max_protocol_version", "TLSv1.3"},
        {"channel_binding", "prefer"},
        {"gssencmode", "disable"},
        {"gsslib", "gssapi"},
        {"krbsrvname", "postgres"},
        {"passfile", kNoFile},
        {"client_encoding", "UTF8"},
        {"options", " "},
        {"application_name", "sotto"},
        {"target_session_attrs", "any"},
        {"connect_timeout", "0"},
        {"keepalives", "1"},
    };
    if (!address.empty()) settings.emplace_back("hostaddr", address);
    return settings;
  }

  Conn Start(const std::string& address) const {
    const auto settings = Settings(address);
    std::vector<const char*> names, values;
    for (const auto& [name, value] : settings) {
      names.push_back(name);
      values.push_back(value.c_str());
    }
    // An empty text would let libpq look into the environment. Whether the server asked for one is
    // known afterwards.
    std::string password(password_.view().begin(), password_.view().end());
    if (password.empty()) password = "none";
    names.insert(names.end(), {"password", nullptr});
    values.insert(values.end(), {password.c_str(), nullptr});
    Conn conn(PQconnectStartParams(names.data(), values.data(), /*expand_dbname=*/0));
    explicit_bzero(password.data(), password.size());
    return conn;
  }

  absl::StatusOr<std::unique_ptr<SqlConnection>> ConnectTo(const std::string& address,
                                                           SqlTime deadline) const {
    const EnglishMessages english;
    Conn conn = Start(address);
    if (conn == nullptr) {
      return DbError(absl::StatusCode::kUnavailable, "DB_UNAVAILABLE", url_.display, "no memory");
    }
    PQsetErrorVerbosity(conn.get(), PQERRORS_VERBOSE);  // with the SQLSTATE
    PQsetNoticeProcessor(
        conn.get(), [](void*, const char*) {}, nullptr);
    PostgresPollingStatusType next =
        PQstatus(conn.get()) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
      const int events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
      if (internal::PollUntil(PQsocket(conn.get()), events, -1, deadline) == 0) {
        return internal::DbTimeout(url_.display, "a connection was made");
      }
      next = PQconnectPoll(conn.get());
    }
    if (next == PGRES_POLLING_FAILED) {
      absl::Status status = ConnectError(PQerrorMessage(conn.get()), url_.display);
      if (ErrorCode(status) == "DB_AUTH_FAILED" && password_.empty() &&
          PQconnectionUsedPassword(conn.get()) != 0) {
        return DbError(status.code(), "DB_AUTH_FAILED", url_.display,
                       absl::StrCat("the server wants a password for \"", url_.user,
                                    "\", and store.password_file names none"));
      }
      return status;
    }
    PQsetErrorVerbosity(conn.get(), PQERRORS_DEFAULT);
    if (PQsetnonblocking(conn.get(), 1) != 0) {
      return internal::DbLost(url_.display, PQerrorMessage(conn.get()));
    }
    return std::make_unique<PostgresConnection>(url_.display, std::move(conn));
  }

  const StoreUrl url_;
  const SecretBytes password_;
};

}  // namespace

std::unique_ptr<SqlDriver> MakePostgresDriver(StoreUrl url, SecretBytes password) {
  return std::make_unique<PostgresDriver>(std::move(url), std::move(password));
}

}  // namespace sotto
