// Queries: asking, being asked, and answers that arrive.
//
// An answer goes to its origin as a datagram, directly and, where the query wishes it, through k
// others, again and again until the origin's receipt comes or the deadline is over. A relay passes
// on what its speaker has sent it itself, once, and sees only a signed statement.
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "gossip/base/check.h"
#include "gossip/fixed_point.h"
#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

constexpr int kTimeoutGossips = 16;

}  // namespace

// ---- asking -------------------------------------------------------------------------------------

Say Protocol::Impl::PrepareQuery(Instant now, const QueryRequest& request) {
  Enter(now);
  Duration timeout = request.timeout;
  if (timeout == Duration()) {
    timeout = options_.gossip_interval * (kTimeoutGossips * DecimalDigits(LivingCount()));
  }
  const bool valid = IsValidSaidName(request.name) && IsValidFilter(request.filter) &&
                     timeout >= Duration::Millis(1) &&
                     timeout <= Duration::Millis(kQueryTimeoutMsMax) && request.relays >= 0 &&
                     request.relays <= kQueryRelaysMax;
  if (!valid) return {{SayVerdict::kInvalid}, {}};
  const bool known = InternalQueries().contains(request.name) || request.name == kKeysQueryName;
  if (IsInternalName(request.name) && !known) {
    return {{SayVerdict::kReserved}, {}};
  }
  SaidQuery query{request.name,
                  request.payload,
                  lamport_ + 1,
                  static_cast<uint32_t>(timeout.millis()),
                  request.filter,
                  request.acks,
                  static_cast<uint8_t>(request.relays)};
  const SayResult may = MaySay(query, request.payload.size());
  if (may.verdict != SayVerdict::kOk) return {may, {}};
  if (own_queries_.full()) return {{SayVerdict::kTooMany}, {}};
  query.lamport = SpendSay();
  return {{},
          StatementDraft{StatementKind::kQuery,
                         self_.name,
                         incarnation_,
                         {},
                         {},
                         std::make_shared<const Said>(std::move(query))}};
}

void Protocol::Impl::OnQuerySigned(const StatementRef& statement) {
  const auto& query = std::get<SaidQuery>(*statement->said);
  ++counters_.queries_sent;
  std::vector<std::string> expected;
  for (const MemberEntry* member : living_) {
    if (Matches(query.filter, member->name, member->alive->alive->tags)) {
      expected.emplace_back(member->name);
    }
  }
  const bool asks_us = Matches(query.filter, self_.name, own_alive_->alive->tags);
  if (asks_us) expected.push_back(self_.name);
  const Instant ends_at = now_ + Duration::Millis(query.timeout_ms);
  own_queries_.Open(statement, std::move(expected), ends_at);
  Broadcast(BroadcastClass::kEvent, statement);
  if (asks_us) TakeQuery(statement, ends_at);
  EndQueries();
}

void Protocol::Impl::OnReply(const QueryKey& query, std::string_view from, bool is_ack,
                             std::string payload) {
  Hash256 id;
  switch (own_queries_.Hear(query, from, is_ack, &id)) {
    case OwnQueries::Heard::kLate:
      ++counters_.replies_late;
      return;
    case OwnQueries::Heard::kUnasked:
      ++counters_.replies_unasked;
      return;
    case OwnQueries::Heard::kDuplicate:
      ++counters_.replies_duplicate;
      return;
    case OwnQueries::Heard::kAck:
    case OwnQueries::Heard::kAnswer:
      break;
  }
  ++counters_.replies_heard;
  actions_.push_back(QueryReplied{id, {std::string(from), is_ack, std::move(payload)}});
  EndQueries();
}

void Protocol::Impl::EndQueries() {
  for (OwnQueries::Ended& ended : own_queries_.TakeEnded(now_)) {
    actions_.push_back(QueryEnded{ended.id, std::move(ended.summary)});
  }
  if (own_queries_.NextEnd() == Instant::Never()) {
    Cancel(TimerKind::kQueryEnd);
  } else {
    Arm(TimerKind::kQueryEnd, own_queries_.NextEnd());
  }
}

// ---- being asked --------------------------------------------------------------------------------

// What the node answers by itself, by name.
const Protocol::Impl::InternalTable& Protocol::Impl::InternalQueries() {
  static const auto& table = *new InternalTable{
      {"_sotto/ping", [](const Impl&, const SaidQuery&) { return std::string(); }},
      {"_sotto/reach", [](const Impl& core, const SaidQuery&) { return core.AnswerReach(); }},
  };
  return table;
}

void Protocol::Impl::HearQuery(const StatementRef& statement) {
  if (statement->signer == self_.name) return;
  const auto& query = std::get<SaidQuery>(*statement->said);
  if (query.lamport <= start_lamport_ || IsOfFormerLife(*statement) ||
      !heard_queries_.Admit(*statement)) {
    ++counters_.queries_old;
    return;
  }
  if (!WitnessLamport(query.lamport)) {
    ++counters_.events_ahead;
    return;
  }
  if (!say_rates_.TakeToken(now_, statement->signer)) {
    ++counters_.events_rate_limited;
    return;
  }
  Broadcast(BroadcastClass::kEvent, statement);
  if (!IsActive() || standing_.leaving) return;
  if (!Matches(query.filter, self_.name, own_alive_->alive->tags)) return;
  TakeQuery(statement, now_ + Duration::Millis(query.timeout_ms));
}

