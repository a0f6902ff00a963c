// A database that can be taken away from one node and given back, while it stays there for others.
// Threads: the switch is safe anywhere; the rest as sql.h. Errors: DB_REFUSED while it is away.
#ifndef SOTTO_TOOLS_BENCH_SWITCHED_SQL_H_
#define SOTTO_TOOLS_BENCH_SWITCHED_SQL_H_

#include <atomic>
#include <memory>

#include "store/sql.h"

namespace sotto::bench {

using SqlSwitch = std::shared_ptr<std::atomic<bool>>;  // true: the database is away

std::unique_ptr<SqlDriver> MakeSwitchedDriver(std::unique_ptr<SqlDriver> driver, SqlSwitch away);

}  // namespace sotto::bench

#endif  // SOTTO_TOOLS_BENCH_SWITCHED_SQL_H_
