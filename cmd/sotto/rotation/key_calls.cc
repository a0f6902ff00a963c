#include "cmd/sotto/rotation/key_calls.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "cmd/sotto/output/json_text.h"
#include "gossip/base/status_macros.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

// The daemon waits for members (2 s) and for the database (5 s).
constexpr double kLookTimeoutS = 10;
constexpr double kStepTimeoutS = 15;

std::optional<uint64_t> NumberOrNothing(const json::value& value) {
  if (!value.is_number()) return std::nullopt;
  return CountOf(value);
}

KeyName ReadKey(const json::value& value) {
  return {CountOf(Member(value, "generation")), TextOf(Member(value, "id"))};
}

KeyHolder ReadHolder(const json::value& value) {
  KeyHolder member;
  member.name = TextOf(Member(value, "name"));
  member.state = TextOf(Member(value, "state"));
  member.living = TrueOf(Member(value, "living"));
  member.held = NumberOrNothing(Member(value, "held"));
  member.sealing = NumberOrNothing(Member(value, "sealing"));
  member.trouble = TextOf(Member(value, "trouble"));
  member.seen_s = NumberOf(Member(value, "seen_s"));
  member.in_store = TrueOf(Member(value, "in_store"));
  member.key_drops = NumberOrNothing(Member(value, "key_drops"));
  if (const json::value& keks = Member(value, "keks"); keks.is_array()) {
    member.keks.emplace();
    for (const json::value& id : keks.get_array()) member.keks->push_back(TextOf(id));
  }
  return member;
}

}  // namespace

bool IsKnown(const KeyHolder& member) {
  return member.state != "left" && member.state != "forgotten";
}

bool NeedsKey(const KeyHolder& member, uint64_t generation) {
  return IsKnown(member) && member.sealing.value_or(0) <= generation;
}

const KeyHolder* KeyStatus::Find(const std::string& name) const {
  for (const KeyHolder& member : members) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

KeyStatus ReadKeyStatus(const json::value& envelope) {
  const json::value& data = Member(envelope, "data");
  KeyStatus status;
  status.as_of = TextOf(Member(envelope, "as_of"));
  status.cluster = TextOf(Member(data, "cluster"));
  status.store_ok = TrueOf(Member(Member(data, "store"), "ok"));
  status.store_code = TextOf(Member(Member(data, "store"), "code"));
  status.active = ReadKey(Member(data, "active"));
  status.activated_at = TextOf(Member(Member(data, "active"), "activated_at"));
  status.next = ReadKey(Member(data, "next"));
  status.next_kek = TextOf(Member(Member(data, "next"), "kek"));
  status.next_automatic = TrueOf(Member(Member(data, "next"), "automatic"));
  for (const json::value& row : ArrayOf(Member(data, "retiring"))) {
    status.retiring.push_back({ReadKey(row), TextOf(Member(row, "retire_at"))});
  }
  for (const json::value& row : ArrayOf(Member(data, "members"))) {
    status.members.push_back(ReadHolder(row));
  }
  status.retire_after_s = static_cast<int64_t>(CountOf(Member(data, "retire_after_s")));
  status.blocked_code = TextOf(Member(Member(data, "blocked"), "code"));
  status.blocked_message = TextOf(Member(Member(data, "blocked"), "message"));
  status.key_agreed = TrueOf(Member(data, "key_agreed"));
  return status;
}

json::value ActivateBody(uint64_t generation, const std::vector<std::string>& skip,
                         std::optional<int64_t> retire_after_s) {
  json::object body{{"generation", generation}};
  if (!skip.empty()) {
    json::array names;
    for (const std::string& name : skip) names.emplace_back(name);
    body["skip"] = std::move(names);
  }
  if (retire_after_s) body["retire_after_s"] = *retire_after_s;
  return body;
}

absl::StatusOr<KeyStatus> ApiKeyCalls::Look(bool ask) {
  client_.set_timeout_s(kLookTimeoutS);
  SOTTO_ASSIGN_OR_RETURN(const json::value envelope,
                         client_.Get(ask ? "/v1/keys/status?ask=1" : "/v1/keys/status"));
  return ReadKeyStatus(envelope);
}

absl::StatusOr<PreparedKey> ApiKeyCalls::Prepare() {
  client_.set_timeout_s(kStepTimeoutS);
  SOTTO_ASSIGN_OR_RETURN(const json::value envelope,
                         client_.Post("/v1/keys/prepare", json::object()));
  const json::value& data = Member(envelope, "data");
  return PreparedKey{ReadKey(data), ReadKey(Member(data, "active")), TextOf(Member(data, "kek")),
                     TrueOf(Member(data, "resumed"))};
}

absl::Status ApiKeyCalls::Activate(uint64_t generation, const std::vector<std::string>& skip,
                                   std::optional<int64_t> retire_after_s) {
  client_.set_timeout_s(kStepTimeoutS);
  return client_.Post("/v1/keys/activate", ActivateBody(generation, skip, retire_after_s)).status();
}

absl::Status ApiKeyCalls::Remove(uint64_t generation) {
  client_.set_timeout_s(kStepTimeoutS);
  return client_.Post("/v1/keys/remove", json::object{{"generation", generation}}).status();
}

}  // namespace sotto::cli
