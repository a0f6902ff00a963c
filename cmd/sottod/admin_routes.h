// The calls of the admin API: from a method, a target and a body to an answer. No sockets, no HTTP
// syntax: those are the server's.
#ifndef SOTTO_CMD_SOTTOD_ADMIN_ROUTES_H_
#define SOTTO_CMD_SOTTOD_ADMIN_ROUTES_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cmd/sottod/admin_backend.h"
#include "cmd/sottod/event_ring.h"

namespace sotto {

struct ApiRequest {
  std::string method;  // "GET", "POST", …
  std::string target;  // "/v1/members?all=1"
  std::string body;
  int64_t peer_uid = -1;
  int64_t peer_pid = -1;
};

struct ApiReply {
  int http_status = 200;
  std::string content_type = "application/json";
  std::string body;
};

// Answers a request; bad ones get problem+json. Blocks as long as the backend's command does.
ApiReply AnswerRequest(const ApiRequest& request, AdminBackend& backend, const EventRing& events);

// A status as an answer.
ApiReply Problem(const absl::Status& status);
ApiReply Problem(int http_status, std::string_view code, std::string_view message);

// How long answering may take: a look at memory, a question to the node, or up to a timeout.
enum class Pace : uint8_t { kAtOnce, kSlowLook, kCommand };
Pace PaceOf(const ApiRequest& request);

// A request for the event stream, which the server answers by itself: `since`, or nullopt for "from
// now on". An error if the query is bad. Nothing for every other request.
struct StreamRequest {
  absl::Status status;
  std::optional<uint64_t> since;
};
std::optional<StreamRequest> AsStreamRequest(const ApiRequest& request,
                                             std::string_view last_event_id);

// A query, which the server answers by itself, in pieces. `order` is sound if `status` is OK.
struct QueryCall {
  absl::Status status;
  QueryOrder order;
};
std::optional<QueryCall> AsQueryCall(const ApiRequest& request);

// The pieces of an answer to a query, as server-sent events.
std::string QueryReplyEvent(const QueryReplyItem& reply);
std::string QueryEndEvent(const AdminBackend& backend, const QueryOrder& order,
                          const QueryOutcome& outcome);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_ADMIN_ROUTES_H_
