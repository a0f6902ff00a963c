#include "tools/bench/allocations.h"

#include <openssl/crypto.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace sotto::bench {
namespace {

std::atomic<uint64_t> allocations{0};

void* Counted(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size == 0 ? 1 : size);
}

void* OpenSslMalloc(size_t size, const char* /*file*/, int /*line*/) { return Counted(size); }
void* OpenSslRealloc(void* memory, size_t size, const char* /*file*/, int /*line*/) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::realloc(memory, size);
}
void OpenSslFree(void* memory, const char* /*file*/, int /*line*/) { std::free(memory); }

// Before OpenSSL's first allocation, which ends its willingness to take other functions.
const int replaced = CRYPTO_set_mem_functions(OpenSslMalloc, OpenSslRealloc, OpenSslFree);

}  // namespace

uint64_t Allocations() { return allocations.load(std::memory_order_relaxed); }

bool CountsOpenSsl() { return replaced == 1; }

}  // namespace sotto::bench

// Not inlined, or the compiler takes the pairs for mismatched.
[[gnu::noinline]] void* operator new(size_t size) {
  void* const memory = sotto::bench::Counted(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t /*size*/) noexcept {
  std::free(memory);
}
