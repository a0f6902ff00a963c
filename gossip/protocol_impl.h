// The inside of Protocol: its state, and the mechanisms that work on it. Private to protocol*.cc.
//
//   protocol.cc         inputs, the clock's rules (pause), timers, views
//   protocol_self.cc    our own statements: start, twin check, boot number, refutation, leave
//   protocol_table.cc   what statements do to rows, and what is concluded from rows
//   protocol_probe.cc   probes, relayed pings
//   protocol_ping.cc    pings for the application, measured round trips
//   protocol_health.cc  our own health: the score, pauses, refused sends, isolation
//   protocol_census.cc  asking many at once, to know whether this is the smaller side
//   protocol_gossip.cc  packets and broadcasts
//   protocol_sync.cc    contacts, retries, hash syncs, tables
//   protocol_join.cc    what a joiner has missed while it joined
//   protocol_events.cc  user events, and finding those that were missed
//   protocol_queries.cc queries, ours and others', and answers on their way
#ifndef SOTTO_GOSSIP_PROTOCOL_IMPL_H_
#define SOTTO_GOSSIP_PROTOCOL_IMPL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gossip/broadcast_queue.h"
#include "gossip/digest_watch.h"
#include "gossip/member_entry.h"
#include "gossip/probe_order.h"
#include "gossip/protocol.h"
#include "gossip/queries.h"
#include "gossip/reach.h"
#include "gossip/retry_list.h"
#include "gossip/rng.h"
#include "gossip/row.h"
#include "gossip/signer_record.h"
#include "gossip/suspicion.h"
#include "gossip/timers.h"
#include "gossip/user_events.h"

namespace sotto {

class Protocol::Impl {
 public:
  Impl(const ProtocolOptions& options, SelfIdentity self, uint32_t contacts, uint64_t seed,
       Instant now);

  void Start(Instant now);
  void HandleTimeout(Instant now);
  void HandlePacket(Instant now, const Source& from, const Packet& packet);
  void HandleStatement(Instant now, const StatementRef& statement);
  void HandleSigned(Instant now, const StatementRef& statement);
  void HandleBootPersisted(Instant now, uint32_t boot_number);
  void HandleBootPersistFailed(Instant now, uint32_t boot_number);
  void HandleStreamAck(Instant now, uint64_t nonce);
  void HandleStreamUnsent(Instant now, uint64_t nonce);
  void HandleSyncFinished(Instant now, SyncId id, SyncOutcome outcome, const Source* peer);
  void HandleSendFailed(Instant now, std::string_view member);
  void HandleLoopLag(Instant now, Duration lag);
  void HandleKeyTrouble(Instant now);
  void SeekSync(Instant now);
  void HandleWallClock(Instant now, int64_t unix_s);
  void HandleUntrusted(Instant now, std::span<const Hash256> certificates);
  void HandleRebooted(Instant now, const BootId& boot_id);
  SyncTable MakeSyncTable() const;
  bool HandleSyncTable(Instant now, const Source& from, const SyncTable& table);
  std::vector<StatementRef> TombstonesFor(const SyncTable& other) const;
  SetHash set_hash() const { return set_hasher_.value(); }
  uint64_t event_digest() const { return events_.digest(); }
  uint64_t event_clock() const { return lamport_; }
  const UserEventStore& events() const { return events_; }
  void HandleSyncEvents(Instant now, const Source& from, SyncSide side,
                        std::span<const StatementRef> events, uint64_t clock);
  Say PrepareEvent(Instant now, std::string_view name, std::string_view payload, bool coalesce);
  Say PrepareQuery(Instant now, const QueryRequest& request);
  Say PrepareAnswer(Instant now, const Hash256& query, std::string_view payload);
  void AddContact(Instant now, ContactId contact);
  bool Knock(Instant now, ContactId contact);
  void Leave(Instant now);
  void SetTags(Instant now, std::vector<Tag> tags);
  void Reannounce(Instant now, std::vector<Endpoint> addresses);
  uint64_t PingMember(Instant now, std::string_view member);
  bool Forget(Instant now, std::string_view name);
  std::vector<Action> TakeActions();
  Instant NextDeadline() const { return timers_.Next(); }
  std::vector<MemberInfo> Members(bool all) const;
  std::optional<MemberInfo> Find(std::string_view name) const;
  StatementRef FindBoot(const BootId& boot_id) const;
  std::vector<SuspicionCase> CasesOf(std::string_view name) const { return cases_.Of(name); }
  Standing standing() const;
  ViewAgreement view_agreement() const;
  const ProtocolCounters& counters() const { return counters_; }
  Incarnation incarnation() const { return incarnation_; }
  const StatementRef& own_alive() const { return own_alive_; }

