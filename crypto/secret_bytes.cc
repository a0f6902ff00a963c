#include "crypto/secret_bytes.h"

#include <openssl/crypto.h>

#include <cstring>
#include <utility>

#include "gossip/base/check.h"

namespace sotto {
namespace {

// 64 KiB holds a thousand keys and fits under every usual RLIMIT_MEMLOCK.
constexpr size_t kSecureHeapBytes = 64 * 1024;
constexpr int kSecureHeapUnit = 64;

// A full secure heap is no reason to fail: the bytes then lie in ordinary memory and are wiped all
// the same, since OPENSSL_secure_clear_free tells the two apart.
uint8_t* Allocate(size_t size) {
  if (size == 0) return nullptr;
  void* data = OPENSSL_secure_zalloc(size);
  if (data == nullptr) data = OPENSSL_zalloc(size);
  SOTTO_CHECK(data != nullptr);
  return static_cast<uint8_t*>(data);
}

void Free(uint8_t* data, size_t size) {
  if (data != nullptr) OPENSSL_secure_clear_free(data, size);
}

}  // namespace

SecretBytes::SecretBytes(size_t size) : data_(Allocate(size)), size_(size) {}

SecretBytes::SecretBytes(std::span<const uint8_t> bytes) : SecretBytes(bytes.size()) {
  if (!bytes.empty()) std::memcpy(data_, bytes.data(), bytes.size());
}

SecretBytes::~SecretBytes() { Free(data_, size_); }

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this == &other) return *this;
  Free(data_, size_);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

SecretBytes SecretBytes::Clone() const { return SecretBytes(view()); }

bool operator==(const SecretBytes& a, const SecretBytes& b) {
  if (a.size_ != b.size_) return false;
  return a.size_ == 0 || CRYPTO_memcmp(a.data_, b.data_, a.size_) == 0;
}

bool InitSecureHeap() {
  // 1: locked; 2: set up, but the lock was refused; 0: nothing set up, or set up before.
  return CRYPTO_secure_malloc_init(kSecureHeapBytes, kSecureHeapUnit) == 1;
}

}  // namespace sotto
