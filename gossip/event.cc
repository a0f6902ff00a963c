#include "gossip/event.h"

namespace sotto {

std::string_view ToString(EventKind kind) {
  switch (kind) {
    case EventKind::kJoined:
      return "joined";
    case EventKind::kReturned:
      return "returned";
    case EventKind::kSuspected:
      return "suspected";
    case EventKind::kRefuted:
      return "refuted";
    case EventKind::kDied:
      return "died";
    case EventKind::kLeft:
      return "left";
    case EventKind::kForgotten:
      return "forgotten";
    case EventKind::kUpdated:
      return "updated";
    case EventKind::kReaped:
      return "reaped";
    case EventKind::kAnnounced:
      return "announced";
    case EventKind::kAccused:
      return "accused";
    case EventKind::kIsolated:
      return "isolated";
    case EventKind::kMinority:
      return "minority";
    case EventKind::kReconnected:
      return "reconnected";
    case EventKind::kPaused:
      return "paused";
    case EventKind::kNameConflict:
      return "name_conflict";
    case EventKind::kSendsRefused:
      return "sends_refused";
    case EventKind::kKeyTrouble:
      return "key_trouble";
    case EventKind::kClockSuspect:
      return "clock_suspect";
  }
  return "unknown";
}

std::string LeaderOf(const std::vector<MemberInfo>& members) {
  for (const MemberInfo& member : members) {
    if (member.state <= MemberState::kSuspect) return member.name;
  }
  return "";
}

const std::shared_ptr<const AliveClaims>& NoClaims() {
  static const auto kNone = std::make_shared<const AliveClaims>();
  return kNone;
}

}  // namespace sotto
