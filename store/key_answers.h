// What members said when they were asked about their keys, beside what the table says of them.
// Pure: the daemon and the simulation decide by the same words.
//
// A member counts generations by its own store, which need not be this one; so what it says is
// translated by the keys' ids. Units: milliseconds since 1970. Threads: none.
#ifndef SOTTO_STORE_KEY_ANSWERS_H_
#define SOTTO_STORE_KEY_ANSWERS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "store/key_agent.h"
#include "store/key_rows.h"
#include "store/rotation_plan.h"

namespace sotto {

// An answer is news that long.
inline constexpr int64_t kKeyAnswerFreshMs = 15'000;

struct KeyAnswer {
  KeyClaim claim;
  int64_t at_ms = 0;
};
using KeyAnswers = std::map<std::string, KeyAnswer>;  // by the member's name

KeyAnswers FreshAnswers(const KeyAnswers& answers, int64_t now_ms);

// The members `living` with what the fresh of their answers say that they hold; `self`, one of
// them, holds `own`.
std::vector<LivingMember> WithAnswers(const std::vector<std::string>& living, const KeyRows& rows,
                                      const KeyAnswers& fresh, const std::string& self,
                                      uint64_t own);

// The rows of other members that their answers make newer. A member without a row does not share
// this store, and gets none.
std::vector<KeyMember> RecordsFrom(const KeyAnswers& answers, const KeyRows& rows,
                                   const std::string& self);

}  // namespace sotto

#endif  // SOTTO_STORE_KEY_ANSWERS_H_
