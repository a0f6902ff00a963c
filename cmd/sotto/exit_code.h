// What `sotto` ends with. The table stands in docs/operations.md and is tested.
#ifndef SOTTO_CMD_SOTTO_EXIT_CODE_H_
#define SOTTO_CMD_SOTTO_EXIT_CODE_H_

namespace sotto::cli {

enum ExitCode : int {
  kExitOk = 0,           // done, healthy
  kExitFailed = 1,       // tried and failed
  kExitUsage = 2,        // the command line does not make sense
  kExitPartial = 3,      // partly done; safe to run again
  kExitUnreachable = 4,  // no daemon answers
  kExitRefused = 5,      // a safety rule says no
  kExitDeadline = 6,     // the deadline passed
  kExitForbidden = 7,    // not permitted
  kExitTryAgain = 75,    // busy; try again later
  kExitBadConfig = 78,   // the configuration is wrong
};

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_EXIT_CODE_H_
