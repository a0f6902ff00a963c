// User events, queries and answers of a node: the application's side of them.
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/node_core.h"

namespace sotto {
namespace {

absl::Status Invalid(std::string_view code, std::string_view message) {
  return CodedError(absl::StatusCode::kInvalidArgument, code, message);
}

// What the core's verdict means to the caller.
absl::Status StatusOf(const SayResult& result, std::string_view kind, std::string_view name) {
  const std::string what = absl::StrCat(std::string(kind), " \"", std::string(name), "\"");
  switch (result.verdict) {
    case SayVerdict::kOk:
      return absl::OkStatus();
    case SayVerdict::kInvalid:
      return kind == "query"
                 ? Invalid("QUERY_INVALID",
                           absl::StrCat(what,
                                        " has a name, filter, timeout or number of relays "
                                        "that cannot be"))
                 : Invalid("EVENT_INVALID",
                           absl::StrCat(what, ": a name has 1 to ", kSaidNameBytesMax,
                                        " bytes of [A-Za-z0-9._:/-], a letter or a digit first"));
    case SayVerdict::kReserved:
      return Invalid("SAID_NAME_RESERVED",
                     absl::StrCat(what, ": names under ", std::string(kInternalPrefix),
                                  " belong to the nodes themselves"));
    case SayVerdict::kTooLarge:
      return Invalid(kind == "answer" ? "ANSWER_TOO_LARGE" : "EVENT_TOO_LARGE",
                     absl::StrCat(what, " does not fit: on this node its payload may have ",
                                  result.payload_max, " bytes"));
    case SayVerdict::kRateLimited:
      return CodedError(absl::StatusCode::kResourceExhausted, "EVENT_RATE_LIMITED",
                        absl::StrCat(what, " came too soon after others; try again in ",
                                     result.wait.millis() + 1, " ms"));
    case SayVerdict::kNotReady:
      return CodedError(absl::StatusCode::kFailedPrecondition, "NODE_NOT_READY",
                        absl::StrCat(what,
                                     " cannot be said: this node is not announced, or is "
                                     "leaving"));
    case SayVerdict::kTooMany:
      return CodedError(absl::StatusCode::kResourceExhausted, "QUERY_LIMIT",
                        absl::StrCat(kOpenQueriesMax, " queries of this node are open"));
    case SayVerdict::kUnknown:
      break;
  }
  return CodedError(absl::StatusCode::kNotFound, "QUERY_UNKNOWN",
                    "this query was answered already, is over, or was never heard here");
}

}  // namespace

absl::StatusOr<StatementRef> NodeCore::SignSaid(const StatementDraft& draft) {
  SOTTO_ASSIGN_OR_RETURN(StatementRef statement, SignDraft(draft, SigningContext()));
  cache_->AddOwn(statement);
  return statement;
}

absl::Status NodeCore::SendEvent(std::string_view name, std::string_view payload, bool coalesce) {
  if (stopped_) return StatusOf({SayVerdict::kNotReady, {}, 0}, "event", name);
  const Say say = protocol_->PrepareEvent(Now(), name, payload, coalesce);
  if (!say.draft) return StatusOf(say.result, "event", name);
  SOTTO_ASSIGN_OR_RETURN(const StatementRef statement, SignSaid(*say.draft));
  protocol_->HandleSigned(Now(), statement);
  Pump();
  return absl::OkStatus();
}

absl::StatusOr<QueryId> NodeCore::Query(QueryParams params, QueryReplyCallback on_reply,
                                        QueryEndCallback on_end) {
  if (stopped_) return StatusOf({SayVerdict::kNotReady, {}, 0}, "query", params.name);
  if (params.timeout.count() < 0 || params.timeout.count() > kQueryTimeoutMsMax) {
    return StatusOf({SayVerdict::kInvalid, {}, 0}, "query", params.name);
  }
  const QueryRequest request{params.name,   params.payload,
                             params.filter, Duration::Millis(params.timeout.count()),
                             params.acks,   params.relays};
  const Say say = protocol_->PrepareQuery(Now(), request);
  if (!say.draft) return StatusOf(say.result, "query", params.name);
  SOTTO_ASSIGN_OR_RETURN(const StatementRef statement, SignSaid(*say.draft));
  OpenQuery open;
  if (on_reply) open.on_reply = std::make_shared<const QueryReplyCallback>(std::move(on_reply));
  open.on_end = std::move(on_end);
  queries_.insert_or_assign(statement->hash, std::move(open));
  protocol_->HandleSigned(Now(), statement);
  Pump();
  return statement->hash;
}

absl::Status NodeCore::Answer(const QueryId& query, std::string_view payload) {
  if (stopped_) return StatusOf({SayVerdict::kUnknown, {}, 0}, "answer", {});
  const Say say = protocol_->PrepareAnswer(Now(), query, payload);
  if (say.result.verdict != SayVerdict::kOk) return StatusOf(say.result, "answer", {});
  if (say.draft) {
    SOTTO_ASSIGN_OR_RETURN(const StatementRef statement, SignSaid(*say.draft));
    protocol_->HandleSigned(Now(), statement);
  }
  Pump();
  return absl::OkStatus();
}

// ---- what is heard ------------------------------------------------------------------------------

void NodeCore::Perform(const DeliverUserEvent& action) { Tell(action.event); }

void NodeCore::Perform(const DeliverQuery& action) {
  if (action.query.name == kKeysQueryName) return AnswerKeysQuery(action.query);
  if (watchers_.AnswersQueries()) {
    Tell(action.query);
    return;
  }
  const absl::Status status = Answer(action.query.id, {});
  if (!status.ok()) Log(LogLevel::kInfo, "answer_failed", {{"error", Describe(status)}});
}

void NodeCore::Perform(const QueryReplied& action) {
  const auto it = queries_.find(action.query);
  if (it == queries_.end() || !it->second.on_reply) return;
  runner_->PostCall([on_reply = it->second.on_reply, reply = action.reply] { (*on_reply)(reply); });
}

void NodeCore::Perform(const QueryEnded& action) {
  auto node = queries_.extract(action.query);
  if (node.empty() || !node.mapped().on_end) return;
  runner_->PostCall(
      [on_end = std::move(node.mapped().on_end), summary = action.summary] { on_end(summary); });
}

}  // namespace sotto
