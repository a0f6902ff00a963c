// Statements on their way through the cluster: each rides on a bounded number of packets, the
// urgent ones first, and no class starves another (design M11).
//
// One entry for each (subject, accuser), the owner's own statements being one entry of their own:
// what is newer about the same replaces what is older, and starts anew. A new statement of the
// owner throws out accusations below its incarnation. What members say to each other (user events,
// queries, answers) has an entry for each statement, which nothing replaces.
//
// Order within a class: fewest transmissions, then newest first. Every Take grants each class a
// share of its bytes, which is saved up while the class's next entry is longer; what is not used
// goes to the classes in order of urgency. Bounded: kEntriesMax in all; beyond it the last entry
// falls out of the least urgent class that holds more than is kept for it. Deterministic: no hash
// order, no clock.
#ifndef SOTTO_GOSSIP_BROADCAST_QUEUE_H_
#define SOTTO_GOSSIP_BROADCAST_QUEUE_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
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
  kEvent,       // what members say: user events, queries, answers
};
inline constexpr size_t kBroadcastClasses = 6;

// Of each Take's bytes and entries, in percent, by class. They are less than the whole, so that
// they can be kept although entries do not fill packets evenly.
inline constexpr std::array<size_t, kBroadcastClasses> kBroadcastShares = {20, 20, 15, 15, 10, 10};

class BroadcastQueue {
 public:
  static constexpr size_t kEntriesMax = 16'384;
  // Kept for each class whatever the others hold; no more than this for kEvent, whose entries are
  // long and are handed on by sync as well.
  static constexpr size_t kEntriesKept = 2'048;

  // kEvent is for what members say, and what members say is kEvent (checked).
  void Push(BroadcastClass broadcast_class, StatementRef statement);

  struct Request {
    size_t bytes = 0;  // the sum of WireSizeMax() to fill at most
    size_t entries_max = 32;
    int transmit_limit = 1;             // an entry taken so often is done
    std::string_view to;                // left out: what this member has signed itself
    const Statement* except = nullptr;  // left out: rides on the packet already
    bool count = true;                  // false: a favour that does not use up transmissions
  };
  // Entries that fit, each once, the most urgent first.
  std::vector<StatementRef> Take(const Request& request);

  // The same statement came in from elsewhere: others are telling it, so it needs to be told less.
  // Only for joins and updates, which a sync would repair: a member that repeats a refutation or an
  // event must not be able to silence it.
  void HeardAgain(const Statement& statement, int transmit_limit);

  bool Holds(const Statement& statement) const;

  // Withdraws accusations by `signer`.
  void DropAccusationsBy(std::string_view signer);

  size_t size() const { return entries_.size(); }
  size_t size(BroadcastClass broadcast_class) const { return Of(broadcast_class).order.size(); }
  bool empty() const { return entries_.empty(); }

 private:
  // Membership: subject and accuser; the accuser is empty for the owner's own. What members say:
  // the statement's hash alone.
  struct Key {
    Hash256 said;
    std::string subject;
    std::string accuser;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Place {
    int transmits = 0;
    uint64_t age = 0;  // falls with each Push: newest first
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  struct Entry {
    BroadcastClass broadcast_class = BroadcastClass::kUpdate;
    Place place;
    StatementRef statement;
  };
  using Entries = std::map<Key, Entry>;
  using Order = std::map<Place, Entries::iterator>;

  // What a class has been granted and not used, in bytes; and in how many Takes in a row its next
  // entry had that much and found no room. Who has waited longest goes first.
  struct Credit {
    size_t bytes = 0;
    uint32_t waits = 0;
  };
  struct Class {
    Order order;
    Credit credit;
  };
  class Selection;

  static Key KeyOf(const Statement& statement);
  Class& Of(BroadcastClass c) { return classes_[static_cast<size_t>(c)]; }
  const Class& Of(BroadcastClass c) const { return classes_[static_cast<size_t>(c)]; }
  void Erase(Entries::iterator it);
  void EraseAnsweredBy(const Statement& owners);
  void KeepBounds(BroadcastClass grown);
  // Counts one transmission, and ends the entry at the limit.
  void Count(Entries::iterator it, int transmit_limit);

  Entries entries_;
  std::array<Class, kBroadcastClasses> classes_;
  uint64_t next_age_ = UINT64_MAX;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_BROADCAST_QUEUE_H_
