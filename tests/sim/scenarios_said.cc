// Scenarios of user events and queries: each heard once by everybody, whatever the network does.
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/scenarios.h"

namespace sotto::sim {
namespace {

bool StartAgreed(World& world) {
  world.StartAll();
  return world.ExpectAgreement(Duration::Seconds(15), "start");
}

void SetLoss(World& world, int percent) {
  LinkQuality quality;
  quality.loss_percent = percent;
  world.network().SetAll(quality);
}

// How often each process has been told of each event, by its name.
class EventLog {
 public:
  explicit EventLog(World& world) : world_(world), heard_(world.size()) {
    world.WatchSaid([this](uint32_t node, const Action& action) {
      const auto* said = std::get_if<DeliverUserEvent>(&action);
      if (said == nullptr) return;
      ++heard_[node][said->event.name];
      if (said->event.replayed) replayed_[node].insert(said->event.name);
    });
  }
  ~EventLog() { world_.WatchSaid(nullptr); }
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  bool EverybodyHeard(const std::vector<std::string>& names) const {
    for (uint32_t i = 0; i < world_.size(); ++i) {
      if (!world_.running(i)) continue;
      for (const std::string& name : names) {
        if (Times(i, name) == 0) return false;
      }
    }
    return true;
  }
  int Times(uint32_t node, const std::string& name) const {
    const auto it = heard_[node].find(name);
    return it == heard_[node].end() ? 0 : it->second;
  }
  bool WasReplayed(uint32_t node, const std::string& name) {
    return replayed_[node].contains(name);
  }
  void Forget(uint32_t node) {
    heard_[node].clear();
    replayed_[node].clear();
  }
  // Everybody, within the time, and nobody twice.
  void Expect(const std::vector<std::string>& names, Duration within) {
    world_.RunUntil([&] { return EverybodyHeard(names); }, within);
    world_.RunFor(Duration::Seconds(20));
    for (uint32_t i = 0; i < world_.size() && !world_.failed(); ++i) {
      if (!world_.running(i)) continue;
      for (const std::string& name : names) {
        world_.Expect(Times(i, name) == 1, world_.name(i) + " was told " + name + " " +
                                               std::to_string(Times(i, name)) + " times");
      }
    }
  }

 private:
  World& world_;
  std::vector<std::map<std::string, int>> heard_;
  std::map<uint32_t, std::set<std::string>> replayed_;
};

std::vector<std::string> SayMany(World& world, int count, const std::string& prefix,
                                 uint32_t first = 0, uint32_t step = 1) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    const uint32_t node = (first + static_cast<uint32_t>(i) * step) % world.size();
    names.push_back(prefix + std::to_string(i));
    world.Expect(world.SendEvent(node, names.back()), "an event within the rate can be said");
    world.RunFor(Duration::Millis(100));
  }
  return names;
}

// Gossip alone does it.
void EventsReachAll(World& world) {
  if (!StartAgreed(world)) return;
  world.RunFor(Duration::Seconds(20));  // the joiners' second syncs
  EventLog log(world);
  const uint64_t before = world.counters().event_syncs;
  log.Expect(SayMany(world, 20, "quiet"), Duration::Seconds(5));
  const uint64_t syncs = world.counters().event_syncs - before;
  world.Expect(syncs == 0, std::to_string(syncs) + " syncs for events that gossip delivers");
}

void EventsUnderLoss(World& world) {
  if (!StartAgreed(world)) return;
  SetLoss(world, 30);
  EventLog log(world);
  log.Expect(SayMany(world, 30, "lossy"), Duration::Seconds(60));
}

// Both sides say things; healed, everybody hears all of it, once.
void EventsAcrossPartition(World& world) {
  if (!StartAgreed(world)) return;
  EventLog log(world);
  std::vector<uint32_t> side;
  std::vector<uint32_t> other;
  for (uint32_t i = 0; i < world.size(); ++i) (i < world.size() / 2 ? side : other).push_back(i);
  world.network().Split({side, other});
  world.RunFor(world.DeathBound());
  std::vector<std::string> names;
  for (uint32_t i = 0; i < world.size(); ++i) {
    names.push_back("side" + std::to_string(i));
    world.SendEvent(i, names.back());
    world.RunFor(Duration::Millis(50));
  }
  // Longer than digests are shown: only the heal itself can tell.
  world.RunFor(Duration::Minutes(6));
  world.network().MendAll();
  world.ExpectAgreement(world.HealBound(), "healed");
  log.Expect(names, Duration::Seconds(60));
  world.Expect(world.counters().events_synced > 0, "a sync has told what was missed");
}