 private:
  // ---- protocol.cc
  void Enter(Instant now);
  void OnPause();
  void Fire(TimerId timer);
  // A deadline that is past already is due now: only a sleeping process may be late.
  void Arm(TimerKind kind, Instant at, uint64_t id = 0) {
    timers_.Arm({kind, id}, std::max(at, now_));
  }
  void Cancel(TimerKind kind, uint64_t id = 0) { timers_.Cancel({kind, id}); }
  void Emit(EventKind kind, const MemberEntry& about, std::vector<std::string> by = {},
            std::string detail = {});
  MemberInfo InfoOf(const MemberEntry& member) const;
  // Takes part: has announced itself, and is neither gone nor silenced.
  bool IsActive() const;
  // Listens, and may still say so.
  bool IsSilent() const { return standing_.name_conflict || standing_.left; }
  // The alive and suspect, this node among them.
  size_t LivingCount() const { return living_.size() + 1; }
  int TransmitLimit() const;

  // ---- protocol_self.cc
  void TryAnnounce();
  bool MustAskTwin() const;
  void OnTwinAnswered(SyncOutcome outcome, const Source* peer);
  void SignAlive(BroadcastClass broadcast_class);
  void RaiseIncarnation(BroadcastClass broadcast_class);
  void RequestBoot(uint64_t boot_number);
  void FallSilent(std::string detail);
  bool LearnAboutSelf(const StatementRef& statement, const MemberEntry* source);
  void LearnRival(const Statement& statement);
  void AnswerAgain(const StatementRef& accusation, const MemberEntry& source);
  void OnAccused(const Statement& accusation, const MemberEntry* source);
  // Signs anew with fewer tags an own Alive that no datagram holds; true if it does.
  bool ReduceTags(const Statement& alive);
  void Refute();
  void OnOwnAliveSigned(const StatementRef& statement);
  void OnLeaveSigned(const StatementRef& statement);
  void FinishLeave();
  void TellAccusers();
  // What the table holds under our name: our own Alive, or once we are silent the rival's.
  StatementRef OwnStatement() const;

  // ---- protocol_table.cc
  MemberEntry* FindMember(std::string_view name);
  const MemberEntry* FindMember(std::string_view name) const;
  // `accuser` is who speaks of the name, or empty if the name speaks itself. Null if there is no
  // room.
  MemberEntry* FindOrCreate(std::string_view name, std::string_view accuser);
  bool MayBringUp(std::string_view accuser) const;
  MemberEntry* ByNumber(uint64_t number);
  // Folds a statement into its row. `quiet`: others know it already, do not gossip it on. `source`
  // is asked for O when that is missing. True if the row changed.
  bool Learn(const StatementRef& statement, const MemberEntry* source, bool quiet);
  void OnOwnerChanged(MemberEntry& member, const StatementRef& previous, bool quiet);
  void OnOwnerAlive(MemberEntry& member, const StatementRef& previous, bool quiet);
  void OnOwnerLeft(MemberEntry& member, bool quiet);
  void AdoptAlive(MemberEntry& member, const StatementRef& alive);
  // An accusation at O's incarnation, new or heard again; `source` has sent it, if known.
  void OnEffective(MemberEntry& member, const StatementRef& accusation, const MemberEntry* source,
                   bool tell_on);
  // Starts or confirms; true if it moved the timer.
  bool Suspect(MemberEntry& member, std::string_view accuser);
  void OnSuspicionOver(MemberEntry& member);
  // When a suspicion ends as things are: one that doubts itself waits for the longest time.
  Instant EndOf(const Suspicion& suspicion) const;
  void Condemn(MemberEntry& member, MemberState state, std::vector<std::string> by,
               std::string detail);
  // Ends the suspicion, and lets the accusers' records know how.
  enum class SuspicionEnd : uint8_t { kRefuted, kConfirmed, kMoot };
  void EndSuspicion(MemberEntry& member, SuspicionEnd end);
  void EndCase(const MemberEntry& member, SuspicionEnd end);
  void SetState(MemberEntry& member, MemberState state);
  void SetLiving(MemberEntry& member, bool living);
  void UpdateHash(MemberEntry& member);
  void ArmStateTimer(MemberEntry& member);
  void OnMemberTimer(MemberEntry& member);
  void Drop(MemberEntry& member);
  // The process of `member` is heard no longer under its boot id.
  void ForgetBoot(const MemberEntry& member);
  // Its certificate is refused: nothing that it said under it holds any longer.
  void Refuse(MemberEntry& member);
  void CheckMinority();
  bool HasExpired(const MemberEntry& member) const;
  std::vector<std::string> AccusersOf(const MemberEntry& member) const;
  // Has our own accusation of `member` signed, unless we have one; `tell` sends it to the accused.
  struct Accuse {
    bool broadcast = false;
    bool tell = false;
  };
  void RequestAccusation(MemberEntry& member, StatementKind kind, Accuse how);
  const StatementRef* OwnAccusationOf(const MemberEntry& member) const {
    return member.row.AccusationBy(self_.name);
  }
  void OnAccusationSigned(const StatementRef& statement);

