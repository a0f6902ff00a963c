// Statements on their way through the cluster: each rides on a bounded number of packets, the
// urgent ones first (design M11).
//
// One entry for each (subject, accuser), the owner's own statements being one entry of their own:
// what is newer about the same replaces what is older, and starts anew. A new statement of the
// owner throws out accusations below its incarnation. Order: class, then fewest transmissions, then
// newest first. Bounded: kEntriesMax, the last in order falls out. Deterministic: no hash order, no
// clock.
#ifndef SOTTO_GOSSIP_BROADCAST_QUEUE_H_
#define SOTTO_GOSSIP_BROADCAST_QUEUE_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gossip/statement.h"

namespace sotto {

// By urgency. The living must be able to answer before they are buried.
enum class BroadcastClass : uint8_t {
  kRefutation,  // an Alive that answers an accusation
  kDeath,       // Dead, Forget, and Leave
  kSuspicion,   // Suspect
  kJoin,        // an Alive of a process not known before
  kUpdate,      // an Alive with other tags or addresses
};

class BroadcastQueue {
 public:
  static constexpr size_t kEntriesMax = 16'384;

  void Push(BroadcastClass broadcast_class, StatementRef statement);

  struct Request {
    size_t bytes = 0;  // the sum of WireSizeMax() to fill at most
    size_t entries_max = 32;
    int transmit_limit = 1;             // an entry taken so often is done
    std::string_view to;                // left out: what this member has signed itself
    const Statement* except = nullptr;  // left out: rides on the packet already
    bool count = true;                  // false: a favour that does not use up transmissions
  };
  // The most urgent entries that fit, each once.
  std::vector<StatementRef> Take(const Request& request);

  // The same statement came in from elsewhere: others are telling it, so it needs to be told less.
  // Only for joins and updates, which a sync would repair: a member that repeats a refutation must
  // not be able to silence it.
  void HeardAgain(const Statement& statement, int transmit_limit);

  bool Holds(const Statement& statement) const;

  // Withdraws accusations by `signer`.
  void DropAccusationsBy(std::string_view signer);

  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }

 private:
  // (subject, accuser); the accuser is empty for the owner's own.
  using Key = std::pair<std::string, std::string>;
  struct Place {
    BroadcastClass broadcast_class = BroadcastClass::kUpdate;
    int transmits = 0;
    uint64_t age = 0;  // falls with each Push: newest first
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  struct Entry {
    Place place;
    StatementRef statement;
  };
  using Entries = std::map<Key, Entry>;

  static Key KeyOf(const Statement& statement);
  void Erase(Entries::iterator it);
  // Counts one transmission, and ends the entry at the limit.
  void Count(Entries::iterator it, int transmit_limit);

  Entries entries_;
  std::map<Place, Entries::iterator> order_;
  uint64_t next_age_ = UINT64_MAX;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_BROADCAST_QUEUE_H_
