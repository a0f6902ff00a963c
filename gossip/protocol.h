// One node's membership protocol as a state machine: SWIM with suspicion, signed statements and
// Lifeguard's local health. No clock, socket, lock, log, thread or global.
//
// Drive it: call a Handle*() or a command with the present instant, then TakeActions() and carry
// them out in order (some are answered by further Handle*() calls; loop until none is left), then
// arm one timer for NextDeadline() and call HandleTimeout() when it fires. `now` never goes back
// (checked). A late HandleTimeout is safe and is noticed (M7); an early one does nothing. The same
// options, seed and inputs give the same actions on every machine.
//
// Ownership: values in, values out; statements are shared and const.
// Threads: none; one strand owns it.
// Errors: input that makes no sense is ignored and counted, never fatal; only the driver's own
// broken promises (time going back, a SyncId it never gave) are CHECKed.
#ifndef SOTTO_GOSSIP_PROTOCOL_H_
#define SOTTO_GOSSIP_PROTOCOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gossip/action.h"
#include "gossip/case_book.h"
#include "gossip/event.h"
#include "gossip/member.h"
#include "gossip/messages.h"
#include "gossip/options.h"
#include "gossip/set_hash.h"
#include "gossip/statement.h"
#include "gossip/time.h"
#include "gossip/user_events.h"

namespace sotto {

// Who this process is. Set once; a new boot id makes a new Identity (Rebooted).
struct SelfIdentity {
  std::string cluster;
  std::string name;
  BootId boot_id;
  uint32_t boot_number = 1;  // persisted by the driver before it hands it in; at least 1
  std::vector<Tag> tags;
  std::vector<Endpoint> addresses;  // what our Alive will say; tells a twin from a former life
};

// Where an input came from: the authenticated name and boot id of the frame's or stream's other
// end.
struct Source {
  std::string name;
  BootId boot_id;
};

enum class SyncOutcome : uint8_t {
  kEqual,        // the set hashes agreed
  kMerged,       // tables passed in both directions
  kUnreachable,  // no connection, no handshake, or cut short
  kRefused,      // an authenticated answer of no: certificate, key, version
  kBusy,         // "try again in …"
  kSelf,         // the address leads back to this very process
};

// Which end of a sync this node is: the one that dialed, or the one that was dialed.
enum class SyncSide : uint8_t { kClient, kServer };

// What one end of a sync calls by which name, so that the other can send what it lacks (M5).
struct SyncTable {
  std::vector<StatementRef> statements;  // O and accusations of the alive and suspect
  std::vector<std::string> dead_names;   // called dead here, bounded; the other may know better
};

struct ProtocolCounters {
  uint64_t probes = 0;
  uint64_t probes_failed = 0;
  uint64_t probes_voided = 0;
  uint64_t sends_refused = 0;  // datagrams that this machine did not let out
  uint64_t loop_lags = 0;      // late turns of the event loop that told on our health
  uint64_t indirect_asked = 0;
  uint64_t refutations = 0;
  uint64_t accusations_ignored = 0;  // rate limit, or a signer whose last 8 were all refuted
  uint64_t syncs_started = 0;
  uint64_t ignored = 0;  // input without sense or out of place
  // User events: said here; handed to the application; heard again; below what is kept; beyond
  // their sender's rate; too far ahead of the clock.
  uint64_t events_sent = 0, events_delivered = 0, events_duplicate = 0, events_old = 0;
  uint64_t events_rate_limited = 0, events_ahead = 0;
  // Queries: asked here; handed to the application or answered by this node itself; not new, or of
  // a former life; acks and answers to our own that came in time, too late, or from members not
  // asked; answers sent, sent again, and passed on for others.
  uint64_t queries_sent = 0, queries_delivered = 0, queries_old = 0;
  uint64_t replies_heard = 0, replies_late = 0, replies_unasked = 0, replies_duplicate = 0;
  uint64_t answers_sent = 0, answers_resent = 0, answers_relayed = 0;
};

// How this node stands.
struct Standing {
  bool announced = false;  // our Alive is out
  bool isolated = false;   // nobody is heard, or nobody answers although others are heard
  bool minority = false;   // less than half of the known members are alive here
  bool name_conflict = false;
  bool leaving = false;
  bool left = false;
  int health_score = 0;  // 0 is healthy
  // Living members to whom this machine refused a datagram, until they are known to get ours again.
  size_t sends_refused = 0;
  size_t broadcasts_queued = 0;
};

// How far the others' tables agree with ours, by the set hashes of their last acks.
struct ViewAgreement {
  size_t agree = 0;  // living members whose last ack had our hash
  size_t known = 0;  // living members that have acked at all
};

// What a member may say, once its driver has had `draft` signed and handed to HandleSigned, at
// once; or why it may not. OK without a draft: it is done already.
struct Say {
  SayResult result;
  std::optional<StatementDraft> draft;
};

class Protocol {
 public:
  // `options` must validate. `contacts` is how many contacts the driver holds; more can be added.
  Protocol(const ProtocolOptions& options, SelfIdentity self, uint32_t contacts, uint64_t seed,
           Instant now);
  ~Protocol();
  Protocol(Protocol&&) noexcept;
  Protocol& operator=(Protocol&&) noexcept;

