// A whole cluster in one thread: n cores, one virtual clock, one seeded network.
//
// Each address runs at most one process, which is a `sotto::Protocol` driven as a node drives it;
// the frame layer, the disk and the streams are modelled. Events happen in the total order (time,
// sequence), every choice comes from the seed, so a run is replayed by its scenario, seed and size.
// After each input of a process its invariants are checked; a violation stops the run.
// Threads: none. Members live in `Node`s named n0, n1, …, by their address.
#ifndef SOTTO_TESTS_SIM_WORLD_H_
#define SOTTO_TESTS_SIM_WORLD_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "gossip/options.h"
#include "gossip/protocol.h"
#include "gossip/rng.h"
#include "tests/sim/invariants.h"
#include "tests/sim/network.h"

namespace sotto::sim {

struct WorldOptions {
  std::string scenario = "none";
  uint64_t seed = 1;
  uint32_t nodes = 5;
  ProtocolOptions protocol = ProtocolOptions::Lan();
};

// What happened in a run: scenarios prove with it that they tested something.
struct WorldCounters {
  uint64_t events = 0, datagrams = 0, delivered = 0, bytes = 0;
  uint64_t lost = 0, cut = 0, duplicated = 0, refused = 0;
  uint64_t unknown_boot = 0, wrong_boot = 0, replayed = 0, replays_dropped = 0, queue_full = 0;
  uint64_t hellos = 0, stream_pings = 0;
  uint64_t syncs_equal = 0, syncs_merged = 0, syncs_failed = 0, syncs_busy = 0, syncs_self = 0;
  uint64_t suspected = 0, refuted = 0, left = 0, returned = 0, forgotten = 0, accused = 0;
  uint64_t conflicts = 0, pauses_noticed = 0, boots_persisted = 0;
  uint64_t events_told = 0, events_replayed = 0, event_syncs = 0, events_synced = 0;
  uint64_t true_deaths = 0;   // of a member that was not running
  uint64_t false_deaths = 0;  // of one that was, whatever the network did to it
};

// What a restarted process finds of its boot number.
enum class BootFile { kKept, kLost, kRolledBack };

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // ---- time -------------------------------------------------------------------------------------
  Instant now() const { return now_; }
  void RunFor(Duration span);
  // Runs until `done`, asked every 50 ms, holds; false if it does not within `limit`.
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  void After(Duration delay, std::function<void()> action);

  // ---- processes --------------------------------------------------------------------------------
  uint32_t size() const { return static_cast<uint32_t>(nodes_.size()); }
  // Starts a process with these contacts; by default the first three addresses.
  void Start(uint32_t node);
  void Start(uint32_t node, std::vector<uint32_t> contacts);
  void StartAll();
  void Crash(uint32_t node);
  void Restart(uint32_t node, BootFile file = BootFile::kKept);
  // Like SIGSTOP: datagrams queue up to a bound, the timer comes late.
  void Pause(uint32_t node);
  void Resume(uint32_t node);
  void Leave(uint32_t node);
  bool Forget(uint32_t at, const std::string& name);
  void SetTags(uint32_t node, std::vector<Tag> tags);
  void AddContact(uint32_t node, uint32_t contact);
  // False if it may not say that now.
  bool SendEvent(uint32_t node, const std::string& name, const std::string& payload = {});
  // The query's id, or nothing if it may not be asked now. What comes of it: see WatchSaid.
  std::optional<Hash256> Query(uint32_t node, const QueryRequest& request);
  bool Answer(uint32_t node, const Hash256& query, const std::string& payload);
  // The name under which this address starts; a duplicate is made with it.
  void Rename(uint32_t node, std::string name);
  void FailDisk(uint32_t node, bool fails);
  // The machine of this address refuses its datagrams, to all or to `to`; streams are not touched.
  void RefuseSends(uint32_t node, bool refuses);
  void RefuseSendsTo(uint32_t node, uint32_t to);
  // Percent of stream exchanges that this address answers with "busy".
  void SetBusy(uint32_t node, int percent);

  bool running(uint32_t node) const;
  bool paused(uint32_t node) const;
  bool has_left(uint32_t node) const;
  const Protocol& core(uint32_t node) const;
  const std::string& name(uint32_t node) const;
  BootId boot_id(uint32_t node) const;
  // On this address's own clock, which MemberInfo uses.
  Instant LocalNow(uint32_t node) const { return Local(At(node)); }
  std::optional<MemberState> StateAt(uint32_t observer, const std::string& member) const;

  // ---- hostile inputs ---------------------------------------------------------------------------
  // Signs whatever it is told to under this node's certificate, as only that member can.
  StatementRef SignAs(uint32_t node, const StatementDraft& draft);
  // A datagram made by hand, sealed as this node's process would, on its way through the network.
  void SendRaw(uint32_t from, uint32_t to, Packet packet);
  // Keeps the last datagrams, and sends `count` of them again.
  void RecordTraffic(size_t keep);
  void Replay(size_t count);
  // Calls timers late, and now and then early as well: the core must not care.
  void SetTimerNoise(Duration late_max) { timer_late_max_ = late_max; }

  // ---- what should be ---------------------------------------------------------------------------
  // From now on a living member's death, told anywhere, is a failure.
  void ForbidFalseDeaths(bool forbid) { forbid_false_deaths_ = forbid; }
  // The same for suspicions of the living.
  void ForbidSuspicions(bool forbid) { forbid_suspicions_ = forbid; }
  // Deaths of this name do not count as false: the faults of the scenario make it unreachable.
  void ExcuseDeathsOf(const std::string& name) { excused_.insert(name); }
  void ExcuseObserver(uint32_t node) { excused_observers_.insert(node); }
  // Every running, not paused process sees exactly the running, and all set hashes are equal.
  bool Agreed() const;
  std::string WhyNotAgreed() const;
  // Runs until Agreed(), or fails the run after `limit`.
  bool ExpectAgreement(Duration limit, const char* what);
  void Expect(bool holds, const std::string& what);
  void Fail(const std::string& invariant, const std::string& text,
            std::vector<uint32_t> concerned = {});
  // Bounds of completeness (L1) and of healing (L4) for this world's size and options.
  Duration DeathBound() const;
  Duration HealBound() const;

