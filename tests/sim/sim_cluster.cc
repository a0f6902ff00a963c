#include "tests/sim/sim_cluster.h"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <set>
#include <utility>
#include <variant>

#include "gossip/base/check.h"
#include "tests/sim/world.h"

namespace sotto::testing {
namespace {

constexpr size_t kLinesKept = 100;

Duration FromChrono(std::chrono::nanoseconds span) { return Duration::Nanos(span.count()); }
std::chrono::nanoseconds ToChrono(Duration span) { return std::chrono::nanoseconds(span.nanos()); }

// The environment's, so that a failure is run again without an edit.
uint64_t Seed(uint64_t wanted) {
  const char* text = std::getenv("SOTTO_SIM_SEED");
  if (!text || !*text) return wanted;
  char* end = nullptr;
  const uint64_t seed = std::strtoull(text, &end, 10);
  SOTTO_CHECK(*end == '\0');
  return seed;
}

sim::WorldOptions ToWorld(const SimOptions& options) {
  SOTTO_CHECK(options.nodes > 0);
  SOTTO_CHECK(!options.protocol.Validate());
  sim::WorldOptions world;
  world.scenario = "SimCluster";
  world.nodes = options.nodes;
  world.seed = Seed(options.seed);
  world.protocol = options.protocol;
  return world;
}

std::string SecondsText(std::chrono::nanoseconds at) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f s", static_cast<double>(at.count()) / 1e9);
  return text;
}

}  // namespace

class SimCluster::Impl {
 public:
  explicit Impl(const SimOptions& options) : world_(ToWorld(options)), ears_(options.nodes) {
    world_.Watch([this](uint32_t node, const Event& event) { Hear(node, event); });
    world_.WatchSaid([this](uint32_t node, const Action& action) {
      const auto* said = std::get_if<DeliverUserEvent>(&action);
      if (!said) return;
      Say(world_.name(node) + " hears event " + said->event.name + " of " + said->event.from);
      Put(node, said->event);
    });
  }

  sim::World& world() { return world_; }
  const sim::World& world() const { return world_; }

  void CheckNode(uint32_t node) const { SOTTO_CHECK(node < world_.size()); }

  std::chrono::nanoseconds Now() const { return ToChrono(world_.now() - Instant::FromNanos(0)); }

  void Say(std::string what) {
    lines_.push_back(SecondsText(Now()) + "  " + std::move(what));
    if (lines_.size() > kLinesKept) lines_.pop_front();
  }

  // A process begins: its listeners begin anew as well.
  void Boot(uint32_t node, const std::function<void()>& start) {
    Ear& ear = ears_[node];
    ++ear.epoch;
    ear.sequence = 0;
    ear.queue.clear();
    ear.snapshots.assign(ear.callbacks.size(), true);
    start();
    Schedule(node);
  }

  void Add(uint32_t node, WatchCallback callback) {
    Ear& ear = ears_[node];
    ear.callbacks.push_back(std::move(callback));
    ear.snapshots.push_back(true);
    Schedule(node);
  }

  // Callbacks run apart from the protocol, as a node's do; what a stopped process has not told yet
  // waits.
  void Schedule(uint32_t node) {
    Ear& ear = ears_[node];
    if (ear.callbacks.empty() || ear.scheduled) return;
    ear.scheduled = true;
    world_.After(Duration(), [this, node] {
      ears_[node].scheduled = false;
      Deliver(node);
    });
  }

  std::shared_ptr<const NodeView> View(uint32_t node) const {
    if (!world_.running(node)) return nullptr;
    const Protocol& core = world_.core(node);
    auto view = std::make_shared<NodeView>();
    view->epoch = ears_[node].epoch;
    view->last_item = ears_[node].sequence;
    view->sequence = ears_[node].sequence + 1;
    view->members = core.Members(true);
    view->leader = LeaderOf(view->members);
    view->standing = core.standing();
    view->incarnation = core.incarnation();
    view->set_hash = core.set_hash();
    view->boot_id = world_.boot_id(node);
    view->now = world_.LocalNow(node);
    const ViewAgreement agreement = core.view_agreement();
    view->views_agree = agreement.agree;
    view->views_known = agreement.known;
    return view;
  }

