// The last user events of the cluster, as a set that merges; and holding back all but the newest.
//
// UserEventStore keeps the highest kPerOriginMax of each origin and of these the highest
// kEventsMax, by (Lamport time, origin, hash). That is a join: what a store holds depends on the
// set of events that ever came, never on their order or path, so stores that hear of the same
// events become equal, and their digests with them. What falls out lies below all that comes later,
// and is never taken in again: an event enters once. Only counts bound it: a bound in bytes is no
// join beside one for each origin, since a later event may be shorter than the one it displaces.
// Ownership: shared, const statements. Threads: none. Deterministic: no hash order, no clock.
#ifndef SOTTO_GOSSIP_USER_EVENTS_H_
#define SOTTO_GOSSIP_USER_EVENTS_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gossip/statement.h"
#include "gossip/time.h"

namespace sotto {

// The first 8 bytes of a hash: enough to tell what one store has and another lacks.
uint64_t PrefixOf(const Hash256& hash);

// What one store could give another, and what it would like of it.
struct EventDifference {
  std::vector<StatementRef> lacking;  // here and not there
  std::vector<uint64_t> wanted;       // there and not here, nor old here
};

class UserEventStore {
 public:
  static constexpr size_t kEventsMax = 256;
  static constexpr size_t kPerOriginMax = 64;

  enum class Verdict : uint8_t {
    kNew,    // would enter
    kKnown,  // is held
    kOld,    // lies below what is held: it was here, or might have been
  };

  // `event` must be a kUserEvent with its SaidEvent.
  Verdict Judge(const Statement& event) const;
  // Takes it in if it is new.
  Verdict Insert(const StatementRef& event);
  // Takes out what these certificates have signed: nobody else would accept it any longer.
  void DropSignedBy(std::span<const Hash256> certificates);

  // 64 bits over the set: a sum, so that order does not matter. 0 exactly when empty.
  uint64_t digest() const;
  size_t size() const { return events_.size(); }
  uint64_t highest_lamport() const;

  // Prefixes of all that is held, sorted.
  std::vector<uint64_t> Ids() const;
  EventDifference Compare(std::span<const uint64_t> theirs) const;
  std::vector<StatementRef> Find(std::span<const uint64_t> ids) const;

 private:
  struct Key {
    uint64_t lamport = 0;
    std::string origin;
    Hash256 hash;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  using Events = std::map<Key, StatementRef>;

  static Key KeyOf(const Statement& event);
  Events::const_iterator LowestOf(const std::string& origin) const;
  void Erase(Events::const_iterator it);

  Events events_;
  std::map<std::string, size_t> per_origin_;
  std::optional<Key> floor_;  // the highest that ever fell out for lack of room
  uint64_t sum_ = 0;
};

// For an application that wants of several events of one name within a window only the newest, as
// serf's coalescing gives it. Replays and news are held apart. Bounded: beyond kHeldMax names an
// event passes at once.
class EventCoalescer {
 public:
  static constexpr size_t kHeldMax = 256;

  // `window` zero: everything passes.
  explicit EventCoalescer(Duration window) : window_(window) {}

  // What is to be handed on now, if anything.
  std::optional<UserEvent> Add(Instant now, UserEvent event);
  // What has been held for the window, by the time it began.
  std::vector<UserEvent> TakeDue(Instant now);
  Instant NextDue() const;

 private:
  struct Held {
    Instant due;
    uint64_t order = 0;
    UserEvent event;
  };
  Duration window_;
  std::map<std::pair<std::string, bool>, Held> held_;
  uint64_t next_order_ = 0;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_USER_EVENTS_H_
