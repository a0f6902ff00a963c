#include <gtest/gtest.h>

#include <string>

#include "tests/store/store_under_test.h"
#include "tests/support/raw_sqlite.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

class SqliteSession : public RawSession {
 public:
  explicit SqliteSession(const std::string& path) : raw_(path) {}
  std::string Run(const std::string& sql) override { return raw_.Run(sql); }

 private:
  RawSqlite raw_;
};

class SqliteUnderTest : public StoreUnderTest {
 public:
  SqlDialect dialect() const override { return SqlDialect::kSqlite; }
  std::string NewDatabase() override {
    const std::string path = folder_.File("s" + std::to_string(++count_) + ".db");
    RawSqlite raw(path);
    raw.Run("PRAGMA user_version = 1");
    return path;
  }
  std::string Url(const std::string& database) const override { return "sqlite:" + database; }
  StoreOptions Options() const override { return {}; }
  std::unique_ptr<RawSession> Session(const std::string& database) const override {
    return std::make_unique<SqliteSession>(database);
  }
  // Mattermost has none for SQLite any more; this is its table for PostgreSQL, as SQLite reads it.
  std::string MattermostTable() const override {
    return "CREATE TABLE IF NOT EXISTS systems (name VARCHAR(64) PRIMARY KEY, value VARCHAR(1024))";
  }
  void LockSystems(RawSession& session) const override { session.Run("BEGIN EXCLUSIVE"); }
  void Unlock(RawSession& session) const override { session.Run("COMMIT"); }
  std::string LooseTable(const std::string& value_type) const override {
    return "CREATE TABLE Systems (Name TEXT, Value " + value_type + ")";
  }
  std::string BlobType() const override { return "BLOB"; }

 private:
  const TempDir folder_;
  int count_ = 0;
};

}  // namespace

StoreUnderTest& StoreUnderTest::Get() {
  static SqliteUnderTest store;
  return store;
}

}  // namespace sotto
