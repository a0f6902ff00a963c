#include "cmd/sottod/event_log.h"

#include <algorithm>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sotto {
namespace {

struct Look {
  bool about_self;
  LogLevel level;
  // The page that says what to do; empty for what needs no hint.
  std::string_view code;
};

Look LookOf(EventKind kind) {
  switch (kind) {
    case EventKind::kJoined:
    case EventKind::kReturned:
    case EventKind::kSuspected:
    case EventKind::kRefuted:
    case EventKind::kDied:
    case EventKind::kLeft:
    case EventKind::kForgotten:
    case EventKind::kUpdated:
    case EventKind::kReaped:
      return {false, LogLevel::kInfo, ""};
    case EventKind::kAnnounced:
    case EventKind::kAccused:
    case EventKind::kReconnected:
    case EventKind::kPaused:
      return {true, LogLevel::kInfo, ""};
    case EventKind::kIsolated:
      return {true, LogLevel::kWarn, "ISOLATED"};
    case EventKind::kMinority:
      return {true, LogLevel::kWarn, "MINORITY"};
    case EventKind::kNameConflict:
      return {true, LogLevel::kError, "NAME_CONFLICT"};
    case EventKind::kSendsRefused:
      return {true, LogLevel::kWarn, "SENDS_REFUSED"};
    case EventKind::kKeyTrouble:
      return {true, LogLevel::kWarn, "KEY_TROUBLE"};
    case EventKind::kClockSuspect:
      return {true, LogLevel::kWarn, "CLOCK_SUSPECT"};
  }
  return {true, LogLevel::kInfo, ""};
}

}  // namespace

std::vector<Event> EventsBefore(const NodeView& first) {
  std::vector<Event> out;
  for (const MemberInfo& member : first.members) {
    const bool alive = member.state == MemberState::kAlive || member.state == MemberState::kSuspect;
    if (!alive || (member.is_self && !first.standing.announced)) continue;
    Event event;
    event.kind = member.is_self ? EventKind::kAnnounced : EventKind::kJoined;
    event.at = member.since;
    event.member = member.name;
    event.incarnation = member.incarnation;
    out.push_back(event);
  }
  std::sort(out.begin(), out.end(), [](const Event& a, const Event& b) {
    return std::tie(a.at, a.member) < std::tie(b.at, b.member);
  });
  return out;
}

RingEvent ToRingEvent(const Event& event, int64_t unix_ms) {
  RingEvent out;
  out.unix_ms = unix_ms;
  out.event = std::string(ToString(event.kind));
  out.member = event.member;
  out.by = event.by;
  out.incarnation = event.incarnation;
  out.detail = event.detail;
  return out;
}

RingEvent ToRingEvent(const UserEvent& event, int64_t unix_ms) {
  RingEvent out;
  out.unix_ms = unix_ms;
  out.event = "user_event";
  out.member = event.from;
  out.said = RingSaid{event.name, event.payload, event.lamport, event.replayed};
  return out;
}

RingEvent ToRingEvent(const ReceivedQuery& query, int64_t unix_ms) {
  RingEvent out;
  out.unix_ms = unix_ms;
  out.event = "query";
  out.member = query.from;
  out.said = RingSaid{query.name, query.payload, 0, false};
  return out;
}

LogRecord ToLogRecord(const Event& event) {
  const Look look = LookOf(event.kind);
  LogRecord record;
  record.level = look.level;
  record.event =
      absl::StrCat(look.about_self ? "node_" : "member_", std::string(ToString(event.kind)));
  if (!event.member.empty()) record.fields.emplace_back("member", event.member);
  if (event.incarnation.value() != 0) {
    record.fields.emplace_back("incarnation", absl::StrCat(event.incarnation.boot_number(), ".",
                                                           event.incarnation.counter()));
  }
  if (!event.by.empty()) record.fields.emplace_back("by", absl::StrJoin(event.by, ","));
  if (!event.detail.empty()) record.fields.emplace_back("detail", event.detail);
  if (!look.code.empty()) record.fields.emplace_back("code", look.code);
  return record;
}

}  // namespace sotto
