#include "tests/sim/world.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "tests/sim/world_internal.h"
#include "tests/support/fake_signer.h"

namespace sotto::sim {
namespace {

constexpr size_t kTraceKept = 60;
constexpr int kSpinsMax = 100;
constexpr uint64_t kEarlyTimers = 8;  // one timer in so many also fires early
constexpr Duration kPollEvery = Duration::Millis(50);

}  // namespace

World::World(const WorldOptions& options)
    : options_(options),
      now_(Instant::FromNanos(0)),
      network_(options.nodes, options.seed * 0x9e3779b97f4a7c15 + 1),
      invariants_(options.protocol),
      choices_(options.seed ^ 0x63686f69636573),
      ids_(options.seed ^ 0x696473),
      lateness_(options.seed ^ 0x6c617465),
      streams_(options.seed ^ 0x73747265616d),
      replays_(options.seed ^ 0x7265706c6179) {
  for (uint32_t i = 0; i < options.nodes; ++i) {
    auto node = std::make_unique<Node>();
    node->index = i;
    node->name = "n" + std::to_string(i);
    // Every machine's monotonic clock has its own zero.
    node->clock_offset = ids_.Between(Duration::Seconds(1), Duration::Hours(24 * 365));
    nodes_.push_back(std::move(node));
  }
}

World::~World() = default;

// ---- time ---------------------------------------------------------------------------------------

void World::After(Duration delay, std::function<void()> action) {
  queue_.push(Later{now_ + delay, sequence_++, std::move(action)});
}

void World::RunFor(Duration span) {
  const Instant end = now_ + span;
  while (!failed() && !queue_.empty() && queue_.top().at <= end) {
    Later next = std::move(const_cast<Later&>(queue_.top()));
    queue_.pop();
    now_ = next.at;
    ++counters_.events;
    next.action();
  }
  if (!failed()) now_ = end;
}

bool World::RunUntil(const std::function<bool()>& done, Duration limit) {
  const Instant end = now_ + limit;
  while (!failed()) {
    if (done()) return true;
    if (now_ >= end) return false;
    RunFor(std::min(kPollEvery, end - now_));
  }
  return false;
}

Instant World::Local(const Node& node) const { return now_ + node.clock_offset; }

// ---- processes ----------------------------------------------------------------------------------

void World::Start(uint32_t node) {
  std::vector<uint32_t> contacts;
  for (uint32_t i = 0; i < std::min<uint32_t>(3, size()); ++i) contacts.push_back(i);
  Start(node, std::move(contacts));
}

void World::Start(uint32_t node, std::vector<uint32_t> contacts) {
  At(node).contacts = std::move(contacts);
  Boot(At(node));
}

void World::StartAll() {
  for (uint32_t i = 0; i < size(); ++i) Start(i);
}

void World::Boot(Node& node) {
  node.process = ++processes_;
  node.booted_at = now_;
  node.paused = node.leaving = node.left = false;
  node.serving = 0;
  node.held.clear();
  node.held_results.clear();
  node.windows.clear();
  node.counters.clear();
  node.own_alive = nullptr;
  node.timer_at = Instant::Never();
  ++node.disk_boot;

  SelfIdentity& self = node.identity;
  self = SelfIdentity{};
  self.cluster = "sim";
  self.name = node.name;
  for (uint8_t& byte : self.boot_id.bytes) byte = static_cast<uint8_t>(ids_.Next());
  self.boot_number = node.disk_boot;
  self.addresses = {AddressOfNode(node.index)};
  invariants_.OnStart(node.index, node.name);
  Note(node, "boot", kNobody, nullptr, "number " + std::to_string(node.disk_boot));
  node.core = std::make_unique<Protocol>(options_.protocol, self,
                                         static_cast<uint32_t>(node.contacts.size()), ids_.Next(),
                                         Local(node));
  Input(node, "start", [](Protocol& core, Instant now) { core.Start(now); });
}

void World::Crash(uint32_t node) {
  Note(At(node), "crash", kNobody);
  At(node).core.reset();
  At(node).process = 0;
  At(node).paused = false;
  At(node).held.clear();
  At(node).held_results.clear();
}

void World::Restart(uint32_t node, BootFile file) {
  if (At(node).core) Crash(node);
  uint32_t& disk = At(node).disk_boot;
  if (file == BootFile::kLost) disk = 0;
  if (file == BootFile::kRolledBack) disk = disk / 2;
  Boot(At(node));
}

void World::Pause(uint32_t index) {
  Node& node = At(index);
  if (!node.core || node.paused) return;
  Note(node, "pause", kNobody);
  node.paused = true;
}

void World::Resume(uint32_t index) {
  Node& node = At(index);
  if (!node.core || !node.paused) return;
  Note(node, "resume", kNobody);
  node.paused = false;
  auto datagrams = std::move(node.held);
  auto results = std::move(node.held_results);
  node.held.clear();
  node.held_results.clear();
  auto late_timer = [&] {
    node.timer_at = Instant::Never();
    Input(node, "timer", [](Protocol& core, Instant now) { core.HandleTimeout(now); });
  };
  // A woken event loop finds sockets and timer ready at once, in either order.
  bool timer_first = lateness_.Chance(1, 2);
  if (timer_first) late_timer();
  for (auto& datagram : datagrams) Open(node, *datagram);
  for (auto& result : results) result();
  if (!timer_first) late_timer();
}

void World::Leave(uint32_t index) {
  Node& node = At(index);
  if (!node.core || node.paused) return;
  node.leaving = true;
  Input(node, "leave", [](Protocol& core, Instant now) { core.Leave(now); });
}

bool World::Forget(uint32_t at, const std::string& name) {
  bool known = false;
  Input(At(at), "forget", [&](Protocol& core, Instant now) { known = core.Forget(now, name); });
  return known;
}

void World::SetTags(uint32_t node, std::vector<Tag> tags) {
  Input(At(node), "tags", [&](Protocol& core, Instant now) { core.SetTags(now, std::move(tags)); });
}

void World::AddContact(uint32_t index, uint32_t contact) {
  Node& node = At(index);
  node.contacts.push_back(contact);
  uint32_t at = static_cast<uint32_t>(node.contacts.size() - 1);
  Input(node, "contact", [&](Protocol& core, Instant now) { core.AddContact(now, ContactId{at}); });
}

void World::Rename(uint32_t node, std::string name) { At(node).name = std::move(name); }
void World::FailDisk(uint32_t node, bool fails) { At(node).disk_fails = fails; }
void World::RefuseSends(uint32_t node, bool refuses) {
  At(node).refuses.clear();
  for (uint32_t to = 0; refuses && to < size(); ++to) At(node).refuses.insert(to);
}
void World::RefuseSendsTo(uint32_t node, uint32_t to) { At(node).refuses.insert(to); }
void World::SetBusy(uint32_t node, int percent) { At(node).busy_percent = percent; }

bool World::running(uint32_t node) const { return At(node).core != nullptr; }
bool World::paused(uint32_t node) const { return At(node).paused; }
bool World::has_left(uint32_t node) const { return At(node).left; }
const Protocol& World::core(uint32_t node) const { return *At(node).core; }
const std::string& World::name(uint32_t node) const { return At(node).name; }
BootId World::boot_id(uint32_t node) const { return At(node).identity.boot_id; }

std::optional<MemberState> World::StateAt(uint32_t observer, const std::string& member) const {
  if (!running(observer)) return std::nullopt;
  std::optional<MemberInfo> info = core(observer).Find(member);
  if (!info) return std::nullopt;
  return info->state;
}

// ---- driving one process ------------------------------------------------------------------------

void World::Input(Node& node, const char* what,
                  const std::function<void(Protocol&, Instant)>& input) {
  if (!node.core || failed()) return;
  Mix(node.index);
  Mix(static_cast<uint64_t>(now_.nanos()));
  Mix(static_cast<uint64_t>(what[0]));
  input(*node.core, Local(node));
  Drain(node);
  Check(node);
  Arm(node);
}

void World::Drain(Node& node) {
  constexpr int kRoundsMax = 1000;
  for (int round = 0; node.core; ++round) {
    std::vector<Action> actions = node.core->TakeActions();
    if (actions.empty()) return;
    if (round == kRoundsMax) return Fail("S8", "its actions never end", {node.index});
    for (Action& action : actions) CarryOut(node, action);
  }
}

void World::CarryOut(Node& node, Action& action) {
  if (auto* send = std::get_if<SendPacket>(&action)) {
    Transmit(node, *send);
  } else if (auto* sign = std::get_if<SignStatement>(&action)) {
    Sign(node, sign->draft);
  } else if (auto* persist = std::get_if<PersistBoot>(&action)) {
    Persist(node, persist->boot_number);
  } else if (auto* start = std::get_if<StartSync>(&action)) {
    Dial(node, *start);
  } else if (auto* ping = std::get_if<SendStreamPing>(&action)) {
    StreamPing(node, *ping);
  } else if (auto* emit = std::get_if<EmitEvent>(&action)) {
    Tell(node, emit->event);
  } else if (std::holds_alternative<LeaveFinished>(action)) {
    node.left = true;
    Note(node, "leave finished", kNobody);
  } else {
    TellSaid(node, action);
  }
}

void World::Sign(Node& node, const StatementDraft& draft) {
  StatementRef statement = testing::FakeSign(node.identity, draft);
  invariants_.OnSigned(node.name, *statement);
  Mix(Key(statement->hash));
  Note(node, "sign", kNobody, nullptr, Describe(*statement));
  if (draft.kind == StatementKind::kAlive) node.own_alive = statement;
  node.core->HandleSigned(Local(node), statement);
}

void World::Persist(Node& node, uint32_t boot_number) {
  ++counters_.boots_persisted;
  Note(node, node.disk_fails ? "persist fails" : "persist", kNobody, nullptr,
       std::to_string(boot_number));
  if (node.disk_fails) {
    node.core->HandleBootPersistFailed(Local(node), boot_number);
    return;
  }
  node.disk_boot = std::max(node.disk_boot, boot_number);
  node.core->HandleBootPersisted(Local(node), boot_number);
}

void World::Check(Node& node) {
  if (!node.core) return;
  ++node.steps;
  invariants_.OnStep(node.index, *node.core);
  // Whole tables are looked at after each step of small worlds, now and then in large ones: what
  // changes in between is told by events, and those are all checked.
  uint64_t every = size() <= 8 ? 4 : size();
  if (node.steps % every == 0) invariants_.OnTable(node.index, node.core->Members(true));
  if (const auto& violation = invariants_.violation(); violation && !failed()) {
    std::vector<uint32_t> concerned = {violation->node};
    if (Node* member = RunningByName(violation->member)) concerned.push_back(member->index);
    Fail(violation->invariant,
         At(violation->node).name +
             (violation->member.empty() ? "" : " about " + violation->member) + ": " +
             violation->text,
         concerned);
  }
}

void World::Arm(Node& node) {
  if (!node.core) return;
  Instant local = node.core->NextDeadline();
  if (local == Instant::Never()) return;
  Instant due = std::max(local - node.clock_offset, now_);
  if (due >= node.timer_at) return;
  node.timer_at = due;
  Instant fires = due;
  if (timer_late_max_ > Duration()) {
    fires += lateness_.Between(Duration(), timer_late_max_);
    if (lateness_.Chance(1, kEarlyTimers)) CallEarly(node, (due - now_) / 2);
  }
  queue_.push(Later{fires, sequence_++,
                    [this, &node, process = node.process, due] { OnTimer(node, process, due); }});
}

// A timer that fires too early does nothing.
void World::CallEarly(Node& node, Duration delay) {
  After(delay, [this, &node, process = node.process] {
    if (node.process != process || node.paused) return;
    Input(node, "early", [](Protocol& core, Instant now) { core.HandleTimeout(now); });
  });
}

void World::OnTimer(Node& node, uint64_t process, Instant at) {
  if (node.process != process || node.timer_at != at) return;
  if (node.paused) return;  // the resumed process finds it late
  node.timer_at = Instant::Never();
  Instant deadline = node.core->NextDeadline();
  if (deadline <= Local(node)) {
    Input(node, "timer", [](Protocol& core, Instant now) { core.HandleTimeout(now); });
    // Once more at the same instant is fine; a real event loop would spin on more.
    node.spins = node.last_timer == now_ ? node.spins + 1 : 0;
    node.last_timer = now_;
    if (node.spins > kSpinsMax) Fail("S8", "its deadline does not move", {node.index});
  } else {
    Arm(node);
  }
}

void World::Tell(Node& node, const Event& event) {
  Mix(static_cast<uint64_t>(event.kind) << 32 ^ node.index);
  Mix(event.incarnation.value());
  for (char c : event.member) Mix(static_cast<uint64_t>(c));
  std::string by;
  for (const std::string& name : event.by) by += " " + name;
  Note(node, "event", kNobody, nullptr,
       std::string(ToString(event.kind)) + " " + event.member + " " + Show(event.incarnation) +
           (by.empty() ? "" : " by" + by) +
           (event.detail.empty() ? "" : " (" + event.detail + ")"));
  invariants_.OnEvent(node.index, event);
  switch (event.kind) {
    case EventKind::kSuspected: {
      ++counters_.suspected;
      Node* member = RunningByName(event.member);
      if (forbid_suspicions_ && member && !member->leaving) {
        Fail("S9", node.name + " suspects " + event.member + ", which runs",
             {node.index, member->index});
      }
      break;
    }
    case EventKind::kRefuted:
      ++counters_.refuted;
      break;
    case EventKind::kDied:
      CountDeath(node, event);
      break;
    case EventKind::kLeft:
      ++counters_.left;
      break;
    case EventKind::kReturned:
      ++counters_.returned;
      break;
    case EventKind::kForgotten:
      ++counters_.forgotten;
      break;
    case EventKind::kAccused:
      ++counters_.accused;
      break;
    case EventKind::kNameConflict:
      ++counters_.conflicts;
      break;
    case EventKind::kPaused:
      ++counters_.pauses_noticed;
      break;
    default:
      break;
  }
  if (watcher_) watcher_(node.index, event);
}

// ---- the record ---------------------------------------------------------------------------------

void World::Note(Node& node, const char* what, uint32_t peer, std::shared_ptr<const Packet> packet,
                 std::string text) {
  if (node.trace.size() >= kTraceKept) node.trace.pop_front();
  node.trace.push_back({now_, what, peer, std::move(packet), std::move(text)});
}

void World::Mix(uint64_t value) {
  digest_ ^= value + 0x9e3779b97f4a7c15 + (digest_ << 6) + (digest_ >> 2);
  digest_ *= 0xbf58476d1ce4e5b9;
  digest_ ^= digest_ >> 31;
}

}  // namespace sotto::sim
