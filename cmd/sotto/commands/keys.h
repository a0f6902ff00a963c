// The verbs of `sotto keys`, each adds itself; and what they share.
#ifndef SOTTO_CMD_SOTTO_COMMANDS_KEYS_H_
#define SOTTO_CMD_SOTTO_COMMANDS_KEYS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/sotto/verb.h"

namespace sotto::cli {

void AddKeysLs(Verb& keys);
void AddKeysStatus(Verb& keys);
void AddKeysRotate(Verb& keys);
void AddKeysPrepare(Verb& keys);
void AddKeysActivate(Verb& keys);
void AddKeysRemove(Verb& keys);
void AddKeysVerify(Verb& keys);
void AddKeysHistory(Verb& keys);

// A key's number on the command line. INVALID_ARGUMENT USAGE.
absl::StatusOr<uint64_t> ParseGeneration(const std::string& word);
// --retire-after: "24h", "0"; nothing for an empty text. INVALID_ARGUMENT USAGE.
absl::StatusOr<std::optional<int64_t>> ParseRetireAfter(const std::string& text);
// Words that members can be called. INVALID_ARGUMENT USAGE.
absl::Status CheckMemberWords(const std::vector<std::string>& names);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMMANDS_KEYS_H_
