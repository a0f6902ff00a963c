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

// A node that hears the others and is heard by none is asked by all: it is not silent around it. Of
// two, each has buried the other before.
class MuteTest : public ::testing::TestWithParam<uint32_t> {};

TEST_P(MuteTest, SaysSoWithinTenSecondsAndNobodyElseDoes) {
  const uint32_t nodes = GetParam();
  for (uint64_t seed = 1; seed <= (nodes > 20 ? 1 : 5); ++seed) {
    World world({.scenario = "standing_test", .seed = seed, .nodes = nodes});
    world.StartAll();
    ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(60), "start")) << world.Report();
    world.RunFor(Duration::Seconds(5 + static_cast<int64_t>(seed)));
    uint64_t others = 0;
    world.Watch([&](uint32_t node, const Event& event) {
      if (node != 0 && event.kind == EventKind::kIsolated) ++others;
    });
    for (uint32_t i = 1; i < nodes; ++i) world.network().CutOneWay(0, i);
    EXPECT_LE(UntilSaid(world, 1).millis(), kBound.millis()) << "seed " << seed;
    world.RunFor(Duration::Minutes(1));
    const Standing standing = world.core(0).standing();
    EXPECT_TRUE(standing.isolated || standing.minority) << "it stays so";
    world.network().MendAll();
    world.ExpectAgreement(world.HealBound(), "healed");
    EXPECT_TRUE(
        world.RunUntil([&] { return !world.core(0).standing().isolated; }, Duration::Seconds(10)));
    EXPECT_EQ(others, 0u);
    EXPECT_FALSE(world.failed()) << world.Report();
    world.Watch(nullptr);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, MuteTest, ::testing::Values(3, 6, 50, 200));

// Where only streams pass, each probe is answered by one, and the node is not alone.
TEST(Standing, WhoIsReachedByStreamsAloneIsNeitherIsolatedNorFew) {
  World world({.scenario = "standing_test", .seed = 1, .nodes = 6});
  world.StartAll();
  ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(60), "start")) << world.Report();
  uint64_t said = 0;
  world.Watch([&](uint32_t, const Event& event) {
    if (event.kind == EventKind::kIsolated || event.kind == EventKind::kMinority) ++said;
  });
  world.RefuseSends(0, true);
  world.RunFor(Duration::Minutes(10));
  EXPECT_GT(world.core(0).standing().sends_refused, 0u);
  EXPECT_EQ(said, 0u);
  EXPECT_FALSE(world.failed()) << world.Report();
  world.Watch(nullptr);
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
