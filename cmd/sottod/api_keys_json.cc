#include "cmd/sottod/api_keys_json.h"

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "cmd/sottod/api_request.h"
#include "cmd/sottod/text.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

namespace json = boost::json;

constexpr size_t kNamesMax = 4'096;
constexpr int64_t kRetireAfterMax = int64_t{3650} * 86'400;

json::value TimeOf(int64_t ms) {
  return ms == 0 ? json::value(nullptr) : json::value(Text(UtcMillis(ms)));
}

template <typename Number>
json::value NumberOr(const std::optional<Number>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

json::value StateOf(const KeyHolderView& holder) {
  return holder.state ? json::value(Text(ToString(*holder.state))) : json::value(nullptr);
}

bool IsLiving(const KeyHolderView& holder) {
  return holder.state && *holder.state <= MemberState::kSuspect;
}

json::value ProblemOf(const absl::Status& status) {
  if (status.ok()) return nullptr;
  std::string code = ErrorCode(status);
  if (code.empty()) code = "INTERNAL";
  return json::object{{"code", Text(code)}, {"message", Text(std::string(status.message()))}};
}

json::object KeyJson(const KeyRowView& key, const KeyOverview& keys) {
  size_t held_by = 0;
  size_t seals_for = 0;
  json::array missing;
  const bool in_use = key.state == "active" || key.state == "prepared";
  for (const KeyHolderView& member : keys.members) {
    // Who holds a newer key has had this one, or needs it no more.
    const bool holds = member.held.value_or(0) >= key.generation;
    held_by += holds ? 1 : 0;
    seals_for += member.sealing == key.generation ? 1 : 0;
    if (holds || !in_use) continue;
    missing.push_back(json::object{{"name", Text(member.name)},
                                   {"state", StateOf(member)},
                                   {"trouble", NullIfEmpty(member.trouble)}});
  }
  return {{"id", Text(ToString(key.id))},
          {"state", Text(key.state)},
          {"algorithm",
           key.algorithm ? json::value(Text(ToString(*key.algorithm))) : json::value(nullptr)},
          {"generation", key.generation},
          {"kek", NullIfEmpty(key.kek)},
          {"frames_sealed", NumberOr(key.frames_sealed)},
          {"created_at", TimeOf(key.created_ms)},
          {"activated_at", TimeOf(key.activated_ms)},
          {"retire_at", TimeOf(key.retire_at_ms)},
          {"actor", NullIfEmpty(key.actor)},
          {"automatic", key.automatic},
          {"held_here", key.held_here},
          {"seals_here", key.seals_here},
          {"held_by", held_by},
          {"seals_for", seals_for},
          {"known", keys.members.size()},
          {"missing", std::move(missing)}};
}

json::object MemberJson(const KeyHolderView& member) {
  json::value keks;
  if (member.answered) {
    json::array ids;
    for (const std::string& id : member.keks) ids.emplace_back(Text(id));
    keks = std::move(ids);
  }
  return {{"name", Text(member.name)},
          {"state", StateOf(member)},
          {"living", IsLiving(member)},
          {"held", NumberOr(member.held)},
          {"sealing", NumberOr(member.sealing)},
          {"trouble", NullIfEmpty(member.trouble)},
          {"seen_s", NullOr(member.seen_s_ago)},
          {"in_store", member.in_store},
          {"answered", member.answered},
          {"key_drops", NumberOr(member.key_drops)},
          {"keks", std::move(keks)}};
}

absl::StatusOr<std::vector<std::string>> NamesOf(const json::object& body, std::string_view key) {
  return JsonTexts(body, key, kNamesMax, kMemberNameBytesMax);
}

absl::StatusOr<uint64_t> GenerationOf(const json::object& body) {
  const json::value* value = body.if_contains("generation");
  if (value == nullptr) return BadRequest("\"generation\" is missing");
  if (!value->is_int64() || value->get_int64() < 1) {
    return BadRequest("\"generation\" is not a whole number above 0");
  }
  return static_cast<uint64_t>(value->get_int64());
}

}  // namespace

std::string KeysJson(const Observer& observer, const KeyOverview& keys) {
  json::array out;
  for (const KeyRowView& key : keys.keys) out.push_back(KeyJson(key, keys));
  return Serialize(Envelope("sotto.keys/1", observer, std::move(out), keys.store.ok()));
}

