// What the leader does next, for every state of the table.
#include "store/rotation_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kNow = 1'764'000'000'000;
constexpr int64_t kDay = 86'400'000;

KeyRow Row(uint64_t generation, KeyState state, bool automatic = false) {
  KeyRow row;
  row.generation = generation;
  row.id = KeyId{static_cast<uint32_t>(generation)};
  row.state = state;
  row.automatic = automatic;
  row.created_ms = row.activated_ms = kNow;
  row.retire_at_ms = kNow + kDay;
  return row;
}

KeyRows Table(std::vector<KeyRow> keys) {
  KeyRows rows;
  rows.keys = std::move(keys);
  for (const char* name : {"a", "b", "c"}) rows.members.push_back({name, 1, 1, "", kNow});
  return rows;
}

const std::vector<LivingMember> kLiving = {{"a", std::nullopt}, {"b", std::nullopt}};
const RotationSettings kSettings;

RotationPlan Plan(const KeyRows& rows, int64_t now_ms = kNow, bool usage_due = false,
                  const std::vector<LivingMember>& living = kLiving) {
  return PlanRotation(rows, living, kSettings, now_ms, usage_due);
}

TEST(RotationPlan, DoesNothingWhileNothingIsDue) {
  const RotationPlan plan = Plan(Table({Row(1, KeyState::kActive)}));
  EXPECT_EQ(plan.step, RotationStep::kNone);
  SOTTO_EXPECT_OK(plan.blocked);
}

TEST(RotationPlan, PreparesWhenTheKeyIsOld) {
  KeyRows rows = Table({Row(1, KeyState::kActive)});
  const int64_t due = NextRotationAt(rows, kSettings);
  EXPECT_GE(due, kNow + 30 * kDay);
  EXPECT_LE(due, kNow + 33 * kDay);
  EXPECT_EQ(Plan(rows, due - 1).step, RotationStep::kNone);
  EXPECT_EQ(Plan(rows, due).step, RotationStep::kPrepare);
  EXPECT_EQ(Plan(rows, kNow, true).step, RotationStep::kPrepare);
  RotationSettings never;
  never.interval_ms = 0;
  EXPECT_EQ(NextRotationAt(rows, never), 0);
  EXPECT_EQ(PlanRotation(rows, kLiving, never, due, false).step, RotationStep::kNone);
  // Clusters of one database do not rotate together.
  rows.keys[0].id = KeyId{777};
  EXPECT_NE(NextRotationAt(rows, kSettings), due);
}

TEST(RotationPlan, ActivatesOnceAllTheLivingHoldIt) {
  KeyRows rows = Table({Row(1, KeyState::kActive), Row(2, KeyState::kPrepared, true)});
  RotationPlan plan = Plan(rows);
  EXPECT_EQ(plan.step, RotationStep::kNone);
  EXPECT_THAT(plan.waits_for, ElementsAre("a", "b"));
  rows.members[0].held = 2;
  EXPECT_THAT(Plan(rows).waits_for, ElementsAre("b"));
  // By its own word, where it cannot write its row.
  plan = Plan(rows, kNow, false, {{"a", std::nullopt}, {"b", 2}});
  EXPECT_EQ(plan.step, RotationStep::kActivate);
  EXPECT_EQ(plan.generation, 2u);
  rows.members[1].held = 2;
  EXPECT_EQ(Plan(rows).step, RotationStep::kActivate) << "c is dead, and need not hold it";
}

TEST(RotationPlan, LeavesToThePersonWhatAPersonPrepared) {
  KeyRows rows = Table({Row(1, KeyState::kActive), Row(2, KeyState::kPrepared)});
  for (KeyMember& member : rows.members) member.held = 2;
  EXPECT_EQ(Plan(rows).step, RotationStep::kNone);
  const RotationPlan late = Plan(rows, kNow + 100 * kDay);
  EXPECT_EQ(late.step, RotationStep::kNone);
  EXPECT_THAT(late.blocked, HasCode("KEY_NOT_ACTIVATED")) << "and says so once one is due";
}

