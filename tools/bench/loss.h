// A lossy network for the nodes of this process: drops datagrams on their way into the kernel.
//
// The library has no such hook. The linker puts ours before sendto(2) in this one program
// (-Wl,--wrap=sendto); streams use other calls and lose nothing. Threads: safe.
#ifndef SOTTO_TOOLS_BENCH_LOSS_H_
#define SOTTO_TOOLS_BENCH_LOSS_H_

#include <cstdint>

namespace sotto::bench {

// Drops this part of all datagrams from now on: 0 none, 1 all.
void SetLoss(double part);
uint64_t DatagramsDropped();

}  // namespace sotto::bench

#endif  // SOTTO_TOOLS_BENCH_LOSS_H_
