// What the core asks its driver to do. Carried out in order; none may be skipped.
#ifndef SOTTO_GOSSIP_ACTION_H_
#define SOTTO_GOSSIP_ACTION_H_

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "gossip/event.h"
#include "gossip/messages.h"
#include "gossip/statement.h"
#include "gossip/time.h"

namespace sotto {

// Seal `packet` for the process described by the Alive `to` and send it there, best effort. With
// `hello`, send a hello (this node's own Alive, under the cluster key alone) ahead of it: that
// process has not yet shown that it knows ours, and drops frames of unknown boot ids.
struct SendPacket {
  StatementRef to;
  Packet packet;
  bool hello = false;
};

// Sign, and answer with HandleSigned. Drivers answer before they carry out the next action.
struct SignStatement {
  StatementDraft draft;
};

// Write the boot number durably, then answer with HandleBootPersisted. Nothing is announced under a
// number that could be forgotten. Where it cannot be written, answer with HandleBootPersistFailed.
struct PersistBoot {
  uint32_t boot_number = 0;
};

// Identifies one exchange over a stream between the core and its driver.
struct SyncId {
  uint64_t value = 0;
  friend auto operator<=>(const SyncId&, const SyncId&) = default;
};

enum class SyncReason : uint8_t {
  kJoin,       // a contact, until its cluster is known
  kJoinAgain,  // a joiner's, with a member whose table differs from its own
  kRoutine,    // about every ten minutes
  kHash,       // acks show other tables than ours
  kRetry,      // a dead or lost member, or a contact that is not among the living
  kTwin,       // who answers under our own name at another address?
  kEvents,     // acks show other user events than ours: only these are exchanged
};
std::string_view ToString(SyncReason reason);

// A contact of the configuration by its index (the driver resolves its host name afresh each time),
// or the process that an Alive describes.
struct ContactId {
  uint32_t index = 0;
  friend auto operator<=>(const ContactId&, const ContactId&) = default;
};
using SyncTarget = std::variant<ContactId, StatementRef>;

// Open a stream to the target and exchange state; report with HandleSyncFinished, once, whatever
// happens.
struct StartSync {
  SyncId id;
  SyncReason reason = SyncReason::kJoin;
  SyncTarget target;
};

// Send this ping over a stream, beside the indirect probes. An answer goes to HandleStreamAck, a
// stream that this machine did not let out to HandleStreamUnsent; silence needs no report.
struct SendStreamPing {
  StatementRef to;
  uint64_t nonce = 0;
};

struct EmitEvent {
  Event event;
};

// A member answered a probe or a ping of ours itself, `rtt` after it was sent.
struct MeasuredRtt {
  std::string member;
  Duration rtt;
};

// The answer to the command PingMember.
struct PingAnswered {
  uint64_t nonce = 0;
  Duration rtt;
};

// What another member, or this one, has said to all.
struct DeliverUserEvent {
  UserEvent event;
};

// A question to this member's application; answered with PrepareAnswer.
struct DeliverQuery {
  ReceivedQuery query;
};

// One of this node's own queries was acked or answered.
struct QueryReplied {
  Hash256 query;
  QueryReply reply;
};

// … is over, for all have answered or its time is; nothing follows.
struct QueryEnded {
  Hash256 query;
  QuerySummary summary;
};

// Leaving is over: the Leave has been sent as often as it needs.
struct LeaveFinished {};

using Action = std::variant<SendPacket, SignStatement, PersistBoot, StartSync, SendStreamPing,
                            EmitEvent, MeasuredRtt, PingAnswered, DeliverUserEvent, DeliverQuery,
                            QueryReplied, QueryEnded, LeaveFinished>;

}  // namespace sotto

#endif  // SOTTO_GOSSIP_ACTION_H_
