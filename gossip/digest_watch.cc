#include "gossip/digest_watch.h"

#include <algorithm>

namespace sotto {

void DigestWatch::NoteOwn(Instant now, uint64_t digest) {
  if (digest == own_) return;
  own_ = digest;
  changed_at_ = now;
  history_.push_back(digest);
  if (history_.size() > kHistoryMax) history_.pop_front();
  std::erase_if(seen_, [this](const auto& entry) { return !Counts(entry.second); });
}

void DigestWatch::NoteTheirs(Instant now, uint32_t member, uint64_t digest) {
  const auto it = seen_.find(member);
  if (digest == 0) return;
  const Seen seen{digest, it == seen_.end() ? now : it->second.since};
  if (!Counts(seen)) {
    if (it != seen_.end()) seen_.erase(it);
  } else if (it != seen_.end()) {
    it->second = seen;
  } else if (seen_.size() < kSeenMax) {
    seen_.emplace(member, seen);
  }
}

bool DigestWatch::Counts(const Seen& seen) const {
  return std::find(history_.begin(), history_.end(), seen.digest) == history_.end() &&
         std::find(fruitless_.begin(), fruitless_.end(), std::pair(own_, seen.digest)) ==
             fruitless_.end();
}

Instant DigestWatch::DueAt(uint32_t member, const Seen& seen) const {
  const Instant still = std::max(changed_at_, seen.since) + limits_.settle;
  const Instant due = std::min(still, seen.since + limits_.settle_max);
  const auto back_off = back_offs_.find(member);
  return back_off == back_offs_.end() ? due : std::max(due, back_off->second.until);
}

std::optional<DigestWatch::Due> DigestWatch::TakeDue(Instant now) {
  auto best = seen_.end();
  for (auto it = seen_.begin(); it != seen_.end(); ++it) {
    if (DueAt(it->first, it->second) > now) continue;
    if (best == seen_.end() || it->second.since < best->second.since) best = it;
  }
  if (best == seen_.end()) return std::nullopt;
  const Due due{best->first, best->second.digest};
  seen_.erase(best);
  return due;
}

Instant DigestWatch::NextDue() const {
  Instant next = Instant::Never();
  for (const auto& [member, seen] : seen_) next = std::min(next, DueAt(member, seen));
  return next;
}

void DigestWatch::Finished(Instant now, const Due& with, uint64_t own_before, bool fruitful) {
  if (fruitful) {
    back_offs_.erase(with.member);
    return;
  }
  fruitless_.emplace_back(own_before, with.theirs);
  if (fruitless_.size() > kFruitlessMax) fruitless_.pop_front();
  if (back_offs_.size() >= kBackOffsMax && !back_offs_.contains(with.member)) {
    back_offs_.erase(std::min_element(
        back_offs_.begin(), back_offs_.end(),
        [](const auto& a, const auto& b) { return a.second.until < b.second.until; }));
  }
  BackOff& back_off = back_offs_[with.member];
  Duration wait = limits_.settle;
  for (int i = 0; i < back_off.attempts && wait < limits_.retry_max; ++i) wait = wait * 2;
  back_off.until = now + std::min(wait, limits_.retry_max);
  ++back_off.attempts;
}

}  // namespace sotto
