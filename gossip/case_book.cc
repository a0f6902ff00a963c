#include "gossip/case_book.h"

#include <algorithm>
#include <utility>

namespace sotto {

std::string_view ToString(SuspicionCase::End end) {
  switch (end) {
    case SuspicionCase::End::kOpen:
      return "open";
    case SuspicionCase::End::kRefuted:
      return "refuted";
    case SuspicionCase::End::kDied:
      return "died";
    case SuspicionCase::End::kLeft:
      return "left";
    case SuspicionCase::End::kMoot:
      return "moot";
  }
  return "unknown";
}

void CaseBook::Accuse(Instant now, std::string_view member, Incarnation incarnation,
                      std::string_view accuser, StatementKind kind,
                      const std::optional<Evidence>& evidence) {
  SuspicionCase* last = LastOf(member);
  if (last && last->end == SuspicionCase::End::kOpen && last->incarnation != incarnation) {
    End(now, member, SuspicionCase::End::kMoot);
    last = nullptr;
  }
  if (!last || last->end != SuspicionCase::End::kOpen) {
    Cases& cases = OpenBook(member);
    cases.emplace_back();
    if (cases.size() > kCasesMax) cases.pop_front();
    last = &cases.back();
    last->began = now;
    last->incarnation = incarnation;
  }
  auto it = std::find_if(last->accusers.begin(), last->accusers.end(),
                         [accuser](const Accuser& held) { return held.name == accuser; });
  if (it == last->accusers.end()) {
    if (last->accusers.size() >= kAccusersMax) return;
    it = last->accusers.insert(it, Accuser{std::string(accuser), now, kind, {}});
  }
  it->kind = std::max(it->kind, kind);
  if (evidence) it->evidence = evidence;
}

void CaseBook::End(Instant now, std::string_view member, SuspicionCase::End end,
                   std::optional<Incarnation> answered_with) {
  SuspicionCase* last = LastOf(member);
  if (!last || last->end != SuspicionCase::End::kOpen) return;
  last->ended = now;
  last->end = end;
  last->answered_with = answered_with;
}

void CaseBook::Returned(std::string_view member, Incarnation incarnation) {
  SuspicionCase* last = LastOf(member);
  if (!last || last->end != SuspicionCase::End::kDied || last->answered_with) return;
  last->answered_with = incarnation;
}

std::vector<SuspicionCase> CaseBook::Of(std::string_view member) const {
  const auto it = books_.find(member);
  if (it == books_.end()) return {};
  return {it->second.begin(), it->second.end()};
}

std::optional<Evidence> CaseBook::EvidenceOf(std::string_view member, Incarnation incarnation,
                                             std::string_view accuser) const {
  const auto it = books_.find(member);
  if (it == books_.end() || it->second.back().incarnation != incarnation) return std::nullopt;
  for (const Accuser& held : it->second.back().accusers) {
    if (held.name == accuser) return held.evidence;
  }
  return std::nullopt;
}

SuspicionCase* CaseBook::LastOf(std::string_view member) {
  const auto it = books_.find(member);
  return it == books_.end() ? nullptr : &it->second.back();
}

CaseBook::Cases& CaseBook::OpenBook(std::string_view member) {
  if (const auto it = books_.find(member); it != books_.end()) return it->second;
  if (books_.size() >= kMembersMax) {
    books_.erase(std::min_element(books_.begin(), books_.end(), [](const auto& a, const auto& b) {
      const SuspicionCase& x = a.second.back();
      const SuspicionCase& y = b.second.back();
      const bool x_open = x.end == SuspicionCase::End::kOpen;
      const bool y_open = y.end == SuspicionCase::End::kOpen;
      return std::pair(x_open, x.began) < std::pair(y_open, y.began);
    }));
  }
  return books_.emplace(member, Cases()).first->second;
}

}  // namespace sotto