  // ---- the driver's inputs ----------------------------------------------------------------------
  // Begins. With contacts, asks each for its table before it announces (M9); without, announces.
  void Start(Instant now);
  void HandleTimeout(Instant now);
  // A datagram that opened, from a member whose boot id is known; its statements are verified.
  void HandlePacket(Instant now, const Source& from, const Packet& packet);
  // A verified statement by itself: a hello's, or one whose certificate has come late.
  void HandleStatement(Instant now, const StatementRef& statement);
  // The answers to actions.
  void HandleSigned(Instant now, const StatementRef& statement);
  void HandleBootPersisted(Instant now, uint32_t boot_number);
  void HandleBootPersistFailed(Instant now, uint32_t boot_number);
  void HandleStreamAck(Instant now, uint64_t nonce);
  // The stream of this ping was not begun: this machine refused it (EPERM, ENETUNREACH, EMFILE, …),
  // so that it says nothing about the member. A peer that refuses or is silent needs no report.
  void HandleStreamUnsent(Instant now, uint64_t nonce);
  void HandleSyncFinished(Instant now, SyncId id, SyncOutcome outcome, const Source* peer);
  // A datagram to this member did not leave this machine: the kernel refused it (EPERM,
  // ENETUNREACH, ENOBUFS, …), or there is no socket for its addresses. A probe whose ping this was
  // tells on us.
  void HandleSendFailed(Instant now, std::string_view member);
  // The event loop ran its timer `lag` after it was due. Call it ahead of HandleTimeout.
  void HandleLoopLag(Instant now, Duration lag);
  // Frames of known members were dropped for a key reason since the last call.
  void HandleKeyTrouble(Instant now);
  // The wall clock, about once a minute: only certificates' ends are held against it.
  void HandleWallClock(Instant now, int64_t unix_s);
  // These certificates are refused from now on (a new CA bundle or revocation list): of members
  // whose present statement names one only the name stays, as dead if it was alive. They are sent
  // nothing, and their datagrams are no longer opened, until they say something under another, at
  // any incarnation.
  void HandleUntrusted(Instant now, std::span<const Hash256> certificates);
  // The process took a new boot id (fork, clock jump, clone) and tells by a new Alive.
  void HandleRebooted(Instant now, const BootId& boot_id);

  // ---- state sync, both ends --------------------------------------------------------------------
  // The whole mergeable state that is told unasked: the alive and suspect, our own Alive only once
  // announced.
  SyncTable MakeSyncTable() const;
  // Merges what the other end told. True if anything changed here.
  bool HandleSyncTable(Instant now, const Source& from, const SyncTable& table);
  // Tombstones that the other end lacks, given the names it calls alive or dead.
  std::vector<StatementRef> TombstonesFor(const SyncTable& other) const;
  SetHash set_hash() const;

