#include "tests/store/store_under_test.h"

#include <utility>

#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"

namespace sotto {

std::string NewStore(bool table) {
  StoreUnderTest& store = StoreUnderTest::Get();
  const std::string database = store.NewDatabase();
  if (table) store.Session(database)->Run(store.MattermostTable());
  return database;
}

std::unique_ptr<SystemsTable> OpenTable(const std::string& database, StoreOptions options) {
  StoreUnderTest& store = StoreUnderTest::Get();
  if (options.password.empty()) options.password = store.Options().password;
  options.also_owner = store.Options().also_owner;
  auto table = OpenSystemsTable(store.Url(database), options);
  if (!table.ok()) std::fprintf(stderr, "%s\n", Describe(table.status()).c_str());
  SOTTO_CHECK(table.ok());
  return *std::move(table);
}

std::unique_ptr<SystemsTable> OpenTable(const std::string& database) {
  StoreOptions options;
  options.deadline = std::chrono::seconds(20);
  return OpenTable(database, options);
}

std::shared_ptr<Database> OpenBase(const std::string& database,
                                   std::chrono::milliseconds deadline) {
  StoreUnderTest& store = StoreUnderTest::Get();
  StoreOptions options = store.Options();
  options.deadline = deadline;
  auto base = OpenDatabase(store.Url(database), options);
  SOTTO_CHECK(base.ok());
  return *std::move(base);
}

}  // namespace sotto
