// How files are read and written where secrets may lie in them: keys, certificates, state.
//
// A secret is judged on the open descriptor, never on its path, so that nothing can be swapped
// between the look and the read. It must be a regular file (no link, FIFO, folder), owned by this
// user or root, closed to group and others, in a folder that nobody else can write. Writes replace
// a file whole: a reader, a crash or a full disk sees the old bytes or the new ones. Threads: no
// state; call from anywhere. All calls block on the disk.
#ifndef SOTTO_STORE_FILE_RULES_H_
#define SOTTO_STORE_FILE_RULES_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/secret_bytes.h"

namespace sotto {

inline constexpr size_t kSecretFileBytesMax = 64 * 1024;
inline constexpr size_t kPlainFileBytesMax = 1024 * 1024;

struct FileRules {
  size_t bytes_max = kSecretFileBytesMax;
  // The secrecy rules above. Without it a file may be a link and readable by all, but still has to
  // be regular, and nobody beyond owner and group may write it.
  bool secret = true;
  // One more owner that is accepted, for tools run by root on a service's files.
  std::optional<uid_t> also_owner;
  // A secret of root's may be readable by its group: systemd gives a credential to a service
  // through an access list, which shows as that bit.
  bool root_may_share = false;
};

// The whole file.
//   FILE_MISSING        NOT_FOUND            no such file or folder
//   FILE_UNREADABLE     PERMISSION_DENIED    this user may not open it; or the read failed
//   FILE_NOT_REGULAR    INVALID_ARGUMENT     a link (secrets only), folder, FIFO, device
//   FILE_WRONG_OWNER    FAILED_PRECONDITION  neither this user nor root owns it (secrets only)
//   SECRET_READABLE     FAILED_PRECONDITION  group or others may read or write it (secrets only)
//   FILE_WRITABLE       FAILED_PRECONDITION  others may write it (plain files)
//   FOLDER_WRITABLE     FAILED_PRECONDITION  others may put another file in its place (secrets
//   only) FILE_TOO_LONG       RESOURCE_EXHAUSTED   more than bytes_max
absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path, const FileRules& rules = {});
absl::StatusOr<std::string> ReadPlainFile(const std::string& path,
                                          size_t bytes_max = kPlainFileBytesMax);

// The rules of ReadSecretFile without the read, for a file that another library opens.
absl::Status CheckSecretFile(const std::string& path, const FileRules& rules = {});

// The rule for the folder of a secret by itself. FILE_MISSING, FILE_UNREADABLE, FOLDER_WRITABLE.
absl::Status CheckSecretFolder(const std::string& folder, const FileRules& rules = {});

// Replaces `path` with `bytes`: a new file beside it (O_EXCL, `mode`), fsync, rename, fsync of the
// folder. Where root writes into somebody's folder, the file goes to the folder's owner.
// FILE_MISSING (no such folder), FILE_UNWRITABLE, DISK_FULL; the old file then stands untouched.
absl::Status AtomicWrite(const std::string& path, std::string_view bytes, mode_t mode);
// The same, but ALREADY_EXISTS FILE_EXISTS where something has that name.
absl::Status AtomicCreate(const std::string& path, std::string_view bytes, mode_t mode);

// Makes `path` and the folders above it that are missing, each with `mode` and, where root makes
// it, the owner of the folder that holds it. A folder that exists is left as it is.
// FOLDER_UNWRITABLE, FILE_NOT_REGULAR (something else has that name).
absl::Status MakeFolders(const std::string& path, mode_t mode);

// "a/b" of "a/b/c"; "." where there is no slash; "/" of "/c".
std::string FolderOf(const std::string& path);

// Overwrites the text's bytes and empties it: for secrets that had to pass through a string.
void WipeText(std::string* text);

}  // namespace sotto

#endif  // SOTTO_STORE_FILE_RULES_H_