  // ---- protocol_probe.cc
  struct Probe {
    uint32_t member = 0;
    BootId boot_id;
    Instant started;
    bool unsent = false;  // this machine refused the ping
    bool indirect = false;
    bool stream_unsent = false;  // and the stream
    struct Asked {
      uint32_t relay = 0;
      bool nacked = false;
      bool unsent = false;
    };
    std::vector<Asked> relays;

    size_t Nacked() const {
      return static_cast<size_t>(std::count_if(relays.begin(), relays.end(),
                                               [](const Asked& asked) { return asked.nacked; }));
    }
    // None of its datagrams left this machine.
    bool IsSwallowed() const {
      return unsent && std::all_of(relays.begin(), relays.end(),
                                   [](const Asked& asked) { return asked.unsent; });
    }
  };
  void OnProbeTick();
  void StartProbe(MemberEntry& member);
  void OnProbeTimeout(uint64_t nonce);
  void OnProbeEnd(uint64_t nonce);
  static bool IsVoid(const Probe& probe);
  void OnProbeFailed(MemberEntry& member, const Evidence& evidence, bool heard_anyone);
  Evidence EvidenceOf(const Probe& probe, const MemberEntry& member) const;
  void FinishProbe(uint64_t nonce);
  // What one packet may still make this node do.
  struct PacketBudget {
    int pings = 16;
    int relays = 4;
    int wants = 4;
  };
  void HandleMessage(MemberEntry& from, const Message& message, PacketBudget& budget,
                     std::vector<Message>& replies);
  void OnWantOwner(MemberEntry& from, const std::string& name);
  void OnAck(MemberEntry& from, const Ack& ack);
  void OnNack(const MemberEntry& from, uint64_t nonce);
  void OnIndirectPing(MemberEntry& from, const IndirectPing& ask);
  void OnRelayNack(uint64_t nonce);
  void EndRelay(uint64_t nonce);

  // ---- protocol_health.cc
  void VoidOverdueProbes();
  // Those that began longer ago than `age_max` end as they would.
  void HoldSuspicions(Duration age_max = Duration::Max());
  // A valid frame or stream came from a member.
  void Heard();
  void HeardFrom(MemberEntry& member);
  void OnIsolationTimer();
  Duration SilenceMax() const;
  Duration UnansweredMax() const;
  Instant WatchAnswers();
  void RaiseHealth(int by);
  void LowerHealth();
  // Something of this machine's own making went wrong: one point, at most once a probe interval.
  void OwnFault();
  void TellRefusal(const MemberEntry& to);
  // A round none of whose datagrams left this machine; and the proof that one does.
  void NoteSwallowed(const Probe& probe);
  void EndSendTrouble();
  // A member has shown that what we send arrives.
  void Answered();
  void UpdateIsolated(std::string detail);
  // It has answered a datagram of ours, or no longer counts.
  void EndRefusal(uint32_t member);
  int HealthFactor() const {
    return options_.lifeguard.health_scaling ? standing_.health_score + 1 : 1;
  }
  Duration ProbeRound() const { return options_.probe_interval * HealthFactor(); }
  bool MayAccuse() const;
  bool HasKeyTrouble() const { return now_ < key_trouble_until_; }
  bool HasSendTrouble() const {
    return swallowed_since_ != Instant::Never() && now_ - swallowed_since_ < kSendTroubleMax;
  }

