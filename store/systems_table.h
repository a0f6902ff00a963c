// The table `Systems(Name, Value)` that a cluster's key lives in (design K3): an interface over one
// row at a time; one backend a file.
//
// Threads: every call may come from any thread, and blocks until the database answers or the
// deadline of the backend's options has passed. Never call from a node's strand. Errors: NOT_FOUND
// ROW_MISSING; KEY_ROW_TYPE, KEY_ROW_DUPLICATE, KEY_TOO_LONG for a row that is not one text of at
// most kValueBytesMax bytes; DB_* for the database itself. After an error the table is as it was,
// or as it was meant to be, never between.
#ifndef SOTTO_STORE_SYSTEMS_TABLE_H_
#define SOTTO_STORE_SYSTEMS_TABLE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sotto {

class SystemsTable {
 public:
  static constexpr size_t kNameBytesMax = 64;
  static constexpr size_t kValueBytesMax = 1024;

  SystemsTable() = default;
  SystemsTable(const SystemsTable&) = delete;
  SystemsTable& operator=(const SystemsTable&) = delete;
  virtual ~SystemsTable() = default;

  // The value of the row. It may be a secret: the caller wipes it.
  virtual absl::StatusOr<std::string> Get(std::string_view name) = 0;

  // Adds the row unless there is one; the value that the table holds afterwards. Of any number of
  // processes that call it at once, one value wins, and each of them gets that one.
  virtual absl::StatusOr<std::string> InsertIfAbsent(std::string_view name,
                                                     std::string_view value) = 0;

  // Sets the row to `value` if it holds `expected` (nullopt: if there is no row).
  // ABORTED ROW_CHANGED: it holds something else; nothing was written.
  virtual absl::Status Replace(std::string_view name, const std::optional<std::string>& expected,
                               std::string_view value) = 0;

  // The URL without a password, for logs and `status`.
  virtual std::string DisplayUrl() const = 0;
};

}  // namespace sotto

#endif  // SOTTO_STORE_SYSTEMS_TABLE_H_
