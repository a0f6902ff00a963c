// SOTTO_CHECK(condition): our own promises, checked in every build. Never for input from network,
// disk, SQL or flags.
//
// Standard library only, so that the protocol core can use it.
#ifndef SOTTO_GOSSIP_BASE_CHECK_H_
#define SOTTO_GOSSIP_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

namespace sotto::internal {

[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, condition);
  std::abort();
}

}  // namespace sotto::internal

#define SOTTO_CHECK(condition)                                        \
  do {                                                                \
    if (!(condition)) {                                               \
      ::sotto::internal::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                                 \
  } while (false)

#endif  // SOTTO_GOSSIP_BASE_CHECK_H_
