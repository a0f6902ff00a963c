// Rotations in virtual time under loss and partitions: what the design promises of every frame.
// SOTTO_ROTATION_FRAMES=1000000 goes the long way, SOTTO_ROTATION_SEED another one.
#include "tests/sim/rotation_sim.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

uint64_t Number(const char* variable, uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void Print(const RotationSimResult& r) {
  std::cout << r.sealed << " sealed, " << r.opened << " opened, " << r.lost << " lost, " << r.parted
            << " parted; dropped for a key reason " << r.key_drops << ", excused "
            << r.excused_drops << "; " << r.prepared << " prepared, " << r.activated
            << " activated, " << r.removed << " removed; " << r.taken << " taken from members, "
            << r.recordings << " recordings\n";
}

TEST(RotationSim, KeepsEveryPromise) {
  const uint64_t frames = Number("SOTTO_ROTATION_FRAMES", 100'000);
  const auto run = RunRotationSim({Number("SOTTO_ROTATION_SEED", 7), 16, frames});
  SOTTO_ASSERT_OK(run);
  Print(*run);
  EXPECT_EQ(run->key_drops, 0u);
  EXPECT_EQ(run->other_drops, 0u);
  EXPECT_EQ(run->late_drops, 0u);
  EXPECT_EQ(run->early_seals, 0u);
  EXPECT_EQ(run->repeated_nonces, 0u);
  EXPECT_EQ(run->removed_opened, 0u);
  EXPECT_EQ(run->trouble, 0u);
  EXPECT_TRUE(run->agreed);
  // It was no idle run.
  EXPECT_GE(run->sealed, frames);
  EXPECT_GE(run->activated, 3u);
  EXPECT_GE(run->removed, 3u);
  EXPECT_GT(run->taken, 0u);
  EXPECT_GT(run->recordings, 0u);
  EXPECT_GT(run->lost, run->sealed / 10);
}

TEST(RotationSim, RepeatsItselfBySeed) {
  const auto first = RunRotationSim({3, 6, 20'000});
  const auto again = RunRotationSim({3, 6, 20'000});
  const auto other = RunRotationSim({4, 6, 20'000});
  SOTTO_ASSERT_OK(first);
  SOTTO_ASSERT_OK(again);
  SOTTO_ASSERT_OK(other);
  EXPECT_EQ(first->trace, again->trace);
  EXPECT_NE(first->trace, other->trace);
}

}  // namespace
}  // namespace sotto
