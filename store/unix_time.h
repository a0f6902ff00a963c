// The wall clock, for what is written down: rows, logs, caches.
#ifndef SOTTO_STORE_UNIX_TIME_H_
#define SOTTO_STORE_UNIX_TIME_H_

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

#endif  // SOTTO_STORE_UNIX_TIME_H_
