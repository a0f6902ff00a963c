// The cluster's key at rest: wrapped under a KEK, in one line of text (design K6, decision 0016).
//
//   sottok1:<KEK id>:<generation>:<base64 of commitment || nonce || ciphertext || tag>
//
// The KEK id is 11 characters (kek.h), the generation decimal without leading zeros, the base64
// strict; every value has one spelling. The body is a box of kek_box.h, bound to the logical name
// "ClusterEncryptionKey", the cluster's name, the KEK id and the generation: whichever table's row
// holds the value, it opens; under another cluster's name or another generation it does not.
// Nothing in the text is secret without the KEK, though logs still leave it out. Threads: as plain
// functions.  Errors: each failure its code, and no message holds the text or key bytes.
#ifndef SOTTO_CRYPTO_ENVELOPE_H_
#define SOTTO_CRYPTO_ENVELOPE_H_

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "crypto/kek.h"
#include "crypto/keyring.h"

namespace sotto {

// SQL's integers are signed.
inline constexpr uint64_t kGenerationMax = std::numeric_limits<int64_t>::max();

// Whether `text` is meant as a wrapped key of any version: "sottok", digits, ":". No base64 is.
bool IsWrappedKey(std::string_view text);

// What a wrapped value says of itself: not secret, and not to be believed before it is opened.
struct WrappedKey {
  KekId kek;
  uint64_t generation = 0;   // 1 to kGenerationMax
  std::vector<uint8_t> box;  // of a length that holds 16, 24 or 32 bytes
};

// Of a text for which IsWrappedKey holds:
//   KEY_TOO_LONG             INVALID_ARGUMENT  over kKeyTextCharsMax characters
//   KEY_UNSUPPORTED_VERSION  UNIMPLEMENTED     "sottok2:…": a newer release wrote it
//   KEY_BAD_BASE64           INVALID_ARGUMENT  the body's spelling
//   KEY_CORRUPT              DATA_LOSS         a field missing, too many, or misspelt; the length
absl::StatusOr<WrappedKey> ParseWrappedKey(std::string_view text);

// The key as a value for its row. INVALID_ARGUMENT KEY_CORRUPT: its generation is 0 or beyond the
// limit. RANDOM_FAILED, CRYPTO_FAILED.
absl::StatusOr<std::string> WrapKey(const ClusterKey& key, const Kek& kek);

struct UnwrapOptions {
  bool allow_weak = false;
};

// The key inside. Codes of ParseWrappedKey, and
//   KEK_MISSING   FAILED_PRECONDITION  `keks` is null, or has none of that id; the message has it
//   KEK_MISMATCH  UNAUTHENTICATED      the KEK of that id is not the one that wrapped this
//   KEY_CORRUPT   DATA_LOSS            changed since; or of another cluster or generation
//   KEY_WEAK      INVALID_ARGUMENT     as for a plain key
absl::StatusOr<ClusterKeyRef> UnwrapKey(std::string_view text, std::string_view cluster,
                                        const KekRing* keks, UnwrapOptions options = {});

}  // namespace sotto

#endif  // SOTTO_CRYPTO_ENVELOPE_H_
