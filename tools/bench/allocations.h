// Counts the heap allocations of this process: C++'s operator new and OpenSSL's own.
//
// Linking this in replaces both for the whole program. Threads: counts are of all threads.
#ifndef SOTTO_TOOLS_BENCH_ALLOCATIONS_H_
#define SOTTO_TOOLS_BENCH_ALLOCATIONS_H_

#include <cstdint>

namespace sotto::bench {

// Allocations since the program began. Differences are what counts.
uint64_t Allocations();

// Whether OpenSSL accepted the counting functions; without, its allocations are missing.
bool CountsOpenSsl();

}  // namespace sotto::bench

#endif  // SOTTO_TOOLS_BENCH_ALLOCATIONS_H_
