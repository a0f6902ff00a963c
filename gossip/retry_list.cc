#include "gossip/retry_list.h"

#include <algorithm>
#include <iterator>

namespace sotto {

Duration JitteredBackOff(Duration first, Duration last, int attempts, Rng& rng) {
  constexpr int kDoublingsMax = 30;
  const Duration full = std::min(last, first * (int64_t{1} << std::min(attempts, kDoublingsMax)));
  return rng.Between(full / 2, full);
}

void RetryList::Add(Instant now, std::string_view name, StatementRef to, Rng& rng) {
  auto it = entries_.find(name);
  if (it == entries_.end()) {
    it = entries_.emplace(std::string(name), Entry{}).first;
    it->second.due = now + JitteredBackOff(first_, last_, 0, rng);
    order_.emplace(it->second.due, it->first);
  }
  it->second.to = std::move(to);
}

void RetryList::Remove(std::string_view name) {
  const auto it = entries_.find(name);
  if (it == entries_.end()) return;
  order_.erase({it->second.due, it->first});
  entries_.erase(it);
}

void RetryList::RemoveIf(const std::function<bool(const StatementRef&)>& which) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    const bool gone = which(it->second.to);
    if (gone) order_.erase({it->second.due, it->first});
    it = gone ? entries_.erase(it) : std::next(it);
  }
}

std::optional<RetryList::Due> RetryList::TakeDue(Instant now, Rng& rng) {
  if (NextDue() > now) return std::nullopt;
  const auto it = entries_.find(order_.begin()->second);
  SetDue(it, now + JitteredBackOff(first_, last_, ++it->second.attempts, rng));
  return Due{it->first, it->second.to};
}

void RetryList::ExpectAll(Instant now, Duration spread, Rng& rng) {
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    it->second.attempts = 0;
    SetDue(it, std::min(it->second.due, now + rng.Between(Duration(), spread)));
  }
}

void RetryList::SetDue(Entries::iterator it, Instant due) {
  order_.erase({it->second.due, it->first});
  it->second.due = due;
  order_.emplace(due, it->first);
}

}  // namespace sotto
