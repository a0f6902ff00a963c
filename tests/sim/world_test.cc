// The world itself: its network, its windows, its processes. A simulator that lies proves nothing.
#include "tests/sim/world.h"

#include <set>
#include <string>

#include "gtest/gtest.h"
#include "tests/sim/network.h"
#include "tests/sim/world_internal.h"

namespace sotto::sim {
namespace {

TEST(NetworkTest, LosesItsShareAndNotTheSameAddresses) {
  Network network(50, 7);
  LinkQuality quality;
  quality.loss_percent = 10;
  network.SetAll(quality);
  int lost = 0;
  std::set<uint32_t> unreached;
  for (uint32_t to = 1; to < 50; ++to) {
    int arrived = 0;
    for (int i = 0; i < 200; ++i) arrived += network.Draw(0, to).copies;
    lost += 200 - arrived;
    if (arrived == 0) unreached.insert(to);
  }
  EXPECT_NEAR(lost, 49 * 200 / 10, 200);
  EXPECT_TRUE(unreached.empty());
}

TEST(NetworkTest, CutsHaveADirection) {
  Network network(4, 7);
  network.CutOneWay(0, 1);
  EXPECT_TRUE(network.IsCut(0, 1));
  EXPECT_FALSE(network.IsCut(1, 0));
  EXPECT_EQ(network.Draw(0, 1).copies, 0);
  EXPECT_EQ(network.Draw(1, 0).copies, 1);
  network.MendAll();
  EXPECT_EQ(network.Draw(0, 1).copies, 1);
  network.Split({{0, 1}, {2, 3}});
  EXPECT_FALSE(network.IsCut(0, 1));
  EXPECT_TRUE(network.IsCut(0, 2));
  EXPECT_TRUE(network.IsCut(3, 1));
}

TEST(NetworkTest, DuplicatesAndReorders) {
  Network network(2, 7);
  LinkQuality quality;
  quality.duplicate_percent = 50;
  quality.delay_max = Duration::Millis(100);
  network.Set(0, 1, quality);
  int doubled = 0;
  int reordered = 0;
  Duration before;
  for (int i = 0; i < 1000; ++i) {
    Network::Fate fate = network.Draw(0, 1);
    doubled += fate.copies == 2;
    reordered += fate.delays[0] < before;
    before = fate.delays[0];
  }
  EXPECT_NEAR(doubled, 500, 100);
  EXPECT_GT(reordered, 300);
  EXPECT_EQ(network.Draw(1, 0).copies, 1) << "the other direction keeps its quality";
}

TEST(WindowTest, AcceptsEachCounterOnceWithin1024) {
  Window window;
  EXPECT_TRUE(window.Accept(1));
  EXPECT_FALSE(window.Accept(1));
  EXPECT_TRUE(window.Accept(2000));
  EXPECT_FALSE(window.Accept(2000));
  EXPECT_TRUE(window.Accept(2000 - 1023));
  EXPECT_FALSE(window.Accept(2000 - 1024));
  EXPECT_FALSE(window.Accept(2000 - 1025));
}

TEST(WorldTest, TimePassesInOrder) {
  World world({.nodes = 1});
  std::string order;
  world.After(Duration::Millis(2), [&] { order += "c"; });
  world.After(Duration::Millis(1), [&] { order += "a"; });
  world.After(Duration::Millis(1), [&] { order += "b"; });
  world.RunFor(Duration::Millis(1));
  EXPECT_EQ(order, "ab");
  world.RunFor(Duration::Millis(1));
  EXPECT_EQ(order, "abc");
  EXPECT_EQ(world.now(), Instant::FromNanos(2'000'000));
}

TEST(WorldTest, TwoNodesMeet) {
  World world({.nodes = 2});
  world.Start(0, {});
  world.Start(1, {0});
  EXPECT_TRUE(world.ExpectAgreement(Duration::Seconds(10), "two nodes")) << world.Report();
  EXPECT_EQ(world.StateAt(0, "n1"), MemberState::kAlive);
  EXPECT_EQ(world.StateAt(1, "n0"), MemberState::kAlive);
  EXPECT_GT(world.counters().syncs_merged, 0u);
}

TEST(WorldTest, ARestartIsAnotherProcessThatKeepsItsNumber) {
  World world({.nodes = 1});
  world.Start(0, {});
  BootId before = world.boot_id(0);
  EXPECT_EQ(world.core(0).incarnation().boot_number(), 1u);
  world.Restart(0);
  EXPECT_NE(world.boot_id(0), before);
  EXPECT_EQ(world.core(0).incarnation().boot_number(), 2u);
  world.Restart(0, BootFile::kLost);
  EXPECT_EQ(world.core(0).incarnation().boot_number(), 1u);
}

TEST(WorldTest, AgreementIsNotClaimedTooEarly) {
  World world({.nodes = 3});
  world.StartAll();
  EXPECT_FALSE(world.Agreed());
  EXPECT_NE(world.WhyNotAgreed(), "");
  ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "start")) << world.Report();
  world.Crash(2);
  EXPECT_FALSE(world.Agreed()) << "a crashed member is still held alive";
}

TEST(WorldTest, AForbiddenDeathFailsTheRun) {
  World world({.nodes = 5});
  world.StartAll();
  ASSERT_TRUE(world.ExpectAgreement(Duration::Seconds(15), "start")) << world.Report();
  world.ForbidFalseDeaths(true);
  world.network().Isolate(4);
  world.RunFor(world.DeathBound());
  ASSERT_TRUE(world.failed()) << "an isolated member must have been declared dead";
  EXPECT_NE(world.Report().find("S9: "), std::string::npos) << world.Report();
  EXPECT_NE(world.Report().find("declares n4 dead"), std::string::npos) << world.Report();
}

}  // namespace
}  // namespace sotto::sim
