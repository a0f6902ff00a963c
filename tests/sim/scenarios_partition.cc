// Scenarios of cuts: every split heals, and healing buries nobody.
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/scenarios.h"

namespace sotto::sim {
namespace {

using Groups = std::vector<std::vector<uint32_t>>;

bool StartAgreed(World& world) {
  world.StartAll();
  return world.ExpectAgreement(Duration::Seconds(15), "start");
}

// The addresses in groups of these sizes; what is left over joins the last.
Groups GroupsOf(const World& world, const std::vector<uint32_t>& sizes) {
  Groups groups;
  uint32_t next = 0;
  for (uint32_t size : sizes) {
    std::vector<uint32_t> group;
    for (uint32_t i = 0; i < size && next < world.size(); ++i) group.push_back(next++);
    groups.push_back(std::move(group));
  }
  while (next < world.size()) groups.back().push_back(next++);
  return groups;
}

bool EachBuriesTheOthers(World& world, const Groups& groups) {
  for (const auto& here : groups) {
    for (const auto& there : groups) {
      if (&here == &there) continue;
      for (uint32_t observer : here) {
        for (uint32_t member : there) {
          if (world.StateAt(observer, world.name(member)) != MemberState::kDead) return false;
        }
      }
    }
  }
  return true;
}

// Splits until each group has buried the others (or, where nobody is left to agree with, for as
// long), then heals: from then on nobody living is declared dead anywhere, and all agree within the
// bound.
void SplitAndHeal(World& world, const Groups& groups, bool all_bury) {
  world.network().Split(groups);
  if (all_bury) {
    bool buried =
        world.RunUntil([&] { return EachBuriesTheOthers(world, groups); }, 3 * world.DeathBound());
    world.Expect(buried, "each side has declared the other dead");
    world.Expect(world.counters().false_deaths > 0, "the split was felt");
  } else {
    world.RunFor(world.DeathBound());
  }
  world.RunFor(Duration::Seconds(30));
  world.network().MendAll();
  world.ForbidFalseDeaths(true);
  if (!world.ExpectAgreement(world.HealBound(), "healed")) return;
  world.Expect(world.counters().cut > 0, "datagrams were cut off");
  world.RunFor(Duration::Seconds(60));
  world.Expect(world.Agreed(), "still agreed: " + world.WhyNotAgreed());
}

void Split2And3(World& world) {
  if (StartAgreed(world)) SplitAndHeal(world, GroupsOf(world, {2, 3}), true);
}

// The lone node hears nobody, so it accuses nobody (M7); the four bury it.
void Split1And4(World& world) {
  if (!StartAgreed(world)) return;
  Groups groups = GroupsOf(world, {1, 4});
  world.network().Split(groups);
  bool buried = world.RunUntil(
      [&] {
        for (uint32_t i = 1; i < world.size(); ++i) {
          if (world.StateAt(i, world.name(0)) != MemberState::kDead) return false;
        }
        return true;
      },
      world.DeathBound());
  world.Expect(buried, "the four bury the one");
  if (world.failed()) return;
  for (uint32_t i = 1; i < world.size(); ++i) {
    world.Expect(world.StateAt(0, world.name(i)) != MemberState::kDead,
                 "a node that hears nobody buries nobody");
  }
  world.RunUntil([&] { return world.core(0).standing().isolated; }, Duration::Seconds(10));
  world.Expect(world.core(0).standing().isolated, "it knows that it is isolated");
  world.network().MendAll();
  world.ForbidFalseDeaths(true);
  if (!world.ExpectAgreement(world.HealBound(), "healed")) return;
  world.Expect(!world.core(0).standing().isolated, "it knows that it is back");
  world.Expect(world.counters().cut > 0 && world.counters().returned > 0, "the cut was felt");
}

void SplitInThree(World& world) {
  if (StartAgreed(world)) SplitAndHeal(world, GroupsOf(world, {1, 1, 1}), false);
}

void SplitInHalves(World& world) {
  uint32_t half = world.size() / 2;
  if (StartAgreed(world)) {
    SplitAndHeal(world, GroupsOf(world, {half, world.size() - half}), false);
  }
}

// Both halves bury each other, whole; at the heal nobody living is buried again.
void Halves(World& world) {
  uint32_t half = world.size() / 2;
  if (StartAgreed(world)) SplitAndHeal(world, GroupsOf(world, {half, world.size() - half}), true);
}

// A link that works in one direction only: others vouch for both ends.
void OneWayLink(World& world) {
  if (!StartAgreed(world)) return;
  world.ForbidFalseDeaths(true);
  world.network().CutOneWay(0, 1);
  world.network().CutOneWay(2, 3);
  world.RunFor(Duration::Minutes(5));
  world.network().MendAll();
  world.ExpectAgreement(world.HealBound(), "healed");
  world.Expect(world.counters().cut > 0, "datagrams were cut off");
}

// A node that hears nobody, though all hear it; then one that is heard by nobody, though it hears
// all.
void OneWayNode(World& world) {
  if (!StartAgreed(world)) return;
  const uint32_t node = world.size() - 1;
  for (bool deaf : {true, false}) {
    world.ExcuseDeathsOf(world.name(node));
    world.ExcuseObserver(node);
    world.ForbidFalseDeaths(true);
    for (uint32_t other = 0; other < world.size(); ++other) {
      if (other == node) continue;
      if (deaf) {
        world.network().CutOneWay(other, node);
      } else {
        world.network().CutOneWay(node, other);
      }
    }
    world.RunFor(Duration::Minutes(2));
    world.network().MendAll();
    if (!world.ExpectAgreement(world.HealBound(), deaf ? "hears again" : "is heard again")) return;
  }
  world.Expect(world.counters().cut > 0, "datagrams were cut off");
}

// A link and a node that come and go faster than suspicions end.
void Flapping(World& world) {
  if (!StartAgreed(world)) return;
  const uint32_t node = world.size() - 1;
  world.ExcuseDeathsOf(world.name(node));
  world.ExcuseObserver(node);
  world.ForbidFalseDeaths(true);
  for (int round = 0; round < 20; ++round) {
    world.network().Isolate(node);
    world.network().CutBoth(0, 1);
    world.RunFor(world.rng().Between(Duration::Seconds(1), Duration::Seconds(8)));
    world.network().MendAll();
    world.RunFor(world.rng().Between(Duration::Seconds(1), Duration::Seconds(8)));
  }
  world.ExpectAgreement(world.HealBound(), "calm");
  world.Expect(world.counters().cut > 0 && world.counters().suspected > 0, "the cuts were felt");
  world.Expect(world.counters().refuted > 0, "suspicions were refuted");
}

// Links are stopped one by one and restored in another order.
void SwizzleClog(World& world) {
  if (!StartAgreed(world)) return;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::pair<uint32_t, uint32_t>> links;
    for (uint32_t a = 0; a < world.size(); ++a) {
      for (uint32_t b = 0; b < world.size(); ++b) {
        if (a != b && world.rng().Chance(1, 2)) links.emplace_back(a, b);
      }
    }
    world.rng().Shuffle(std::span(links));
    for (auto [a, b] : links) {
      world.network().CutOneWay(a, b);
      world.RunFor(world.rng().Between(Duration(), Duration::Seconds(1)));
    }
    world.rng().Shuffle(std::span(links));
    for (auto [a, b] : links) {
      world.network().Mend(a, b);
      world.RunFor(world.rng().Between(Duration(), Duration::Seconds(1)));
    }
    if (!world.ExpectAgreement(world.HealBound(), "restored")) return;
  }
  world.Expect(world.counters().cut > 0 && world.counters().suspected > 0, "the cuts were felt");
}

// n0 and n2 only reach each other through n1, from the start.
void Star(World& world) {
  world.ForbidFalseDeaths(true);
  for (uint32_t a = 0; a < world.size(); ++a) {
    for (uint32_t b = a + 1; b < world.size(); ++b) {
      if (a != 1 && b != 1) world.network().CutBoth(a, b);
    }
  }
  for (uint32_t i = 0; i < world.size(); ++i) world.Start(i, {1});
  if (!world.ExpectAgreement(world.HealBound(), "star")) return;
  world.RunFor(Duration::Minutes(5));
  world.ExpectAgreement(Duration::Seconds(10), "the star stays");
  world.Expect(world.counters().cut > 0, "the rim is cut");
}

// A node linked to a single peer: whatever becomes of it, the others stay alive everywhere.
void HalfConnected(World& world) {
  if (!StartAgreed(world)) return;
  const uint32_t node = world.size() - 1;
  world.ExcuseDeathsOf(world.name(node));
  world.ForbidFalseDeaths(true);
  world.network().Isolate(node);
  world.network().Mend(node, 0);
  world.network().Mend(0, node);
  uint64_t returned = world.counters().returned;
  world.RunFor(Duration::Minutes(10));
  // One node between life and death does not flood the rest with joins and failures.
  uint64_t flaps = world.counters().returned - returned;
  world.Expect(flaps <= 10 * uint64_t{world.size()} * 4,
               "no flood of returns: " + std::to_string(flaps));
  world.network().MendAll();
  world.ExpectAgreement(world.HealBound(), "linked again");
  world.Expect(world.counters().cut > 0, "datagrams were cut off");
}

}  // namespace

const std::vector<Scenario>& PartitionScenarios() {
  static const std::vector<Scenario> kScenarios = {
      {"split_2_3", "2|3 heals", 5, 4, Split2And3},
      {"split_1_4", "1|4 heals; the one buries nobody", 5, 3, Split1And4},
      {"split_1_1_1", "1|1|1 heals", 3, 2, SplitInThree},
      {"split_1_1", "1|1 heals", 2, 2, SplitInHalves},
      {"split_halves", "32|32 bury each other, heal, and bury nobody more", 64, 4, Halves},
      {"one_way_link", "a one-way link kills nobody", 6, 5, OneWayLink},
      {"one_way_node", "a deaf or mute node takes nobody with it", 8, 4, OneWayNode},
      {"flapping", "a flapping node takes nobody with it", 8, 5, Flapping},
      {"swizzle", "links stopped and restored in random order heal", 8, 3, SwizzleClog},
      {"star", "reachable only through a third is reachable", 3, 3, Star},
      {"half_connected", "a node with a single link makes no innocent dead", 12, 5, HalfConnected},
  };
  return kScenarios;
}

}  // namespace sotto::sim
