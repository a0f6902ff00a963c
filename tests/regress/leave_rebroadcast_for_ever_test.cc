// serf PR #606, consul #8343: two distinct leave events of one node are rebroadcast for ever, each
// making the other new again.
#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

TEST(Regress, TwoLeavesOfOneNodeEnd) {
  World world({.scenario = "leave_rebroadcast_for_ever", .seed = 1, .nodes = 8});
  world.StartAll();
  ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "start")) << world.Report();
  const uint32_t leaver = 7;
  const std::string name = world.name(leaver);
  const Incarnation at = world.core(leaver).incarnation();
  // Two Leaves of one incarnation that differ in their bytes (another boot signed the second), and
  // a third above them; each starts elsewhere.
  StatementRef first = world.SignAs(leaver, {StatementKind::kLeave, name, at, {}});
  world.Restart(leaver);
  StatementRef second = world.SignAs(leaver, {StatementKind::kLeave, name, at, {}});
  ASSERT_TRUE(world.ExpectAgreement(world.HealBound(), "restarted")) << world.Report();
  const Incarnation above(world.core(leaver).incarnation().value() + 1);
  StatementRef third = world.SignAs(leaver, {StatementKind::kLeave, name, above, {}});
  StatementRef fourth =
      world.SignAs(leaver, {StatementKind::kLeave, name, Incarnation(above.value() + 1), {}});
  world.SendRaw(leaver, 0, Packet{{}, {third}});
  world.SendRaw(leaver, 1, Packet{{}, {fourth}});
  world.SendRaw(leaver, 2, Packet{{}, {first, second}});
  world.SendRaw(leaver, 3, Packet{{}, {second, third}});
  world.Crash(leaver);
  world.RunFor(Duration::Seconds(30));
  for (uint32_t i = 0; i < leaver; ++i) {
    auto info = world.core(i).Find(name);
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->state, MemberState::kLeft);
    ASSERT_NE(info->owner, nullptr);
    EXPECT_EQ(info->owner->hash, fourth->hash) << "all end with the same one";
    EXPECT_EQ(world.core(i).standing().broadcasts_queued, 0u) << "nothing is told any more";
  }
  const uint64_t told = world.counters().left;
  const uint64_t bytes = world.counters().bytes;
  world.RunFor(Duration::Minutes(5));
  EXPECT_EQ(world.counters().left, told);
  EXPECT_EQ(world.counters().bytes, bytes) << "no statement rides on any packet any more";
  EXPECT_FALSE(world.failed()) << world.Report();
}

}  // namespace
}  // namespace sotto::sim
