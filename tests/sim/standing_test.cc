// How soon a node knows that it is alone, or on the smaller side: within 10 s, whatever the size of
// the cluster (serf takes 45 to 76 s at six members); and that the larger side does not say so.
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

constexpr Duration kBound = Duration::Seconds(10);

struct Cut {
  uint32_t nodes;
  uint32_t small;  // on the smaller side, by address
};

// The time after the cut at which all of the smaller side have said so; kBound * 2 if not.
Duration UntilSaid(World& world, uint32_t small) {
  const Instant cut = world.now();
  world.RunUntil(
      [&] {
        for (uint32_t i = 0; i < small; ++i) {
          const Standing standing = world.core(i).standing();
          if (!standing.isolated && !standing.minority) return false;
        }
        return true;
      },
      kBound * 2);
  return world.now() - cut;
}

void Split(World& world, uint32_t small) {
  std::vector<std::vector<uint32_t>> sides(2);
  for (uint32_t i = 0; i < world.size(); ++i) sides[i < small ? 0 : 1].push_back(i);
  world.network().Split(sides);
}

class StandingTest : public ::testing::TestWithParam<Cut> {};

TEST_P(StandingTest, TheSmallerSideSaysSoWithinTenSeconds) {
  const Cut& cut = GetParam();
  for (uint64_t seed = 1; seed <= (cut.nodes > 100 ? 1 : 3); ++seed) {
    World world({.scenario = "standing_test", .seed = seed, .nodes = cut.nodes});
    world.StartAll();
    ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(60), "start")) << world.Report();
    world.RunFor(Duration::Seconds(5));
    Split(world, cut.small);
    const Duration took = UntilSaid(world, cut.small);
    EXPECT_LE(took.millis(), kBound.millis());
    for (uint32_t i = cut.small; i < cut.nodes; ++i) {
      EXPECT_FALSE(world.core(i).standing().isolated) << i;
      EXPECT_FALSE(world.core(i).standing().minority) << i;
    }
    world.network().MendAll();
    world.ExpectAgreement(world.HealBound(), "healed");
    world.RunFor(Duration::Seconds(15));
    for (uint32_t i = 0; i < cut.nodes; ++i) {
      EXPECT_FALSE(world.core(i).standing().minority) << i;
    }
    EXPECT_FALSE(world.failed()) << world.Report();
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, StandingTest,
                         ::testing::Values(Cut{5, 1}, Cut{50, 1}, Cut{5, 2}, Cut{50, 5},
                                           Cut{50, 20}),
                         [](const ::testing::TestParamInfo<Cut>& run) {
                           return std::to_string(run.param.small) + "_of_" +
                                  std::to_string(run.param.nodes);
                         });

}  // namespace
}  // namespace sotto::sim
