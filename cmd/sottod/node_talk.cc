#include "cmd/sottod/node_talk.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "gossip/base/status_macros.h"
#include "gossip/reach.h"
#include "gossip/said.h"

namespace sotto {
namespace {

constexpr std::string_view kReachQuery = "_sotto/reach";

Hearing ToHearing(sotto::Reach reach) {
  switch (reach) {
    case sotto::Reach::kNotAsked:
      return Hearing::kNotAsked;
    case sotto::Reach::kDatagram:
      return Hearing::kUdp;
    case sotto::Reach::kStream:
      return Hearing::kTcpOnly;
    case sotto::Reach::kNothing:
      return Hearing::kNothing;
  }
  return Hearing::kNotAsked;
}

// What comes in while somebody waits. Shared with the callbacks, which may come later.
struct Gathering {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<QueryReplyItem> answers;
  bool over = false;
};

}  // namespace

absl::Status NodeTalk::SendEvent(const EventOrder& order) {
  return node_->SendEvent(order.name, order.payload, order.coalesce);
}

absl::Status NodeTalk::Query(const QueryOrder& order, AdminBackend::OnReply on_reply,
                             AdminBackend::OnQueryEnd on_end) {
  QueryParams params;
  params.name = order.name;
  params.payload = order.payload;
  params.filter.names = order.names;
  params.filter.tags = order.tags;
  params.timeout = order.timeout;
  params.acks = order.acks;
  params.relays = order.relays;
  return node_
      ->Query(
          std::move(params),
          [on_reply = std::move(on_reply)](const QueryReply& reply) {
            on_reply({reply.from, reply.is_ack, reply.payload});
          },
          [on_end = std::move(on_end)](const QuerySummary& summary) {
            on_end({summary.expected, summary.acked, summary.answered, summary.silent,
                    summary.timed_out});
          })
      .status();
}

absl::StatusOr<PingOutcome> NodeTalk::Ping(std::string_view member,
                                           std::chrono::milliseconds timeout) {
  SOTTO_ASSIGN_OR_RETURN(const PingResult result, node_->Ping(member, timeout));
  return PingOutcome{result.udp, result.tcp};
}

absl::StatusOr<ReachReport> NodeTalk::Reach(std::chrono::milliseconds timeout) {
  std::vector<std::string> members;
  const std::shared_ptr<const NodeView> view = node_->View();
  for (const MemberInfo& member : view->members) {
    if (member.state <= MemberState::kSuspect) members.push_back(member.name);
  }
  const auto gathering = std::make_shared<Gathering>();
  QueryParams params;
  params.name = std::string(kReachQuery);
  params.timeout = timeout;
  params.acks = false;
  const auto begun = node_->Query(
      std::move(params),
      [gathering](const QueryReply& reply) {
        std::lock_guard lock(gathering->mutex);
        if (!reply.is_ack) gathering->answers.push_back({reply.from, false, reply.payload});
      },
      [gathering](const QuerySummary&) {
        std::lock_guard lock(gathering->mutex);
        gathering->over = true;
        gathering->changed.notify_all();
      });
  if (!begun.ok()) return begun.status();
  std::unique_lock lock(gathering->mutex);
  // The node ends it by itself; the margin is for a node that ends first.
  gathering->changed.wait_for(lock, timeout + std::chrono::seconds(1),
                              [&] { return gathering->over; });
  return ToReport(std::move(members), gathering->answers);
}

std::vector<CaseSummary> NodeTalk::Cases(std::string_view member) const {
  std::vector<CaseSummary> out;
  for (const SuspicionCase& one : node_->CasesOf(member)) out.push_back(ToSummary(one));
  return out;
}

CaseSummary ToSummary(const SuspicionCase& one) {
  CaseSummary out;
  out.began = one.began;
  out.ended = one.ended;
  out.incarnation = one.incarnation;
  out.end = std::string(ToString(one.end));
  out.answered_with = one.answered_with;
  for (const Accuser& accuser : one.accusers) {
    CaseAccuser shown;
    shown.name = accuser.name;
    shown.kind = accuser.kind == StatementKind::kDead ? "dead" : "suspect";
    shown.heard = accuser.heard;
    if (accuser.evidence) {
      CaseEvidence evidence;
      evidence.direct_failed = accuser.evidence->direct_failed;
      evidence.relays_asked = accuser.evidence->relays_asked;
      evidence.relays_nacked = accuser.evidence->relays_nacked;
      evidence.stream =
          accuser.evidence->stream == Evidence::Stream::kFailed ? "failed" : "not_tried";
      evidence.silent_for = accuser.evidence->silent_for;
      evidence.health_score = accuser.evidence->health_score;
      shown.evidence = evidence;
    }
    out.accusers.push_back(std::move(shown));
  }
  return out;
}

ReachReport ToReport(std::vector<std::string> members, const std::vector<QueryReplyItem>& answers) {
  ReachReport report;
  report.members = std::move(members);
  for (const QueryReplyItem& answer : answers) {
    const std::optional<std::vector<sotto::Reach>> row =
        DecodeReach(answer.payload, report.members);
    if (!row) {
      report.differs.push_back(answer.from);
      continue;
    }
    std::vector<Hearing> hearing;
    for (const sotto::Reach reach : *row) hearing.push_back(ToHearing(reach));
    report.rows[answer.from] = std::move(hearing);
  }
  for (const std::string& name : report.members) {
    const bool differs =
        std::find(report.differs.begin(), report.differs.end(), name) != report.differs.end();
    if (!differs && !report.rows.contains(name)) report.silent.push_back(name);
  }
  std::sort(report.differs.begin(), report.differs.end());
  return report;
}

std::string LastEvidence(const std::vector<CaseSummary>& cases) {
  if (cases.empty() || cases.back().accusers.empty()) return "";
  const CaseAccuser& accuser = cases.back().accusers.back();
  return accuser.evidence ? accuser.name + " says: " + EvidenceText(accuser) : "";
}

}  // namespace sotto
