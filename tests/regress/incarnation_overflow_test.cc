// memberlist #358, #359: one Suspect with the highest incarnation makes the refutation overflow to
// 0: permanent eviction by a single message.
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

TEST(Regress, IncarnationOverflow) {
  World world({.scenario = "incarnation_overflow", .seed = 1, .nodes = 5});
  world.StartAll();
  ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "start")) << world.Report();
  world.ForbidFalseDeaths(true);
  const std::string victim = world.name(1);
  const uint32_t boot = world.core(1).incarnation().boot_number();
  for (uint64_t incarnation :
       {Incarnation::Of(boot, std::numeric_limits<uint32_t>::max()).value(),
        Incarnation::Of(boot + 1, 0).value(), std::numeric_limits<uint64_t>::max() - 1,
        std::numeric_limits<uint64_t>::max()}) {
    for (StatementKind kind : {StatementKind::kSuspect, StatementKind::kDead}) {
      Packet packet;
      packet.statements = {world.SignAs(4, {kind, victim, Incarnation(incarnation), {}})};
      for (uint32_t to = 0; to < 4; ++to) world.SendRaw(4, to, packet);
      world.RunFor(Duration::Seconds(5));
    }
  }
  world.RunFor(Duration::Minutes(2));
  EXPECT_FALSE(world.failed()) << world.Report();
  EXPECT_TRUE(world.Agreed()) << world.WhyNotAgreed();
  EXPECT_EQ(world.core(1).incarnation().boot_number(), boot) << "nobody else moves it";
  // And it can still answer real suspicions.
  world.SendRaw(
      4, 0,
      Packet{
          {},
          {world.SignAs(4, {StatementKind::kSuspect, victim, world.core(1).incarnation(), {}})}});
  world.RunFor(Duration::Minutes(1));
  EXPECT_FALSE(world.failed()) << world.Report();
  EXPECT_TRUE(world.Agreed()) << world.WhyNotAgreed();
}

// A life at the highest boot number there is: it lives, and its successor does not wrap to the
// bottom of anybody's table.
TEST(Regress, LeaveAtTheHighestIncarnationIsNotUndone) {
  World world({.scenario = "incarnation_overflow", .seed = 2, .nodes = 4});
  world.StartAll();
  ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "start")) << world.Report();
  const std::string name = world.name(3);
  const Incarnation last = Incarnation::Of(1, std::numeric_limits<uint32_t>::max());
  StatementRef old = world.core(3).own_alive();
  StatementRef leave = world.SignAs(3, {StatementKind::kLeave, name, last, {}});
  for (uint32_t to = 0; to < 3; ++to) world.SendRaw(3, to, Packet{{}, {leave}});
  world.Crash(3);
  world.RunFor(Duration::Seconds(10));
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(world.StateAt(i, name), MemberState::kLeft);
  for (uint32_t to = 1; to < 3; ++to) world.SendRaw(0, to, Packet{{}, {old}});
  world.RunFor(Duration::Seconds(10));
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(world.StateAt(i, name), MemberState::kLeft);
  world.Restart(3);
  EXPECT_TRUE(world.ExpectAgreement(world.HealBound(), "its next life")) << world.Report();
}

}  // namespace
}  // namespace sotto::sim
