#include "store/key_answers.h"

#include <optional>
#include <utility>

namespace sotto {
namespace {

std::optional<uint64_t> GenerationHere(const KeyRows& rows, KeyId id) {
  const KeyRow* row = rows.FindLive(id);
  return row == nullptr ? std::nullopt : std::optional(row->generation);
}

}  // namespace

KeyAnswers FreshAnswers(const KeyAnswers& answers, int64_t now_ms) {
  KeyAnswers fresh = answers;
  std::erase_if(fresh, [now_ms](const auto& answer) {
    return now_ms - answer.second.at_ms >= kKeyAnswerFreshMs;
  });
  return fresh;
}

std::vector<LivingMember> WithAnswers(const std::vector<std::string>& living, const KeyRows& rows,
                                      const KeyAnswers& fresh, const std::string& self,
                                      uint64_t own) {
  std::vector<LivingMember> out;
  for (const std::string& name : living) {
    LivingMember member{name, std::nullopt};
    const auto answer = fresh.find(name);
    if (name == self) {
      member.held = own;
    } else if (answer != fresh.end()) {
      member.held = GenerationHere(rows, answer->second.claim.held_id);
    }
    out.push_back(std::move(member));
  }
  return out;
}

std::vector<KeyMember> RecordsFrom(const KeyAnswers& answers, const KeyRows& rows,
                                   const std::string& self) {
  std::vector<KeyMember> records;
  for (const auto& [name, answer] : answers) {
    const std::optional<uint64_t> held = GenerationHere(rows, answer.claim.held_id);
    const KeyMember* row = rows.FindMember(name);
    if (name == self || !held || row == nullptr) continue;
    KeyMember record{name, held, GenerationHere(rows, answer.claim.sealing_id),
                     answer.claim.trouble, answer.at_ms};
    const bool says_it_already = row->held == record.held && row->sealing == record.sealing &&
                                 row->trouble == record.trouble;
    if (!says_it_already) records.push_back(std::move(record));
  }
  return records;
}

}  // namespace sotto
