// Scenarios of joining, leaving, names and forgetting: what happens when the network is kind.
#include <set>
#include <string>
#include <vector>

#include "tests/sim/scenarios.h"

namespace sotto::sim {
namespace {

constexpr Duration kJoinBound = Duration::Seconds(15);

// Started together, at rest: all agree soon, and for ten minutes nobody is suspected (S9).
void Quiet(World& world) {
  world.ForbidFalseDeaths(true);
  world.ForbidSuspicions(true);
  world.StartAll();
  if (!world.ExpectAgreement(kJoinBound, "start")) return;
  uint64_t signed_before = world.counters().boots_persisted;
  world.RunFor(Duration::Minutes(10));
  world.Expect(world.Agreed(), "still agreed after ten minutes: " + world.WhyNotAgreed());
  world.Expect(world.counters().boots_persisted == signed_before, "boot numbers stay at rest");
  world.Expect(world.counters().true_deaths == 0, "nobody died");
  world.Expect(world.counters().unknown_boot * 50 < world.counters().datagrams + 50,
               "hellos make strangers known");
}

// Everybody joins through one contact at the same instant.
void JoinAtOnce(World& world) {
  world.ForbidFalseDeaths(true);
  world.Start(0, {});
  world.RunFor(Duration::Seconds(2));
  for (uint32_t i = 1; i < world.size(); ++i) world.Start(i, {0});
  world.ExpectAgreement(kJoinBound, "join at once");
  world.RunFor(Duration::Seconds(60));
  world.Expect(world.Agreed(), "still agreed: " + world.WhyNotAgreed());
}

// All start at the same instant with one contact, which is one of them: its first answers come from
// a table that is as empty as theirs.
void OneContactForAll(World& world) {
  world.ForbidFalseDeaths(true);
  for (uint32_t i = 0; i < world.size(); ++i) world.Start(i, {0});
  world.ExpectAgreement(Duration::Seconds(5), "one contact for all");
}

// A contact that is down when all start; it comes a minute later.
void ContactComesLate(World& world) {
  world.ForbidFalseDeaths(true);
  for (uint32_t i = 1; i < world.size(); ++i) world.Start(i, {0});
  world.RunFor(Duration::Minutes(2));
  world.Start(0, {0});
  world.ExpectAgreement(world.HealBound(), "late contact");
}

// Busy contacts, a start one after the other, tags that change all the while.
void BusyContacts(World& world) {
  world.ForbidFalseDeaths(true);
  for (uint32_t i = 0; i < world.size(); ++i) world.SetBusy(i, 60);
  for (uint32_t i = 0; i < world.size(); ++i) {
    world.Start(i);
    world.RunFor(Duration::Millis(300));
  }
  for (int round = 0; round < 10; ++round) {
    for (uint32_t i = 0; i < world.size(); ++i) {
      world.SetTags(i, {{"round", std::to_string(round)}});
    }
    world.RunFor(Duration::Seconds(1));
  }
  if (!world.ExpectAgreement(world.HealBound(), "busy contacts")) return;
  for (uint32_t i = 0; i < world.size(); ++i) {
    for (const MemberInfo& member : world.core(i).Members()) {
      world.Expect(member.claims->tags == std::vector<Tag>{{"round", "9"}},
                   world.name(i) + " holds old tags of " + member.name);
    }
  }
  world.Expect(world.counters().syncs_busy > 0, "somebody was busy");
}

// Leaves during loss never turn into failures (L6).
void LeaveDuringLoss(World& world) {
  world.StartAll();
  if (!world.ExpectAgreement(kJoinBound, "start")) return;
  LinkQuality lossy;
  lossy.loss_percent = 20;
  world.network().SetAll(lossy);
  std::set<std::string> leavers;
  const uint32_t leaving = std::max<uint32_t>(1, world.size() / 4);
  for (uint32_t i = 0; i < leaving; ++i) leavers.insert(world.name(world.size() - 1 - i));
  world.Watch([&](uint32_t node, const Event& event) {
    if (event.kind == EventKind::kDied && leavers.contains(event.member)) {
      world.Fail("L6", world.name(node) + " calls " + event.member + " dead, which left", {node});
    }
  });
  for (uint32_t i = 0; i < leaving; ++i) {
    uint32_t node = world.size() - 1 - i;
    world.Leave(node);
    bool finished = world.RunUntil([&] { return world.has_left(node); }, Duration::Seconds(20));
    world.Expect(finished, "the leave of " + world.name(node) + " ends");
    if (world.failed()) return;
    world.Crash(node);
    world.RunFor(Duration::Seconds(2));
  }
  world.RunFor(Duration::Seconds(60));
  for (uint32_t i = 0; i + leaving < world.size(); ++i) {
    for (const std::string& name : leavers) {
      world.Expect(world.StateAt(i, name) == MemberState::kLeft,
                   world.name(i) + " shows " + name + " as left");
    }
  }
  world.Expect(world.counters().lost > 0, "datagrams were lost");
  world.Expect(world.counters().left >= leaving, "leaves were told");
  world.network().SetAll(LinkQuality{});
  world.ExpectAgreement(world.HealBound(), "calm");
  world.Watch(nullptr);
}

// Those who left come back, and are taken back at once.
void LeaveAndReturn(World& world) {
  world.ForbidFalseDeaths(true);
  world.StartAll();
  if (!world.ExpectAgreement(kJoinBound, "start")) return;
  for (int round = 0; round < 3; ++round) {
    uint32_t node = static_cast<uint32_t>(world.rng().Below(world.size()));
    world.Leave(node);
    world.RunUntil([&] { return world.has_left(node); }, Duration::Seconds(20));
    world.Crash(node);
    if (!world.ExpectAgreement(Duration::Seconds(20), "left")) return;
    // The third time its boot number is lost: it must outrank its own Leave all the same.
    world.Restart(node, round == 2 ? BootFile::kLost : BootFile::kKept);
    if (!world.ExpectAgreement(Duration::Seconds(20), "returned")) return;
  }
  world.Expect(world.counters().returned > 0, "somebody returned");
}

// A second process under the name of a living member: it stays silent, the real one is untouched
// (M9).
void DuplicateName(World& world) {
  world.ForbidFalseDeaths(true);
  world.ForbidSuspicions(true);
  const uint32_t twin = world.size() - 1;
  for (uint32_t i = 0; i < twin; ++i) world.Start(i);
  if (!world.ExpectAgreement(kJoinBound, "start")) return;
  const uint32_t real = 1;
  const BootId boot = world.boot_id(real);
  const Incarnation before = world.core(real).incarnation();
  world.Rename(twin, world.name(real));
  world.Start(twin, {0});
  world.RunFor(Duration::Seconds(60));
  if (world.failed()) return;
  world.Expect(world.core(twin).standing().name_conflict, "the duplicate sees the conflict");
  world.Expect(!world.core(real).standing().name_conflict, "the real one is not silenced");
  world.Expect(world.core(real).incarnation() == before, "nor has it anything to answer");
  for (uint32_t i = 0; i < twin; ++i) {
    auto info = world.core(i).Find(world.name(real));
    world.Expect(info && info->claims->boot_id == boot,
                 world.name(i) + " still holds the real process");
  }
  world.Expect(world.counters().conflicts > 0, "the conflict was told");
  world.Crash(twin);
  world.RunFor(Duration::Seconds(30));
  world.Expect(world.Agreed(), "agreed: " + world.WhyNotAgreed());
}

// An operator forgets a crashed member: hidden everywhere at once; it may come back (M10). A living
// one that is forgotten returns by itself.
void ForgetMembers(World& world) {
  world.StartAll();
  if (!world.ExpectAgreement(kJoinBound, "start")) return;
  const uint32_t victim = world.size() - 1;
  world.Crash(victim);
  world.RunFor(Duration::Seconds(3));
  world.Expect(world.Forget(0, world.name(victim)), "the name is known");
  bool hidden = world.RunUntil(
      [&] {
        for (uint32_t i = 0; i < victim; ++i) {
          if (world.StateAt(i, world.name(victim)) == MemberState::kAlive) return false;
          for (const MemberInfo& member : world.core(i).Members()) {
            if (member.name == world.name(victim) && member.state == MemberState::kForgotten) {
              return false;
            }
          }
        }
        return true;
      },
      world.DeathBound());
  world.Expect(hidden, "forgotten everywhere");
  world.Restart(victim);
  if (!world.ExpectAgreement(world.HealBound(), "returned after it was forgotten")) return;
  world.ForbidFalseDeaths(true);
  world.Expect(world.Forget(0, world.name(1)), "a living member can be named");
  world.Expect(!world.Forget(0, world.name(0)), "oneself can not");
  world.Expect(!world.Forget(0, "stranger"), "nor a stranger");
  world.ExpectAgreement(world.HealBound(), "a living member that was forgotten");
  world.Expect(world.counters().forgotten > 0, "somebody was forgotten");
}

// The file of the boot number cannot be written: the node says so and does not announce a number
// that could be forgotten; the others are not disturbed.
void DiskFails(World& world) {
  world.ForbidFalseDeaths(true);
  world.StartAll();
  if (!world.ExpectAgreement(kJoinBound, "start")) return;
  const uint32_t node = world.size() - 1;
  world.Restart(node);
  world.RunFor(Duration::Seconds(5));
  world.FailDisk(node, true);
  world.Restart(node, BootFile::kLost);
  world.RunFor(Duration::Seconds(20));
  if (world.failed()) return;
  for (uint32_t i = 0; i < node; ++i) {
    world.Expect(world.core(i).FindBoot(world.boot_id(node)) == nullptr,
                 world.name(i) + " has not heard of a process that could not persist its number");
  }
  world.FailDisk(node, false);
  world.Restart(node, BootFile::kLost);
  world.ExpectAgreement(world.HealBound(), "the disk is well again");
}

}  // namespace

const std::vector<Scenario>& MembershipScenarios() {
  static const std::vector<Scenario> kScenarios = {
      {"quiet", "without faults nobody is ever suspected", 16, 1, Quiet},
      {"join", "64 join one contact at once, and nobody dies of it", 64, 2, JoinAtOnce},
      {"pair", "two that start at once with one contact meet at once", 2, 2, OneContactForAll},
      {"trio", "three that start at once with one contact meet at once", 3, 2, OneContactForAll},
      {"late_contact", "contacts are retried for ever", 8, 2, ContactComesLate},
      {"busy", "busy contacts delay, they do not lose anything", 8, 2, BusyContacts},
      {"leave", "a leave during loss never becomes a failure", 16, 4, LeaveDuringLoss},
      {"return", "who left may come back at once", 8, 3, LeaveAndReturn},
      {"duplicate", "a duplicate name does not silence the real one", 6, 4, DuplicateName},
      {"forget", "a forgotten name is hidden at once, and may return", 6, 4, ForgetMembers},
      {"disk", "no boot number is announced that could be forgotten", 5, 3, DiskFails},
  };
  return kScenarios;
}

}  // namespace sotto::sim
