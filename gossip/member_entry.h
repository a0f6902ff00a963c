// One member as the core keeps it: its row, and what this node concludes and remembers. Private to
// protocol*.cc.
#ifndef SOTTO_GOSSIP_MEMBER_ENTRY_H_
#define SOTTO_GOSSIP_MEMBER_ENTRY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "gossip/member.h"
#include "gossip/row.h"
#include "gossip/statement.h"
#include "gossip/suspicion.h"
#include "gossip/time.h"

namespace sotto {

// One row of the table with what this node concludes from it.
struct MemberEntry {
  MemberEntry(uint32_t number_in, size_t accusers_max) : number(number_in), row(accusers_max) {}

  bool IsLiving() const { return living_slot >= 0; }
  // Dead or forgotten by this node's conclusion: only a higher incarnation of the owner's returns
  // it.
  bool IsCondemned() const {
    return state == MemberState::kDead || state == MemberState::kForgotten;
  }

  const uint32_t number;
  std::string_view name;  // the key in the table
  Row row;
  StatementRef alive;  // the last Alive seen; O itself unless O is a Leave

  MemberState state = MemberState::kAlive;
  Instant since;
  bool listed = false;  // it has said something of itself: without O there is no state
  bool told = false;    // the application has heard of it
  bool hidden = false;
  bool expired = false;                  // dead because its certificate has ended or is refused
  std::unique_ptr<Suspicion> suspicion;  // exactly while suspect
  StatementRef in_hash;                  // what the set hash holds of it
  int32_t living_slot = -1;              // place in living_

  Instant heard;            // when its present process was last heard, or else heard of
  bool knows_us = false;    // a datagram bound to our boot id has come from its present process
  bool must_hello = false;  // it has not answered although it should know us: it may not
  Instant hello_after;
  Instant tell_after;  // rate limits: its accusation to itself, asking for O, our Alive to it
  Instant ask_after;
  Instant answer_after;
  Instant stale_after;    // its O to a process that speaks with an older statement of its name
  Instant told_full_at;   // what it is told unasked, since it accuses in vain (GCRA)
  Instant wants_full_at;  // what it asks for, as the instant its bucket will be full again (GCRA)
  size_t relays = 0;      // pings under way on its behalf
  std::optional<Duration> rtt;
  std::optional<uint64_t> view;  // set hash of its last ack

  // Probes of it since it acked a datagram, or at least a stream reached it; for `_sotto/reach`.
  bool asked = false;
  uint8_t probes_since_datagram = UINT8_MAX;
  uint8_t probes_since_stream = UINT8_MAX;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_MEMBER_ENTRY_H_