TEST(RotationPlan, ASpreadThatDragsOnIsTold) {
  KeyRows rows = Table({Row(1, KeyState::kActive), Row(2, KeyState::kPrepared, true)});
  rows.keys[1].created_ms = kNow;
  SOTTO_EXPECT_OK(Plan(rows, kNow + 60'000).blocked);
  EXPECT_THAT(Plan(rows, kNow + 60'001).blocked, HasCode("KEY_SPREAD_STALLED"));
}

TEST(RotationPlan, RemovesWhatNobodyNeedsAfterItsTime) {
  KeyRows rows = Table({Row(1, KeyState::kRetired), Row(2, KeyState::kActive)});
  for (KeyMember& member : rows.members) member.held = member.sealing = 2;
  EXPECT_EQ(Plan(rows, kNow + kDay - 1).step, RotationStep::kNone);
  RotationPlan plan = Plan(rows, kNow + kDay);
  EXPECT_EQ(plan.step, RotationStep::kRemove);
  EXPECT_EQ(plan.generation, 1u);
  // c was away all the while.
  rows.members[2].sealing = 1;
  plan = Plan(rows, kNow + kDay + 59'999);
  EXPECT_EQ(plan.step, RotationStep::kNone);
  SOTTO_EXPECT_OK(plan.blocked);
  plan = Plan(rows, kNow + kDay + 60'000);
  EXPECT_EQ(plan.step, RotationStep::kNone);
  EXPECT_THAT(plan.blocked, HasCode("KEY_STILL_NEEDED"));
  EXPECT_THAT(std::string(plan.blocked.message()), HasSubstr("c seals with nothing newer"));
}

TEST(RotationPlan, ANeededKeyDoesNotStopTheSchedule) {
  KeyRows rows = Table({Row(1, KeyState::kRetired), Row(2, KeyState::kActive)});
  EXPECT_EQ(Plan(rows, kNow + 40 * kDay).step, RotationStep::kPrepare);
}

TEST(RotationPlan, AFullRingStopsTheScheduleAndNamesWhoIsInTheWay) {
  KeyRows rows = Table({Row(1, KeyState::kRetired), Row(2, KeyState::kRetired),
                        Row(3, KeyState::kRetired), Row(4, KeyState::kActive)});
  for (KeyMember& member : rows.members) member.held = member.sealing = 4;
  rows.members[2].sealing = 1;
  for (KeyRow& key : rows.keys) key.retire_at_ms = kNow + 400 * kDay;
  const RotationPlan plan = Plan(rows, kNow + 40 * kDay);
  EXPECT_EQ(plan.step, RotationStep::kNone);
  EXPECT_THAT(plan.blocked, HasCode("KEY_RING_FULL"));
  EXPECT_THAT(std::string(plan.blocked.message()), HasSubstr("forget c"));
}

TEST(RotationPlan, RefusesWhereAMemberHasAnotherStore) {
  KeyRows rows = Table({Row(1, KeyState::kActive)});
  const std::vector<LivingMember> living = {{"a", std::nullopt}, {"z", 5}};
  EXPECT_THAT(NotSharing(rows, living), ElementsAre("z"));
  EXPECT_THAT(Plan(rows, kNow, true, living).blocked, HasCode("STORE_NOT_SHARED"));
  rows.keys.push_back(Row(2, KeyState::kPrepared, true));
  const RotationPlan plan = Plan(rows, kNow, false, living);
  EXPECT_EQ(plan.step, RotationStep::kNone);
  EXPECT_THAT(plan.blocked, HasCode("STORE_NOT_SHARED"));
}

TEST(RotationPlan, TouchesNothingThatItDoesNotUnderstand) {
  KeyRows rows = Table({Row(1, KeyState::kActive), Row(2, KeyState::kPrepared, true)});
  for (KeyMember& member : rows.members) member.held = 2;
  rows.malformed = "ClusterKeys, a row without a generation";
  EXPECT_EQ(Plan(rows).step, RotationStep::kNone);
  rows.malformed.clear();
  rows.moved_to = "postgres://db";
  EXPECT_EQ(Plan(rows).step, RotationStep::kNone);
  rows.moved_to.clear();
  EXPECT_EQ(Plan(rows).step, RotationStep::kActivate);
  rows.keys[0].state = KeyState::kRetired;
  EXPECT_EQ(Plan(rows).step, RotationStep::kNone);
}

}  // namespace
}  // namespace sotto
