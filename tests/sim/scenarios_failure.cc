// Scenarios of processes that die, stop, restart and lose what they wrote, and of a lossy network.
#include <algorithm>
#include <string>
#include <vector>

#include "tests/sim/scenarios.h"

namespace sotto::sim {
namespace {

bool StartAgreed(World& world) {
  world.StartAll();
  return world.ExpectAgreement(Duration::Seconds(15), "start");
}

bool DeadEverywhere(const World& world, const std::string& name) {
  for (uint32_t i = 0; i < world.size(); ++i) {
    if (world.running(i) && world.StateAt(i, name) != MemberState::kDead) return false;
  }
  return true;
}

// `count` crash at once: each is dead at all the living within the bound, and nobody else is (L1,
// L2).
void CrashSome(World& world, uint32_t count) {
  if (!StartAgreed(world)) return;
  world.ForbidFalseDeaths(true);
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < world.size(); ++i) order.push_back(i);
  world.rng().Shuffle(std::span(order));
  for (uint32_t i = 0; i < count; ++i) world.Crash(order[i]);
  bool dead = world.RunUntil(
      [&] {
        for (uint32_t i = 0; i < count; ++i) {
          if (!DeadEverywhere(world, world.name(order[i]))) return false;
        }
        return true;
      },
      world.DeathBound());
  world.Expect(dead, "the crashed are dead everywhere: " + world.WhyNotAgreed());
  world.Expect(world.counters().true_deaths > 0, "deaths were told");
  world.ExpectAgreement(Duration::Seconds(10), "after the crash");
}

void CrashOne(World& world) { CrashSome(world, 1); }
void CrashMany(World& world) { CrashSome(world, std::max<uint32_t>(2, world.size() / 4)); }

// A survivor of two has nobody to ask and hears nobody any more. It cannot tell a dead peer from
// its own cut cable: it says that it is isolated, and takes the peer back when it is there again.
void CrashOfTwo(World& world) {
  if (!StartAgreed(world)) return;
  world.Crash(1);
  bool known = world.RunUntil(
      [&] {
        return world.core(0).standing().isolated ||
               world.StateAt(0, world.name(1)) == MemberState::kDead;
      },
      world.DeathBound());
  world.Expect(known, "the survivor says that it is alone");
  world.RunFor(Duration::Minutes(5));
  world.Restart(1);
  world.ExpectAgreement(world.HealBound(), "the other is back");
}

// A fifth of all datagrams is lost for ten minutes.
void Loss(World& world) {
  if (!StartAgreed(world)) return;
  world.ForbidFalseDeaths(true);
  LinkQuality lossy;
  lossy.loss_percent = 20;
  lossy.duplicate_percent = 5;
  lossy.delay_max = Duration::Millis(40);
  world.network().SetAll(lossy);
  world.RunFor(Duration::Minutes(10));
  world.network().SetAll(LinkQuality{});
  world.ExpectAgreement(world.HealBound(), "calm");
  world.Expect(world.counters().lost > 0, "datagrams were lost");
  world.Expect(world.counters().duplicated > 0 && world.counters().replays_dropped > 0,
               "datagrams came twice, and counted once");
}

// Loss, and a crash in it: still found, still nobody else.
void CrashDuringLoss(World& world) {
  if (!StartAgreed(world)) return;
  world.ForbidFalseDeaths(true);
  LinkQuality lossy;
  lossy.loss_percent = 20;
  world.network().SetAll(lossy);
  world.RunFor(Duration::Seconds(30));
  world.Crash(0);
  bool dead =
      world.RunUntil([&] { return DeadEverywhere(world, world.name(0)); }, 2 * world.DeathBound());
  world.Expect(dead, "the crashed is dead everywhere");
  world.Expect(world.counters().lost > 0, "datagrams were lost");
  world.network().SetAll(LinkQuality{});
  world.ExpectAgreement(world.HealBound(), "calm");
}

// The kernel of one machine refuses its datagrams; streams pass. It accuses nobody, says what is
// wrong, and finds a true death all the same (memberlist#242, serf#627).
void RefusedSends(World& world) {
  if (!StartAgreed(world)) return;
  world.ForbidFalseDeaths(true);
  world.ForbidSuspicions(true);
  world.RefuseSends(0, true);
  const bool said = world.RunUntil([&] { return world.core(0).standing().sends_refused > 0; },
                                   Duration::Seconds(10));
  world.Expect(said, "the node says that its sends are refused");
  world.RunFor(Duration::Minutes(2));
  world.Expect(world.counters().refused > 0, "sends were refused");
  world.ForbidSuspicions(false);
  world.Crash(1);
  const bool dead =
      world.RunUntil([&] { return DeadEverywhere(world, world.name(1)); }, world.DeathBound());
  world.Expect(dead, "the crashed is dead everywhere");
  world.RefuseSends(0, false);
  const bool over = world.RunUntil([&] { return world.core(0).standing().sends_refused == 0; },
                                   Duration::Minutes(2));
  world.Expect(over, "it is over");
  world.ExpectAgreement(world.HealBound(), "calm");
}

// A firewall takes all that one machine sends: datagrams are refused, and no stream comes about
// either way. It hears the others, until they have given it up. They bury it, and it buries nobody
// for as long as that lasts.
void RefusedAll(World& world) {
  if (!StartAgreed(world)) return;
  world.ForbidFalseDeaths(true);
  world.ExcuseDeathsOf(world.name(0));
  world.RefuseSends(0, true);
  for (uint32_t i = 1; i < world.size(); ++i) world.network().CutOneWay(0, i);
  const bool said =
      world.RunUntil([&] { return world.core(0).standing().isolated; }, Duration::Minutes(1));
  world.Expect(said, "the node says that it is isolated");
  world.RunFor(Duration::Minutes(3));
  world.Crash(1);
  world.RunFor(Duration::Minutes(2));
  for (uint32_t i = 2; i < world.size(); ++i) {
    for (const uint32_t gone : {0U, 1U}) {
      world.Expect(world.StateAt(i, world.name(gone)) == MemberState::kDead,
                   "the others know who is gone");
    }
    world.Expect(world.StateAt(0, world.name(i)) == MemberState::kAlive, "it doubts nobody");
  }
  world.Expect(world.counters().refused > 0, "sends were refused");
  world.RefuseSends(0, false);
  world.network().MendAll();
  world.ExpectAgreement(world.HealBound(), "let out again");
}

// … and for ever, at the survivor of two: it comes to an end all the same.
void RefusedForEver(World& world) {
  if (!StartAgreed(world)) return;
  world.RefuseSends(0, true);
  world.Crash(1);
  world.RunFor(Duration::Minutes(9));
  world.Expect(world.StateAt(0, world.name(1)) == MemberState::kAlive, "it blames itself");
  world.Expect(world.core(0).standing().isolated, "and says that it is isolated");
  const bool dead = world.RunUntil(
      [&] { return world.StateAt(0, world.name(1)) == MemberState::kDead; }, Duration::Minutes(3));
  world.Expect(dead, "the dead are not alive for ever");
}

// The route to one member is gone on all other machines, streams pass: it stays alive. Then it
// crashes, and although nobody's ping leaves its own machine it is not alive for ever.
void NoRouteToOne(World& world) {
  if (!StartAgreed(world)) return;
  world.ForbidFalseDeaths(true);
  world.ForbidSuspicions(true);
  for (uint32_t i = 1; i < world.size(); ++i) world.RefuseSendsTo(i, 0);
  world.RunFor(Duration::Minutes(2));
  world.Expect(world.counters().refused > 0, "sends were refused");
  world.ForbidSuspicions(false);
  world.Crash(0);
  const bool dead =
      world.RunUntil([&] { return DeadEverywhere(world, world.name(0)); }, 2 * world.DeathBound());
  world.Expect(dead, "the crashed is dead everywhere");
}

// All stop and start again at once; some have lost their boot number, some have an old copy of it
// (L5).
void MassRestart(World& world) {
  if (!StartAgreed(world)) return;
  // Several lives, so that rolling back matters.
  for (int life = 0; life < 3; ++life) {
    for (uint32_t i = 0; i < world.size(); ++i) {
      if (world.rng().Chance(1, 2)) world.Restart(i);
    }
    if (!world.ExpectAgreement(world.HealBound(), "a former life")) return;
  }
  for (int round = 0; round < 2; ++round) {
    uint32_t persisted = static_cast<uint32_t>(world.counters().boots_persisted);
    // In the first round one member stays up and remembers everybody; in the second none does.
    for (uint32_t i = round == 0 ? 1 : 0; i < world.size(); ++i) world.Crash(i);
    world.RunFor(round == 0 ? Duration::Seconds(40) : Duration::Seconds(1));
    for (uint32_t i = round == 0 ? 1 : 0; i < world.size(); ++i) {
      BootFile file = i % 3 == 0   ? BootFile::kKept
                      : i % 3 == 1 ? BootFile::kLost
                                   : BootFile::kRolledBack;
      world.Restart(i, file);
    }
    world.ForbidFalseDeaths(true);
    if (!world.ExpectAgreement(world.HealBound(), "mass restart")) return;
    world.Expect(round == 1 || world.counters().boots_persisted > persisted,
                 "lost boot numbers were raised above what the others remember");
    world.RunFor(Duration::Seconds(60));
    world.Expect(world.Agreed(), "still agreed: " + world.WhyNotAgreed());
    world.ForbidFalseDeaths(false);
  }
}

// Restarts one after the other, faster than anybody is declared dead: nobody notices more than
// updates.
void RollingRestart(World& world) {
  if (!StartAgreed(world)) return;
  world.ForbidFalseDeaths(true);
  for (uint32_t i = 0; i < world.size(); ++i) {
    world.Crash(i);
    world.RunFor(Duration::Seconds(2));
    world.Restart(i);
    world.RunFor(Duration::Seconds(5));
  }
  world.ExpectAgreement(world.HealBound(), "rolling restart");
  world.Expect(world.counters().true_deaths == 0, "nobody died of a quick restart");
}

// One process stands still for 20 s: it may be declared dead, but takes nobody with it (M7).
void PauseOne(World& world) {
  if (!StartAgreed(world)) return;
  const uint32_t node = world.size() - 1;
  world.ExcuseDeathsOf(world.name(node));
  world.ForbidFalseDeaths(true);
  for (int round = 0; round < 3; ++round) {
    world.Pause(node);
    world.RunFor(Duration::Seconds(20));
    world.Resume(node);
    if (!world.ExpectAgreement(world.HealBound(), "running again")) return;
  }
  world.Expect(world.counters().pauses_noticed > 0, "the process noticed");
}

// Most processes stand still for 20 s; those that ran may bury them, the woken bury nobody.
void PauseMost(World& world) {
  if (!StartAgreed(world)) return;
  const uint32_t awake = std::max<uint32_t>(1, world.size() / 4);
  for (uint32_t i = awake; i < world.size(); ++i) world.Pause(i);
  world.RunFor(Duration::Seconds(20));
  for (uint32_t i = 0; i < awake; ++i) {
    for (uint32_t j = 0; j < awake; ++j) {
      world.Expect(i == j || world.StateAt(i, world.name(j)) != MemberState::kDead,
                   "those who ran do not bury one another");
    }
  }
  for (uint32_t i = awake; i < world.size(); ++i) world.Resume(i);
  // Suspicions of the sleepers that are under way may still end; the woken ones accuse nobody.
  for (uint32_t i = 0; i < awake; ++i) world.ExcuseObserver(i);
  world.ForbidFalseDeaths(true);
  world.ExpectAgreement(world.HealBound(), "running again");
  world.Expect(world.counters().pauses_noticed > 0, "the processes noticed");
}

LinkQuality RandomQuality(Rng& rng) {
  LinkQuality quality;
  quality.loss_percent = static_cast<int>(rng.Below(50));
  quality.duplicate_percent = static_cast<int>(rng.Below(20));
  quality.delay_max = rng.Between(Duration::Millis(1), Duration::Millis(200));
  return quality;
}

BootFile RandomFile(Rng& rng) {
  static constexpr BootFile kFiles[] = {BootFile::kKept, BootFile::kKept, BootFile::kLost,
                                        BootFile::kRolledBack};
  return kFiles[rng.Below(4)];
}

// One act of a random nemesis.
void RandomAct(World& world) {
  Rng& rng = world.rng();
  const uint32_t n = world.size();
  const uint32_t a = static_cast<uint32_t>(rng.Below(n));
  const uint32_t b = static_cast<uint32_t>(rng.Below(n));
  switch (rng.Below(14)) {
    case 0:
      if (world.running(a)) world.Crash(a);
      break;
    case 1:
      if (!world.running(a) || !world.paused(a)) world.Restart(a, RandomFile(rng));
      break;
    case 2:
      world.Pause(a);
      break;
    case 3:
      world.Resume(a);
      break;
    case 4:
      if (a != b) world.network().CutOneWay(a, b);
      break;
    case 5:
      if (a != b) world.network().CutBoth(a, b);
      break;
    case 6:
      world.network().Isolate(a);
      break;
    case 7:
      world.network().MendAll();
      break;
    case 8:
      world.network().SetAll(RandomQuality(rng));
      break;
    case 9:
      if (a != b) world.network().Set(a, b, RandomQuality(rng));
      break;
    case 10: {
      std::vector<std::vector<uint32_t>> groups(2);
      for (uint32_t i = 0; i < n; ++i) groups[rng.Below(2)].push_back(i);
      world.network().Split(groups);
      break;
    }
    case 11:
      if (world.running(a) && !world.has_left(a)) {
        world.SetTags(a, {{"k", std::to_string(rng.Below(100))}});
      }
      break;
    case 12:
      if (world.running(a)) world.Leave(a);
      break;
    default:
      world.SetBusy(a, static_cast<int>(rng.Below(80)));
      world.Replay(rng.Below(200));
  }
}

void Calm(World& world) {
  world.network().MendAll();
  world.network().SetAll(LinkQuality{});
  for (uint32_t i = 0; i < world.size(); ++i) {
    world.SetBusy(i, 0);
    world.Resume(i);
    if (!world.running(i) || world.has_left(i) || world.core(i).standing().leaving) {
      world.Restart(i, RandomFile(world.rng()));
    }
  }
}

// Everything at once, with calm phases in which all must agree.
void Chaos(World& world) {
  world.SetTimerNoise(Duration::Millis(3));
  world.RecordTraffic(2000);
  world.StartAll();
  for (int phase = 0; phase < 4; ++phase) {
    for (int act = 0; act < 40; ++act) {
      RandomAct(world);
      world.RunFor(world.rng().Between(Duration(), Duration::Seconds(4)));
      if (world.failed()) return;
    }
    Calm(world);
    // Suspicions begun in the storm may end in the first seconds of the calm.
    if (!world.ExpectAgreement(world.DeathBound() + world.HealBound(), "calm")) return;
    world.ForbidFalseDeaths(true);
    world.RunFor(Duration::Seconds(60));
    world.Expect(world.Agreed(), "the calm lasts: " + world.WhyNotAgreed());
    world.ForbidFalseDeaths(false);
  }
  const WorldCounters& c = world.counters();
  world.Expect(c.lost > 0 && c.cut > 0 && c.duplicated > 0, "the network misbehaved");
  world.Expect(c.suspected > 0 && c.refuted > 0 && c.returned > 0, "it was felt");
  world.Expect(c.true_deaths + c.false_deaths > 0, "somebody was declared dead");
  world.Expect(c.replayed > 0 && c.replays_dropped > 0 && c.wrong_boot > 0, "frames were replayed");
}

}  // namespace

