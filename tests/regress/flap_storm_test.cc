// consul #5567: a few flapping nodes start a storm that reaches thousands.
#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

TEST(Regress, FewFlappingNodesStartNoStorm) {
  World world({.scenario = "flap_storm", .seed = 1, .nodes = 32});
  world.StartAll();
  ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(20), "start")) << world.Report();
  world.RunFor(Duration::Seconds(30));
  uint64_t before = world.counters().datagrams;
  world.RunFor(Duration::Minutes(3));
  const uint64_t at_rest = world.counters().datagrams - before;

  constexpr uint32_t kFlapping = 3;
  for (uint32_t i = 0; i < kFlapping; ++i) {
    world.ExcuseDeathsOf(world.name(i));
    world.ExcuseObserver(i);
  }
  world.ForbidFalseDeaths(true);
  size_t queued_max = 0;
  before = world.counters().datagrams;
  for (int second = 0; second < 180; ++second) {
    for (uint32_t i = 0; i < kFlapping; ++i) {
      if (world.rng().Chance(1, 8)) world.network().Isolate(i);
      if (world.rng().Chance(1, 8)) world.network().MendAll();
    }
    world.RunFor(Duration::Seconds(1));
    for (uint32_t i = kFlapping; i < world.size(); ++i) {
      queued_max = std::max(queued_max, world.core(i).standing().broadcasts_queued);
    }
  }
  const uint64_t in_storm = world.counters().datagrams - before;
  EXPECT_FALSE(world.failed()) << world.Report();
  EXPECT_GT(world.counters().suspected, 0u) << "the flapping was felt";
  EXPECT_LE(in_storm, 8 * at_rest) << "the load stays of the order of rest";
  EXPECT_LE(queued_max, 200u);
  world.network().MendAll();
  EXPECT_TRUE(world.ExpectAgreement(world.HealBound(), "calm")) << world.Report();
}

}  // namespace
}  // namespace sotto::sim
