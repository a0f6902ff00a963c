// What our frames are held against: AES-GCM by OpenSSL alone, with one kept context for each
// direction, a new nonce and the same additional data each time. No header, session, replay window
// or look-up.
#ifndef SOTTO_TOOLS_BENCH_OPENSSL_GCM_H_
#define SOTTO_TOOLS_BENCH_OPENSSL_GCM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace sotto::bench {

class OpenSslGcm {
 public:
  static constexpr size_t kTagBytes = 16;

  // 16, 24 or 32 bytes of key.
  explicit OpenSslGcm(std::span<const uint8_t> key);
  ~OpenSslGcm();

  // Ciphertext and tag to `out`, of plaintext's size and kTagBytes. False: OpenSSL refused.
  bool Seal(uint64_t counter, std::span<const uint8_t> additional,
            std::span<const uint8_t> plaintext, std::span<uint8_t> out);
  bool Open(uint64_t counter, std::span<const uint8_t> additional, std::span<const uint8_t> sealed,
            std::span<uint8_t> out);

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

}  // namespace sotto::bench

#endif  // SOTTO_TOOLS_BENCH_OPENSSL_GCM_H_
