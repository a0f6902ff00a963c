// Key-encryption keys (KEKs): what wraps the cluster's key where it lies at rest, and lies itself
// outside the database (design K6).
//
// A KEK is never used directly: its id, the commitment to it and every key that seals something
// come out of it by HKDF, each under a label of its own. A ring holds one KEK that wraps and others
// that still unwrap, so that a KEK can be changed while old values stand.
// Units: 32 raw bytes.  Ownership: keys move in and are wiped when the last holder goes.  Threads:
// immutable; share them freely.  Errors: messages hold ids, never key bytes.
#ifndef SOTTO_CRYPTO_KEK_H_
#define SOTTO_CRYPTO_KEK_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "crypto/secret_bytes.h"

namespace sotto {

// HKDF-SHA256(KEK, info = "sotto/1 kek-id"), 8 bytes. Public; stands in every wrapped value.
struct KekId {
  std::array<uint8_t, 8> bytes{};
  friend auto operator<=>(const KekId&, const KekId&) = default;
};

// Base64 of the URL-safe alphabet without padding.
inline constexpr size_t kKekIdChars = 11;
std::string ToString(const KekId& id);
// Nothing unless it is what ToString writes.
std::optional<KekId> ParseKekId(std::string_view text);

class Kek {
 public:
  static constexpr size_t kKeyBytes = 32;

  // INVALID_ARGUMENT KEK_BAD_LENGTH: not 32 bytes. KEK_WEAK: not random (as KEY_WEAK).
  static absl::StatusOr<std::shared_ptr<const Kek>> Create(SecretBytes key,
                                                           bool allow_weak = false);

  const KekId& id() const { return id_; }
  const SecretBytes& secret() const { return key_; }

 private:
  Kek() = default;
  SecretBytes key_;
  KekId id_;
};
using KekRef = std::shared_ptr<const Kek>;

// The text of a KEK: strict base64 of 32 bytes. INVALID_ARGUMENT: KEK_EMPTY, KEK_BAD_BASE64 (with a
// hint for a CRLF line end, for raw bytes, for the URL-safe alphabet), KEK_BAD_LENGTH, KEK_WEAK.
absl::StatusOr<KekRef> ParseKekText(std::string_view text, bool allow_weak = false);

class KekRing {
 public:
  static constexpr size_t kKeksMax = 32;

  // `active` wraps; `others` unwrap. The same key twice is one.
  // INVALID_ARGUMENT KEK_ID_COLLISION: two different keys of one id. RESOURCE_EXHAUSTED
  // KEK_TOO_MANY.
  static absl::StatusOr<std::shared_ptr<const KekRing>> Create(KekRef active,
                                                               std::vector<KekRef> others);

  const KekRef& active() const { return keks_.front(); }
  // Null if there is none.
  const Kek* Find(const KekId& id) const;
  // The active one first.
  const std::vector<KekRef>& keks() const { return keks_; }

 private:
  KekRing() = default;
  std::vector<KekRef> keks_;
};
using KekRingRef = std::shared_ptr<const KekRing>;

}  // namespace sotto

#endif  // SOTTO_CRYPTO_KEK_H_
