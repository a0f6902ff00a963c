// What a rotation asks of the daemon, as an interface, so that its steps are tested without one;
// and the real one over the admin API (docs/api.md).
//
// Units: seconds. Threads: none; calls block.
// Errors: those of ApiClient, with the codes that the daemon gives (cmd/sottod/key_admin.h).
#ifndef SOTTO_CMD_SOTTO_ROTATION_KEY_CALLS_H_
#define SOTTO_CMD_SOTTO_ROTATION_KEY_CALLS_H_

#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/sotto/api_client.h"

namespace sotto::cli {

// A key by its number and its fingerprint. Generation 0: none.
struct KeyName {
  uint64_t generation = 0;
  std::string id;
};

// One known member.
struct KeyHolder {
  std::string name;
  std::string state;             // "alive", "suspect", "dead", …; empty: gossip does not know it
  bool living = false;           // alive or suspect
  std::optional<uint64_t> held;  // the newest generation that it can open
  std::optional<uint64_t> sealing;  // the generation that it seals with
  std::string trouble;              // the code that keeps it from a newer key; or empty
  std::optional<double> seen_s;     // the age of what is known of it
  bool in_store = false;
  std::optional<uint64_t> key_drops;  // frames that it dropped for a key reason since its start
  // Ids of the key-encryption keys that it has loaded; nothing: it has not said.
  std::optional<std::vector<std::string>> keks;
};

// Whether it counts: whoever left or was forgotten does not.
bool IsKnown(const KeyHolder& member);
// Whether the daemon keeps `generation` for it: its record does not say that it seals with a newer
// one.
bool NeedsKey(const KeyHolder& member, uint64_t generation);

struct RetiringKey {
  KeyName key;
  std::string retire_at;  // UTC; or empty
};

// sotto.key_status/1.
struct KeyStatus {
  std::string cluster;
  std::string as_of;  // UTC
  bool store_ok = false;
  std::string store_code;  // what is wrong with it; or empty
  KeyName active;
  std::string activated_at;     // UTC
  KeyName next;                 // the newest PREPARED one
  std::string next_kek;         // the KEK that wraps it; or empty
  bool next_automatic = false;  // the leader activates it by itself
  std::vector<RetiringKey> retiring;
  std::vector<KeyHolder> members;
  int64_t retire_after_s = 0;
  std::string blocked_code, blocked_message;
  bool key_agreed = false;

  const KeyHolder* Find(const std::string& name) const;
};
// What has another shape than docs/api.md says is left at its default.
KeyStatus ReadKeyStatus(const boost::json::value& envelope);

// sotto.key_prepare/1.
struct PreparedKey {
  KeyName key, active;
  std::string kek;
  bool resumed = false;
};

class KeyCalls {
 public:
  virtual ~KeyCalls() = default;

  virtual absl::StatusOr<KeyStatus> Look(bool ask) = 0;
  virtual absl::StatusOr<PreparedKey> Prepare() = 0;
  virtual absl::Status Activate(uint64_t generation, const std::vector<std::string>& skip,
                                std::optional<int64_t> retire_after_s) = 0;
  virtual absl::Status Remove(uint64_t generation) = 0;
};

class ApiKeyCalls final : public KeyCalls {
 public:
  explicit ApiKeyCalls(ApiClient client) : client_(std::move(client)) {}

  absl::StatusOr<KeyStatus> Look(bool ask) override;
  absl::StatusOr<PreparedKey> Prepare() override;
  absl::Status Activate(uint64_t generation, const std::vector<std::string>& skip,
                        std::optional<int64_t> retire_after_s) override;
  absl::Status Remove(uint64_t generation) override;

 private:
  ApiClient client_;
};

// The body of POST /v1/keys/activate.
boost::json::value ActivateBody(uint64_t generation, const std::vector<std::string>& skip,
                                std::optional<int64_t> retire_after_s);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_ROTATION_KEY_CALLS_H_
