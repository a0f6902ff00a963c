#include "store/store_url.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

using testing::Eq;

TEST(StoreUrl, KnowsSqlite) {
  EXPECT_THAT(SqlitePath("sqlite:/var/lib/s.db"), IsOkAndHolds(Eq("/var/lib/s.db")));
  EXPECT_THAT(SqlitePath("sqlite:///var/lib/s.db"), IsOkAndHolds(Eq("/var/lib/s.db")));
  EXPECT_THAT(SqlitePath("sqlite:s.db"), IsOkAndHolds(Eq("s.db")));
  for (const char* bad : {"", "sqlite", "sqlite:", "sqlite://host/s.db",
                          "sqlite::memory:", "sqlite:/folder/", "/var/lib/s.db", "oracle://x"}) {
    EXPECT_THAT(SqlitePath(bad), HasCode("STORE_URL_INVALID")) << bad;
    EXPECT_THAT(ParseStoreUrl(bad), HasCode("STORE_URL_INVALID")) << bad;
  }
  const auto url = ParseStoreUrl("sqlite:///var/lib/s.db");
  SOTTO_ASSERT_OK(url);
  EXPECT_EQ(url->dialect, SqlDialect::kSqlite);
  EXPECT_EQ(url->path, "/var/lib/s.db");
  EXPECT_EQ(url->display, "sqlite:/var/lib/s.db");
}

struct GoodRow {
  const char* text;
  SqlDialect dialect;
  const char* host;
  const char* socket;
  uint16_t port;
  const char* user;
  const char* database;
  bool tls;
  const char* ca_file;
  const char* display;
};

TEST(StoreUrl, KnowsServers) {
  constexpr SqlDialect kP = SqlDialect::kPostgres, kM = SqlDialect::kMysql;
  const std::string system(kSystemAuthorities);
  const GoodRow rows[] = {
      {"postgres://me@db/app", kP, "db", "", 5432, "me", "app", true, system.c_str(),
       "postgres://db:5432/app"},
      {"postgresql://me@db.internal:6432/app?sslmode=verify-full&sslrootcert=/etc/ca.pem", kP,
       "db.internal", "", 6432, "me", "app", true, "/etc/ca.pem",
       "postgresql://db.internal:6432/app"},
      {"postgres://me@127.0.0.1/app?sslmode=disable", kP, "127.0.0.1", "", 5432, "me", "app", false,
       "", "postgres://127.0.0.1:5432/app"},
      {"postgres://m%40e@[::1]:7/a%20b?sslmode=disable", kP, "::1", "", 7, "m@e", "a b", false, "",
       "postgres://[::1]:7/a b"},
      {"postgres://me@/app?host=/run/postgresql&port=7", kP, "", "/run/postgresql", 7, "me", "app",
       false, "", "postgres:///app?host=/run/postgresql"},
      {"postgres://me@/app?host=%2Frun%2Fpostgresql", kP, "", "/run/postgresql", 5432, "me", "app",
       false, "", "postgres:///app?host=/run/postgresql"},
      {"mysql://me@db/app", kM, "db", "", 3306, "me", "app", true, system.c_str(),
       "mysql://db:3306/app"},
      {"mysql://me@db/app?ssl-ca=/etc/ca.pem&ssl-mode=VERIFY_IDENTITY", kM, "db", "", 3306, "me",
       "app", true, "/etc/ca.pem", "mysql://db:3306/app"},
      {"mysql://me@localhost:7/app?ssl-mode=disabled", kM, "localhost", "", 7, "me", "app", false,
       "", "mysql://localhost:7/app"},
      {"mysql://me@/app?socket=/run/mysqld/mysqld.sock", kM, "", "/run/mysqld/mysqld.sock", 3306,
       "me", "app", false, "", "mysql:///app?socket=/run/mysqld/mysqld.sock"},
  };
  for (const GoodRow& row : rows) {
    const auto url = ParseStoreUrl(row.text);
    ASSERT_THAT(url, IsOk()) << row.text;
    EXPECT_EQ(url->dialect, row.dialect) << row.text;
    EXPECT_EQ(url->host, row.host) << row.text;
    EXPECT_EQ(url->socket, row.socket) << row.text;
    EXPECT_EQ(url->port, row.port) << row.text;
    EXPECT_EQ(url->user, row.user) << row.text;
    EXPECT_EQ(url->database, row.database) << row.text;
    EXPECT_EQ(url->tls, row.tls) << row.text;
    EXPECT_EQ(url->ca_file, row.ca_file) << row.text;
    EXPECT_EQ(url->display, row.display) << row.text;
  }
}

TEST(StoreUrl, TakesThisUserWhereNoneIsNamed) {
  const auto url = ParseStoreUrl("postgres:///app?host=/run/postgresql");
  SOTTO_ASSERT_OK(url);
  const passwd* self = getpwuid(geteuid());
  ASSERT_NE(self, nullptr);
  EXPECT_EQ(url->user, self->pw_name);
}

