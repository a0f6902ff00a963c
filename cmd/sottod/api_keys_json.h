// The API's answers and orders about keys, as JSON.
#ifndef SOTTO_CMD_SOTTOD_API_KEYS_JSON_H_
#define SOTTO_CMD_SOTTOD_API_KEYS_JSON_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/sottod/json_parts.h"
#include "cmd/sottod/key_admin.h"

namespace sotto {

std::string KeysJson(const Observer& observer, const KeyOverview& keys);
std::string KeyStatusJson(const Observer& observer, const KeyOverview& keys);
std::string KeyPrepareJson(const Observer& observer, const PrepareOutcome& outcome);
// `schema`: "sotto.key_activate/1", "sotto.key_remove/1".
std::string KeyStepJson(std::string_view schema, const Observer& observer, uint64_t generation);
std::string KeyHistoryJson(const Observer& observer, const std::vector<KeyHistoryRow>& rows);
std::string KeyVerifyJson(const Observer& observer, const std::vector<KeyCheck>& checks);

// Bodies; INVALID_ARGUMENT API_BAD_REQUEST. The actor is the caller's business.
absl::StatusOr<ActivateOrder> ParseActivateBody(std::string_view text);
absl::StatusOr<RemoveOrder> ParseRemoveBody(std::string_view text);
absl::StatusOr<bool> ParseVerifyBody(std::string_view text);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_API_KEYS_JSON_H_