  // ---- protocol_ping.cc
  void NoteRtt(MemberEntry& from, Duration rtt);
  // Whether the ack answers a ping of the application's.
  bool FinishPing(MemberEntry& from, uint64_t nonce);

  // ---- protocol_census.cc
  void ConsiderCensus();
  void AskCensus();
  void AskCensusByStream();
  void OnCensusStreamAck();
  // A census that waits for the pace of those that were answered need not.
  void AskAgainSoon();
  void OnCensusTimer();
  void VoidCensus();
  // Whether the ack answers a ping of the census that is under way.
  bool IsCensusAck(const MemberEntry& from, uint64_t nonce) const;

  // ---- protocol_gossip.cc
  bool FitsPacket(const Statement& statement) const;
  bool IsKnownToAll() const;
  void Broadcast(BroadcastClass broadcast_class, const StatementRef& statement);
  void ArmGossip();
  void OnGossipTick();
  void GossipTo(MemberEntry& member, size_t bytes, bool count);
  void SendMessages(MemberEntry& member, std::vector<Message> messages);
  void SendStatement(MemberEntry& member, const StatementRef& statement);
  void Send(MemberEntry& member, Packet packet);
  // Tells a process that is not the one in the table, by its own Alive.
  void SendToStale(const StatementRef& to, MemberEntry& member);
  // An accusation with effect about `member`, for it to refute; null if there is none.
  StatementRef AccusationAbout(const MemberEntry& member) const;
  void TellAccused(MemberEntry& member);
  // An accusation of `member` that it has answered, come from `source`: its signer may not know.
  void OnStale(MemberEntry& member, const StatementRef& accusation, const MemberEntry& source);
  // Whether something may be sent on account of what `signer` has said in vain.
  bool MayTell(MemberEntry& signer);
  // Asks `other` what `member` says of itself.
  void AskAbout(const MemberEntry& member, MemberEntry& other);
  void WarnSuspect(MemberEntry& member);
  std::vector<MemberEntry*> PickLiving(size_t count, const MemberEntry* except);

  // ---- protocol_sync.cc
  struct Sync {
    SyncReason reason = SyncReason::kJoin;
    std::optional<uint32_t> contact;
    std::string member;  // whom, unless a contact
    uint64_t own_hash = 0;
    uint64_t their_hash = 0;
    bool learned = false;
  };
  void BeginSync(Sync sync, SyncTarget target);
  void OnContactTimer(uint32_t index);
  void OnContactFinished(uint32_t index, SyncOutcome outcome, const Source* peer);
  void ForgetKnock(uint32_t index, bool answered);
  // Whoever knows nobody starts by a contact: what its cluster has said is history.
  void ExpectStart();
  void OnRetryTimer();
  void ArmRetry();
  void StartRoutineSync();
  void OnRoutineTimer();
  void NoteView(MemberEntry& from, uint64_t hash);
  void ConsiderHashSync();
  void OnHashSyncFinished(const Sync& sync, SyncOutcome outcome);
  void ExpectReturns();
  void ScheduleContactOf(const MemberEntry& member);

  // ---- protocol_join.cc
  struct JoinCheck {
    uint64_t own_hash = 0;
    std::map<uint64_t, uint32_t> asked;  // by nonce; the number of who has not answered yet
    size_t agreed = 0;
  };
  void BeginSettling();
  void SettleAfter(Duration wait);
  void OnJoinTimer();
  void CompareAfterJoin();
  // Whether the ack answers a ping of ours that compares tables.
  bool OnJoinAck(MemberEntry& from, const Ack& ack);
  void SyncAfterJoin(const MemberEntry& member);
  void OnJoinSyncFinished(const Sync& sync);

