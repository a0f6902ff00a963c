// Bytes sealed under a KEK: commitment (32) || nonce (12) || ciphertext || tag (16).
//
// Out of the KEK and the nonce, as salt, HKDF gives two things: the commitment, and the AES-256-GCM
// key of this one box. The KEK itself is no AES key anywhere. That costs 8 us, keeps what is shown
// (ids, commitments) apart from what encrypts, and lets one extract bind the commitment to the very
// key that opens the box: AES-GCM alone would let one box open under two keys. The limit on random
// 96-bit nonces (2^32 boxes under one KEK) is neither better nor worse for it; a KEK seals a few
// boxes a day.
// The commitment is compared in constant time before the tag is looked at, so that another KEK and
// a damaged box are different, certain errors. What the box belongs to is bound as additional data:
// the use's label and each field, with two bytes of length before each, so that no two lists of
// fields are the same bytes. Threads: as plain functions.
#ifndef SOTTO_CRYPTO_KEK_BOX_H_
#define SOTTO_CRYPTO_KEK_BOX_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "crypto/kek.h"
#include "crypto/secret_bytes.h"

namespace sotto {

inline constexpr size_t kKekBoxOverheadBytes = 32 + 12 + 16;
inline constexpr size_t kKekBoxPlaintextBytesMax = 64 * 1024;

// Boxes of one use never open as those of another.
enum class KekUse : uint8_t { kClusterKey, kKeyCache };

// Each at most 65535 bytes.
using BoundFields = std::initializer_list<std::string_view>;

// INVALID_ARGUMENT: an empty plaintext, or one beyond the limit. RANDOM_FAILED, CRYPTO_FAILED.
absl::StatusOr<std::vector<uint8_t>> SealUnderKek(const Kek& kek, KekUse use, BoundFields fields,
                                                  std::span<const uint8_t> plaintext);

// UNAUTHENTICATED KEK_MISMATCH: the commitment is not this KEK's. DATA_LOSS KEY_CORRUPT: too short,
// too long, or the tag is wrong: damaged, or sealed for other fields. CRYPTO_FAILED.
absl::StatusOr<SecretBytes> OpenUnderKek(const Kek& kek, KekUse use, BoundFields fields,
                                         std::span<const uint8_t> box);

}  // namespace sotto

#endif  // SOTTO_CRYPTO_KEK_BOX_H_
