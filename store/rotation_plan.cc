#include "store/rotation_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gossip/base/coded_error.h"

namespace sotto {
namespace {

constexpr int64_t kDayMs = 86'400'000;
// So long a key that nobody should need any more may wait for the members' word, before it is worth
// one of ours.
constexpr int64_t kRemovalPatienceMs = 60'000;
// So long a new key may take to reach every living member before it is worth a word.
constexpr int64_t kSpreadPatienceMs = 60'000;

absl::Status Blocked(std::string_view code, const std::string& message) {
  return CodedError(absl::StatusCode::kFailedPrecondition, code, message);
}

// The oldest RETIRED key whose time is over; null if none.
const KeyRow* Overdue(const KeyRows& rows, int64_t now_ms) {
  for (const KeyRow& key : rows.keys) {
    if (key.state == KeyState::kRetired && key.retire_at_ms <= now_ms) return &key;
  }
  return nullptr;
}

RotationPlan PlanActivation(const KeyRows& rows, const std::vector<LivingMember>& living,
                            int64_t now_ms) {
  RotationPlan plan;
  const KeyRow& next = *rows.next();
  plan.waits_for = Lacking(rows, living, next.generation);
  if (!plan.waits_for.empty()) {
    if (now_ms - next.created_ms > kSpreadPatienceMs) {
      plan.blocked =
          Blocked("KEY_SPREAD_STALLED", absl::StrCat("generation ", next.generation, " waits for ",
                                                     absl::StrJoin(plan.waits_for, ", ")));
    }
    return plan;
  }
  plan.step = RotationStep::kActivate;
  plan.generation = next.generation;
  plan.why = next.actor;
  return plan;
}

RotationPlan PlanPreparation(const KeyRows& rows, std::string why) {
  RotationPlan plan;
  if (const absl::Status room = CheckRoom(rows); !room.ok()) {
    plan.blocked = WithContext(room, absl::StrCat("a rotation is due (", why, ")"));
    return plan;
  }
  plan.step = RotationStep::kPrepare;
  plan.why = std::move(why);
  return plan;
}

}  // namespace

std::vector<std::string> NotSharing(const KeyRows& rows, const std::vector<LivingMember>& living) {
  std::vector<std::string> names;
  for (const LivingMember& member : living) {
    if (rows.FindMember(member.name) == nullptr) names.push_back(member.name);
  }
  return names;
}

absl::Status CheckShared(const KeyRows& rows, const std::vector<LivingMember>& living) {
  const std::vector<std::string> names = NotSharing(rows, living);
  if (names.empty()) return absl::OkStatus();
  return Blocked("STORE_NOT_SHARED",
                 absl::StrCat(absl::StrJoin(names, ", "), names.size() == 1 ? " lives" : " live",
                              " in the cluster and ", names.size() == 1 ? "has" : "have",
                              " no row in this store: a key made here would not reach ",
                              names.size() == 1 ? "it" : "them"));
}

std::vector<std::string> Lacking(const KeyRows& rows, const std::vector<LivingMember>& living,
                                 uint64_t generation) {
  std::vector<std::string> names;
  for (const LivingMember& member : living) {
    const KeyMember* row = rows.FindMember(member.name);
    const uint64_t recorded = row == nullptr ? 0 : row->held.value_or(0);
    if (std::max(recorded, member.held.value_or(0)) < generation) names.push_back(member.name);
  }
  return names;
}

int64_t NextRotationAt(const KeyRows& rows, const RotationSettings& settings) {
  const KeyRow* active = rows.active();
  if (settings.interval_ms <= 0 || active == nullptr) return 0;
  // From the key's id, which is random: many clusters of one database do not rotate at once.
  const int64_t jitter = settings.interval_ms / 10 / 1'000 * (active->id.value % 1'000);
  return active->activated_ms + settings.interval_ms + jitter;
}

RotationPlan PlanRotation(const KeyRows& rows, const std::vector<LivingMember>& living,
                          const RotationSettings& settings, int64_t now_ms, bool usage_due) {
  RotationPlan plan;
  if (rows.active() == nullptr || !rows.malformed.empty() || !rows.moved_to.empty()) return plan;
  const int64_t due_ms = NextRotationAt(rows, settings);
  const bool is_due = usage_due || (due_ms != 0 && due_ms <= now_ms);
  const KeyRow* next = rows.next();
  if (next != nullptr && next->automatic) {
    plan.blocked = CheckShared(rows, living);
    return plan.blocked.ok() ? PlanActivation(rows, living, now_ms) : plan;
  }
  if (const KeyRow* overdue = Overdue(rows, now_ms)) {
    const std::vector<std::string> names = NeededBy(rows, overdue->generation);
    if (names.empty()) {
      plan.step = RotationStep::kRemove;
      plan.generation = overdue->generation;
      plan.why = "its time is over";
      return plan;
    }
    if (!is_due && overdue->retire_at_ms + kRemovalPatienceMs <= now_ms) {
      plan.blocked =
          Blocked("KEY_STILL_NEEDED",
                  absl::StrCat("generation ", overdue->generation,
                               " is kept beyond its time: ", absl::StrJoin(names, ", "),
                               names.size() == 1
                                   ? " seals with nothing newer, as far as its record says"
                                   : " seal with nothing newer, as far as their records say"));
    }
  }
  if (!is_due) return plan;
  if (next != nullptr) {
    // Somebody has prepared one by hand, and activates it by hand; or has forgotten it.
    plan.blocked = Blocked("KEY_NOT_ACTIVATED",
                           absl::StrCat("a rotation is due, and generation ", next->generation,
                                        ", prepared by ", next->actor, ", is not activated"));
    return plan;
  }
  plan.blocked = CheckShared(rows, living);
  if (!plan.blocked.ok()) return plan;
  return PlanPreparation(
      rows, usage_due ? "many frames were sealed with it"
                      : absl::StrCat("in use since ",
                                     (now_ms - rows.active()->activated_ms) / kDayMs, " days"));
}

}  // namespace sotto
