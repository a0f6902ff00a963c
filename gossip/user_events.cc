#include "gossip/user_events.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "gossip/base/check.h"

namespace sotto {
namespace {

// splitmix64's finaliser: sums of prefixes that differ in few bits must differ in many.
uint64_t Mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

const SaidEvent& EventOf(const Statement& statement) {
  SOTTO_CHECK(statement.said && std::holds_alternative<SaidEvent>(*statement.said));
  return std::get<SaidEvent>(*statement.said);
}

bool IsNewer(const UserEvent& a, const UserEvent& b) {
  return std::tie(a.lamport, a.from, a.id) > std::tie(b.lamport, b.from, b.id);
}

}  // namespace

uint64_t PrefixOf(const Hash256& hash) {
  uint64_t prefix = 0;
  for (size_t i = 0; i < 8; ++i) prefix = prefix << 8 | hash.bytes[i];
  return prefix;
}

// ---- the store ----------------------------------------------------------------------------------

UserEventStore::Key UserEventStore::KeyOf(const Statement& event) {
  return {EventOf(event).lamport, event.signer, event.hash};
}

UserEventStore::Events::const_iterator UserEventStore::LowestOf(const std::string& origin) const {
  return std::find_if(events_.begin(), events_.end(),
                      [&origin](const auto& held) { return held.first.origin == origin; });
}

UserEventStore::Verdict UserEventStore::Judge(const Statement& event) const {
  const Key key = KeyOf(event);
  if (events_.contains(key)) return Verdict::kKnown;
  if (floor_ && key <= *floor_) return Verdict::kOld;
  const auto of_origin = per_origin_.find(event.signer);
  if (of_origin != per_origin_.end() && of_origin->second >= kPerOriginMax) {
    return key < LowestOf(event.signer)->first ? Verdict::kOld : Verdict::kNew;
  }
  const bool full = events_.size() >= kEventsMax;
  return full && key < events_.begin()->first ? Verdict::kOld : Verdict::kNew;
}

UserEventStore::Verdict UserEventStore::Insert(const StatementRef& event) {
  const Verdict verdict = Judge(*event);
  if (verdict != Verdict::kNew) return verdict;
  events_.emplace(KeyOf(*event), event);
  sum_ += Mixed(PrefixOf(event->hash));
  if (++per_origin_[event->signer] > kPerOriginMax) Erase(LowestOf(event->signer));
  if (events_.size() > kEventsMax) {
    floor_ = events_.begin()->first;
    Erase(events_.begin());
  }
  return verdict;
}

void UserEventStore::Erase(Events::const_iterator it) {
  sum_ -= Mixed(PrefixOf(it->first.hash));
  const auto of_origin = per_origin_.find(it->first.origin);
  if (--of_origin->second == 0) per_origin_.erase(of_origin);
  events_.erase(it);
}

void UserEventStore::DropSignedBy(std::span<const Hash256> certificates) {
  for (auto it = events_.cbegin(); it != events_.cend();) {
    const auto next = std::next(it);
    const auto& by = it->second->certificate;
    if (std::find(certificates.begin(), certificates.end(), by) != certificates.end()) Erase(it);
    it = next;
  }
}

uint64_t UserEventStore::digest() const {
  if (events_.empty()) return 0;
  return sum_ == 0 ? 1 : sum_;
}

uint64_t UserEventStore::highest_lamport() const {
  return events_.empty() ? 0 : events_.rbegin()->first.lamport;
}

std::vector<uint64_t> UserEventStore::Ids() const {
  std::vector<uint64_t> ids;
  ids.reserve(events_.size());
  for (const auto& [key, event] : events_) ids.push_back(PrefixOf(key.hash));
  std::sort(ids.begin(), ids.end());
  return ids;
}

EventDifference UserEventStore::Compare(std::span<const uint64_t> theirs) const {
  std::vector<uint64_t> sorted(theirs.begin(), theirs.end());
  std::sort(sorted.begin(), sorted.end());
  EventDifference difference;
  for (const auto& [key, event] : events_) {
    if (!std::binary_search(sorted.begin(), sorted.end(), PrefixOf(key.hash))) {
      difference.lacking.push_back(event);
    }
  }
  const std::vector<uint64_t> ours = Ids();
  std::set_difference(sorted.begin(), sorted.end(), ours.begin(), ours.end(),
                      std::back_inserter(difference.wanted));
  return difference;
}

std::vector<StatementRef> UserEventStore::Find(std::span<const uint64_t> ids) const {
  std::vector<uint64_t> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<StatementRef> found;
  for (const auto& [key, event] : events_) {
    if (std::binary_search(sorted.begin(), sorted.end(), PrefixOf(key.hash))) {
      found.push_back(event);
    }
  }
  return found;
}

// ---- coalescing ---------------------------------------------------------------------------------

std::optional<UserEvent> EventCoalescer::Add(Instant now, UserEvent event) {
  if (window_ <= Duration() || !event.coalesce) return event;
  const auto key = std::pair(event.name, event.replayed);
  const auto it = held_.find(key);
  if (it != held_.end()) {
    if (IsNewer(event, it->second.event)) it->second.event = std::move(event);
    return std::nullopt;
  }
  if (held_.size() >= kHeldMax) return event;
  held_.emplace(key, Held{now + window_, next_order_++, std::move(event)});
  return std::nullopt;
}

std::vector<UserEvent> EventCoalescer::TakeDue(Instant now) {
  std::vector<Held> due;
  for (auto it = held_.begin(); it != held_.end();) {
    const auto next = std::next(it);
    if (it->second.due <= now) due.push_back(std::move(held_.extract(it).mapped()));
    it = next;
  }
  std::sort(due.begin(), due.end(), [](const Held& a, const Held& b) { return a.order < b.order; });
  std::vector<UserEvent> events;
  events.reserve(due.size());
  for (Held& held : due) events.push_back(std::move(held.event));
  return events;
}

Instant EventCoalescer::NextDue() const {
  Instant next = Instant::Never();
  for (const auto& [key, held] : held_) next = std::min(next, held.due);
  return next;
}

}  // namespace sotto