TEST(StoreUrl, RefusesWithAReason) {
  const struct {
    const char* text;
    const char* hint;
  } rows[] = {
      {"postgres://me:hunter2@db/app", "store.password_file"},
      {"mysql://me:hunter2@db/app", "store.password_file"},
      {"postgres://me@db/app?password=hunter2", "store.password_file"},
      {"postgres://me@db/app?passfile=/x", "store.password_file"},
      {"postgres://me:hunter2", "store.url"},
      {"postgres://me:hun?ter2@db/app", "…"},
      {"postgres://me:hun#ter2@db/app", "…"},
      {"postgres://me:hun/ter2@db/app", ""},
      {"postgres://me@db", "names no database"},
      {"postgres://me@db/", "names no database"},
      {"postgres:///app", "names no host"},
      {"mysql://me@/app", "socket=/path"},
      {"postgres://me@db/app?sslmode=require", "verify-full"},
      {"postgres://me@db/app?sslmode=prefer", "verify-full"},
      {"postgres://me@db/app?sslmode=allow", "verify-full"},
      {"postgres://me@db/app?sslmode=verify-ca", "verify-full"},
      {"postgres://me@db/app?sslmode=vrify-full", "knows verify-full"},
      {"postgres://me@db/app?sslmode=disable", "loopback"},
      {"postgres://me@10.0.0.1/app?sslmode=disable", "loopback"},
      {"postgres://me@localhost.evil/app?sslmode=disable", "loopback"},
      {"mysql://me@db/app?ssl-mode=REQUIRED", "VERIFY_IDENTITY"},
      {"mysql://me@db/app?ssl-mode=VERIFY_CA", "VERIFY_IDENTITY"},
      {"mysql://me@db/app?ssl-mode=DISABLED", "loopback"},
      {"postgres://me@db/app?sslmod=disable", "did you mean \"sslmode\"?"},
      {"postgres://me@db/app?sslrootcrt=/x", "did you mean \"sslrootcert\"?"},
      {"mysql://me@db/app?sslmode=disable", "did you mean \"ssl-mode\"?"},
      {"mysql://me@db/app?charset=latin1", "there are socket, ssl-ca, ssl-mode"},
      {"postgres://me@db/app?host=other", "absolute"},
      {"postgres://me@db/app?host=/run", "at once"},
      {"mysql://me@db/app?socket=/run/x", "at once"},
      {"postgres://me@db/app?sslmode=disable&sslmode=verify-full", "twice"},
      {"postgres://me@db:1/app?port=2", "twice"},
      {"postgres://me@db:x/app", "port"},
      {"postgres://me@db:0/app", "port"},
      {"postgres://me@db:65536/app", "port"},
      {"postgres://me@db,db2/app", "one host"},
      {"postgres://me@d b/app", "no name"},
      {"postgres://me@[::1/app", "without its"},
      {"postgres://me@[1.2.3.4]/app", "IPv6"},
      {"postgres://me@db/app#x", "#"},
      {"postgres://me@db/a%2", "escape"},
      {"postgres://me@db/a%00b", "escape"},
      {"postgres://m%zz@db/app", "escape"},
      {"postgres://me@/app?host=/run&sslmode=verify-full", "Unix socket"},
      {"postgres://me@/app?host=/run&sslrootcert=/x", "no TLS"},
      {"postgres://me@127.0.0.1/app?sslmode=disable&sslrootcert=/x", "no TLS"},
      {"postgres://me@db/app?sslrootcert=ca.pem", "absolute"},
  };
  for (const auto& row : rows) {
    const auto url = ParseStoreUrl(row.text);
    ASSERT_THAT(url, HasCode("STORE_URL_INVALID")) << row.text;
    const std::string message(url.status().message());
    EXPECT_NE(message.find(row.hint), std::string::npos) << row.text << ": " << message;
    for (const char* secret : {"hun", "ter2"}) {
      EXPECT_EQ(message.find(secret), std::string::npos) << row.text << ": " << message;
    }
  }
}

TEST(StoreUrl, HidesPasswords) {
  EXPECT_EQ(RedactStoreUrl("postgres://me:secret@db:5432/app?password=secret"),
            "postgres://db:5432/app");
  EXPECT_EQ(RedactStoreUrl("mysql://me:p@ss@db/app"), "mysql://db/app");
  EXPECT_EQ(RedactStoreUrl("mysql://me:p?ss@db/app"), "mysql://…");
  EXPECT_EQ(RedactStoreUrl("mysql://me:secret"), "mysql://…");
  EXPECT_EQ(RedactStoreUrl("mysql://me@[::1]:5/app"), "mysql://[::1]:5/app");
  EXPECT_EQ(RedactStoreUrl("sqlite:/a/b"), "sqlite:/a/b");
  EXPECT_EQ(RedactStoreUrl("secret"), "…");
}

}  // namespace
}  // namespace sotto
