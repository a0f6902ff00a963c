// What the core tells the application: changes of members, and of this node's own standing.
#ifndef SOTTO_GOSSIP_EVENT_H_
#define SOTTO_GOSSIP_EVENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gossip/member.h"
#include "gossip/statement.h"
#include "gossip/time.h"

namespace sotto {

enum class EventKind : uint8_t {
  // About a member.
  kJoined,     // a name not known before is alive
  kReturned,   // a name that was dead, left or forgotten is alive again
  kSuspected,  // somebody, named in `by`, cannot reach it
  kRefuted,    // it was suspected and has answered with a higher incarnation
  kDied,       // this node has concluded that it is dead; `by` names the accusers
  kLeft,       // it said goodbye
  kForgotten,  // an operator asked that it be forgotten; `by` names the node that was asked
  kUpdated,    // its tags, addresses or process changed
  kReaped,     // it is no longer shown
  // About this node.
  kAnnounced,     // this node's own Alive went out under `incarnation`
  kAccused,       // somebody, named in `by`, suspects us; answered with `incarnation`
  kIsolated,      // nobody has been heard for two probe rounds, so that this node accuses nobody;
                  // or others are heard and none answers. `detail` says which
  kMinority,      // this node sees less than half of the members it knew
  kReconnected,   // the end of kIsolated, kMinority or kSendsRefused
  kPaused,        // the process was stopped or starved; overdue probes were voided
  kNameConflict,  // another process runs under our name: this one is silent
  kKeyTrouble,    // frames of known members are dropped for a key reason: this node accuses nobody
  kSendsRefused,  // this machine refuses our own datagrams; the probes it swallows accuse nobody
  kClockSuspect,  // most certificates would be past their end: this machine's clock is doubted
                  // first
};

// "joined", "returned", …: the words of the API, the log and the CLI.
std::string_view ToString(EventKind kind);

struct Event {
  EventKind kind = EventKind::kJoined;
  Instant at;
  std::string member;
  Incarnation incarnation;
  std::vector<std::string> by;  // sorted
  std::string detail;           // a few words where the kind does not say it all
};

// What somebody claims who has said nothing.
const std::shared_ptr<const AliveClaims>& NoClaims();

// One row of the members table as it is shown.
struct MemberInfo {
  std::string name;
  MemberState state = MemberState::kAlive;
  Incarnation incarnation;
  Instant since;                      // of `state`
  std::vector<std::string> accusers;  // with effect at this incarnation, sorted
  std::optional<Instant> dies_at;     // a suspect's deadline
  std::optional<Duration> rtt;        // of the last answered probe
  StatementRef owner;                 // the member's own highest statement
  // Of the last Alive seen, shared with it; never null.
  std::shared_ptr<const AliveClaims> claims = NoClaims();
  bool is_self = false;
};

// A hint, not an election: the lowest name that is alive or suspect; empty if there is none. Nodes
// that see other members name other leaders, and in a partition each side has one. `members` are
// sorted by name.
std::string LeaderOf(const std::vector<MemberInfo>& members);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_EVENT_H_
