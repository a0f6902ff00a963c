// The clock that the daemon shares with its node.
#ifndef SOTTO_CMD_SOTTOD_CLOCK_H_
#define SOTTO_CMD_SOTTOD_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace sotto {

// On the clock of the node's instants.
inline int64_t SteadyNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_CLOCK_H_
