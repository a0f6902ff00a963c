// chitchat #155, quickwit #5135: dead nodes never go away, because nodes forget them at different
// times and tell each other of them anew.
#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

TEST(Regress, TheDeadGoAwayThoughNodesReapAtDifferentTimes) {
  WorldOptions options{.scenario = "dead_never_leave", .seed = 1, .nodes = 8};
  options.protocol.show_dead = Duration::Minutes(2);
  options.protocol.keep_dead = Duration::Minutes(6);
  options.protocol.sync_interval = Duration::Seconds(20);  // many chances to tell each other
  World world(options);
  world.StartAll();
  ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "start")) << world.Report();
  // Half of the nodes learn of the death minutes after the others, so their tombstones end apart.
  world.network().Split({{0, 1, 2, 6}, {3, 4, 5, 7}});
  world.Crash(7);
  world.RunFor(Duration::Minutes(1));
  world.Crash(6);
  world.RunFor(Duration::Minutes(1));
  world.network().MendAll();
  world.RunFor(Duration::Minutes(1));
  // One forgets everything in a restart, and must not be taught the dead again for ever.
  world.Restart(5);
  uint64_t resurrections = 0;
  world.Watch([&](uint32_t, const Event& event) {
    bool back = event.kind == EventKind::kJoined || event.kind == EventKind::kReturned;
    resurrections += back && (event.member == "n6" || event.member == "n7");
  });
  world.RunFor(options.protocol.keep_dead + Duration::Minutes(4));
  EXPECT_FALSE(world.failed()) << world.Report();
  EXPECT_EQ(resurrections, 0u);
  for (uint32_t i = 0; i < 6; ++i) {
    EXPECT_EQ(world.StateAt(i, "n6"), std::nullopt) << world.name(i);
    EXPECT_EQ(world.StateAt(i, "n7"), std::nullopt) << world.name(i);
    EXPECT_EQ(world.core(i).Members(true).size(), 6u) << world.name(i);
  }
  world.RunFor(Duration::Minutes(10));
  EXPECT_TRUE(world.Agreed()) << world.WhyNotAgreed();
  // And a name that was gone for good may come back as new, with nothing remembered by anybody.
  world.Restart(7, BootFile::kLost);
  EXPECT_TRUE(world.ExpectAgreement(world.HealBound(), "back as new")) << world.Report();
  world.Watch(nullptr);
}

}  // namespace
}  // namespace sotto::sim
