// What each mechanism of Lifeguard is worth: one world with it and without it, over the same seeds.
#include <cstdint>

#include "gtest/gtest.h"
#include "tests/sim/world.h"

namespace sotto::sim {
namespace {

constexpr uint32_t kNodes = 16;
constexpr uint32_t kSlow = 4;  // addresses 0 to 3

constexpr uint64_t kSeeds = 2;

struct Result {
  uint64_t false_deaths = 0;
  uint64_t healthy_accused = 0;  // answers of healthy members to an accusation
};

// Everything to and from the slow is late, streams as well: as of a machine that is starved, and
// short of what counts as a pause.
void SlowDown(World& world, Duration from, Duration to) {
  LinkQuality slow;
  slow.delay_min = from;
  slow.delay_max = to;
  for (uint32_t a = 0; a < kSlow; ++a) {
    for (uint32_t b = 0; b < world.size(); ++b) {
      world.network().Set(a, b, slow);
      world.network().Set(b, a, slow);
    }
  }
}

WorldOptions Options(const LifeguardOptions& lifeguard, uint64_t seed) {
  WorldOptions options;
  options.scenario = "lifeguard_test";
  options.seed = seed;
  options.nodes = kNodes;
  options.protocol.lifeguard = lifeguard;
  return options;
}

// 90 s with slow members, over kSeeds seeds.
Result RunSlowWorlds(const LifeguardOptions& lifeguard, Duration delay_max) {
  Result result;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    World world(Options(lifeguard, seed));
    world.StartAll();
    world.ExpectAgreement(Duration::Seconds(15), "start");
    world.Watch([&](uint32_t node, const Event& event) {
      result.healthy_accused += event.kind == EventKind::kAccused && node >= kSlow;
    });
    SlowDown(world, delay_max / 2, delay_max);
    world.RunFor(Duration::Seconds(90));
    EXPECT_FALSE(world.failed()) << world.Report();
    result.false_deaths += world.counters().false_deaths;
  }
  return result;
}

// A node whose answers come late learns to wait for them, and accuses the healthy no longer.
TEST(LifeguardSwitch, WithoutHealthScalingTheSlowAccuseTheHealthyManyTimesAsOften) {
  const Result with = RunSlowWorlds({}, Duration::Millis(1'200));
  const Result without = RunSlowWorlds({.health_scaling = false}, Duration::Millis(1'200));
  EXPECT_GT(without.healthy_accused, with.healthy_accused * 8);
  EXPECT_GT(with.healthy_accused, 0u);  // it takes it a few rounds
}

// Nacks that do not come tell a slow node sooner that the fault is its own.
TEST(LifeguardSwitch, WithoutNacksTheSlowDoubtThemselvesLater) {
  const Result with = RunSlowWorlds({}, Duration::Millis(1'200));
  const Result without = RunSlowWorlds({.nacks = false}, Duration::Millis(1'200));
  EXPECT_GT(without.healthy_accused, with.healthy_accused * 2);
}

// A refutation that takes its time comes in time where the suspicion begins long.
TEST(LifeguardSwitch, WithoutDynamicSuspicionTheSlowAreBuriedManyTimesAsOften) {
  const Result with = RunSlowWorlds({}, Duration::Seconds(3));
  const Result without = RunSlowWorlds({.dynamic_suspicion = false}, Duration::Seconds(3));
  EXPECT_GT(without.false_deaths, with.false_deaths * 4);
}

// A false accusation, told to one member, in a cluster whose gossip is as weak as can be: with the
// buddy system its subject hears of it from whoever knows, without it often too late or never.
uint64_t DeathsByFalseWords(const LifeguardOptions& lifeguard) {
  uint64_t deaths = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    WorldOptions options = Options(lifeguard, seed);
    options.protocol.gossip_fanout = 1;
    options.protocol.retransmit_mult = 1;
    World world(options);
    world.StartAll();
    world.ExpectAgreement(Duration::Seconds(30), "start");
    for (uint32_t victim = 2; victim < kNodes; ++victim) {
      const StatementRef word = world.SignAs(
          0, {StatementKind::kSuspect, world.name(victim), world.core(victim).incarnation(), {}});
      world.SendRaw(0, 1, Packet{{}, {word}});
      world.RunFor(Duration::Seconds(15));
    }
    EXPECT_FALSE(world.failed()) << world.Report();
    deaths += world.counters().false_deaths;
  }
  return deaths;
}

TEST(LifeguardSwitch, WithoutBuddyTheSuspectHearsOfItTooLate) {
  const uint64_t with = DeathsByFalseWords({.dynamic_suspicion = false});
  const uint64_t without = DeathsByFalseWords({.dynamic_suspicion = false, .buddy = false});
  EXPECT_EQ(with, 0u);
  EXPECT_GT(without, 10u);
}

}  // namespace
}  // namespace sotto::sim