// Every datagram that might carry the event is lost; nobody waits for the routine sync.
void EventLostByAll(World& world) {
  if (!StartAgreed(world)) return;
  EventLog log(world);
  world.RunFor(Duration::Seconds(20));
  SetLoss(world, 100);
  world.SendEvent(0, "lost");
  // A few ticks: all its transmissions are spent, and nobody has time to feel isolated.
  world.RunFor(Duration::Millis(700));
  SetLoss(world, 0);
  log.Expect({"lost"}, Duration::Seconds(60));
}

// One member is cut off for a second, too short a time for anybody to notice; by then the others
// have told each other all they had to tell.
void EventsDuringACut(World& world) {
  if (!StartAgreed(world)) return;
  EventLog log(world);
  world.RunFor(Duration::Seconds(20));
  world.network().Isolate(world.size() - 1);
  const std::vector<std::string> names = SayMany(world, 3, "cut", 0, 0);
  world.RunFor(Duration::Millis(700));
  world.network().MendAll();
  log.Expect(names, Duration::Seconds(60));
}

void EventsWhilePaused(World& world) {
  if (!StartAgreed(world)) return;
  EventLog log(world);
  const uint32_t last = world.size() - 1;
  world.Pause(last);
  // More than its socket's queue holds.
  const std::vector<std::string> names = SayMany(world, 40, "paused", 0, 1);
  world.RunFor(Duration::Seconds(5));
  world.Resume(last);
  world.ExpectAgreement(world.HealBound(), "resumed");
  log.Expect(names, Duration::Seconds(60));
}

// A process that starts anew is told what was said before as history, and news as news.
void EventsAndRestart(World& world) {
  if (!StartAgreed(world)) return;
  EventLog log(world);
  const std::vector<std::string> before = SayMany(world, 10, "before");
  log.Expect(before, Duration::Seconds(10));
  const uint32_t last = world.size() - 1;
  world.Crash(last);
  log.Forget(last);
  world.Restart(last);
  world.ExpectAgreement(world.HealBound(), "restarted");
  log.Expect(before, Duration::Seconds(60));
  world.SendEvent(0, "after");
  log.Expect({"after"}, Duration::Seconds(60));
  for (const std::string& name : before) {
    world.Expect(log.WasReplayed(last, name), name + " is history to a process started later");
  }
  world.Expect(!log.WasReplayed(last, "after"), "what is said later is news");
}

// A certified member that says what is not its to say: times at the end of the clock, and a flood.
void EventStorm(World& world) {
  if (!StartAgreed(world)) return;
  EventLog log(world);
  const uint32_t liar = world.size() - 1;
  const auto incarnation = world.core(liar).incarnation();
  for (uint64_t i = 0; i < 2'000; ++i) {
    const uint64_t lamport = i % 4 == 0 ? kLamportEnd - 1 - i : i + 1;
    const auto said =
        std::make_shared<const Said>(SaidEvent{"flood" + std::to_string(i), "", lamport, true});
    const StatementRef event = world.SignAs(
        liar, {StatementKind::kUserEvent, world.name(liar), incarnation, {}, {}, said});
    for (uint32_t to = 0; to < liar; ++to) world.SendRaw(liar, to, {{}, {event}});
    world.RunFor(Duration::Millis(5));
  }
  world.RunFor(Duration::Seconds(10));
  for (uint32_t i = 0; i < liar; ++i) {
    const ProtocolCounters& counters = world.core(i).counters();
    world.Expect(counters.events_ahead > 0, "times far ahead are refused");
    world.Expect(counters.events_rate_limited > 0, "the flood is refused");
    // 64 at once and 16 a second for some 20 s.
    world.Expect(counters.events_delivered <= 64 + 16 * 25, "the flood is bounded");
    world.Expect(world.core(i).event_clock() < kLamportEnd / 2, "the clock stays sound");
  }
  log.Expect(SayMany(world, 5, "honest", 0, 0), Duration::Seconds(30));
}

// What each query came to.
class QueryLog {
 public:
  QueryLog(World& world, bool answers) : world_(world) {
    world.WatchSaid([this, answers](uint32_t node, const Action& action) {
      if (const auto* asked = std::get_if<DeliverQuery>(&action)) {
        ++asked_[node];
        if (answers) world_.Answer(node, asked->query.id, "I am " + world_.name(node));
      } else if (const auto* reply = std::get_if<QueryReplied>(&action)) {
        if (!reply->reply.is_ack) answers_[reply->reply.from] = reply->reply.payload;
      } else if (const auto* ended = std::get_if<QueryEnded>(&action)) {
        ended_ = ended->summary;
        ended_at_ = world_.now();
      }
    });
  }
  ~QueryLog() { world_.WatchSaid(nullptr); }
  QueryLog(const QueryLog&) = delete;
  QueryLog& operator=(const QueryLog&) = delete;

