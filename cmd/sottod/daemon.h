// sottod from a checked configuration to its exit code.
//
// SIGTERM and SIGINT leave the cluster (5 s) and end it with 0; a second one ends it at once with
// 1. SIGHUP reloads.
// Threads: Run blocks the calling thread, which must be the process's main one.
#ifndef SOTTO_CMD_SOTTOD_DAEMON_H_
#define SOTTO_CMD_SOTTOD_DAEMON_H_

#include "cmd/config/config.h"
#include "cmd/sottod/log.h"
#include "cmd/sottod/startup.h"

namespace sotto {

// `loaded` is OK and checked. `secrets_locked`: what HardenProcess said.
DaemonExit RunDaemon(const ConfigSources& sources, const ConfigResult& loaded, DaemonLog* log,
                     bool secrets_locked, bool accept_rollback);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_DAEMON_H_
