// memberlist deadNode(), al8n PR #197: a Dead at a higher incarnation is dropped when the row is
// already dead; the stored incarnation does not advance, and a delayed Alive below that Dead
// resurrects the row for good.
#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

TEST(Regress, ResurrectionByAStaleAlive) {
  World world({.scenario = "resurrection_by_stale_alive", .seed = 1, .nodes = 6});
  world.StartAll();
  ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "start")) << world.Report();
  const uint32_t ghost = 5;
  const std::string name = world.name(ghost);
  const Incarnation first = world.core(ghost).incarnation();
  const Incarnation second(first.value() + 1);
  // The word that is delayed: said before the crash, heard by nobody until later.
  StatementRef delayed = world.SignAs(ghost, {StatementKind::kAlive, name, second, {}});
  StatementRef older = world.core(ghost).own_alive();
  world.Crash(ghost);
  world.RunFor(2 * world.DeathBound());
  for (uint32_t i = 0; i < ghost; ++i) ASSERT_EQ(world.StateAt(i, name), MemberState::kDead);

  // Four members say that it is dead at the higher incarnation, while the row is already dead.
  for (uint32_t signer = 1; signer < ghost; ++signer) {
    Packet packet;
    packet.statements = {world.SignAs(signer, {StatementKind::kDead, name, second, {}})};
    world.SendRaw(signer, 0, packet);
  }
  world.RunFor(Duration::Seconds(2));
  EXPECT_EQ(world.StateAt(0, name), MemberState::kDead);

  // The older word brings it back nowhere.
  for (uint32_t to = 1; to < ghost; ++to) world.SendRaw(0, to, Packet{{}, {older}});
  world.SendRaw(1, 0, Packet{{}, {older}});
  world.RunFor(Duration::Seconds(2));
  for (uint32_t i = 0; i < ghost; ++i) EXPECT_EQ(world.StateAt(i, name), MemberState::kDead);

  // The delayed one meets the accusations that waited for it: never alive, and soon dead again.
  world.SendRaw(1, 0, Packet{{}, {delayed}});
  world.RunFor(Duration::Millis(100));
  EXPECT_NE(world.StateAt(0, name), MemberState::kAlive);
  EXPECT_TRUE(world.RunUntil([&] { return world.Agreed(); }, 2 * world.DeathBound()))
      << world.WhyNotAgreed();
  world.RunFor(Duration::Seconds(30));
  for (uint32_t i = 0; i < ghost; ++i) EXPECT_EQ(world.StateAt(i, name), MemberState::kDead);
  EXPECT_FALSE(world.failed()) << world.Report();
}

}  // namespace
}  // namespace sotto::sim
