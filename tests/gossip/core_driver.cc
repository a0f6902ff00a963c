#include "tests/gossip/core_driver.h"

#include <algorithm>
#include <utility>

#include "gossip/base/check.h"

namespace sotto::testing {
namespace {

SelfIdentity IdentityOf(const DriverSetup& setup, const FakeProcess& process) {
  return {"test", process.name, process.boot_id, setup.boot_number, {}, process.addresses};
}

}  // namespace

CoreDriver::CoreDriver(DriverSetup setup)
    : options(setup.options),
      self(MakeFakeProcess(setup.name)),
      core(setup.options, IdentityOf(setup, self), setup.contacts, setup.seed, now) {
  if (!setup.start) return;
  core.Start(now);
  Settle();
}

void CoreDriver::Meet(std::string_view peer) {
  core.HandleStatement(now, AliveOf(peer, Inc(1)));
  Settle();
  Receive(peer, {});
}

void CoreDriver::Answer(std::string_view peer, bool yes) {
  if (yes) {
    answering_.emplace(peer);
  } else {
    answering_.erase(std::string(peer));
  }
}

void CoreDriver::Receive(std::string_view from, Packet packet, uint32_t life) {
  core.HandlePacket(now, {std::string(from), FakeBootId(from, life)}, packet);
  Settle();
}

void CoreDriver::RunUntil(Instant at) {
  while (core.NextDeadline() <= at) {
    now = std::max(now, core.NextDeadline());
    core.HandleTimeout(now);
    Settle();
  }
  now = at;
}

void CoreDriver::Settle() {
  for (std::vector<Action> actions = core.TakeActions(); !actions.empty();
       actions = core.TakeActions()) {
    for (const Action& action : actions) Do(action);
  }
}

void CoreDriver::Do(const Action& action) {
  if (const auto* send = std::get_if<SendPacket>(&action)) {
    if (refusing.contains(send->to->subject)) {
      core.HandleSendFailed(now, send->to->subject);
      return;
    }
    sent.push_back({now, send->to->subject, send->packet, send->hello});
    AnswerPacket(*send);
  } else if (const auto* sign = std::get_if<SignStatement>(&action)) {
    signed_statements.push_back(FakeSign(sign->draft, self));
    core.HandleSigned(now, signed_statements.back());
  } else if (const auto* persist = std::get_if<PersistBoot>(&action)) {
    if (persist_fails) {
      core.HandleBootPersistFailed(now, persist->boot_number);
    } else {
      persisted.push_back(persist->boot_number);
      core.HandleBootPersisted(now, persist->boot_number);
    }
  } else if (const auto* sync = std::get_if<StartSync>(&action)) {
    syncs.push_back({now, *sync, true});
  } else if (const auto* ping = std::get_if<SendStreamPing>(&action)) {
    stream_pings.push_back(*ping);
  } else if (const auto* measured = std::get_if<MeasuredRtt>(&action)) {
    measured_rtts.push_back(*measured);
  } else if (const auto* pong = std::get_if<PingAnswered>(&action)) {
    pongs.push_back(*pong);
  } else if (const auto* emit = std::get_if<EmitEvent>(&action)) {
    events.push_back(emit->event);
  } else if (const auto* said = std::get_if<DeliverUserEvent>(&action)) {
    user_events.push_back(said->event);
  } else if (const auto* asked = std::get_if<DeliverQuery>(&action)) {
    queries.push_back(asked->query);
  } else if (const auto* reply = std::get_if<QueryReplied>(&action)) {
    replies.push_back(*reply);
  } else if (const auto* ended = std::get_if<QueryEnded>(&action)) {
    ended_queries.push_back(*ended);
  } else if (std::holds_alternative<LeaveFinished>(action)) {
    left = true;
  }
}

void CoreDriver::AnswerPacket(const SendPacket& send) {
  const std::string& to = send.to->subject;
  if (!answering_.contains(to)) return;
  const Source source{to, send.to->alive->boot_id};
  for (const Message& message : send.packet.messages) {
    Packet answer;
    if (const auto* ping = std::get_if<Ping>(&message)) {
      answer.messages.push_back(Ack{ping->nonce, core.set_hash().low});
    } else if (const auto* ask = std::get_if<IndirectPing>(&message)) {
      if (answering_.contains(ask->target)) {
        answer.messages.push_back(Ack{ask->nonce, core.set_hash().low});
      } else {
        answer.messages.push_back(Nack{ask->nonce});
      }
    }
    if (!answer.messages.empty()) core.HandlePacket(now, source, answer);
  }
}

SayVerdict CoreDriver::Finish(const Say& say) {
  if (say.result.verdict == SayVerdict::kOk && say.draft) {
    signed_statements.push_back(FakeSign(*say.draft, self));
    core.HandleSigned(now, signed_statements.back());
  }
  Settle();
  return say.result.verdict;
}

void CoreDriver::FinishSync(SyncReason reason, SyncOutcome outcome, const Source* peer) {
  for (SyncCall& sync : syncs) {
    if (!sync.open || sync.call.reason != reason) continue;
    sync.open = false;
    core.HandleSyncFinished(now, sync.call.id, outcome, peer);
    Settle();
    return;
  }
  SOTTO_CHECK(false);
}

MemberState CoreDriver::StateOf(std::string_view peer) const {
  const auto info = core.Find(peer);
  SOTTO_CHECK(info.has_value());
  return info->state;
}

Incarnation CoreDriver::IncarnationOf(std::string_view peer) const {
  const auto info = core.Find(peer);
  SOTTO_CHECK(info.has_value());
  return info->incarnation;
}

std::vector<Event> CoreDriver::EventsOf(EventKind kind, std::string_view member) const {
  std::vector<Event> result;
  for (const Event& event : events) {
    if (event.kind == kind && (member.empty() || event.member == member)) result.push_back(event);
  }
  return result;
}

std::vector<StatementRef> CoreDriver::SentStatements(StatementKind kind, std::string_view subject,
                                                     std::string_view to) const {
  std::vector<StatementRef> result;
  for (const Sent& packet : sent) {
    if (!to.empty() && packet.to != to) continue;
    for (const StatementRef& statement : packet.packet.statements) {
      if (statement->kind == kind && statement->subject == subject) result.push_back(statement);
    }
  }
  return result;
}

std::vector<CoreDriver::SyncCall> CoreDriver::Syncs(SyncReason reason) const {
  std::vector<SyncCall> result;
  for (const SyncCall& sync : syncs) {
    if (sync.call.reason == reason) result.push_back(sync);
  }
  return result;
}

size_t CoreDriver::Signed(StatementKind kind, std::string_view subject) const {
  return static_cast<size_t>(
      std::count_if(signed_statements.begin(), signed_statements.end(),
                    [&](const auto& s) { return s->kind == kind && s->subject == subject; }));
}

uint64_t RunToPing(CoreDriver& d, std::string_view peer) {
  const Instant limit = d.now + Duration::Minutes(5);
  while (d.now < limit) {
    d.sent.clear();
    const uint64_t probes = d.core.counters().probes;
    d.RunUntil(d.core.NextDeadline());
    if (d.core.counters().probes == probes) continue;
    for (const CoreDriver::Sent& sent : d.sent) {
      if (sent.to != peer) continue;
      for (const Message& message : sent.packet.messages) {
        if (const auto* ping = std::get_if<Ping>(&message)) return ping->nonce;
      }
    }
  }
  SOTTO_CHECK(false);  // no ping of `peer`
}

}  // namespace sotto::testing
