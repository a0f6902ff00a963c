#include "cmd/sottod/admin_routes.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cmd/sottod/api_json.h"
#include "cmd/sottod/api_keys_json.h"
#include "cmd/sottod/api_request.h"
#include "cmd/sottod/api_talk_json.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

constexpr std::string_view kMemberPath = "/v1/members/";
constexpr std::string_view kStreamPath = "/v1/stream";
constexpr std::string_view kQueryPath = "/v1/query";
constexpr std::string_view kPingPath = "/v1/ping/";
constexpr std::string_view kReachPath = "/v1/reach";

struct Call {
  const ApiRequest& request;
  const ApiTarget& target;
  AdminBackend& backend;
  const EventRing& events;
};

using Answer = absl::StatusOr<std::string>;

Observer ObserverOf(const AdminBackend& backend) {
  const DaemonSnapshot snapshot = backend.Look();
  return {snapshot.node, snapshot.unix_ms};
}

Answer GetVersion(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({}));
  const DaemonSnapshot snapshot = call.backend.Look();
  return VersionJson({snapshot.node, snapshot.unix_ms}, snapshot.version);
}

Answer GetStatus(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({}));
  return StatusJson(call.backend.Snapshot());
}

Answer GetMembers(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({"all"}));
  SOTTO_ASSIGN_OR_RETURN(const std::optional<uint64_t> all, call.target.Number("all"));
  return MembersJson(call.backend.Look(), all.value_or(0) != 0);
}

Answer GetMember(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({}));
  const std::string_view name = std::string_view(call.target.path).substr(kMemberPath.size());
  const std::vector<CaseSummary> cases = call.backend.Cases(name);
  return MemberJson(call.backend.Look(), name, cases);
}

Answer GetPing(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({"timeout_s"}));
  SOTTO_ASSIGN_OR_RETURN(const std::chrono::milliseconds timeout, call.target.Timeout());
  const std::string_view name = std::string_view(call.target.path).substr(kPingPath.size());
  SOTTO_ASSIGN_OR_RETURN(const PingOutcome outcome, call.backend.Ping(name, timeout));
  return PingJson(ObserverOf(call.backend), name, outcome);
}

Answer GetRtt(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({"a", "b"}));
  const Observer observer = ObserverOf(call.backend);
  const std::string a = call.target.Text("a");
  if (a.empty()) return BadRequest("\"a\" is missing: the round trip from whom?");
  std::string b = call.target.Text("b");
  if (b.empty()) b = observer.node;
  SOTTO_ASSIGN_OR_RETURN(const Duration rtt, call.backend.Rtt(a, b));
  return RttJson(observer, a, b, rtt);
}

Answer GetReach(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({"timeout_s"}));
  SOTTO_ASSIGN_OR_RETURN(const std::chrono::milliseconds timeout, call.target.Timeout());
  SOTTO_ASSIGN_OR_RETURN(const ReachReport report, call.backend.Reach(timeout));
  return ReachJson(call.backend.Look(), report);
}

Answer PostEvent(const Call& call) {
  SOTTO_ASSIGN_OR_RETURN(const EventOrder order, ParseEventBody(call.request.body));
  SOTTO_RETURN_IF_ERROR(call.backend.SendEvent(order));
  return EventSentJson(ObserverOf(call.backend), order);
}

Answer GetEvents(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({"since", "limit"}));
  SOTTO_ASSIGN_OR_RETURN(const std::optional<uint64_t> since, call.target.Number("since"));
  SOTTO_ASSIGN_OR_RETURN(const std::optional<uint64_t> asked, call.target.Number("limit"));
  const size_t limit =
      std::min<uint64_t>(asked.value_or(EventRing::kCapacity), EventRing::kCapacity);
  const EventRing::Page page =
      since ? call.events.Read(*since, limit) : call.events.ReadLast(limit);
  return EventsJson(ObserverOf(call.backend), page);
}

Answer GetTags(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({}));
  return TagsJson(ObserverOf(call.backend), call.backend.Tags());
}

absl::StatusOr<KeyOverview> KeysOf(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({"ask", "removed"}));
  SOTTO_ASSIGN_OR_RETURN(const std::optional<uint64_t> ask, call.target.Number("ask"));
  SOTTO_ASSIGN_OR_RETURN(const std::optional<uint64_t> removed, call.target.Number("removed"));
  return call.backend.keys().Keys(ask.value_or(0) != 0, removed.value_or(0) != 0);
}

Answer GetKeys(const Call& call) {
  SOTTO_ASSIGN_OR_RETURN(const KeyOverview keys, KeysOf(call));
  return KeysJson(ObserverOf(call.backend), keys);
}

Answer GetKeyStatus(const Call& call) {
  SOTTO_ASSIGN_OR_RETURN(const KeyOverview keys, KeysOf(call));
  return KeyStatusJson(ObserverOf(call.backend), keys);
}