  std::map<uint32_t, int> asked_;
  std::map<std::string, std::string> answers_;
  std::optional<QuerySummary> ended_;
  Instant ended_at_;

 private:
  World& world_;
};

QueryRequest Ask(std::string name, Duration timeout, int relays = 0) {
  QueryRequest request;
  request.name = std::move(name);
  request.timeout = timeout;
  request.relays = relays;
  return request;
}

void QueryAnswered(World& world) {
  if (!StartAgreed(world)) return;
  QueryLog log(world, true);
  const Instant asked_at = world.now();
  world.Expect(world.Query(0, Ask("who", Duration::Seconds(30))).has_value(), "asked");
  world.RunUntil([&] { return log.ended_.has_value(); }, Duration::Seconds(40));
  world.Expect(log.ended_ && log.ended_->answered == world.size() && !log.ended_->timed_out,
               "all answered");
  world.Expect(log.ended_at_ - asked_at < Duration::Seconds(5), "it ends when all have answered");
  for (uint32_t i = 0; i < world.size() && !world.failed(); ++i) {
    world.Expect(log.asked_[i] == 1, world.name(i) + " was asked once");
    world.Expect(log.answers_[world.name(i)] == "I am " + world.name(i), "its own answer");
  }
}

// serf sends each answer once; ours come through all the same.
void QueryUnderLoss(World& world) {
  if (!StartAgreed(world)) return;
  SetLoss(world, 30);
  QueryLog log(world, true);
  world.Query(1, Ask("who", Duration::Seconds(60)));
  world.RunUntil([&] { return log.ended_.has_value(); }, Duration::Seconds(70));
  world.Expect(log.ended_ && log.ended_->answered == world.size(), "all answered");
  for (uint32_t i = 0; i < world.size() && !world.failed(); ++i) {
    world.Expect(log.asked_[i] == 1, world.name(i) + " was asked once");
  }
}

// Two members can't reach each other; through relays the answer comes.
void QueryThroughRelays(World& world) {
  if (!StartAgreed(world)) return;
  const uint32_t last = world.size() - 1;
  world.network().CutBoth(last, 0);
  QueryLog log(world, true);
  world.Query(0, Ask("who", Duration::Seconds(20), 3));
  world.RunUntil([&] { return log.ended_.has_value(); }, Duration::Seconds(30));
  world.Expect(log.ended_ && log.ended_->answered == world.size(), "all answered");
  world.Expect(log.answers_.contains(world.name(last)), "the answer came through others");
}

// One that does not answer is named.
void QueryWithSilent(World& world) {
  if (!StartAgreed(world)) return;
  const uint32_t last = world.size() - 1;
  world.Pause(last);
  QueryLog log(world, true);
  world.Query(0, Ask("who", Duration::Seconds(2)));
  world.RunUntil([&] { return log.ended_.has_value(); }, Duration::Seconds(5));
  world.Expect(log.ended_ && log.ended_->timed_out, "the time is over");
  world.Expect(log.ended_ && log.ended_->silent == std::vector<std::string>{world.name(last)},
               "the silent one is named");
  world.Resume(last);
  world.ExpectAgreement(world.HealBound(), "resumed");
}

}  // namespace

const std::vector<Scenario>& SaidScenarios() {
  static const std::vector<Scenario> kAll = {
      {"events_reach_all", "each event is told once to everybody", 16, 3, EventsReachAll},
      {"events_loss_30", "the same at 30 % loss", 16, 3, EventsUnderLoss},
      {"events_partition", "events of both sides reach everybody once", 12, 4,
       EventsAcrossPartition},
      {"events_lost_by_all", "an event whose every copy was lost is found soon", 8, 3,
       EventLostByAll},
      {"events_cut", "a member cut off for a second is told what it missed", 8, 3,
       EventsDuringACut},
      {"events_paused", "a paused process is told what it missed", 8, 3, EventsWhilePaused},
      {"events_restart", "a restarted process is told history as such", 8, 3, EventsAndRestart},
      {"events_storm", "a flood and false times of a member harm nobody", 6, 3, EventStorm},
      {"query_answered", "a query ends when all have answered", 16, 3, QueryAnswered},
      {"query_loss_30", "answers come through at 30 % loss", 12, 3, QueryUnderLoss},
      {"query_relays", "an answer comes through others where the path is cut", 6, 5,
       QueryThroughRelays},
      {"query_silent", "who did not answer is named", 6, 3, QueryWithSilent},
  };
  return kAll;
}

}  // namespace sotto::sim
