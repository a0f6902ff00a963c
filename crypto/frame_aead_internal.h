// Subkeys of frames, and AES-GCM with them. For the frame and stream codecs only.
#ifndef SOTTO_CRYPTO_FRAME_AEAD_INTERNAL_H_
#define SOTTO_CRYPTO_FRAME_AEAD_INTERNAL_H_

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "crypto/frame_codec.h"
#include "crypto/frame_header.h"
#include "crypto/keyring.h"
#include "crypto/openssl_internal.h"
#include "gossip/member.h"

namespace sotto::internal {

// What one session's frames in one direction are sealed with. Held inline and wiped, outside the
// secure heap: a thousand pairs would not fit there, and the contexts hold their schedules outside
// it anyway.
struct Subkey {
  Subkey() = default;
  ~Subkey() { Wipe(); }
  Subkey(const Subkey&) = delete;
  Subkey& operator=(const Subkey&) = delete;

  bool keyed() const { return key_size != 0; }
  void Wipe();
  // Copies what `other` holds, and wipes it there.
  void TakeFrom(Subkey& other);

  std::array<uint8_t, 32> key{};
  std::array<uint8_t, 12> iv{};
  uint8_t key_size = 0;  // 0: none
  AeadAlgorithm algorithm = AeadAlgorithm::kAes256Gcm;
};

// `header` gives the session and so the label; `agreed` is the pair's X25519 secret for datagrams,
// else empty.
absl::Status DeriveSubkey(const ClusterKey& cluster_key, std::span<const uint8_t> agreed,
                          const FrameHeader& header, const BootId& receiver, Subkey& subkey);

// One cipher context, keyed with at most one subkey at a time.
class AeadContext {
 public:
  // Takes over `subkey`. False: OpenSSL refused; the context is then unkeyed.
  bool Rekey(const Subkey& subkey);
  // Wipes the key schedule.
  void Clear();

  // Writes header, ciphertext and tag to `out`, whose size is theirs exactly.
  bool Seal(const Subkey& subkey, const FrameHeader& header, const BootId& receiver,
            std::span<const uint8_t> plaintext, std::span<uint8_t> out);
  // Fills `out`, whose size is the plaintext's exactly; wipes it where the tag is wrong.
  bool Open(const Subkey& subkey, const FrameHeader& header, const BootId& receiver,
            std::span<const uint8_t> frame, std::span<uint8_t> out);

 private:
  EvpCipherCtxPtr context_;
  const EVP_CIPHER* cipher_ = nullptr;  // null: unkeyed
};

// A few contexts, each keyed with the subkey last used there: the least recently used one is
// re-keyed in place for another. Subkeys are known by address, so Forget one before it goes or
// changes.
class AeadPool {
 public:
  // Null: OpenSSL refused.
  AeadContext* For(const Subkey& subkey);
  void Forget(const Subkey& subkey);
  uint64_t rekeys() const { return rekeys_; }

 private:
  struct Slot {
    const Subkey* subkey = nullptr;
    uint64_t used = 0;
    AeadContext context;
  };

  std::array<Slot, FrameCodec::kContextPool> slots_;
  uint64_t uses_ = 0;
  uint64_t rekeys_ = 0;
};

}  // namespace sotto::internal

#endif  // SOTTO_CRYPTO_FRAME_AEAD_INTERNAL_H_