Answer GetKeyHistory(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({"limit"}));
  SOTTO_ASSIGN_OR_RETURN(const std::optional<uint64_t> limit, call.target.Number("limit"));
  SOTTO_ASSIGN_OR_RETURN(
      const std::vector<KeyHistoryRow> rows,
      call.backend.keys().KeyHistory(std::min<uint64_t>(limit.value_or(100), 10'000)));
  return KeyHistoryJson(ObserverOf(call.backend), rows);
}

// Who gave the order, as the history shows it.
std::string ActorOf(const Call& call) { return absl::StrCat("uid ", call.request.peer_uid); }

Answer PostKeyPrepare(const Call& call) {
  SOTTO_RETURN_IF_ERROR(ParseEmptyBody(call.request.body));
  SOTTO_ASSIGN_OR_RETURN(const PrepareOutcome outcome,
                         call.backend.keys().PrepareKey({ActorOf(call)}));
  return KeyPrepareJson(ObserverOf(call.backend), outcome);
}

Answer PostKeyActivate(const Call& call) {
  SOTTO_ASSIGN_OR_RETURN(ActivateOrder order, ParseActivateBody(call.request.body));
  order.actor = ActorOf(call);
  SOTTO_RETURN_IF_ERROR(call.backend.keys().ActivateKey(order));
  return KeyStepJson("sotto.key_activate/1", ObserverOf(call.backend), order.generation);
}

Answer PostKeyRemove(const Call& call) {
  SOTTO_ASSIGN_OR_RETURN(RemoveOrder order, ParseRemoveBody(call.request.body));
  order.actor = ActorOf(call);
  SOTTO_RETURN_IF_ERROR(call.backend.keys().RemoveKey(order));
  return KeyStepJson("sotto.key_remove/1", ObserverOf(call.backend), order.generation);
}

Answer PostKeyVerify(const Call& call) {
  SOTTO_ASSIGN_OR_RETURN(const bool repair, ParseVerifyBody(call.request.body));
  SOTTO_ASSIGN_OR_RETURN(const std::vector<KeyCheck> checks,
                         call.backend.keys().VerifyKeys(repair, ActorOf(call)));
  return KeyVerifyJson(ObserverOf(call.backend), checks);
}

Answer GetCerts(const Call& call) {
  SOTTO_RETURN_IF_ERROR(call.target.CheckQuery({}));
  return CertsJson(call.backend.Look());
}

Answer PostJoin(const Call& call) {
  SOTTO_ASSIGN_OR_RETURN(const JoinBody body, ParseJoinBody(call.request.body));
  SOTTO_ASSIGN_OR_RETURN(const int answered, call.backend.Join(body.contacts, body.timeout));
  return JoinJson(ObserverOf(call.backend), answered);
}

Answer PostLeave(const Call& call) {
  SOTTO_ASSIGN_OR_RETURN(const std::chrono::milliseconds timeout,
                         ParseTimeoutBody(call.request.body));
  SOTTO_ASSIGN_OR_RETURN(const bool heard, call.backend.Leave(timeout));
  return LeaveJson(ObserverOf(call.backend), heard);
}

Answer PostForget(const Call& call) {
  SOTTO_ASSIGN_OR_RETURN(const std::string name, ParseNameBody(call.request.body));
  SOTTO_RETURN_IF_ERROR(call.backend.Forget(name));
  return ForgetJson(ObserverOf(call.backend), name);
}

Answer PostTags(const Call& call) {
  SOTTO_ASSIGN_OR_RETURN(const TagsBody body, ParseTagsBody(call.request.body));
  SOTTO_ASSIGN_OR_RETURN(const std::vector<Tag> tags,
                         call.backend.ChangeTags(body.set, body.unset));
  return TagsJson(ObserverOf(call.backend), tags);
}

Answer PostReload(const Call& call) {
  SOTTO_RETURN_IF_ERROR(ParseEmptyBody(call.request.body));
  SOTTO_ASSIGN_OR_RETURN(const ReloadSummary summary, call.backend.Reload());
  return ReloadJson(ObserverOf(call.backend), summary);
}

struct Route {
  std::string_view method;
  std::string_view path;
  Answer (*answer)(const Call&);
};

constexpr Route kRoutes[] = {
    {"GET", "/v1/version", GetVersion},
    {"GET", "/v1/status", GetStatus},
    {"GET", "/v1/members", GetMembers},
    {"GET", "/v1/events", GetEvents},
    {"GET", "/v1/tags", GetTags},
    {"GET", "/v1/keys", GetKeys},
    {"GET", "/v1/certs", GetCerts},
    {"POST", "/v1/join", PostJoin},
    {"POST", "/v1/leave", PostLeave},
    {"POST", "/v1/forget", PostForget},
    {"POST", "/v1/tags", PostTags},
    {"POST", "/v1/reload", PostReload},
    {"POST", "/v1/event", PostEvent},
    {"GET", "/v1/rtt", GetRtt},
    {"GET", kReachPath, GetReach},
    {"GET", "/v1/keys/status", GetKeyStatus},
    {"GET", "/v1/keys/history", GetKeyHistory},
    {"POST", "/v1/keys/prepare", PostKeyPrepare},
    {"POST", "/v1/keys/activate", PostKeyActivate},
    {"POST", "/v1/keys/remove", PostKeyRemove},
    {"POST", "/v1/keys/verify", PostKeyVerify},
};

int HttpStatusOf(const absl::Status& status) {
  // 403 is about the caller; a certificate or file that is refused to the daemon is a state to
  // mend.
  if (ErrorCode(status) == "NOT_PERMITTED") return 403;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

}  // namespace

ApiReply Problem(const absl::Status& status) {
  const int http_status = HttpStatusOf(status);
  return {http_status, "application/problem+json", ProblemJson(http_status, status)};
}

ApiReply Problem(int http_status, std::string_view code, std::string_view message) {
  return {http_status, "application/problem+json",
          ProblemJson(http_status, CodedError(absl::StatusCode::kUnknown, code, message))};
}

Pace PaceOf(const ApiRequest& request) {
  if (request.method == "POST") return Pace::kCommand;
  const std::string_view target = request.target;
  const std::string_view path = target.substr(0, target.find('?'));
  if (path == kReachPath || path.starts_with(kPingPath)) return Pace::kCommand;
  // These ask the database, too.
  if (path.starts_with("/v1/keys")) return Pace::kCommand;
  const bool asks_node = path == "/v1/status" || path == "/v1/rtt" || path.starts_with(kMemberPath);
  return asks_node ? Pace::kSlowLook : Pace::kAtOnce;
}

std::optional<StreamRequest> AsStreamRequest(const ApiRequest& request,
                                             std::string_view last_event_id) {
  if (request.method != "GET" || !request.target.starts_with(kStreamPath)) return std::nullopt;
  const absl::StatusOr<ApiTarget> target = ParseTarget(request.target);
  if (!target.ok() || target->path != kStreamPath) return std::nullopt;
  StreamRequest out;
  out.status = target->CheckQuery({"since"});
  if (!out.status.ok()) return out;
  // A browser or library that reconnects names the last event that it has seen; that wins over the
  // address it was first given.
  const bool resumes = !last_event_id.empty();
  const ApiTarget header{"", {{"Last-Event-ID", std::string(last_event_id)}}};
  const absl::StatusOr<std::optional<uint64_t>> number =
      resumes ? header.Number("Last-Event-ID") : target->Number("since");
  out.status = number.status();
  if (number.ok() && *number) out.since = **number + (resumes ? 1 : 0);
  return out;
}

std::optional<QueryCall> AsQueryCall(const ApiRequest& request) {
  if (request.method != "POST" || !request.target.starts_with(kQueryPath)) return std::nullopt;
  const absl::StatusOr<ApiTarget> target = ParseTarget(request.target);
  if (!target.ok() || target->path != kQueryPath) return std::nullopt;
  QueryCall out;
  out.status = target->CheckQuery({});
  if (!out.status.ok()) return out;
  absl::StatusOr<QueryOrder> order = ParseQueryBody(request.body);
  out.status = order.status();
  if (order.ok()) out.order = *std::move(order);
  return out;
}

std::string QueryReplyEvent(const QueryReplyItem& reply) {
  return absl::StrCat("event: reply\ndata: ", QueryReplyJson(reply), "\n\n");
}

std::string QueryEndEvent(const AdminBackend& backend, const QueryOrder& order,
                          const QueryOutcome& outcome) {
  return absl::StrCat("event: summary\ndata: ", QueryEndJson(ObserverOf(backend), order, outcome),
                      "\n\n");
}

ApiReply AnswerRequest(const ApiRequest& request, AdminBackend& backend, const EventRing& events) {
  const absl::StatusOr<ApiTarget> target = ParseTarget(request.target);
  if (!target.ok()) return Problem(target.status());
  const Call call{request, *target, backend, events};

  const auto reply = [&](const Answer& answer) {
    if (request.method == "POST") {
      backend.Audit(target->path, request.peer_uid, request.peer_pid, answer.status());
    }
    if (!answer.ok()) return Problem(answer.status());
    return ApiReply{200, "application/json", *answer};
  };
  bool path_known = false;
  for (const Route& route : kRoutes) {
    if (route.path != target->path) continue;
    path_known = true;
    if (route.method != request.method) continue;
    if (request.method == "POST") {
      if (const absl::Status query = target->CheckQuery({}); !query.ok()) return reply(query);
    }
    return reply(route.answer(call));
  }
  if (target->path.starts_with(kMemberPath) && target->path.size() > kMemberPath.size()) {
    if (request.method == "GET") return reply(GetMember(call));
    path_known = true;
  }
  if (target->path.starts_with(kPingPath) && target->path.size() > kPingPath.size()) {
    if (request.method == "GET") return reply(GetPing(call));
    path_known = true;
  }
  if (path_known || target->path == kStreamPath || target->path == kQueryPath) {
    return Problem(405, "API_METHOD", "this call does not exist with that method");
  }
  return Problem(404, "API_UNKNOWN_CALL", "this daemon knows no such call");
}

}  // namespace sotto
