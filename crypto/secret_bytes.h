// Bytes that must not be copied, printed or left behind in memory: keys and what they are made of.
//
// Held in OpenSSL's secure heap where one is set up (InitSecureHeap), else in ordinary memory;
// wiped on destruction either way. Move-only; no operator<<, no conversion to string. Threads: as a
// plain value.
#ifndef SOTTO_CRYPTO_SECRET_BYTES_H_
#define SOTTO_CRYPTO_SECRET_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace sotto {

class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(size_t size);                     // zeros
  explicit SecretBytes(std::span<const uint8_t> bytes);  // a copy; the caller wipes its own
  ~SecretBytes();
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  SecretBytes Clone() const;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const uint8_t> view() const { return {data_, size_}; }
  std::span<uint8_t> mutable_view() { return {data_, size_}; }

  // In constant time for equal lengths.
  friend bool operator==(const SecretBytes& a, const SecretBytes& b);

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// Sets up a locked heap for secrets, once for a process, before any other use. False if memory
// could not be locked: secrets then live in ordinary memory, and the caller says so once.
bool InitSecureHeap();

}  // namespace sotto

#endif  // SOTTO_CRYPTO_SECRET_BYTES_H_
