#include "cmd/config/handlers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cmd/config/schema.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/edit_distance.h"
#include "gossip/base/status_macros.h"
#include "gossip/said.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

constexpr size_t kTriggerBytesMax = 200;

// What may stand alone; names of user events and queries follow their word.
constexpr std::string_view kWords[] = {
    "*",
    "member_*",
    "member_joined",
    "member_returned",
    "member_suspected",
    "member_refuted",
    "member_died",
    "member_left",
    "member_forgotten",
    "member_updated",
    "member_reaped",
    "node_*",
    "node_announced",
    "node_accused",
    "node_isolated",
    "node_minority",
    "node_reconnected",
    "node_paused",
    "node_name_conflict",
    "node_key_trouble",
    "node_sends_refused",
    "node_clock_suspect",
    "user_event",
    "query",
};

std::string QuotedList(const std::vector<std::string>& texts) {
  std::vector<std::string> quoted;
  for (const std::string& text : texts) quoted.push_back(QuoteToml(text));
  return absl::StrCat("[", absl::StrJoin(quoted, ", "), "]");
}

bool IsTrusted(uid_t owner, std::optional<uid_t> also_owner) {
  return owner == 0 || owner == geteuid() || owner == also_owner;
}

std::string Mode(mode_t mode) { return absl::StrFormat("%04o", mode & 07777); }

absl::Status CheckProgramFolder(const std::string& folder, std::optional<uid_t> also_owner) {
  struct stat info {};
  if (stat(folder.c_str(), &info) != 0) {
    return CodedError(absl::StatusCode::kPermissionDenied, "FILE_UNREADABLE",
                      absl::StrCat(folder, ": can't be looked at: ", std::strerror(errno)));
  }
  const bool others_write = (info.st_mode & 022) != 0 && (info.st_mode & S_ISVTX) == 0;
  if (IsTrusted(info.st_uid, also_owner) && !others_write) return absl::OkStatus();
  return CodedError(absl::StatusCode::kFailedPrecondition, "FOLDER_WRITABLE",
                    absl::StrCat(folder, ": others (owner uid ", info.st_uid, ", mode ",
                                 Mode(info.st_mode), ") could exchange the program in it"));
}

}  // namespace

absl::Status CheckTrigger(std::string_view trigger) {
  for (const std::string_view word : kWords) {
    if (trigger == word) return absl::OkStatus();
  }
  for (const std::string_view prefix : {"user_event:", "query:"}) {
    if (trigger.starts_with(prefix) && trigger.size() > prefix.size() &&
        trigger.size() <= kTriggerBytesMax) {
      return absl::OkStatus();
    }
  }
  std::string_view best;
  size_t best_distance = 1 + trigger.size() / 4;
  for (const std::string_view word : kWords) {
    // "died" is meant as "member_died".
    const size_t bar = word.find('_');
    const std::string_view tail = bar == std::string_view::npos ? word : word.substr(bar + 1);
    const size_t distance =
        std::min(EditDistance(trigger, word), tail == "*" ? 99 : EditDistance(trigger, tail));
    if (distance < best_distance) {
      best = word;
      best_distance = distance;
    }
  }
  const std::string shown(trigger.substr(0, kTriggerBytesMax));
  std::string message = absl::StrCat("there is no event \"", absl::Utf8SafeCHexEscape(shown), "\"");
  if (best.empty()) {
    absl::StrAppend(&message,
                    "; want one such as \"member_died\", \"user_event:NAME\", \"query:NAME\"");
  } else {
    absl::StrAppend(&message, "; did you mean \"", std::string(best), "\"?");
  }
  return CodedError(absl::StatusCode::kInvalidArgument, "CONFIG_OUT_OF_RANGE", message);
}

bool TriggerMatches(std::string_view trigger, std::string_view what) {
  const bool is_query = what.starts_with("query:");
  if (trigger == "*") return !is_query;
  if (trigger == "query") return is_query;
  if (trigger == "user_event") return what.starts_with("user_event:");
  return MatchesGlob(trigger, what);
}

absl::StatusOr<std::string> ResolveProgram(const std::string& path,
                                           std::optional<uid_t> also_owner) {
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr),
                                                         &std::free);
  struct stat info {};
  if (real == nullptr || stat(real.get(), &info) != 0) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) {
      return CodedError(absl::StatusCode::kNotFound, "FILE_MISSING",
                        absl::StrCat(path, ": there is no such program"));
    }
    return CodedError(absl::StatusCode::kPermissionDenied, "FILE_UNREADABLE",
                      absl::StrCat(path, ": can't be looked at: ", std::strerror(error)));
  }
  if (!S_ISREG(info.st_mode)) {
    return CodedError(absl::StatusCode::kInvalidArgument, "FILE_NOT_REGULAR",
                      absl::StrCat(path, ": not a program but a folder or device"));
  }
  if (!IsTrusted(info.st_uid, also_owner)) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "FILE_WRONG_OWNER",
                      absl::StrCat(path, ": it belongs to uid ", info.st_uid, ", not to uid ",
                                   geteuid(), " or root"));
  }
  if ((info.st_mode & 022) != 0) {
    return CodedError(
        absl::StatusCode::kFailedPrecondition, "FILE_WRITABLE",
        absl::StrCat(path, ": others can write it (", Mode(info.st_mode), "); chmod go-w ", path));
  }
  if (access(real.get(), X_OK) != 0) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "HANDLER_NOT_EXECUTABLE",
                      absl::StrCat(path, ": this user may not execute it (", Mode(info.st_mode),
                                   "); chmod +x ", path));
  }
  SOTTO_RETURN_IF_ERROR(CheckProgramFolder(FolderOf(real.get()), also_owner));
  if (path != real.get()) SOTTO_RETURN_IF_ERROR(CheckProgramFolder(FolderOf(path), also_owner));
  return std::string(real.get());
}

absl::Status CheckProgram(const std::string& path, std::optional<uid_t> also_owner) {
  return ResolveProgram(path, also_owner).status();
}

std::string ToToml(const std::vector<HandlerConfig>& handlers) {
  std::vector<std::string> tables;
  for (const HandlerConfig& handler : handlers) {
    tables.push_back(absl::StrCat(
        "{ on = ", QuotedList(handler.on), ", run = ", QuotedList(handler.run),
        ", timeout = ", QuoteToml(ToText(handler.timeout)), ", queue = ", handler.queue,
        ", batch = ", handler.batch ? "true" : "false", " }"));
  }
  return absl::StrCat("[", absl::StrJoin(tables, ", "), "]");
}

}  // namespace sotto
