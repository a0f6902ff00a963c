// What a leader does next about a cluster's keys, and why not: the schedule, somebody's raw UPDATE,
// keys whose time is over (design K5). Pure: from one moment's table and what gossip knows.
//
// Two leaders at once are harmless: each step is one of key_table.h's, and runs once.
// Units: milliseconds; times since 1970. Threads: none.
#ifndef SOTTO_STORE_ROTATION_PLAN_H_
#define SOTTO_STORE_ROTATION_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "store/key_rows.h"

namespace sotto {

struct RotationSettings {
  int64_t interval_ms = int64_t{30} * 86'400'000;  // 0: no schedule
  int64_t retire_after_ms = int64_t{24} * 3'600'000;
};

// What is known of the members that live, alive or suspected.
struct LivingMember {
  std::string name;
  // What it has said of itself just now, where that is newer than its row; else nothing.
  std::optional<uint64_t> held;
};

enum class RotationStep : uint8_t { kNone, kPrepare, kActivate, kRemove };

struct RotationPlan {
  RotationStep step = RotationStep::kNone;
  uint64_t generation = 0;             // of kActivate and kRemove
  std::string why;                     // for the log and the history: "30 days old"
  std::vector<std::string> waits_for;  // living members that lack the key which is to be activated
  absl::Status blocked;                // something is due, and this is in the way
};

// `usage_due`: a member has sealed so many frames that the key should go.
RotationPlan PlanRotation(const KeyRows& rows, const std::vector<LivingMember>& living,
                          const RotationSettings& settings, int64_t now_ms, bool usage_due);

// When the schedule's next rotation is due: the interval, and up to a tenth of it more, the same
// for every node that computes it. 0: never.
int64_t NextRotationAt(const KeyRows& rows, const RotationSettings& settings);

// Living members that have no row in this store: they have another one (design K4).
std::vector<std::string> NotSharing(const KeyRows& rows, const std::vector<LivingMember>& living);
absl::Status CheckShared(const KeyRows& rows, const std::vector<LivingMember>& living);

// Living members that do not hold `generation` as far as their row or their word says.
std::vector<std::string> Lacking(const KeyRows& rows, const std::vector<LivingMember>& living,
                                 uint64_t generation);

}  // namespace sotto

#endif  // SOTTO_STORE_ROTATION_PLAN_H_
