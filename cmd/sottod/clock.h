// The two clocks of the daemon.
#ifndef SOTTO_CMD_SOTTOD_CLOCK_H_
#define SOTTO_CMD_SOTTOD_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace sotto {

inline int64_t UnixMillis() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// On the clock of the node's instants.
inline int64_t SteadyNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_CLOCK_H_
