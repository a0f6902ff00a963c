// memberlist #311, PR #345: all restart at once with fresh incarnations; whoever is remembered as
// dead at a high one stays dead for the holders of that row, and nobody tells it.
#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

TEST(Regress, StuckDeadAfterMassRestart) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    World world({.scenario = "stuck_dead_after_mass_restart", .seed = seed, .nodes = 8});
    world.StartAll();
    ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "start")) << world.Report();
    // Five lives, so that the remembered incarnations are far above those of a fresh start.
    for (int life = 0; life < 5; ++life) {
      for (uint32_t i = 1; i < world.size(); ++i) world.Restart(i);
      ASSERT_TRUE(world.ExpectAgreement(world.HealBound(), "a life")) << world.Report();
    }
    for (uint32_t i = 1; i < world.size(); ++i) world.Crash(i);
    // n0 alone remembers everybody, far above what they remember of themselves.
    world.RunFor(world.DeathBound());
    for (uint32_t i = 1; i < world.size(); ++i) world.Restart(i, BootFile::kLost);
    ASSERT_TRUE(world.ExpectAgreement(world.HealBound(), "mass restart")) << world.Report();
    for (uint32_t i = 1; i < world.size(); ++i) {
      EXPECT_GT(world.core(i).incarnation().boot_number(), 6u)
          << world.name(i) << " must outrank what n0 remembers of it";
    }
  }
}

}  // namespace
}  // namespace sotto::sim
