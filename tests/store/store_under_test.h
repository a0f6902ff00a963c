// What the conformance tests run against: one of the three databases, chosen by what a test binary
// is linked with.
#ifndef SOTTO_TESTS_STORE_STORE_UNDER_TEST_H_
#define SOTTO_TESTS_STORE_STORE_UNDER_TEST_H_

#include <memory>
#include <string>

#include "store/open_store.h"
#include "tests/support/database_server.h"

namespace sotto {

class StoreUnderTest {
 public:
  // Alive from the start of the first test to the end of the last.
  static StoreUnderTest& Get();

  StoreUnderTest() = default;
  StoreUnderTest(const StoreUnderTest&) = delete;
  StoreUnderTest& operator=(const StoreUnderTest&) = delete;
  virtual ~StoreUnderTest() = default;

  virtual SqlDialect dialect() const = 0;
  // An empty database; what NewDatabase gives names it in the calls below.
  virtual std::string NewDatabase() = 0;
  virtual std::string Url(const std::string& database) const = 0;
  virtual StoreOptions Options() const = 0;
  // Another program's session.
  virtual std::unique_ptr<RawSession> Session(const std::string& database) const = 0;
  // Mattermost's own DDL for the table.
  virtual std::string MattermostTable() const = 0;
  // One statement that keeps all others from the table Systems until the session's `Unlock`.
  virtual void LockSystems(RawSession& session) const = 0;
  virtual void Unlock(RawSession& session) const = 0;
  // A table Systems without a key, in columns of the types that are named.
  virtual std::string LooseTable(const std::string& value_type) const = 0;
  // Of a type whose values are bytes, not text.
  virtual std::string BlobType() const = 0;

  // Null for SQLite.
  virtual DatabaseServer* server() { return nullptr; }
};

// With `table`: after Mattermost's DDL.
std::string NewStore(bool table = true);
std::unique_ptr<SystemsTable> OpenTable(const std::string& database, StoreOptions options);
std::unique_ptr<SystemsTable> OpenTable(const std::string& database);
std::shared_ptr<Database> OpenBase(const std::string& database,
                                   std::chrono::milliseconds deadline = std::chrono::seconds(20));

}  // namespace sotto

#endif  // SOTTO_TESTS_STORE_STORE_UNDER_TEST_H_
