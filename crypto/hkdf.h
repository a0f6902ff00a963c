// HKDF with SHA-256 (RFC 5869): extract, then expand.
#ifndef SOTTO_CRYPTO_HKDF_H_
#define SOTTO_CRYPTO_HKDF_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace sotto {

inline constexpr size_t kHkdfBytesMax = 255 * 32;

// Fills `out`, 1 to kHkdfBytesMax bytes. `ikm` must not be empty; `salt` and `info` may be.
// INVALID_ARGUMENT: sizes. INTERNAL CRYPTO_FAILED: OpenSSL refused; `out` is then all zeros.
absl::Status HkdfSha256(std::span<const uint8_t> ikm, std::span<const uint8_t> salt,
                        std::span<const uint8_t> info, std::span<uint8_t> out);

}  // namespace sotto

#endif  // SOTTO_CRYPTO_HKDF_H_