const std::vector<Scenario>& FailureScenarios() {
  static const std::vector<Scenario> kScenarios = {
      {"crash", "a crash is known everywhere within the bound", 32, 3, CrashOne},
      {"crash_many", "many crashes are known everywhere within the bound", 32, 6, CrashMany},
      {"crash_of_two", "the survivor of two knows that it is alone", 2, 2, CrashOfTwo},
      {"loss", "a fifth of all datagrams lost kills nobody", 16, 5, Loss},
      {"crash_during_loss", "a crash is found during loss", 16, 5, CrashDuringLoss},
      {"refused_sends", "a machine that refuses sends: nobody accused, the dead still found", 8, 4,
       RefusedSends},
      {"refused_all", "a machine that lets out nothing buries nobody", 6, 5, RefusedAll},
      {"refused_for_ever", "the survivor of two, let out never again, comes to an end", 2, 2,
       RefusedForEver},
      {"no_route_to_one", "a member that datagrams cannot reach is not alive for ever", 8, 5,
       NoRouteToOne},
      {"mass_restart", "all restart at once, boot numbers lost and rolled back", 24, 3,
       MassRestart},
      {"rolling_restart", "quick restarts one by one go unnoticed", 12, 3, RollingRestart},
      {"pause_one", "a stopped process takes nobody with it", 8, 4, PauseOne},
      {"pause_most", "most processes stopped: the woken bury nobody", 12, 4, PauseMost},
      {"chaos", "everything at once; in the calm all agree", 10, 3, Chaos},
  };
  return kScenarios;
}

}  // namespace sotto::sim
