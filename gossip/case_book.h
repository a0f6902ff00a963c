// Why members were suspected: for each that ever was, its last cases with who accused it, when, and
// with what evidence, and how each case ended.
//
// A case is one suspicion at one incarnation. It tells and decides nothing. Bounded: kCasesMax of a
// member, kAccusersMax of a case, kMembersMax in all; the member whose cases are oldest makes room,
// the closed ones first. Ownership: values. Threads: none; no clock.
#ifndef SOTTO_GOSSIP_CASE_BOOK_H_
#define SOTTO_GOSSIP_CASE_BOOK_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gossip/statement.h"
#include "gossip/time.h"

namespace sotto {

struct Accuser {
  std::string name;
  Instant heard;                                 // its first word in this case
  StatementKind kind = StatementKind::kSuspect;  // its last one
  std::optional<Evidence> evidence;              // of its last word that had any
};

struct SuspicionCase {
  enum class End : uint8_t {
    kOpen,
    kRefuted,  // the member answered with a higher incarnation
    kDied,     // this node concluded that it is dead
    kLeft,     // it said goodbye
    kMoot,     // it was started anew, forgotten, or its certificate ended
  };

  Instant began;
  std::optional<Instant> ended;
  Incarnation incarnation;        // the member's, as accused
  std::vector<Accuser> accusers;  // in the order in which they were heard
  End end = End::kOpen;
  // The higher incarnation that came in the end, also after kDied: then it was no death.
  std::optional<Incarnation> answered_with;
};

// "open", "refuted", "died", "left", "moot".
std::string_view ToString(SuspicionCase::End end);

class CaseBook {
 public:
  static constexpr size_t kCasesMax = 8;
  static constexpr size_t kAccusersMax = 16;
  static constexpr size_t kMembersMax = 1'024;

  // Opens a case unless one is open at this incarnation; an open one at another ends as moot.
  void Accuse(Instant now, std::string_view member, Incarnation incarnation,
              std::string_view accuser, StatementKind kind,
              const std::optional<Evidence>& evidence);

  // Ends the open case, if there is one.
  void End(Instant now, std::string_view member, SuspicionCase::End end,
           std::optional<Incarnation> answered_with = {});

  // The member is back under this incarnation although its last case ended with its death.
  void Returned(std::string_view member, Incarnation incarnation);

  // The newest last; empty for who was never accused.
  std::vector<SuspicionCase> Of(std::string_view member) const;

  // What this accuser last brought forward in the member's last case, if that is about
  // `incarnation`.
  std::optional<Evidence> EvidenceOf(std::string_view member, Incarnation incarnation,
                                     std::string_view accuser) const;

  size_t members() const { return books_.size(); }

 private:
  using Cases = std::deque<SuspicionCase>;

  SuspicionCase* LastOf(std::string_view member);
  Cases& OpenBook(std::string_view member);

  std::map<std::string, Cases, std::less<>> books_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_CASE_BOOK_H_
