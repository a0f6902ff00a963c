// `sotto demo`: five daemons on this machine, and what happens to them.
//
// Everything is made on the spot in a folder of mode 0700 and gone at the end. The story is told in
// plain words with elapsed times; each step says what was done, waits until the daemons themselves
// report what should follow, and fails if they do not within its time.
#ifndef SOTTO_CMD_DEMO_DEMO_H_
#define SOTTO_CMD_DEMO_DEMO_H_

#include <iosfwd>
#include <string>

#include "absl/status/status.h"

namespace sotto {

struct DemoOptions {
  std::string sottod;        // the daemon's program
  bool interactive = false;  // keys on the terminal, instead of the story alone
  bool keep = false;         // the folder stays
  bool color = false;
  std::ostream* out = nullptr;
};

// OK: every step was seen in time.
// DEADLINE_EXCEEDED DEMO_STEP_MISSED: one was not; what came instead was printed.
// CANCELLED: the user asked to stop.
// The codes of Lab otherwise. Call from the main thread, with no other running.
absl::Status RunDemo(const DemoOptions& options);

// The sottod that belongs to this program: beside it, or where the build puts it.
// NOT_FOUND DEMO_NO_SOTTOD.
absl::Status FindSottod(std::string* path);

}  // namespace sotto

#endif  // SOTTO_CMD_DEMO_DEMO_H_
