// Moving house: what one store holds of a cluster's keys, copied to another one (design K3).
//
// Copied are the Systems row in use and the cluster's rows of ClusterKeys, ClusterMembers and
// ClusterKeyHistory; values go over as they stand, so no key-encryption key is needed. At every
// moment at most one of the two stores lets keys be changed: ClusterMoves says so in the other.
//
//   1  the source's row is locked, and all is read
//   2  one transaction writes it to the target, with a row of ClusterMoves there that points back
//      to the source: a copy that is not finished
//   3  the target is read again and compared
//   4  the source's row of ClusterMoves points to the target, and the lock ends
//   5  the target's row of ClusterMoves goes
//
// Whoever dies between two steps is completed by running it again. A copy that points back to the
// source is replaced whole; anything else of the cluster in the target is left alone. A store whose
// keys moved away takes them back the same way.
// Threads: as Database. Blocking on both databases. Errors: those of sql.h and systems_rows.h, and
//   STORE_SAME           INVALID_ARGUMENT     both are one store
//   STORE_MOVED          FAILED_PRECONDITION  the source's keys went to a third store
//   STORE_NOT_EMPTY      ALREADY_EXISTS       the target has keys of this cluster; nothing written
//   STORE_COPY_DIFFERS   DATA_LOSS            what was read back is not what was written
//   KEY_MISSING, KEY_TABLE_MALFORMED          of the source
//   SCHEMA_NEWER, SCHEMA_NOT_ALLOWED          of either (schema.h)
#ifndef SOTTO_STORE_STORE_COPY_H_
#define SOTTO_STORE_STORE_COPY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "store/database.h"
#include "store/sql.h"

namespace sotto {

// Of a history that is longer, the newest so many rows are copied.
inline constexpr size_t kCopiedEventsMax = 10'000;

struct StoreCopyParams {
  std::string cluster;
  std::string actor;
  int64_t now_ms = 0;
  SqlTime deadline;  // of the whole
  // Told before each step, with its number; null: nobody.
  std::function<void(int step)> progress;
};

struct StoreCopyReport {
  std::string row;      // of Systems, in the target
  bool copied = false;  // by this call; false: it was there, and was compared
  size_t keys = 0, members = 0, events = 0;
  bool history_cut = false;
};

// The stores are known by their display URLs: open a file by its whole path, and a server the same
// way each time.
absl::StatusOr<StoreCopyReport> CopyStore(Database& source, Database& target,
                                          const StoreCopyParams& params);

}  // namespace sotto

#endif  // SOTTO_STORE_STORE_COPY_H_
