// The cluster keys that one node accepts, and the one it seals with (design W5, K5).
//
// A key is found by its id, never tried in turn. Rotation installs a key everywhere, then uses it
// everywhere, then removes the old one everywhere; in between, all of them open frames.
// Units: keys of 16, 24 or 32 raw bytes, which select AES-128, AES-192 or AES-256.
// Ownership: keys move in and are wiped on removal. A key in use by the caller stays alive through
// the shared_ptr that Find returns. Threads: none; the node's strand owns it.  Errors: a failed
// call leaves the ring as it was. Invariant: at most kKeysMax keys; once a key is installed,
// exactly one is the sealing key.
#ifndef SOTTO_CRYPTO_KEYRING_H_
#define SOTTO_CRYPTO_KEYRING_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/secret_bytes.h"

namespace sotto {

// HKDF-SHA256(key, info = "sotto/1 key-id" || cluster), 4 bytes. Public; stands in every frame.
struct KeyId {
  uint32_t value = 0;
  friend auto operator<=>(KeyId, KeyId) = default;
};

// "9f3c-21aa", the fingerprint that operators see (K9).
std::string ToString(KeyId id);
// Nothing if the text is not just what ToString makes.
std::optional<KeyId> ParseKeyId(std::string_view text);

enum class AeadAlgorithm : uint8_t { kAes128Gcm = 0, kAes192Gcm = 1, kAes256Gcm = 2 };

// "AES-128-GCM", …
std::string_view ToString(AeadAlgorithm algorithm);

// What random bytes practically never look like, and typed ones do: fewer than 8 distinct bytes, or
// printable text only.
bool LooksWeak(std::span<const uint8_t> key);

// One cluster key with what follows from it. Immutable.
class ClusterKey {
 public:
  // INVALID_ARGUMENT KEY_BAD_LENGTH: not 16, 24 or 32 bytes. KEY_WEAK: all bytes equal, fewer than
  // 8 distinct bytes, or printable text only; `allow_weak` lets these pass.
  static absl::StatusOr<std::shared_ptr<const ClusterKey>> Create(SecretBytes key,
                                                                  std::string_view cluster,
                                                                  uint64_t generation,
                                                                  bool allow_weak = false);

  KeyId id() const { return id_; }
  AeadAlgorithm algorithm() const { return algorithm_; }
  size_t size() const { return key_.size(); }
  uint64_t generation() const { return generation_; }
  const std::string& cluster() const { return cluster_; }
  const SecretBytes& secret() const { return key_; }

 private:
  ClusterKey() = default;
  SecretBytes key_;
  std::string cluster_;
  KeyId id_;
  AeadAlgorithm algorithm_ = AeadAlgorithm::kAes256Gcm;
  uint64_t generation_ = 0;
};
using ClusterKeyRef = std::shared_ptr<const ClusterKey>;

class Keyring {
 public:
  static constexpr size_t kKeysMax = 4;

  // Adds a key for opening; the first one also seals. A key already present is OK.
  // ALREADY_EXISTS KEY_ID_COLLISION: another key has this id. RESOURCE_EXHAUSTED KEY_RING_FULL.
  absl::Status Install(ClusterKeyRef key);
  // Makes a present key the sealing key. NOT_FOUND: no such key.
  absl::Status Use(KeyId id);
  // NOT_FOUND: no such key. FAILED_PRECONDITION: it is the sealing key; Use another first.
  absl::Status Remove(KeyId id);

  // Null if there is none.
  ClusterKeyRef Find(KeyId id) const;
  // Null while the ring is empty.
  const ClusterKeyRef& sealing() const { return sealing_; }
  // In the order of installation.
  const std::vector<ClusterKeyRef>& keys() const { return keys_; }

 private:
  std::vector<ClusterKeyRef> keys_;
  ClusterKeyRef sealing_;
};

}  // namespace sotto

#endif  // SOTTO_CRYPTO_KEYRING_H_
