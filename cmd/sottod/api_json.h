// The daemon's answers as JSON texts, in the shapes of docs/api.md.
//
// Pure: a snapshot in, a text out. Every answer stands in the same envelope.
#ifndef SOTTO_CMD_SOTTOD_API_JSON_H_
#define SOTTO_CMD_SOTTOD_API_JSON_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/sottod/admin_backend.h"
#include "cmd/sottod/event_ring.h"
#include "cmd/sottod/json_parts.h"

namespace sotto {

std::string VersionJson(const Observer& observer, std::string_view version);
std::string StatusJson(const DaemonSnapshot& snapshot);
// Without `all`, only what is still shown: neither the forgotten nor those gone for long.
std::string MembersJson(const DaemonSnapshot& snapshot, bool all);
// NOT_FOUND MEMBER_UNKNOWN.
absl::StatusOr<std::string> MemberJson(const DaemonSnapshot& snapshot, std::string_view name,
                                       const std::vector<CaseSummary>& cases);
std::string EventsJson(const Observer& observer, const EventRing::Page& page);
// One event without an envelope, as the stream sends it.
std::string EventJson(const RingEvent& event);
std::string JoinJson(const Observer& observer, int answered);
std::string LeaveJson(const Observer& observer, bool heard);
std::string ForgetJson(const Observer& observer, std::string_view name);
std::string TagsJson(const Observer& observer, const std::vector<Tag>& tags);
std::string CertsJson(const DaemonSnapshot& snapshot);
std::string ReloadJson(const Observer& observer, const ReloadSummary& summary);

// A problem+json text; `title` and `fix` come from the page of the status's code.
std::string ProblemJson(int http_status, const absl::Status& status);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_API_JSON_H_
