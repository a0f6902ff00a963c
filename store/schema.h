// The tables of our own beside Systems, made and brought up to date step by step:
//
//   SottoSchema        which steps are done
//   ClusterKeys        every key of every cluster and its state
//   ClusterMembers     what each known member holds and seals with
//   ClusterKeyHistory  who did what to the keys, and when
//   ClusterMoves       that a cluster's keys were copied to another store, and are changed there
//   ClusterDiscovery   where to knock; as Mattermost has it, and used as it is where it is present
//
// Times are milliseconds since 1970. Systems itself is not touched. Nodes that do this at the same
// moment wait for each other; one that is killed half way is completed by the next. Threads: as
// Database. Blocking on the database.
#ifndef SOTTO_STORE_SCHEMA_H_
#define SOTTO_STORE_SCHEMA_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/database.h"
#include "store/sql.h"

namespace sotto {

// What this program makes, and needs.
inline constexpr int64_t kSchemaVersion = 1;

// The last step that is done; 0: none, no table of ours. Changes nothing.
absl::StatusOr<int64_t> ReadSchemaVersion(Database& database, SqlTime deadline);

// Does the steps that are missing, up to `version`. A role that may only read is enough where none
// is missing.
//   FAILED_PRECONDITION SCHEMA_NEWER        a later release has been here; nothing was touched
//   PERMISSION_DENIED   SCHEMA_NOT_ALLOWED  this role may not make tables; the message holds the
//                                           first statement that failed, SchemaSql has all of them
//   and the codes of sql.h
absl::Status EnsureSchema(Database& database, SqlTime deadline, int64_t version = kSchemaVersion);

// Whether `status` says that this role may not make, read or write tables of ours: the Systems row
// is all that it can use.
bool IsNotAllowed(const absl::Status& status);

// Every statement from nothing to kSchemaVersion, for an administrator to run by hand: running it
// again changes nothing.
std::string SchemaSql(SqlDialect dialect);

}  // namespace sotto

#endif  // SOTTO_STORE_SCHEMA_H_
