#include "cmd/sotto/complaint.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "cmd/sotto/context.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/codes.h"

namespace sotto::cli {
namespace {

constexpr char kLinesUrl[] = "sotto/lines";

int RankOf(std::string_view label) {
  constexpr std::string_view kOrder[] = {"tried", "what", "why", "state", "do"};
  const auto* found = std::find(std::begin(kOrder), std::end(kOrder), label);
  return static_cast<int>(found - std::begin(kOrder));
}

bool HasLine(const Complaint& complaint, std::string_view label) {
  return std::any_of(complaint.lines.begin(), complaint.lines.end(),
                     [&](const auto& line) { return line.first == label; });
}

}  // namespace

Complaint& Complaint::Add(std::string label, std::string text) {
  const auto at = std::find_if(lines.begin(), lines.end(), [&](const auto& line) {
    return RankOf(line.first) > RankOf(label);
  });
  lines.emplace(at, std::move(label), std::move(text));
  return *this;
}

absl::Status WithLine(absl::Status status, std::string_view label, std::string_view text) {
  const auto before = status.GetPayload(kLinesUrl);
  std::string lines = before.has_value() ? std::string(*before) : std::string();
  lines.append(label).append("\t").append(text).append("\n");
  status.SetPayload(kLinesUrl, absl::Cord(lines));
  return status;
}

std::vector<std::pair<std::string, std::string>> LinesOf(const absl::Status& status) {
  std::vector<std::pair<std::string, std::string>> lines;
  const auto payload = status.GetPayload(kLinesUrl);
  if (!payload.has_value()) return lines;
  const std::string text(*payload);
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const size_t tab = text.find('\t', at);
    lines.emplace_back(text.substr(at, tab - at), text.substr(tab + 1, end - tab - 1));
    at = end + 1;
  }
  return lines;
}

bool IsRefusal(std::string_view code) {
  constexpr std::string_view kRefusals[] = {"KEY_IN_USE",    "KEY_NOT_SPREAD",   "KEY_RETURNS",
                                            "KEY_RING_FULL", "KEY_ROLLBACK",     "KEY_STATE",
                                            "KEY_EXISTS",    "KEY_STILL_NEEDED", "STORE_NOT_SHARED",
                                            "STORE_MOVED",   "NOT_CONFIRMED"};
  return std::find(std::begin(kRefusals), std::end(kRefusals), code) != std::end(kRefusals);
}

bool MayPass(const absl::Status& status) {
  const std::string code = ErrorCode(status);
  if (code == "ROW_CHANGED" || code == "DB_CONFLICT") return true;
  return !IsRefusal(code) && (status.code() == absl::StatusCode::kUnavailable ||
                              status.code() == absl::StatusCode::kDeadlineExceeded ||
                              status.code() == absl::StatusCode::kAborted);
}

ExitCode ExitCodeOf(const absl::Status& status) {
  const std::string code = ErrorCode(status);
  if (code.rfind("CONFIG_", 0) == 0) return kExitBadConfig;
  if (code == "DAEMON_UNREACHABLE" || code == "DAEMON_GONE") return kExitUnreachable;
  // What the user typed does not make sense, whoever noticed it.
  for (const char* word : {"USAGE", "TARGET_INVALID", "SOCKET_PATH_TOO_LONG", "ADDRESS_INVALID",
                           "TAGS_INVALID", "API_BAD_REQUEST"}) {
    if (code == word) return kExitUsage;
  }
  if (code.rfind("CLUSTER_NAME_", 0) == 0 || code.rfind("MEMBER_NAME_", 0) == 0) return kExitUsage;
  if (IsRefusal(code)) return kExitRefused;
  // Somebody else wrote at the same moment.
  if (code == "ROW_CHANGED" || code == "DB_CONFLICT") return kExitTryAgain;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kExitForbidden;
    case absl::StatusCode::kDeadlineExceeded:
      return kExitDeadline;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
      return kExitRefused;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kAborted:
      return kExitTryAgain;
    default:
      return kExitFailed;
  }
}

Complaint ComplaintOf(const absl::Status& status) {
  Complaint complaint;
  complaint.exit = ExitCodeOf(status);
  complaint.code = ErrorCode(status);
  complaint.message = std::string(status.message());
  const bool coded = !complaint.code.empty();
  if (!coded) complaint.code = "INTERNAL";  // every error that is meant has a code
  for (auto& [label, text] : LinesOf(status)) complaint.Add(label, std::move(text));
  const CodeInfo* page = coded ? FindCode(complaint.code) : nullptr;
  if (page != nullptr) {
    if (!HasLine(complaint, "why") && !page->why.empty()) {
      complaint.Add("why", std::string(page->why));
    }
    if (!HasLine(complaint, "do") && !page->fix.empty()) {
      complaint.Add("do", std::string(page->fix));
    }
  }
  return complaint;
}

}  // namespace sotto::cli