  // ---- results ----------------------------------------------------------------------------------
  bool failed() const { return failure_.has_value(); }
  // The violation, the line that replays it, and the last steps of the nodes concerned.
  std::string Report() const;
  WorldCounters& counters() { return counters_; }
  // A hash of everything that happened, in order.
  uint64_t digest() const { return digest_; }
  Network& network() { return network_; }
  Rng& rng() { return choices_; }
  const WorldOptions& options() const { return options_; }
  // Events told by processes, as they are told.
  void Watch(std::function<void(uint32_t node, const Event&)> watcher) {
    watcher_ = std::move(watcher);
  }
  // What members say, as it reaches the application of a node: DeliverUserEvent, DeliverQuery,
  // QueryReplied, QueryEnded. It is called after the input that caused it.
  void WatchSaid(std::function<void(uint32_t node, const Action&)> watcher) {
    said_watcher_ = std::move(watcher);
  }

 private:
  struct Node;
  struct Datagram;
  struct Exchange;
  struct Later {
    Instant at;
    uint64_t sequence;
    std::function<void()> action;
    bool operator<(const Later& other) const {
      return at != other.at ? at > other.at : sequence > other.sequence;
    }
  };

  Node& At(uint32_t node) { return *nodes_[node]; }
  const Node& At(uint32_t node) const { return *nodes_[node]; }
  Instant Local(const Node& node) const;
  void Boot(Node& node);
  // Hands an input to the process, carries out what it asks for, checks, and arms its timer.
  void Input(Node& node, const char* what, const std::function<void(Protocol&, Instant)>& input);
  void Drain(Node& node);
  void CarryOut(Node& node, Action& action);
  void Check(Node& node);
  void Arm(Node& node);
  void CallEarly(Node& node, Duration delay);
  void OnTimer(Node& node, uint64_t process, Instant at);
  void Sign(Node& node, const StatementDraft& draft);
  void Persist(Node& node, uint32_t boot_number);
  void Tell(Node& node, const Event& event);
  void TellSaid(Node& node, const Action& action);
  // Signs and hands over what the core has prepared; false if it has not.
  bool FinishSay(Node& node, const Say& say);
  void CountDeath(Node& node, const Event& event);

  void Transmit(Node& from, const SendPacket& send);
  void Post(std::shared_ptr<const Datagram> datagram);
  void Arrive(const std::shared_ptr<const Datagram>& datagram);
  void Open(Node& to, const Datagram& datagram);
  void NoteQuestions(Node& to, const Packet& packet);

  void Dial(Node& client, const StartSync& start);
  void Finish(const std::shared_ptr<Exchange>& exchange, SyncOutcome outcome, bool with_peer);
  // Continues the exchange after one or more one-way delays, if both ends and the path still stand.
  void Continue(const std::shared_ptr<Exchange>& exchange, int legs, std::function<void()> step);
  void Resumed(const std::shared_ptr<Exchange>& exchange, const std::function<void()>& step);
  void ServerGetsHash(const std::shared_ptr<Exchange>& exchange);
  void ClientGetsTable(const std::shared_ptr<Exchange>& exchange);
  void ServerGetsTable(const std::shared_ptr<Exchange>& exchange);
  void ClientGetsTombstones(const std::shared_ptr<Exchange>& exchange);
  void StreamPing(Node& client, const SendStreamPing& ping);
  void CompareEvents(const std::shared_ptr<Exchange>& exchange, SyncOutcome outcome,
                     uint64_t their_events, uint64_t their_clock);
  void ServerGetsEventIds(const std::shared_ptr<Exchange>& exchange, SyncOutcome outcome);
  void ClientGetsEvents(const std::shared_ptr<Exchange>& exchange, SyncOutcome outcome);
  bool PathStands(const Exchange& exchange) const;

  std::set<std::string> Living() const;
  Node* RunningByName(const std::string& name);
  std::optional<uint32_t> AddressOf(const Statement& alive) const;
  void Note(Node& node, const char* what, uint32_t peer, std::shared_ptr<const Packet> packet = {},
            std::string text = {});
  void Mix(uint64_t value);

  WorldOptions options_;
  Instant now_;
  uint64_t sequence_ = 0;
  uint64_t processes_ = 0;
  std::priority_queue<Later> queue_;
  Network network_;
  Invariants invariants_;
  Rng choices_, ids_, lateness_, streams_, replays_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::deque<std::shared_ptr<const Datagram>> recorded_;
  size_t record_max_ = 0;
  Duration timer_late_max_;
  bool forbid_false_deaths_ = false;
  bool forbid_suspicions_ = false;
  std::set<std::string> excused_;
  std::set<uint32_t> excused_observers_;
  std::function<void(uint32_t, const Event&)> watcher_;
  std::function<void(uint32_t, const Action&)> said_watcher_;
  struct Failure {
    std::string text;
    std::vector<uint32_t> nodes;
  };
  std::optional<Failure> failure_;
  WorldCounters counters_;
  uint64_t digest_ = 0x9e3779b97f4a7c15;
};

}  // namespace sotto::sim

#endif  // SOTTO_TESTS_SIM_WORLD_H_
