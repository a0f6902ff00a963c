// Answers of the calls that talk to the cluster, as JSON texts in the shapes of docs/api.md.
#ifndef SOTTO_CMD_SOTTOD_API_TALK_JSON_H_
#define SOTTO_CMD_SOTTOD_API_TALK_JSON_H_

#include <string>
#include <string_view>

#include "cmd/sottod/admin_backend.h"
#include "cmd/sottod/cluster_talk.h"
#include "cmd/sottod/json_parts.h"

namespace sotto {

std::string EventSentJson(const Observer& observer, const EventOrder& order);
// Pieces of the stream that answers a query, without an envelope.
std::string QueryReplyJson(const QueryReplyItem& reply);
// The last piece, in an envelope; not complete where somebody was silent.
std::string QueryEndJson(const Observer& observer, const QueryOrder& order,
                         const QueryOutcome& outcome);
std::string PingJson(const Observer& observer, std::string_view member, const PingOutcome& outcome);
std::string RttJson(const Observer& observer, std::string_view a, std::string_view b, Duration rtt);
std::string ReachJson(const DaemonSnapshot& snapshot, const ReachReport& report);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_API_TALK_JSON_H_
