#include "tools/bench/loss.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>

namespace sotto::bench {
namespace {

std::atomic<uint64_t> threshold{0};  // of 2^32
std::atomic<uint64_t> state{1};
std::atomic<uint64_t> dropped{0};

std::array<std::atomic<uint8_t>, 65'536> sides{};
std::atomic<bool> is_parted{false};
std::atomic<bool> streams_parted{false};
thread_local uint8_t thread_side = 0;

// 0: neither IPv4 nor IPv6.
uint16_t PortOf(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    return ntohs(reinterpret_cast<const sockaddr_in*>(address)->sin_port);
  }
  if (address->sa_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(address)->sin6_port);
  }
  return 0;
}

bool Parted(int fd, const sockaddr* to) {
  if (!is_parted.load(std::memory_order_relaxed)) return false;
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  auto* const address = reinterpret_cast<sockaddr*>(&own);
  if (getsockname(fd, address, &size) != 0) return false;
  return sides[PortOf(address)] != sides[PortOf(to)];
}

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

void SetSide(uint16_t port, uint8_t side) { sides[port] = side; }
void SetParted(bool parted) { is_parted = parted; }
void SetSideOfThisThread(uint8_t side) { thread_side = side; }
void SetStreamsParted(bool parted) { streams_parted = parted; }

namespace {

bool StreamRefused(const sockaddr* to) {
  const uint16_t port = PortOf(to);
  return streams_parted && port != 0 && sides[port] != thread_side;
}

}  // namespace

}  // namespace sotto::bench

// Both names are the linker's: __real_ is the one that __wrap_ stands before.
extern "C" ssize_t __real_sendto(int fd, const void* data, size_t size, int flags,
                                 const sockaddr* to, socklen_t to_size);
extern "C" ssize_t __wrap_sendto(int fd, const void* data, size_t size, int flags,
                                 const sockaddr* to, socklen_t to_size);

ssize_t __wrap_sendto(int fd, const void* data, size_t size, int flags, const sockaddr* to,
                      socklen_t to_size) {
  if (to != nullptr && (sotto::bench::Parted(fd, to) || sotto::bench::Lost())) {
    ++sotto::bench::dropped;
    return static_cast<ssize_t>(size);
  }
  return __real_sendto(fd, data, size, flags, to, to_size);
}

extern "C" int __real_connect(int fd, const sockaddr* to, socklen_t to_size);
extern "C" int __wrap_connect(int fd, const sockaddr* to, socklen_t to_size);

int __wrap_connect(int fd, const sockaddr* to, socklen_t to_size) {
  if (to != nullptr && sotto::bench::StreamRefused(to)) {
    errno = ENETUNREACH;
    return -1;
  }
  return __real_connect(fd, to, to_size);
}
