// serf #223: A reaches C only through B; the cluster flaps for ever.
#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

TEST(Regress, AStarIsStable) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    World world({.scenario = "star_never_stabilises", .seed = seed, .nodes = 3});
    world.network().CutBoth(0, 2);
    world.ForbidFalseDeaths(true);
    world.Start(1, {});
    world.Start(0, {1});
    world.Start(2, {1});
    ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(30), "star")) << world.Report();
    uint64_t changes = 0;
    world.Watch([&](uint32_t, const Event& event) {
      changes += event.kind < EventKind::kAnnounced && event.kind != EventKind::kReaped;
    });
    world.RunFor(Duration::Minutes(15));
    EXPECT_FALSE(world.failed()) << world.Report();
    EXPECT_TRUE(world.Agreed()) << world.WhyNotAgreed();
    EXPECT_EQ(changes, 0u) << "nothing happens in a star at rest";
    EXPECT_GT(world.counters().cut, 0u);
    world.Watch(nullptr);
  }
}

}  // namespace
}  // namespace sotto::sim
