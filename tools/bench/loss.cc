#include "tools/bench/loss.h"

#include <sys/socket.h>

#include <atomic>

namespace sotto::bench {
namespace {

std::atomic<uint64_t> threshold{0};  // of 2^32
std::atomic<uint64_t> state{1};
std::atomic<uint64_t> dropped{0};

bool Lost() {
  const uint64_t limit = threshold.load(std::memory_order_relaxed);
  if (limit == 0) return false;
  // splitmix64 over a shared counter: every datagram draws its own number.
  uint64_t z = state.fetch_add(0x9e3779b97f4a7c15u, std::memory_order_relaxed);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return ((z ^ (z >> 31)) >> 32) < limit;
}

}  // namespace

void SetLoss(double part) { threshold = static_cast<uint64_t>(part * 4294967296.0); }

uint64_t DatagramsDropped() { return dropped; }

}  // namespace sotto::bench

// Both names are the linker's: __real_ is the one that __wrap_ stands before.
extern "C" ssize_t __real_sendto(int fd, const void* data, size_t size, int flags,
                                 const sockaddr* to, socklen_t to_size);
extern "C" ssize_t __wrap_sendto(int fd, const void* data, size_t size, int flags,
                                 const sockaddr* to, socklen_t to_size);

ssize_t __wrap_sendto(int fd, const void* data, size_t size, int flags, const sockaddr* to,
                      socklen_t to_size) {
  if (to != nullptr && sotto::bench::Lost()) {
    ++sotto::bench::dropped;
    return static_cast<ssize_t>(size);
  }
  return __real_sendto(fd, data, size, flags, to, to_size);
}
