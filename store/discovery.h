// The rows of ClusterDiscovery, by which nodes that share a database find each other: "here I was
// to be reached, not long ago". The table and its columns are Mattermost's, whose own rows lie
// beside ours and are neither read nor changed.
//
// A row is a hint where to knock and nothing more: whoever can write the database can write rows,
// and nothing in one is believed. What is malformed, stale, of the future, or beyond the bounds is
// left out. A node's row has an Id of its own, worked out from the names of cluster and node, so
// that two nodes of one host keep two rows, and a restarted one goes on with its former row.
// Units: times are milliseconds since 1970. Threads: as Database. Blocking on the database: never
// on a node's strand. Errors: those of sql.h; DB_TABLE_MISSING where schema.h has not been here.
#ifndef SOTTO_STORE_DISCOVERY_H_
#define SOTTO_STORE_DISCOVERY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/database.h"

namespace sotto {

// Of our rows, in the column Type.
inline constexpr std::string_view kDiscoveryType = "sotto";
// A row that was not refreshed for so long is ignored, as is one that lies so far ahead; once it is
// older than the second, it is deleted.
inline constexpr int64_t kDiscoveryStaleMs = 30 * 60'000;
inline constexpr int64_t kDiscoveryKeepMs = int64_t{7} * 24 * 3'600'000;
// Rows that one look takes, those refreshed last first; and rows that one CleanUp deletes.
inline constexpr size_t kDiscoveryRowsMax = 1'024;
inline constexpr size_t kDiscoveryCleanedMax = 64;

struct DiscoveryRow {
  std::string id;
  std::string host;  // an IP address, without brackets, or a host's name
  uint16_t port = 0;
  int64_t last_ping_ms = 0;

  std::string address() const;  // "10.0.3.11:7950", "[fd00::1]:7950"
};

struct DiscoveryRows {
  std::optional<DiscoveryRow> own;
  std::vector<DiscoveryRow> others;  // those refreshed last first
  size_t malformed = 0;              // left out
};

class DiscoveryTable {
 public:
  using Clock = std::function<int64_t()>;

  // `clock`: milliseconds since 1970; null: the system's.
  DiscoveryTable(std::shared_ptr<Database> database, std::string cluster, std::string_view node,
                 Clock clock = nullptr);

  // Of this node's row: 26 characters of a-z and 2-7.
  const std::string& id() const { return id_; }

  // Writes this node's row, or refreshes it; true where it was not there.
  absl::StatusOr<bool> Register(std::string_view host, uint16_t port, SqlTime deadline);
  // The living rows of this cluster.
  absl::StatusOr<DiscoveryRows> Read(SqlTime deadline);
  // Deletes this node's row; whether there was one.
  absl::StatusOr<bool> Remove(SqlTime deadline);
  // Deletes rows of this cluster that nobody has refreshed for kDiscoveryKeepMs; how many.
  absl::StatusOr<size_t> CleanUp(SqlTime deadline);

 private:
  const std::shared_ptr<Database> database_;
  const std::string cluster_;
  const std::string id_;
  const Clock clock_;
};

// "ab3kq…": the Id of a node's row.
std::string DiscoveryId(std::string_view cluster, std::string_view node);

}  // namespace sotto

#endif  // SOTTO_STORE_DISCOVERY_H_
