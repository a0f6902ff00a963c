#include "store/kek_backup_internal.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "crypto/envelope.h"
#include "gossip/base/coded_error.h"
#include "store/crc32.h"

namespace sotto::internal {
namespace {

constexpr char kHead[] = "sotto-kek-backup/1";

absl::Status Invalid(std::string_view why) {
  return CodedError(absl::StatusCode::kDataLoss, "KEK_BACKUP_INVALID",
                    absl::StrCat("no backup that can be put back: ", std::string(why)));
}

std::string EndOf(size_t count, std::string_view body) {
  return absl::StrCat("end ", count, " ", absl::Hex(Crc32(body), absl::kZeroPad8), "\n");
}

// False: not a line of that form.
bool ReadEntry(const std::vector<std::string>& words, BackupEntry* out) {
  const bool systems = words[0] == "systems";
  if (words.size() != (systems ? 5u : 4u) || (!systems && words[0] != "key")) return false;
  const size_t at = systems ? 2 : 1;
  if (systems) out->row = words[1];
  if (!absl::SimpleAtoi(words[at], &out->generation) || out->generation == 0) return false;
  out->id = words[at + 1];
  out->value = words[at + 2];
  if ((systems && out->row.empty()) || !IsWrappedKey(out->value)) return false;
  return ParseWrappedKey(out->value).ok();
}

}  // namespace

std::string KekBackupText(std::string_view cluster, const std::vector<BackupEntry>& entries) {
  std::string body = absl::StrCat(kHead, " ", std::string(cluster), "\n");
  for (const BackupEntry& entry : entries) {
    absl::StrAppend(&body, entry.row.empty() ? "key " : absl::StrCat("systems ", entry.row, " "),
                    entry.generation, " ", entry.id, " ", entry.value, "\n");
  }
  const std::string end = EndOf(entries.size(), body);
  return body + end;
}

absl::StatusOr<std::vector<BackupEntry>> ParseKekBackup(std::string_view text,
                                                        std::string_view cluster) {
  const size_t end = text.rfind("end ");
  if (end == std::string_view::npos || end == 0 || text[end - 1] != '\n') {
    return Invalid("its last line is missing");
  }
  const std::string body(text.substr(0, end));
  std::vector<std::string> lines = absl::StrSplit(body, '\n');
  lines.pop_back();  // what is behind the last line end
  if (text.substr(end) != EndOf(lines.size() - 1, body)) return Invalid("it was cut or changed");
  if (lines[0] != absl::StrCat(kHead, " ", std::string(cluster))) {
    return Invalid(absl::StrCat("its first line is not \"", kHead, " ", std::string(cluster),
                                "\": another cluster's, or another kind of file"));
  }
  std::vector<BackupEntry> entries;
  for (size_t i = 1; i < lines.size(); ++i) {
    BackupEntry entry;
    const std::vector<std::string> words = absl::StrSplit(lines[i], ' ');
    if (!ReadEntry(words, &entry)) {
      return Invalid(absl::StrCat("line ", i + 1, " is no wrapped value"));
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace sotto::internal