  // ---- user events, both ends of a sync ---------------------------------------------------------
  // The digest of all that is held (0: nothing) and the Lamport clock, told beside the tables.
  uint64_t event_digest() const;
  uint64_t event_clock() const;
  std::vector<uint64_t> EventIds() const;
  EventDifference CompareEvents(std::span<const uint64_t> theirs) const;
  std::vector<StatementRef> FindEvents(std::span<const uint64_t> ids) const;
  // What the other end sent that we lacked (perhaps nothing) with its clock. Until a starter has
  // settled, what it fetches tells what was said before; who dials it says nothing about that.
  void HandleSyncEvents(Instant now, const Source& from, SyncSide side,
                        std::span<const StatementRef> events, uint64_t clock);

  // ---- what this member says --------------------------------------------------------------------
  // To all. Its own application hears it as well.
  Say PrepareEvent(Instant now, std::string_view name, std::string_view payload, bool coalesce);
  // Of all that match. QueryReplied and QueryEnded follow, under the statement's hash.
  Say PrepareQuery(Instant now, const QueryRequest& request);
  // The answer to a DeliverQuery, once; an empty one says "nothing to say".
  Say PrepareAnswer(Instant now, const Hash256& query, std::string_view payload);

  // ---- commands ---------------------------------------------------------------------------------
  // Adds a contact; it is tried at once. The index is the driver's for the name it resolves.
  void AddContact(Instant now, ContactId contact);
  // A contact for one attempt: dialled now, or at Start, and forgotten whatever comes of it. The
  // index is a fresh one of the driver's. False: this member is silent or leaving; nobody is
  // dialled.
  bool Knock(Instant now, ContactId contact);
  // Says goodbye, and emits LeaveFinished when it has been heard.
  void Leave(Instant now);
  // Replaces our tags; sorted by key, at most kTagsBytesMax (the driver has checked).
  void SetTags(Instant now, std::vector<Tag> tags);
  // Has our Alive signed anew under a higher counter: new certificate, addresses or versions.
  void Reannounce(Instant now, std::vector<Endpoint> addresses);
  // Sends one ping to a member, whatever is concluded of it, for the application's own sake; an
  // answer within a minute emits PingAnswered. It proves nothing and accuses nobody. The nonce, or
  // 0: the name is unknown or our own, has no address, or kPingsMax are under way.
  static constexpr size_t kPingsMax = 256;
  uint64_t PingMember(Instant now, std::string_view member);
  // False if the name is unknown or our own.
  bool Forget(Instant now, std::string_view name);

  // Begins a routine sync with some living member now, or with the lost ones where none lives: the
  // driver hopes for something of its own on that stream (a key). At most one a second.
  void SeekSync(Instant now);

  // ---- outputs ----------------------------------------------------------------------------------
  std::vector<Action> TakeActions();
  Instant NextDeadline() const;

  // ---- views ------------------------------------------------------------------------------------
  // Sorted by name. Without `all`, only what is still shown.
  std::vector<MemberInfo> Members(bool all = false) const;
  std::optional<MemberInfo> Find(std::string_view name) const;
  // The Alive of the process with this boot id, if it is the one its member runs now (or null). The
  // frame codec's question for each new session.
  StatementRef FindBoot(const BootId& boot_id) const;
  // Why this member, or this node itself, was suspected: its last cases, the newest last.
  std::vector<SuspicionCase> CasesOf(std::string_view name) const;
  Standing standing() const;
  ViewAgreement view_agreement() const;
  const ProtocolCounters& counters() const;
  Incarnation incarnation() const;
  const StatementRef& own_alive() const;  // null until signed

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_PROTOCOL_H_