  // ---- protocol_events.cc
  enum class Path : uint8_t { kOwn, kGossip, kSync };
  // A statement of a said kind, verified; `source` has sent it, if known.
  void HearSaid(const StatementRef& statement, const MemberEntry* source);
  // Whether it was new and is told here.
  bool HearEvent(const StatementRef& statement, Path path);
  void Deliver(const StatementRef& statement);
  void OnSaidSigned(const StatementRef& statement);
  // Whether `lamport` is one that the clock may follow.
  bool WitnessLamport(uint64_t lamport);
  // Whether `from` answers as a contact of ours, and not as a member that we have picked.
  bool IsFromContact(const Source& from) const;
  // A contact says how far the cluster is; what lies before is history to us.
  void TakeStart(std::span<const StatementRef> events, uint64_t clock);
  // Said by a process of its member that has since been replaced.
  bool IsOfFormerLife(const Statement& statement) const;
  SayResult MaySay(const Said& said, size_t payload_bytes) const;
  // The next Lamport time; spends what the rate allows.
  uint64_t SpendSay();
  uint64_t ShownEventDigest() const;
  void NoteEvents();
  Ack AckOf(uint64_t nonce) const { return {nonce, set_hash().low, ShownEventDigest()}; }
  void NoteAck(MemberEntry& from, const Ack& ack);
  void DropUntrustedEvents(std::span<const Hash256> certificates);
  void CheckEventsSoon();
  void ArmEventSync();
  void OnEventSyncTimer();
  void OnEventSyncFinished();
  void OnCoalesceTimer();

  // ---- protocol_queries.cc
  using InternalTable =
      std::map<std::string, std::function<std::string(const Impl&, const SaidQuery&)>, std::less<>>;
  static const InternalTable& InternalQueries();
  void HearQuery(const StatementRef& statement);
  void HearAnswer(const StatementRef& statement, const MemberEntry* source);
  void OnQuerySigned(const StatementRef& statement);
  void OnAnswerSigned(const StatementRef& statement);
  // Hands a query that asks us to the application, or answers it where it is the node's own.
  void TakeQuery(const StatementRef& statement, Instant deadline);
  void OnReply(const QueryKey& query, std::string_view from, bool is_ack, std::string payload);
  void EndQueries();
  void SendAnswers();
  void OnReceipt(const MemberEntry& from, uint64_t answer);
  std::string AnswerReach() const;
  Reach ReachOf(const MemberEntry& member) const;

  const ProtocolOptions options_;
  SelfIdentity self_;
  Instant now_;
  Rng probe_rng_;
  Rng gossip_rng_;
  Rng sync_rng_;
  Rng nonce_rng_;
  Timers timers_;
  std::vector<Action> actions_;
  Standing standing_;
  ProtocolCounters counters_;
  bool started_ = false;

  // Ourselves.
  Incarnation incarnation_;
  StatementRef own_alive_;
  StatementRef own_leave_;
  BroadcastClass sign_class_ = BroadcastClass::kJoin;
  bool tell_announced_ = false;
  uint32_t boot_wanted_ = 0;  // asked to be persisted, 0 if nothing is
  int boot_attempts_ = 0;
  bool sign_pending_ = false;
  std::optional<BootId> rival_;    // the process above which we have put ourselves
  std::optional<BootId> cleared_;  // a supposed twin that did not answer
  bool twin_asked_ = false;
  // Accusers at the present incarnation, not yet answered; whether they are believed.
  std::map<std::string, bool, std::less<>> accused_by_;
  std::string told_by_;                 // who passed the last of these accusations on
  std::vector<std::string> answer_to_;  // accusers who get our refutation first
  Instant refute_after_;
  Instant refute_doubted_after_;   // those that are not believed
  std::vector<Tag> fitting_tags_;  // of the last own Alive that a datagram holds

  // The table.
  std::map<std::string, MemberEntry, std::less<>> members_;
  std::map<uint32_t, MemberEntry*> by_number_;
  std::map<BootId, MemberEntry*> boots_;
  std::vector<MemberEntry*> living_;  // the alive and suspect others, in no meaningful order
  std::deque<std::pair<Instant, uint32_t>> recently_dead_;
  MemberEntry* own_ = nullptr;
  uint32_t next_number_ = 0;
  std::map<uint32_t, std::string> unlisted_;  // by number; who brought the name up
  size_t dead_shown_ = 0;
  size_t suspicions_ = 0;
  SetHasher set_hasher_;
  Instant hash_changed_at_;
  SignerRecords signers_;
  CaseBook cases_;
  std::map<std::pair<std::string, StatementKind>, Accuse> accusations_wanted_;  // being signed
  int64_t wall_unix_s_ = 0;  // 0: unknown, or doubted
  bool clock_suspect_ = false;

