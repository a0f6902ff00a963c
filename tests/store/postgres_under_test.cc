#include "tests/store/server_under_test.h"

namespace sotto {
namespace {

class PostgresUnderTest : public ServerUnderTest {
 public:
  std::string MattermostTable() const override {
    return "CREATE TABLE IF NOT EXISTS systems (name VARCHAR(64) PRIMARY KEY, value VARCHAR(1024))";
  }
  void LockSystems(RawSession& session) const override {
    session.Run("BEGIN");
    session.Run("LOCK TABLE systems IN ACCESS EXCLUSIVE MODE");
  }
  void Unlock(RawSession& session) const override { session.Run("COMMIT"); }
  std::string LooseTable(const std::string& value_type) const override {
    return "CREATE TABLE systems (name TEXT, value " + value_type + ")";
  }
  std::string BlobType() const override { return "BYTEA"; }
};

PostgresUnderTest& Store() {
  static PostgresUnderTest store;
  return store;
}

[[maybe_unused]] const testing::Environment* const kEnvironment = testing::AddGlobalTestEnvironment(
    new ServerEnvironment<PostgresUnderTest>(&Store(), &DatabaseServer::StartPostgres));

}  // namespace

StoreUnderTest& StoreUnderTest::Get() { return Store(); }

}  // namespace sotto