  std::string Report() const {
    std::string text = world_.Report();
    text += "SimCluster of " + std::to_string(world_.size()) + ", at " + SecondsText(Now()) +
            "; to run it again: SOTTO_SIM_SEED=" + std::to_string(world_.options().seed) + "\n";
    for (uint32_t node = 0; node < world_.size(); ++node) {
      text += "  " + world_.name(node) + (world_.running(node) ? " sees" : " does not run");
      if (world_.running(node)) {
        for (const MemberInfo& member : world_.core(node).Members(true)) {
          text += " " + member.name + "=" + std::string(ToString(member.state));
        }
      }
      text += "\n";
    }
    for (const std::string& line : lines_) text += "  " + line + "\n";
    return text;
  }

 private:
  // What listens at one node.
  struct Ear {
    std::vector<WatchCallback> callbacks;
    std::vector<bool> snapshots;  // whether each still has to begin with one
    std::deque<WatchItem> queue;
    uint64_t epoch = 0;
    uint64_t sequence = 0;
    bool scheduled = false;
  };

  void Hear(uint32_t node, const Event& event) {
    std::string by;
    for (const std::string& name : event.by) by += (by.empty() ? " by " : ", ") + name;
    Say(world_.name(node) + " hears: " + event.member + " " + std::string(ToString(event.kind)) +
        by);
    Put(node, event);
  }

  void Put(uint32_t node, WatchBody body) {
    Ear& ear = ears_[node];
    ++ear.sequence;
    if (ear.callbacks.empty()) return;
    ear.queue.push_back(WatchItem{ear.epoch, ear.sequence, std::move(body), nullptr});
    Schedule(node);
  }

  void Deliver(uint32_t node) {
    if (!world_.running(node)) return;
    if (world_.paused(node)) {
      // Looked at again until the process wakes up or ends.
      ears_[node].scheduled = true;
      world_.After(Duration::Millis(10), [this, node] {
        ears_[node].scheduled = false;
        Deliver(node);
      });
      return;
    }
    const uint64_t epoch = ears_[node].epoch;
    std::deque<WatchItem> items = std::exchange(ears_[node].queue, {});
    const auto view = View(node);
    // By index: a callback may add another, or restart its own node.
    for (size_t i = 0; i < ears_[node].callbacks.size() && ears_[node].epoch == epoch; ++i) {
      const WatchCallback callback = ears_[node].callbacks[i];
      if (ears_[node].snapshots[i]) {
        // It includes the events of this turn.
        ears_[node].snapshots[i] = false;
        callback(WatchItem{epoch, view->last_item, WatchSnapshot{view, 0}, view});
        continue;
      }
      for (WatchItem& item : items) {
        if (ears_[node].epoch != epoch || !world_.running(node)) break;
        item.view = view;
        callback(item);
      }
    }
  }

  sim::World world_;
  std::vector<Ear> ears_;
  std::deque<std::string> lines_;
};

SimCluster::SimCluster(uint32_t nodes, uint64_t seed)
    : SimCluster(SimOptions{.nodes = nodes, .seed = seed}) {}

SimCluster::SimCluster(const SimOptions& options) : impl_(std::make_unique<Impl>(options)) {}

SimCluster::~SimCluster() = default;

uint32_t SimCluster::size() const { return impl_->world().size(); }
uint64_t SimCluster::seed() const { return impl_->world().options().seed; }

const std::string& SimCluster::Name(uint32_t node) const {
  impl_->CheckNode(node);
  return impl_->world().name(node);
}

// ---- processes ----------------------------------------------------------------------------------

void SimCluster::Start(uint32_t node) {
  impl_->CheckNode(node);
  SOTTO_CHECK(!running(node));
  impl_->Say("start " + Name(node));
  impl_->Boot(node, [&] { impl_->world().Start(node); });
}

void SimCluster::StartAll() {
  for (uint32_t node = 0; node < size(); ++node) {
    if (!running(node)) Start(node);
  }
}

void SimCluster::Crash(uint32_t node) {
  impl_->CheckNode(node);
  impl_->Say("crash " + Name(node));
  impl_->world().Crash(node);
}

void SimCluster::Restart(uint32_t node) {
  impl_->CheckNode(node);
  impl_->Say("restart " + Name(node));
  impl_->Boot(node, [&] { impl_->world().Restart(node); });
}