  // Probing.
  struct Relay {
    uint32_t prober = 0;
    uint32_t target = 0;
    uint64_t nonce = 0;  // the prober's
  };
  ProbeOrder probe_order_;
  std::map<uint64_t, Probe> probes_;
  std::map<uint64_t, Relay> relays_;
  struct AppPing {
    uint32_t member = 0;
    Instant sent;
  };
  std::map<uint64_t, AppPing> pings_;
  Instant last_heard_;
  bool silent_ = false;           // nobody has been heard for SilenceMax()
  Instant last_answered_;         // when anything showed that what we send arrives
  bool unanswered_ = false;       // nobody has answered for UnansweredMax(), and a census neither
  uint32_t last_heard_from_ = 0;  // its number
  Instant key_trouble_until_;
  Instant seek_after_;
  Instant key_trouble_told_;
  Instant own_fault_after_;
  std::set<uint32_t> refused_;  // to whom this machine refuses datagrams
  // Since when none leaves it, as far as rounds and answers show. So long this node blames itself;
  // then it concludes what it must (decision 0012).
  static constexpr Duration kSendTroubleMax = Duration::Minutes(10);
  Instant swallowed_since_ = Instant::Never();
  bool refusal_open_ = false;  // told, and not yet over
  Instant refusal_told_;
  Instant census_after_;
  Instant census_began_;
  std::vector<uint32_t> census_;      // whom it asks; empty while there is none
  size_t census_of_ = 0;              // how many others were alive here when it began
  uint64_t census_nonce_ = 0;         // 0 while there is none
  uint64_t census_stream_nonce_ = 0;  // of the last one that asked over streams
  int census_round_ = 0;
  // One in which others were heard has come to its end without an answer, nor was there any since.
  bool census_unanswered_ = false;
  bool few_answer_ = false;  // what the last one showed: less than half of those known

  // Dissemination.
  BroadcastQueue broadcasts_;
  Instant gossip_after_;

  // Sync.
  struct Contact {
    std::string member;  // who answered there last
    int attempts = 0;
    bool in_flight = false;
    bool once = false;  // a knock
  };
  std::map<uint32_t, Contact> contacts_;
  std::set<uint32_t> first_round_;  // contacts whose first answer we await before announcing
  bool contact_answered_ = false;
  std::map<uint64_t, Sync> syncs_;
  uint64_t next_sync_ = 1;
  RetryList retries_;
  std::deque<std::string> lost_;  // in retries_ although their tombstones are gone
  size_t retries_in_flight_ = 0;
  Instant retry_after_;
  Instant expect_after_;
  static constexpr size_t kViewsMax = 4;
  std::vector<std::pair<uint32_t, uint64_t>> views_;     // last acks of distinct members
  std::deque<std::pair<uint64_t, uint64_t>> fruitless_;  // pairs of hashes
  Instant differ_since_ = Instant::Never();
  Instant hash_sync_after_;
  int hash_sync_attempts_ = 0;  // that changed nothing
  int hash_sync_failures_ = 0;  // that did not come about
  bool hash_sync_in_flight_ = false;

  // Joining.
  std::optional<JoinCheck> join_check_;
  Instant settle_latest_;  // then the tables are compared although ours still changes
  int join_syncs_ = 0;
  int join_syncs_fruitless_ = 0;  // in a row

  // What members say.
  struct EventSync {
    DigestWatch::Due with;
    uint64_t own_before = 0;
  };
  UserEventStore events_;
  EventCoalescer coalescer_;
  DigestWatch digests_;
  SignerRecords say_rates_;      // of each origin, at a multiple of what a node allows itself
  SignerRecords answer_rates_;   // answers passed on for each member
  SignerRecords receipt_rates_;  // receipts for answers to us, for each member
  Instant say_full_at_;          // our own bucket, as the instant it will be full again (GCRA)
  uint64_t lamport_ = 0;
  uint64_t start_lamport_ = 0;           // what others were at when we started: older is history
  bool events_begun_ = false;            // the start is known, or there is nobody to ask
  bool telling_history_ = false;         // while events of before our start are heard
  bool check_events_ = false;            // we were away for longer than digests are shown
  std::optional<EventSync> event_sync_;  // in flight
  OwnQueries own_queries_;
  HeardQueries heard_queries_;
  AnswerOutbox outbox_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_PROTOCOL_IMPL_H_
