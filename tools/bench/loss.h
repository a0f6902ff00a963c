// A lossy network for the nodes of this process: drops datagrams on their way into the kernel, and
// parts nodes from each other.
//
// The library has no such hook. The linker puts ours before sendto(2) and connect(2) in this one
// program (-Wl,--wrap=…); streams that are open lose nothing. Each local port is on a side, 0
// unless told otherwise; while the network is parted, no datagram passes from one side to another.
// Threads: safe.
#ifndef SOTTO_TOOLS_BENCH_LOSS_H_
#define SOTTO_TOOLS_BENCH_LOSS_H_

#include <cstdint>

namespace sotto::bench {

// Drops this part of all datagrams from now on: 0 none, 1 all.
void SetLoss(double part);
uint64_t DatagramsDropped();

void SetSide(uint16_t port, uint8_t side);
void SetParted(bool parted);
// The same for new streams, which a thread opens: from this side of the network.
void SetSideOfThisThread(uint8_t side);
void SetStreamsParted(bool parted);

}  // namespace sotto::bench

#endif  // SOTTO_TOOLS_BENCH_LOSS_H_
