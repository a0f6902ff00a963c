// Whom to dial again and when: the dead and the lost, for ever, each with its own jittered
// exponential back-off (design M8).
//
// The one overdue for longest goes first. How many are dialled at once, and how close together, is
// the caller's to bound. No clock, no timers.
#ifndef SOTTO_GOSSIP_RETRY_LIST_H_
#define SOTTO_GOSSIP_RETRY_LIST_H_

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "gossip/rng.h"
#include "gossip/statement.h"
#include "gossip/time.h"

namespace sotto {

// first, 2·first, 4·first, … up to last, each drawn from its upper half. `attempts` counts
// failures.
Duration JitteredBackOff(Duration first, Duration last, int attempts, Rng& rng);

class RetryList {
 public:
  RetryList(Duration first, Duration last) : first_(first), last_(last) {}

  // `to` is the Alive to dial. Known names keep their back-off.
  void Add(Instant now, std::string_view name, StatementRef to, Rng& rng);
  void Remove(std::string_view name);
  // Those whose Alive to dial is one of `which`.
  void RemoveIf(const std::function<bool(const StatementRef&)>& which);
  bool Contains(std::string_view name) const { return entries_.contains(name); }
  size_t size() const { return entries_.size(); }

  Instant NextDue() const { return order_.empty() ? Instant::Never() : order_.begin()->first; }

  struct Due {
    std::string name;
    StatementRef to;
  };
  // The next one that is due, already put off to its following attempt.
  std::optional<Due> TakeDue(Instant now, Rng& rng);

  // Somebody came back: the others may be back as well. All are due within `spread`, as for the
  // first time.
  void ExpectAll(Instant now, Duration spread, Rng& rng);

 private:
  struct Entry {
    StatementRef to;
    int attempts = 0;
    Instant due;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;
  void SetDue(Entries::iterator it, Instant due);

  Duration first_;
  Duration last_;
  Entries entries_;
  std::set<std::pair<Instant, std::string>> order_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_RETRY_LIST_H_
