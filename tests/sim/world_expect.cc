// What should be: who counts as living, whether all agree, the bounds, and the report of a failure.
#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/world.h"
#include "tests/sim/world_internal.h"

namespace sotto::sim {
namespace {

// How long a new process may need until everybody has heard of it.
constexpr Duration kIntroduction = Duration::Seconds(5);

int64_t CeilLog2(int64_t n) {
  int64_t bits = 0;
  while ((int64_t{1} << bits) < n) ++bits;
  return bits;
}

}  // namespace

void World::CountDeath(Node& node, const Event& event) {
  Node* member = RunningByName(event.member);
  // The death of a former life comes true while its successor is still making itself known.
  const bool former = member &&
                      event.incarnation.boot_number() < member->core->incarnation().boot_number() &&
                      now_ - member->booted_at < kIntroduction;
  if (!member || member->left || former || !member->core->standing().announced) {
    ++counters_.true_deaths;
    return;
  }
  if (excused_.contains(event.member) || excused_observers_.contains(node.index)) return;
  ++counters_.false_deaths;
  if (forbid_false_deaths_) {
    Fail("S9", node.name + " declares " + event.member + " dead, which runs",
         {node.index, member->index});
  }
}

// ---- what should be -----------------------------------------------------------------------------

World::Node* World::RunningByName(const std::string& name) {
  Node* found = nullptr;
  for (auto& node : nodes_) {
    if (node->name != name || !node->core) continue;
    if (!found || found->core->standing().name_conflict) found = node.get();
  }
  return found;
}

std::set<std::string> World::Living() const {
  std::set<std::string> living;
  for (const auto& node : nodes_) {
    if (!node->core || node->leaving || node->core->standing().name_conflict) continue;
    living.insert(node->name);
  }
  return living;
}

std::string World::WhyNotAgreed() const {
  const std::set<std::string> living = Living();
  std::optional<SetHash> hash;
  for (const auto& node : nodes_) {
    if (!node->core || node->leaving || node->paused || node->core->standing().name_conflict) {
      continue;
    }
    size_t alive = 0;
    for (const MemberInfo& member : node->core->Members(true)) {
      bool here = member.state == MemberState::kAlive;
      if (here != living.contains(member.name)) {
        return node->name + " holds " + member.name + " as " + std::string(ToString(member.state));
      }
      alive += here;
    }
    if (alive != living.size()) {
      return node->name + " knows " + std::to_string(alive) + " of " +
             std::to_string(living.size());
    }
    if (hash && node->core->set_hash() != *hash) return node->name + " has another set hash";
    hash = node->core->set_hash();
  }
  return "";
}

bool World::Agreed() const {
  // The cheap question first: tables are compared only once all hashes are equal.
  std::optional<SetHash> hash;
  for (const auto& node : nodes_) {
    if (!node->core || node->leaving || node->paused || node->core->standing().name_conflict) {
      continue;
    }
    if (hash && node->core->set_hash() != *hash) return false;
    hash = node->core->set_hash();
  }
  return WhyNotAgreed().empty();
}

bool World::ExpectAgreement(Duration limit, const char* what) {
  if (RunUntil([this] { return Agreed(); }, limit)) return true;
  if (!failed()) {
    std::string why = WhyNotAgreed();
    std::vector<uint32_t> concerned;
    for (const auto& node : nodes_) {
      // The nodes that the reason names.
      if ((" " + why + " ").find(node->name + " ") != std::string::npos) {
        concerned.push_back(node->index);
      }
    }
    Fail("L3",
         std::string(what) + ": no agreement after " + std::to_string(limit.millis()) +
             " ms: " + why,
         concerned);
  }
  return false;
}

void World::Expect(bool holds, const std::string& what) {
  if (!holds) Fail("scenario", what);
}

void World::Fail(const std::string& invariant, const std::string& text,
                 std::vector<uint32_t> concerned) {
  if (failed()) return;
  failure_ = Failure{invariant + ": " + text, std::move(concerned)};
}

// Detection by one of n round-robin probers within 10 intervals (the chance that none of them draws
// it is e^-10), a probe that fails, the longest suspicion, and gossip to everybody; each possibly
// at the interval of a prober that is itself a little unwell.
Duration World::DeathBound() const {
  const ProtocolOptions& o = options_.protocol;
  int64_t tenths_log10 = std::max<int64_t>(10, CeilLog2(size()) * 10 * 30103 / 100000);
  Duration longest = o.probe_interval * o.suspicion_alpha * o.suspicion_beta * tenths_log10 / 10;
  return 12 * o.probe_interval + longest + 4 * CeilLog2(size() + 1) * o.gossip_interval +
         Duration::Seconds(2);
}

// The slowest retry with its jitter, an exchange, the refutations' way to everybody, and a hash
// sync for what gossip missed.
Duration World::HealBound() const {
  const ProtocolOptions& o = options_.protocol;
  return 2 * o.retry_max + 4 * o.sync_settle + 10 * o.probe_interval +
         8 * CeilLog2(size() + 1) * o.gossip_interval;
}

// ---- results ------------------------------------------------------------------------------------

std::string World::Report() const {
  if (!failure_) return "";
  std::string text = failure_->text + "\n  at " + std::to_string(now_.nanos() / 1'000'000) +
                     " ms\n  replay: tools/sim --scenario=" + options_.scenario +
                     " --seed=" + std::to_string(options_.seed) +
                     " --nodes=" + std::to_string(size()) + "\n";
  struct Line {
    const Node* node;
    const Node::TraceEntry* entry;
  };
  std::vector<Line> lines;
  for (uint32_t index : failure_->nodes) {
    for (const auto& entry : At(index).trace) lines.push_back({&At(index), &entry});
  }
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.entry->at < b.entry->at; });
  for (const Line& line : lines) {
    int64_t us = line.entry->at.nanos() / 1000;
    text += "  " + std::to_string(us / 1000) + "." + std::to_string(us % 1000 / 100) + " ms  " +
            line.node->name + " " + line.entry->what;
    if (line.entry->peer != kNobody) text += " " + At(line.entry->peer).name;
    if (line.entry->packet) text += ": " + Describe(*line.entry->packet);
    if (!line.entry->text.empty()) text += ": " + line.entry->text;
    text += "\n";
  }
  return text;
}

}  // namespace sotto::sim
