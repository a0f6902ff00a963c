#include "gossip/member.h"

namespace sotto {
namespace {

bool IsLetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool IsValidName(std::string_view name, size_t bytes_max) {
  if (name.empty() || name.size() > bytes_max || !IsLetterOrDigit(name.front())) return false;
  for (const char c : name) {
    if (!IsLetterOrDigit(c) && c != '.' && c != '_' && c != '-') return false;
  }
  return true;
}

}  // namespace

std::string_view ToString(MemberState state) {
  switch (state) {
    case MemberState::kAlive:
      return "alive";
    case MemberState::kSuspect:
      return "suspect";
    case MemberState::kDead:
      return "dead";
    case MemberState::kForgotten:
      return "forgotten";
    case MemberState::kLeft:
      return "left";
  }
  return "unknown";
}

bool IsValidMemberName(std::string_view name) { return IsValidName(name, kMemberNameBytesMax); }
bool IsValidClusterName(std::string_view name) { return IsValidName(name, kClusterNameBytesMax); }

}  // namespace sotto
