// The wall clock, for what is written down: rows, logs, certificates. Never for the protocol.
#ifndef SOTTO_GOSSIP_BASE_UNIX_TIME_H_
#define SOTTO_GOSSIP_BASE_UNIX_TIME_H_

#include <chrono>
#include <cstdint>

namespace sotto {

// Milliseconds since 1970.
inline int64_t UnixMillis() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Seconds since 1970.
inline int64_t UnixSeconds() { return UnixMillis() / 1000; }

}  // namespace sotto

#endif  // SOTTO_GOSSIP_BASE_UNIX_TIME_H_