void SimCluster::Leave(uint32_t node) {
  impl_->CheckNode(node);
  impl_->Say("leave " + Name(node));
  impl_->world().Leave(node);
}

void SimCluster::Pause(uint32_t node) {
  impl_->CheckNode(node);
  impl_->Say("pause " + Name(node));
  impl_->world().Pause(node);
}

void SimCluster::Resume(uint32_t node) {
  impl_->CheckNode(node);
  impl_->Say("resume " + Name(node));
  impl_->world().Resume(node);
}

void SimCluster::SetTags(uint32_t node, std::vector<Tag> tags) {
  impl_->CheckNode(node);
  if (running(node)) impl_->world().SetTags(node, std::move(tags));
}

bool SimCluster::SendEvent(uint32_t node, const std::string& name, const std::string& payload) {
  impl_->CheckNode(node);
  if (!running(node)) return false;
  impl_->Say(Name(node) + " says event " + name);
  return impl_->world().SendEvent(node, name, payload);
}

bool SimCluster::running(uint32_t node) const {
  impl_->CheckNode(node);
  return impl_->world().running(node);
}

// ---- the network --------------------------------------------------------------------------------

void SimCluster::Partition(const std::vector<std::vector<uint32_t>>& groups) {
  std::set<uint32_t> seen;
  std::string text = "partition";
  for (const auto& group : groups) {
    text += " |";
    for (uint32_t node : group) {
      impl_->CheckNode(node);
      SOTTO_CHECK(seen.insert(node).second);
      text += " " + Name(node);
    }
  }
  impl_->Say(text + " |");
  impl_->world().network().MendAll();
  impl_->world().network().Split(groups);
}

void SimCluster::CutOneWay(uint32_t from, uint32_t to) {
  impl_->CheckNode(from);
  impl_->CheckNode(to);
  SOTTO_CHECK(from != to);
  impl_->Say("cut " + Name(from) + " -> " + Name(to));
  impl_->world().network().CutOneWay(from, to);
}

void SimCluster::Heal() {
  impl_->Say("heal");
  impl_->world().network().MendAll();
}

void SimCluster::SetLoss(int percent) {
  SOTTO_CHECK(percent >= 0 && percent <= 100);
  impl_->Say("loss " + std::to_string(percent) + " %");
  sim::LinkQuality quality;
  quality.loss_percent = percent;
  impl_->world().network().SetAll(quality);
}

// ---- time ---------------------------------------------------------------------------------------

std::chrono::nanoseconds SimCluster::Now() const { return impl_->Now(); }

void SimCluster::RunFor(std::chrono::nanoseconds span) { impl_->world().RunFor(FromChrono(span)); }

bool SimCluster::RunUntil(const std::function<bool()>& done, std::chrono::nanoseconds limit) {
  return impl_->world().RunUntil(done, FromChrono(limit));
}

void SimCluster::After(std::chrono::nanoseconds delay, std::function<void()> action) {
  SOTTO_CHECK(delay.count() >= 0);
  impl_->world().After(FromChrono(delay), std::move(action));
}

// ---- what nodes see -----------------------------------------------------------------------------

std::shared_ptr<const NodeView> SimCluster::View(uint32_t node) const {
  impl_->CheckNode(node);
  return impl_->View(node);
}

std::optional<MemberState> SimCluster::StateAt(uint32_t observer, std::string_view member) const {
  impl_->CheckNode(observer);
  return impl_->world().StateAt(observer, std::string(member));
}

bool SimCluster::Agreed() const {
  bool any = false;
  for (uint32_t node = 0; node < size(); ++node) any = any || running(node);
  return any && impl_->world().Agreed();
}

void SimCluster::OnEvent(uint32_t node, WatchCallback callback) {
  impl_->CheckNode(node);
  SOTTO_CHECK(callback != nullptr);
  impl_->Add(node, std::move(callback));
}

std::chrono::nanoseconds SimCluster::DetectionBound() const {
  return ToChrono(impl_->world().DeathBound());
}

std::chrono::nanoseconds SimCluster::HealBound() const {
  return ToChrono(impl_->world().HealBound());
}

// ---- failures -----------------------------------------------------------------------------------

std::string SimCluster::Report() const { return impl_->Report(); }
bool SimCluster::broken() const { return impl_->world().failed(); }

}  // namespace sotto::testing
