// consul #5928: one half-connected node floods the whole cluster with failures and joins.
#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

TEST(Regress, HalfConnectedNodeDoesNotFlood) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    World world({.scenario = "half_connected_node_floods", .seed = seed, .nodes = 10});
    world.StartAll();
    ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "start")) << world.Report();
    const uint32_t half = 9;
    world.ExcuseDeathsOf(world.name(half));
    // Nobody's view errs, nor its own: it hears the answers to what it says by others.
    world.ForbidFalseDeaths(true);
    uint64_t about_others = 0;
    uint64_t changes = 0;
    world.Watch([&](uint32_t node, const Event& event) {
      bool change = event.kind == EventKind::kDied || event.kind == EventKind::kReturned ||
                    event.kind == EventKind::kJoined || event.kind == EventKind::kLeft;
      if (!change || node == half) return;
      event.member == world.name(half) ? ++changes : ++about_others;
    });
    // It reaches the lower half only, and is heard by the upper half only.
    for (uint32_t other = 0; other < half; ++other) {
      if (other < 5) {
        world.network().CutOneWay(other, half);
      } else {
        world.network().CutOneWay(half, other);
      }
    }
    const Duration minutes = Duration::Minutes(10);
    world.RunFor(minutes);
    EXPECT_FALSE(world.failed()) << world.Report();
    EXPECT_EQ(about_others, 0u) << "nobody else is touched";
    // At most one death and one return at each of the nine for each shortest suspicion.
    EXPECT_LE(changes, 9u * 2u * static_cast<uint64_t>(minutes.seconds()) / 8u);
    world.network().MendAll();
    EXPECT_TRUE(world.ExpectAgreement(world.HealBound(), "linked again")) << world.Report();
    world.Watch(nullptr);
  }
}

}  // namespace
}  // namespace sotto::sim
