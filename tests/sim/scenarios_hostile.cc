// Scenarios of hostile inputs: replays, and a certified member that lies.
#include <limits>
#include <string>
#include <vector>

#include "tests/sim/scenarios.h"

namespace sotto::sim {
namespace {

bool StartAgreed(World& world) {
  world.StartAll();
  return world.ExpectAgreement(Duration::Seconds(15), "start");
}

// A certified member accuses everybody, again and again, of dying: nobody is evicted (M4).
void Accuser(World& world) {
  if (!StartAgreed(world)) return;
  const uint32_t liar = world.size() - 1;
  world.ForbidFalseDeaths(true);
  for (int round = 0; round < 600; ++round) {
    for (uint32_t victim = 0; victim < liar && !world.failed(); ++victim) {
      auto known = world.core(liar).Find(world.name(victim));
      if (!known) continue;
      Packet packet;
      for (StatementKind kind : {StatementKind::kSuspect, StatementKind::kDead}) {
        packet.statements.push_back(
            world.SignAs(liar, {kind, world.name(victim), known->incarnation, {}}));
      }
      for (uint32_t to = 0; to < liar; ++to) world.SendRaw(liar, to, packet);
    }
    world.RunFor(Duration::Millis(200));
  }
  world.Expect(world.counters().accused > 0, "the accused answered");
  world.Crash(liar);
  world.ExpectAgreement(2 * world.DeathBound(), "the liar is gone");
}

// The same with accusations of incarnations that do not exist, up to the highest number there is:
// they have no effect, ever, and raise nobody's own.
void FutureAccuser(World& world) {
  if (!StartAgreed(world)) return;
  const uint32_t liar = world.size() - 1;
  world.ForbidFalseDeaths(true);
  world.ForbidSuspicions(true);
  const std::vector<uint64_t> futures = {uint64_t{7} << 32, (uint64_t{1} << 63) + 1,
                                         std::numeric_limits<uint64_t>::max() - 1,
                                         std::numeric_limits<uint64_t>::max()};
  for (int round = 0; round < 50; ++round) {
    for (uint32_t victim = 0; victim < liar; ++victim) {
      for (uint64_t future : futures) {
        Packet packet;
        for (StatementKind kind :
             {StatementKind::kSuspect, StatementKind::kDead, StatementKind::kForget}) {
          packet.statements.push_back(
              world.SignAs(liar, {kind, world.name(victim), Incarnation(future), {}}));
        }
        for (uint32_t to = 0; to < liar; ++to) world.SendRaw(liar, to, packet);
      }
    }
    world.RunFor(Duration::Millis(500));
  }
  if (world.failed()) return;
  for (uint32_t i = 0; i < liar; ++i) {
    world.Expect(world.core(i).incarnation().boot_number() == 1,
                 "an accusation raises no boot number");
  }
  world.RunFor(Duration::Seconds(30));
  world.Expect(world.Agreed(), "agreed: " + world.WhyNotAgreed());
}

// Old datagrams are sent again, at once and after minutes: they change nothing and cause nothing.
void ReplayNemesis(World& world) {
  world.RecordTraffic(20'000);
  if (!StartAgreed(world)) return;
  const uint32_t restarted = world.size() - 1;
  world.ForbidFalseDeaths(true);
  world.Crash(restarted);
  world.RunFor(world.DeathBound());
  world.Restart(restarted);
  if (!world.ExpectAgreement(world.HealBound(), "restarted")) return;
  world.ForbidSuspicions(true);
  for (int round = 0; round < 120; ++round) {
    world.Replay(500);
    world.RunFor(Duration::Seconds(1));
  }
  world.Expect(world.Agreed(), "agreed: " + world.WhyNotAgreed());
  const WorldCounters& c = world.counters();
  world.Expect(c.replayed > 0 && c.replays_dropped > 0, "replays were dropped by the window");
  world.Expect(c.wrong_boot > 0, "replays to a former process were dropped by their tag");
}

// Statements of former lives come back out of old packets under a new frame: nothing is
// resurrected.
void StaleStatements(World& world) {
  if (!StartAgreed(world)) return;
  world.ForbidFalseDeaths(true);
  std::vector<StatementRef> old;
  for (uint32_t i = 0; i < world.size(); ++i) old.push_back(world.core(i).own_alive());
  const uint32_t ghost = world.size() - 1;
  const uint32_t teller = 0;
  world.Crash(ghost);
  world.RunFor(2 * world.DeathBound());
  for (uint32_t i = 0; i < ghost; ++i) {
    world.Expect(world.StateAt(i, world.name(ghost)) == MemberState::kDead, "dead everywhere");
  }
  uint64_t returned = world.counters().returned;
  for (int round = 0; round < 20; ++round) {
    for (uint32_t to = 1; to < ghost; ++to) world.SendRaw(teller, to, Packet{{}, old});
    world.RunFor(Duration::Seconds(1));
  }
  world.Expect(world.counters().returned == returned, "a stale Alive brings nobody back");
  world.Restart(ghost);
  world.ExpectAgreement(world.HealBound(), "the real one returns");
  world.Expect(world.counters().returned > returned, "by its own new word");
}

}  // namespace

const std::vector<Scenario>& HostileScenarios() {
  static const std::vector<Scenario> kScenarios = {
      {"accuser", "a certified member that accuses everybody evicts nobody", 8, 4, Accuser},
      {"future_accuser", "accusations of the future have no effect", 6, 4, FutureAccuser},
      {"replay", "old datagrams change nothing", 8, 4, ReplayNemesis},
      {"stale", "old statements bring nobody back", 8, 4, StaleStatements},
  };
  return kScenarios;
}

}  // namespace sotto::sim
