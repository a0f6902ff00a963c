// The text of a backup of wrapped values, for kek_rekey.cc and its tests:
//
//   sotto-kek-backup/1 edge
//   key 12 9f3c-21aa sottok1:…
//   systems ClusterEncryptionKey 12 9f3c-21aa sottok1:…
//   end 2 0d9a31f7
//
// The last line has the number of values and the CRC-32 of all lines before it: a file that was
// cut is told, and not half put back. The same values are the same bytes. Nothing in it is secret
// without the key-encryption keys.
#ifndef SOTTO_STORE_KEK_BACKUP_INTERNAL_H_
#define SOTTO_STORE_KEK_BACKUP_INTERNAL_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sotto::internal {

struct BackupEntry {
  std::string row;  // of Systems; empty: a row of ClusterKeys
  uint64_t generation = 0;
  std::string id;
  std::string value;
};

std::string KekBackupText(std::string_view cluster, const std::vector<BackupEntry>& entries);

// DATA_LOSS KEK_BACKUP_INVALID: not such a text, cut or changed, of another cluster, or with a
// value that is not wrapped.
absl::StatusOr<std::vector<BackupEntry>> ParseKekBackup(std::string_view text,
                                                        std::string_view cluster);

}  // namespace sotto::internal

#endif  // SOTTO_STORE_KEK_BACKUP_INTERNAL_H_
