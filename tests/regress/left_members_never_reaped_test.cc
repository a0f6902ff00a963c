// memberlist #253: members that left are never reaped, until the cap on the full state is hit and
// nobody can join any more.
#include <string>

#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

TEST(Regress, LeftMembersAreReaped) {
  WorldOptions options{.scenario = "left_members_never_reaped", .seed = 1, .nodes = 6};
  options.protocol.show_left = Duration::Minutes(1);
  options.protocol.keep_left = Duration::Minutes(3);
  World world(options);
  for (uint32_t i = 0; i < 4; ++i) world.Start(i);
  ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "start")) << world.Report();
  // Many names come and go through one address.
  constexpr int kGuests = 40;
  for (int guest = 0; guest < kGuests; ++guest) {
    world.Rename(4, "guest" + std::to_string(guest));
    world.Start(4, {0, 1});
    ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(20), "a guest")) << world.Report();
    world.Leave(4);
    ASSERT_TRUE(world.RunUntil([&] { return world.has_left(4); }, Duration::Seconds(20)));
    world.Crash(4);
  }
  EXPECT_GE(world.counters().left, 4u * kGuests / 2);
  // What passes in a sync holds none of them, even while their tombstones are kept.
  EXPECT_EQ(world.core(0).MakeSyncTable().statements.size(), 4u);
  world.RunFor(options.protocol.show_left + Duration::Seconds(30));
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(world.core(i).Members(false).size(), 4u);
  world.RunFor(options.protocol.keep_left + Duration::Seconds(60));
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(world.core(i).Members(true).size(), 4u);
  world.Start(5, {0});
  EXPECT_TRUE(world.ExpectAgreement(Duration::Seconds(20), "a new member")) << world.Report();
}

}  // namespace
}  // namespace sotto::sim
