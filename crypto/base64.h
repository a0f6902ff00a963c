// Base64 in exactly one spelling: standard alphabet, exact padding, no white space, no stray bits.
//
// Lenient decoders read somebody's URL-safe, truncated or hex-coded key as another key; the nodes
// of a cluster would then disagree without an error. Here every text has at most one value, and
// each way to go wrong has its own code. Threads: as plain functions.  Errors: messages never hold
// the text itself.
#ifndef SOTTO_CRYPTO_BASE64_H_
#define SOTTO_CRYPTO_BASE64_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "crypto/secret_bytes.h"

namespace sotto {

// The longest text that a row of the Systems table can hold.
inline constexpr size_t kKeyTextCharsMax = 1024;

// Standard alphabet, padded. Not for secrets: the result is an ordinary string.
std::string EncodeBase64(std::span<const uint8_t> bytes);

// INVALID_ARGUMENT BASE64_BAD: not the one spelling. The empty text is no bytes.
absl::StatusOr<SecretBytes> DecodeBase64(std::string_view text);

struct DecodeKeyOptions {
  // 32 hex digits are also the base64 of 24 bytes: nearly always a 16-byte key in the wrong coding.
  bool allow_hex_looking = false;
};

// The value of a plain cluster key: base64 of 16, 24 or 32 bytes. INVALID_ARGUMENT:
//   KEY_EMPTY, KEY_TOO_LONG (over kKeyTextCharsMax), KEY_BAD_BASE64 (with a hint where the alphabet
//   is the URL-safe one), KEY_LOOKS_HEX, KEY_BAD_LENGTH (with a hint where all digits are hex)
absl::StatusOr<SecretBytes> DecodeKeyBase64(std::string_view text, DecodeKeyOptions options = {});

}  // namespace sotto

#endif  // SOTTO_CRYPTO_BASE64_H_
