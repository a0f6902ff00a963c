#include "store/open_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/secret_bytes.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"
#include "store/mysql_sql.h"
#include "store/postgres_sql.h"
#include "store/secret_source.h"
#include "store/sqlite_sql.h"
#include "store/systems_rows.h"

namespace sotto {
namespace {

absl::StatusOr<std::unique_ptr<SqlDriver>> MakeServerDriver(StoreUrl url,
                                                            const StoreOptions& options) {
  SecretBytes password;
  if (!options.password.empty()) {
    absl::StatusOr<SecretBytes> read =
        ReadSecretSource(options.password, kStorePasswordBytesMax, options.also_owner);
    if (!read.ok()) return WithContext(read.status(), "the database's password");
    for (const uint8_t byte : read->view()) {
      if (byte == 0) {
        return CodedError(absl::StatusCode::kInvalidArgument, "SECRET_EMPTY",
                          "the database's password: a NUL stands in it");
      }
    }
    password = *std::move(read);
  }
  if (url.tls) {
    const absl::StatusOr<std::string> authorities = ReadPlainFile(url.ca_file);
    if (!authorities.ok()) {
      return WithContext(authorities.status(), "the authorities that vouch for the database");
    }
  }
  return url.dialect == SqlDialect::kMysql
             ? MakeMysqlDriver(std::move(url), std::move(password))
             : MakePostgresDriver(std::move(url), std::move(password));
}

}  // namespace

absl::StatusOr<std::shared_ptr<Database>> OpenDatabase(std::string_view url,
                                                       const StoreOptions& options) {
  SOTTO_ASSIGN_OR_RETURN(StoreUrl parsed, ParseStoreUrl(url));
  std::unique_ptr<SqlDriver> driver;
  if (parsed.dialect == SqlDialect::kSqlite) {
    driver = MakeSqliteDriver(parsed.path, options.also_owner, options.sqlite_vfs);
  } else {
    SOTTO_ASSIGN_OR_RETURN(driver, MakeServerDriver(std::move(parsed), options));
  }
  return std::make_shared<Database>(std::move(driver), options.deadline, options.create);
}

absl::Status CheckStore(Database& database, bool create) {
  const absl::Status status = CheckSystemsTable(database);
  if (ErrorCode(status) != "DB_TABLE_MISSING" || !create) return status;
  return CreateSystemsTable(database);
}

absl::StatusOr<std::unique_ptr<SystemsTable>> OpenSystemsTable(std::string_view url,
                                                               const StoreOptions& options) {
  SOTTO_ASSIGN_OR_RETURN(std::shared_ptr<Database> database, OpenDatabase(url, options));
  SOTTO_RETURN_IF_ERROR(CheckStore(*database, options.create));
  return MakeSystemsTable(std::move(database));
}

}  // namespace sotto