std::string KeyStatusJson(const Observer& observer, const KeyOverview& keys) {
  json::value active;
  json::value next;
  json::array retiring;
  const KeyRowView* in_use = nullptr;
  for (const KeyRowView& key : keys.keys) {
    if (key.state == "active") {
      in_use = &key;
      active = json::object{{"generation", key.generation},
                            {"id", Text(ToString(key.id))},
                            {"activated_at", TimeOf(key.activated_ms)}};
    } else if (key.state == "prepared" && next.is_null() && in_use == nullptr) {
      // Newest first: one below the active key never comes to be.
      next = json::object{{"generation", key.generation},         {"id", Text(ToString(key.id))},
                          {"automatic", key.automatic},           {"actor", NullIfEmpty(key.actor)},
                          {"created_at", TimeOf(key.created_ms)}, {"kek", NullIfEmpty(key.kek)}};
    } else if (key.state == "retired") {
      retiring.push_back(json::object{{"generation", key.generation},
                                      {"id", Text(ToString(key.id))},
                                      {"retire_at", TimeOf(key.retire_at_ms)}});
    }
  }
  json::array members;
  bool agreed = in_use != nullptr;
  for (const KeyHolderView& member : keys.members) {
    members.push_back(MemberJson(member));
    if (IsLiving(member)) agreed = agreed && member.sealing == in_use->generation;
  }
  std::string code = keys.store.ok() ? std::string() : ErrorCode(keys.store);
  json::object store{{"url", Text(keys.store_url)},
                     {"ok", keys.store.ok()},
                     {"code", NullIfEmpty(code)},
                     {"message", NullIfEmpty(std::string(keys.store.message()))}};
  return Serialize(Envelope("sotto.key_status/1", observer,
                            json::object{{"cluster", Text(keys.cluster)},
                                         {"store", std::move(store)},
                                         {"leader", NullIfEmpty(keys.leader)},
                                         {"active", std::move(active)},
                                         {"next", std::move(next)},
                                         {"retiring", std::move(retiring)},
                                         {"members", std::move(members)},
                                         {"next_rotation_at", TimeOf(keys.next_rotation_ms)},
                                         {"retire_after_s", keys.retire_after_s},
                                         {"blocked", ProblemOf(keys.blocked)},
                                         {"key_agreed", agreed}},
                            keys.store.ok()));
}

std::string KeyPrepareJson(const Observer& observer, const PrepareOutcome& outcome) {
  return Serialize(
      Envelope("sotto.key_prepare/1", observer,
               json::object{{"generation", outcome.generation},
                            {"id", Text(ToString(outcome.id))},
                            {"active", json::object{{"generation", outcome.active_generation},
                                                    {"id", Text(ToString(outcome.active_id))}}},
                            {"kek", NullIfEmpty(outcome.kek)},
                            {"resumed", outcome.resumed}}));
}

std::string KeyStepJson(std::string_view schema, const Observer& observer, uint64_t generation) {
  return Serialize(Envelope(schema, observer, json::object{{"generation", generation}}));
}

std::string KeyHistoryJson(const Observer& observer, const std::vector<KeyHistoryRow>& rows) {
  json::array out;
  for (const KeyHistoryRow& row : rows) {
    out.push_back(json::object{{"at", TimeOf(row.at_ms)},
                               {"actor", NullIfEmpty(row.actor)},
                               {"action", Text(row.action)},
                               {"generation", row.generation},
                               {"id", Text(ToString(row.id))},
                               {"detail", NullIfEmpty(row.detail)}});
  }
  return Serialize(Envelope("sotto.key_history/1", observer, std::move(out)));
}

std::string KeyVerifyJson(const Observer& observer, const std::vector<KeyCheck>& checks) {
  json::array out;
  for (const KeyCheck& check : checks) {
    out.push_back(json::object{
        {"name", Text(check.name)},
        {"ok", check.status.ok()},
        {"code", NullIfEmpty(check.status.ok() ? std::string() : ErrorCode(check.status))},
        {"message", NullIfEmpty(std::string(check.status.message()))},
        {"repaired", check.repaired}});
  }
  return Serialize(Envelope("sotto.key_verify/1", observer, std::move(out)));
}

absl::StatusOr<ActivateOrder> ParseActivateBody(std::string_view text) {
  SOTTO_ASSIGN_OR_RETURN(const json::object body,
                         JsonBody(text, {"generation", "skip", "retire_after_s"}));
  ActivateOrder out;
  SOTTO_ASSIGN_OR_RETURN(out.generation, GenerationOf(body));
  SOTTO_ASSIGN_OR_RETURN(out.skip, NamesOf(body, "skip"));
  if (const json::value* seconds = body.if_contains("retire_after_s")) {
    if (!seconds->is_int64() || seconds->get_int64() < 0 ||
        seconds->get_int64() > kRetireAfterMax) {
      return BadRequest("\"retire_after_s\" is not a whole number of seconds from 0 to ten years");
    }
    out.retire_after_s = seconds->get_int64();
  }
  return out;
}

absl::StatusOr<RemoveOrder> ParseRemoveBody(std::string_view text) {
  SOTTO_ASSIGN_OR_RETURN(const json::object body, JsonBody(text, {"generation", "lock_out"}));
  RemoveOrder out;
  SOTTO_ASSIGN_OR_RETURN(out.generation, GenerationOf(body));
  SOTTO_ASSIGN_OR_RETURN(out.lock_out, NamesOf(body, "lock_out"));
  return out;
}

absl::StatusOr<bool> ParseVerifyBody(std::string_view text) {
  SOTTO_ASSIGN_OR_RETURN(const json::object body, JsonBody(text, {"repair"}));
  return JsonBool(body, "repair", false);
}

}  // namespace sotto