void Protocol::Impl::TakeQuery(const StatementRef& statement, Instant deadline) {
  const auto& query = std::get<SaidQuery>(*statement->said);
  if (!heard_queries_.Keep(now_, statement, deadline)) {
    ++counters_.events_rate_limited;
    return;
  }
  ++counters_.queries_delivered;
  // What this node holds is known to its shell.
  if (IsInternalName(query.name) && query.name != kKeysQueryName) {
    const auto it = InternalQueries().find(query.name);
    // One that only a newer node knows has an answer as well: that there is none.
    std::string answer = it == InternalQueries().end() ? std::string() : it->second(*this, query);
    const Say say = PrepareAnswer(now_, statement->hash, answer);
    if (say.draft) actions_.push_back(SignStatement{*say.draft});
    return;
  }
  const bool acks = query.acks && query.name != kKeysQueryName;
  if (acks && statement->signer == self_.name) {
    OnReply(KeyOfQuery(statement->hash), self_.name, true, {});
  } else if (acks) {
    const SaidAnswer ack{KeyOfQuery(statement->hash), statement->signer, true, {}};
    actions_.push_back(SignStatement{{StatementKind::kAnswer,
                                      self_.name,
                                      incarnation_,
                                      {},
                                      {},
                                      std::make_shared<const Said>(ack)}});
  }
  actions_.push_back(
      DeliverQuery{{statement->signer, query.name, query.payload, statement->hash, deadline}});
}

Say Protocol::Impl::PrepareAnswer(Instant now, const Hash256& query, std::string_view payload) {
  Enter(now);
  const QueryKey key = KeyOfQuery(query);
  HeardQueries::Open* open = heard_queries_.Find(now_, key);
  if (!open || open->answered) return {{SayVerdict::kUnknown}, {}};
  SaidAnswer answer{key, open->query->signer, false, std::string(payload)};
  const SayResult may = MaySay(answer, payload.size());
  if (may.verdict != SayVerdict::kOk) return {may, {}};
  open->answered = true;
  if (answer.origin == self_.name) {
    heard_queries_.Close(key);
    OnReply(key, self_.name, false, std::move(answer.payload));
    return {};
  }
  return {{},
          StatementDraft{StatementKind::kAnswer,
                         self_.name,
                         incarnation_,
                         {},
                         {},
                         std::make_shared<const Said>(std::move(answer))}};
}

// ---- answers on their way -----------------------------------------------------------------------

void Protocol::Impl::OnAnswerSigned(const StatementRef& statement) {
  const auto& answer = std::get<SaidAnswer>(*statement->said);
  const HeardQueries::Open* open = heard_queries_.Find(now_, answer.query);
  if (!open) return;
  const int relays = std::get<SaidQuery>(*open->query->said).relays;
  outbox_.Add(now_, statement, relays, open->deadline, options_.probe_timeout);
  if (!answer.is_ack) heard_queries_.Close(answer.query);
  SendAnswers();
}

void Protocol::Impl::SendAnswers() {
  for (const AnswerOutbox::Due& due : outbox_.TakeDue(now_)) {
    MemberEntry* origin = FindMember(due.origin);
    if (origin && !origin->IsLiving()) {
      outbox_.DropOf(due.origin);  // it waits for nothing any longer
      continue;
    }
    ++(due.sends == 1 ? counters_.answers_sent : counters_.answers_resent);
    if (origin) SendStatement(*origin, due.answer);
    for (MemberEntry* relay : PickLiving(static_cast<size_t>(due.relays), origin)) {
      SendStatement(*relay, due.answer);
    }
  }
  if (outbox_.NextDue() == Instant::Never()) {
    Cancel(TimerKind::kAnswers);
  } else {
    Arm(TimerKind::kAnswers, outbox_.NextDue());
  }
}

void Protocol::Impl::OnReceipt(const MemberEntry& from, uint64_t answer) {
  outbox_.Confirm(answer, from.name);
  SendAnswers();
}

void Protocol::Impl::HearAnswer(const StatementRef& statement, const MemberEntry* source) {
  const auto& answer = std::get<SaidAnswer>(*statement->said);
  if (answer.origin == self_.name) {
    // Also one that comes too late, or again: its sender is to know, and to stop.
    MemberEntry* speaker = FindMember(statement->signer);
    // Alone in its datagram: whoever makes us send receipts spends no broadcasts of ours by it.
    if (speaker && speaker != own_ && receipt_rates_.TakeToken(now_, speaker->name)) {
      Send(*speaker, {{AnswerReceipt{PrefixOf(statement->hash)}}, {}});
    }
    OnReply(answer.query, statement->signer, answer.is_ack, answer.payload);
    return;
  }
  // Only what its speaker sends us itself, so that it goes no farther than one step.
  MemberEntry* origin = FindMember(answer.origin);
  const bool may = source && source->name == statement->signer && origin && origin->IsLiving() &&
                   answer_rates_.TakeToken(now_, source->name);
  if (!may) {
    ++counters_.ignored;
    return;
  }
  ++counters_.answers_relayed;
  SendStatement(*origin, statement);
}

// ---- internal queries ---------------------------------------------------------------------------

Reach Protocol::Impl::ReachOf(const MemberEntry& member) const {
  constexpr uint8_t kLately = 3;
  if (&member == own_ || member.probes_since_datagram <= kLately) return Reach::kDatagram;
  if (!member.asked) return Reach::kNotAsked;
  return member.probes_since_stream <= kLately ? Reach::kStream : Reach::kNothing;
}

std::string Protocol::Impl::AnswerReach() const {
  std::vector<std::string> names;
  std::vector<Reach> reach;
  for (const auto& [name, member] : members_) {
    if (&member != own_ && !member.IsLiving()) continue;
    names.push_back(name);
    reach.push_back(ReachOf(member));
  }
  return EncodeReach(names, reach);
}

}  // namespace sotto
