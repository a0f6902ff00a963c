// Where a secret that a person provides comes from: "file:/path", "credential:NAME" or "env:NAME".
//
//   file        read under the rules for secrets (file_rules.h)
//   credential  a file of that name in $CREDENTIALS_DIRECTORY, where systemd puts LoadCredential=
//   env         a variable; it is taken out of the environment as it is read, so that no child
//               inherits it, and kept for later reads by this process
// One line end after the secret is left out (not in a variable). Threads: call with "env:" before
// the process has threads that read the environment. Blocking on the disk.
#ifndef SOTTO_STORE_SECRET_SOURCE_H_
#define SOTTO_STORE_SECRET_SOURCE_H_

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/secret_bytes.h"

namespace sotto {

// The form alone. INVALID_ARGUMENT SECRET_SOURCE_INVALID; the message does not repeat the text,
// which may be the secret itself.
absl::Status CheckSecretSource(std::string_view source);

// 1 to `bytes_max` bytes. SECRET_SOURCE_INVALID, NOT_FOUND SECRET_MISSING (no such variable or
// credential), INVALID_ARGUMENT SECRET_EMPTY, and the codes of ReadSecretFile.
absl::StatusOr<SecretBytes> ReadSecretSource(std::string_view source, size_t bytes_max,
                                             std::optional<uid_t> also_owner = std::nullopt);

}  // namespace sotto

#endif  // SOTTO_STORE_SECRET_SOURCE_H_
