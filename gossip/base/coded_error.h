// Errors that carry a stable code: KEY_BAD_LENGTH, CERT_EXPIRED, STORE_NOT_SHARED …
//
// The code is what logs, the API, metrics and `sotto explain` agree on; the message says what
// happened, to what, and why, in lower case, and never holds a secret. Codes are listed in codes.h.
#ifndef SOTTO_GOSSIP_BASE_CODED_ERROR_H_
#define SOTTO_GOSSIP_BASE_CODED_ERROR_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace sotto {

// A status of kind `kind` that carries `code`.
absl::Status CodedError(absl::StatusCode kind, std::string_view code, std::string_view message);

// The code of `status`, or empty if it carries none.
std::string ErrorCode(const absl::Status& status);

// "KEY_BAD_LENGTH: got 15 bytes, want 16, 24 or 32"; the plain message where there is no code.
std::string Describe(const absl::Status& status);

// `status` with `context` and ": " before its message, its kind and code kept.
absl::Status WithContext(const absl::Status& status, std::string_view context);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_BASE_CODED_ERROR_H_
