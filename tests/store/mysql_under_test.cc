#include "tests/store/server_under_test.h"

namespace sotto {
namespace {

class MysqlUnderTest : public ServerUnderTest {
 public:
  std::string MattermostTable() const override {
    return "CREATE TABLE IF NOT EXISTS Systems (Name varchar(64) NOT NULL, "
           "Value varchar(1024) DEFAULT NULL, PRIMARY KEY (Name)) "
           "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4";
  }
  void LockSystems(RawSession& session) const override { session.Run("LOCK TABLES Systems WRITE"); }
  void Unlock(RawSession& session) const override { session.Run("UNLOCK TABLES"); }
  std::string LooseTable(const std::string& value_type) const override {
    return "CREATE TABLE Systems (Name VARCHAR(64), Value " + value_type + ")";
  }
  std::string BlobType() const override { return "BLOB"; }
};

MysqlUnderTest& Store() {
  static MysqlUnderTest store;
  return store;
}

[[maybe_unused]] const testing::Environment* const kEnvironment = testing::AddGlobalTestEnvironment(
    new ServerEnvironment<MysqlUnderTest>(&Store(), &DatabaseServer::StartMariadb));

}  // namespace

StoreUnderTest& StoreUnderTest::Get() { return Store(); }

}  // namespace sotto
