// A StoreUnderTest over a DatabaseServer that lives as long as the tests of the binary.
#ifndef SOTTO_TESTS_STORE_SERVER_UNDER_TEST_H_
#define SOTTO_TESTS_STORE_SERVER_UNDER_TEST_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "tests/store/store_under_test.h"

namespace sotto {

class ServerUnderTest : public StoreUnderTest {
 public:
  SqlDialect dialect() const override { return server_->dialect(); }
  std::string NewDatabase() override { return server_->NewDatabase(); }
  std::string Url(const std::string& database) const override {
    return server_->SocketUrl(database);
  }
  StoreOptions Options() const override { return server_->Options(); }
  std::unique_ptr<RawSession> Session(const std::string& database) const override {
    return server_->Session(database);
  }
  DatabaseServer* server() override { return server_.get(); }
  void SetServer(std::unique_ptr<DatabaseServer> server) { server_ = std::move(server); }

 private:
  std::unique_ptr<DatabaseServer> server_;
};

// Starts the server before the first test, from the main thread, and stops it after the last.
template <typename Store>
class ServerEnvironment : public testing::Environment {
 public:
  ServerEnvironment(Store* store, std::unique_ptr<DatabaseServer> (*start)())
      : store_(store), start_(start) {}
  void SetUp() override { store_->SetServer(start_()); }
  void TearDown() override { store_->SetServer(nullptr); }

 private:
  Store* const store_;
  std::unique_ptr<DatabaseServer> (*const start_)();
};

}  // namespace sotto

#endif  // SOTTO_TESTS_STORE_SERVER_UNDER_TEST_H_
