#include "gossip/action.h"

namespace sotto {

std::string_view ToString(SyncReason reason) {
  switch (reason) {
    case SyncReason::kJoin:
      return "join";
    case SyncReason::kJoinAgain:
      return "join_again";
    case SyncReason::kRoutine:
      return "routine";
    case SyncReason::kHash:
      return "hash";
    case SyncReason::kRetry:
      return "retry";
    case SyncReason::kTwin:
      return "twin";
    case SyncReason::kEvents:
      return "events";
  }
  return "unknown";
}

}  // namespace sotto
