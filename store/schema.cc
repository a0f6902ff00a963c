#include "store/schema.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/sql_internal.h"
#include "store/unix_time.h"

namespace sotto {
namespace {

using internal::DbError;

// "sotto" in ASCII: PostgreSQL's advisory locks have numbers for names.
constexpr int64_t kSchemaLock = 0x736f'7474'6f;

constexpr char kBookkeeping[] =
    "CREATE TABLE IF NOT EXISTS SottoSchema (Version BIGINT NOT NULL PRIMARY KEY, AppliedAt BIGINT "
    "NOT NULL)";

constexpr char kKeys[] =
    "CREATE TABLE IF NOT EXISTS ClusterKeys (ClusterName VARCHAR(64) NOT NULL, Generation BIGINT "
    "NOT NULL, KeyId VARCHAR(16) NOT NULL, State VARCHAR(16) NOT NULL, Value VARCHAR(1024), "
    "CreatedAt BIGINT NOT NULL, ActivatedAt BIGINT, RetireAt BIGINT, Actor VARCHAR(128), Automatic "
    "BIGINT NOT NULL, PRIMARY KEY (ClusterName, Generation))";
constexpr char kMembers[] =
    "CREATE TABLE IF NOT EXISTS ClusterMembers (ClusterName VARCHAR(64) NOT NULL, Name "
    "VARCHAR(128) NOT NULL, GenerationHeld BIGINT, GenerationSealing BIGINT, Trouble VARCHAR(64), "
    "LastSeenAt BIGINT NOT NULL, PRIMARY KEY (ClusterName, Name))";
// Rows of one moment are kept apart by chance: an Id that counts up has three spellings.
constexpr char kHistory[] =
    "CREATE TABLE IF NOT EXISTS ClusterKeyHistory (ClusterName VARCHAR(64) NOT NULL, At BIGINT NOT "
    "NULL, Id VARCHAR(32) NOT NULL, Actor VARCHAR(128), Action VARCHAR(32) NOT NULL, Generation "
    "BIGINT, KeyId VARCHAR(16), Detail VARCHAR(1024), PRIMARY KEY (ClusterName, At, Id))";
constexpr char kMoves[] =
    "CREATE TABLE IF NOT EXISTS ClusterMoves (ClusterName VARCHAR(64) NOT NULL PRIMARY KEY, "
    "MovedTo "
    "VARCHAR(512) NOT NULL, MovedAt BIGINT NOT NULL, Actor VARCHAR(128))";
constexpr char kDiscovery[] =
    "CREATE TABLE IF NOT EXISTS ClusterDiscovery (Id VARCHAR(26) NOT NULL PRIMARY KEY, Type "
    "VARCHAR(64), ClusterName VARCHAR(64), Hostname VARCHAR(512), GossipPort INTEGER, Port "
    "INTEGER, CreateAt BIGINT, LastPingAt BIGINT)";

// Mattermost's numbers and columns are older than we are; ours have names that compare by bytes.
constexpr char kMysqlSuffix[] = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

// The statements of step `version`; each may run again.
std::vector<std::string> StepOf(SqlDialect dialect, int64_t version) {
  std::vector<std::string> out;
  if (version == 1) out = {kKeys, kMembers, kHistory, kMoves, kDiscovery};
  for (std::string& sql : out) {
    if (dialect == SqlDialect::kMysql) sql += kMysqlSuffix;
  }
  return out;
}

std::string Bookkeeping(SqlDialect dialect) {
  return absl::StrCat(kBookkeeping, dialect == SqlDialect::kMysql ? kMysqlSuffix : "");
}

std::string RecordOf(SqlDialect dialect) {
  constexpr std::string_view kColumns[] = {"Version", "AppliedAt"};
  return SqlInsertIfAbsent(dialect, "SottoSchema", kColumns);
}

absl::StatusOr<int64_t> VersionIn(SqlTransaction& transaction) {
  SOTTO_ASSIGN_OR_RETURN(const SqlResult result,
                         transaction.Run("SELECT MAX(Version) FROM SottoSchema"));
  const int64_t* version = result.Number(0, 0);
  return version == nullptr ? 0 : *version;
}

absl::Status Newer(Database& database, int64_t found, int64_t known) {
  return DbError(absl::StatusCode::kFailedPrecondition, "SCHEMA_NEWER", database.display_url(),
                 absl::StrCat("its tables are of version ", found, ", this program knows ", known,
                              "; nothing was touched"));
}

absl::Status RunDdl(SqlTransaction& transaction, const std::string& sql) {
  const absl::Status status = transaction.Run(sql).status();
  if (ErrorCode(status) == "DB_PERMISSION" || ErrorCode(status) == "DB_READ_ONLY") {
    return DbError(absl::StatusCode::kPermissionDenied, "SCHEMA_NOT_ALLOWED", transaction.where(),
                   absl::StrCat(std::string(status.message()),
                                "; the database's owner has to run: ", sql, ";"));
  }
  // PostgreSQL, where the same table is made by others who know no lock of ours.
  if (ErrorCode(status) != "DB_DUPLICATE") return status;
  return DbError(absl::StatusCode::kAborted, "DB_CONFLICT", transaction.where(),
                 "another program makes the same table");
}

// Until the transaction's end; on MySQL, where statements like ours end transactions, until
// Unlock. On SQLite the transaction itself is the lock.
absl::Status Lock(SqlTransaction& transaction) {
  switch (transaction.dialect()) {
    case SqlDialect::kSqlite:
      return absl::OkStatus();
    case SqlDialect::kPostgres:
      return transaction.Run("SELECT pg_advisory_xact_lock(?)", {kSchemaLock}).status();
    case SqlDialect::kMysql:
      break;
  }
  const auto wait =
      std::chrono::floor<std::chrono::seconds>(internal::LockWait(transaction.deadline()));
  SOTTO_ASSIGN_OR_RETURN(
      const SqlResult result,
      transaction.Run("SELECT GET_LOCK(CONCAT('sotto.schema.', MD5(DATABASE())), ?)",
                      {int64_t{wait.count()}}));
  const int64_t* got = result.Number(0, 0);
  if (got != nullptr && *got == 1) return absl::OkStatus();
  return DbError(absl::StatusCode::kUnavailable, "DB_LOCKED", transaction.where(),
                 "another node makes the tables");
}

void Unlock(SqlTransaction& transaction) {
  if (transaction.dialect() != SqlDialect::kMysql) return;
  // A connection that is lost has given the lock back.
  transaction.Run("SELECT RELEASE_LOCK(CONCAT('sotto.schema.', MD5(DATABASE())))")
      .status()
      .IgnoreError();
}

absl::Status DoSteps(Database& database, SqlTransaction& transaction, int64_t version) {
  SOTTO_RETURN_IF_ERROR(RunDdl(transaction, Bookkeeping(transaction.dialect())));
  SOTTO_ASSIGN_OR_RETURN(int64_t done, VersionIn(transaction));
  if (done > version) return Newer(database, done, version);
  while (done < version) {
    ++done;
    for (const std::string& sql : StepOf(transaction.dialect(), done)) {
      SOTTO_RETURN_IF_ERROR(RunDdl(transaction, sql));
    }
    SOTTO_RETURN_IF_ERROR(
        transaction.Run(RecordOf(transaction.dialect()), {done, UnixMillis()}).status());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> ReadSchemaVersion(Database& database, SqlTime deadline) {
  int64_t version = 0;
  const auto read = [&version](SqlTransaction& transaction) {
    const absl::StatusOr<int64_t> found = VersionIn(transaction);
    version = found.value_or(0);
    return found.status();
  };
  const absl::Status status = database.Transact(SqlMode::kRead, read, deadline);
  if (!status.ok() && ErrorCode(status) != "DB_TABLE_MISSING") return status;
  return version;
}

absl::Status EnsureSchema(Database& database, SqlTime deadline, int64_t version) {
  SOTTO_ASSIGN_OR_RETURN(const int64_t found, ReadSchemaVersion(database, deadline));
  if (found == version) return absl::OkStatus();
  if (found > version) return Newer(database, found, version);
  const auto make = [&](SqlTransaction& transaction) -> absl::Status {
    SOTTO_RETURN_IF_ERROR(Lock(transaction));
    const absl::Status status = DoSteps(database, transaction, version);
    Unlock(transaction);
    return status;
  };
  return database.Transact(SqlMode::kLocked, make, deadline);
}

bool IsNotAllowed(const absl::Status& status) {
  const std::string code = ErrorCode(status);
  return code == "SCHEMA_NOT_ALLOWED" || code == "DB_PERMISSION" || code == "DB_READ_ONLY";
}

std::string SchemaSql(SqlDialect dialect) {
  std::string out = absl::StrCat(Bookkeeping(dialect), ";\n");
  const std::string record = RecordOf(dialect);
  for (int64_t version = 1; version <= kSchemaVersion; ++version) {
    for (const std::string& sql : StepOf(dialect, version)) absl::StrAppend(&out, sql, ";\n");
    // The moment of a step done by hand is not known to a text.
    std::string filled = record;
    filled.replace(filled.find('?'), 1, absl::StrCat(version));
    filled.replace(filled.find('?'), 1, "0");
    absl::StrAppend(&out, filled, ";\n");
  }
  return out;
}

}  // namespace sotto
