// Where the key-encryption keys of a node come from (`encryption.kek`), and reading them there.
//
//   file:/etc/sotto/kek       one key: base64 of 32 bytes, one line end allowed
//   folder:/etc/sotto/keks    each regular file is a key; names with a dot in front are skipped
//   credential:NAME           systemd's LoadCredential=: $CREDENTIALS_DIRECTORY/NAME
//   env:NAME                  a variable, removed from the environment once it is read
//
// Files are judged by the rules for secrets (file_rules.h) on the open descriptor. In a folder, the
// one file wraps; of several, the one that `encryption.kek_active` names, and the others unwrap. A
// symbolic link counts there as Kubernetes makes them: it must end at a file in the folder itself
// or in a folder directly below it, and that file obeys the same rules.
// Threads: see each.  All calls block on the disk.
#ifndef SOTTO_STORE_KEK_SOURCE_H_
#define SOTTO_STORE_KEK_SOURCE_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/kek.h"

namespace sotto {

struct KekSource {
  enum class Kind : uint8_t { kFile, kFolder, kCredential, kEnvironment };
  Kind kind = Kind::kFile;
  std::string name;  // a path; the name of a credential or variable
};

// INVALID_ARGUMENT KEK_SOURCE_INVALID: none of the four forms. KEK_TWO_SOURCES: two in one text.
absl::StatusOr<KekSource> ParseKekSource(std::string_view text);
// "file:/etc/sotto/kek".
std::string ToString(const KekSource& source);

struct KekSettings {
  std::string source;  // empty: this node has no KEK
  std::string active;  // a file's name in the folder; empty: there is but one
  bool allow_weak = false;
  std::optional<uid_t> also_owner;  // as in FileRules
};

// The keys that `settings` name, all or none; null where they name no source. The environment is
// left as it is: for checks beside the program that will use the keys. Threads: safe as far as the
// environment is.
//   KEK_SOURCE_INVALID, KEK_TWO_SOURCES
//   codes of ReadSecretFile for each file, its path in the message
//   KEK_EMPTY, KEK_BAD_BASE64, KEK_BAD_LENGTH, KEK_WEAK (kek.h)
//   KEK_FOLDER_EMPTY      NOT_FOUND            no file in the folder
//   KEK_AMBIGUOUS         FAILED_PRECONDITION  several, and kek_active names none; they are named
//   KEK_ACTIVE_MISSING    NOT_FOUND            kek_active names a file that is not there, or the
//                                              source has no names
//   KEK_NO_CREDENTIALS    FAILED_PRECONDITION  not started by systemd with a credential
//   KEK_VARIABLE_MISSING  NOT_FOUND            the variable is not set
//   KEK_ID_COLLISION, KEK_TOO_MANY
absl::StatusOr<KekRingRef> LookAtKeks(const KekSettings& settings);

// Reads keys again and again for one process: a variable is taken out of the environment and
// overwritten there at the first Load, and its key remembered for the next ones.
// Threads: none; and no other thread may use the environment during the first Load.
class KekLoader {
 public:
  // As LookAtKeks.
  absl::StatusOr<KekRingRef> Load(const KekSettings& settings);

 private:
  std::string variable_;  // the one that `taken_` stood in
  KekRef taken_;
};

}  // namespace sotto

#endif  // SOTTO_STORE_KEK_SOURCE_H_
