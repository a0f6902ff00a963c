// NodeDB #243: a node that restarts with incarnation 0 loses against the Dead that the others hold
// of it, for ever.
#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

TEST(Regress, RestartAtZeroDoesNotLose) {
  for (BootFile file : {BootFile::kLost, BootFile::kRolledBack, BootFile::kKept}) {
    World world({.scenario = "restart_at_zero_loses", .seed = 3, .nodes = 5});
    world.StartAll();
    ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "start")) << world.Report();
    const uint32_t node = 4;
    for (int life = 0; life < 4; ++life) world.Restart(node);
    ASSERT_TRUE(world.ExpectAgreement(world.HealBound(), "a later life")) << world.Report();
    // Refutations raise its incarnation further.
    for (int i = 0; i < 5; ++i) {
      StatementRef suspect = world.SignAs(
          1, {StatementKind::kSuspect, world.name(node), world.core(node).incarnation(), {}});
      world.SendRaw(1, node, Packet{{}, {suspect}});
      world.RunFor(Duration::Seconds(3));
    }
    const Incarnation before = world.core(node).incarnation();
    EXPECT_GT(before.counter(), 0u) << "it has refuted";
    world.Crash(node);
    world.RunFor(2 * world.DeathBound());
    for (uint32_t i = 0; i < node; ++i) {
      ASSERT_EQ(world.StateAt(i, world.name(node)), MemberState::kDead);
    }
    world.Restart(node, file);
    ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "restarted")) << world.Report();
    EXPECT_GT(world.core(node).incarnation(), before);
    // What it learned is on its disk: the next start needs nobody's memory.
    world.Restart(node);
    EXPECT_GT(world.core(node).incarnation(), before);
    EXPECT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "again")) << world.Report();
  }
}

}  // namespace
}  // namespace sotto::sim
