#include "crypto/replay_window.h"

#include <algorithm>

namespace sotto {
namespace {

constexpr uint64_t Bit(uint32_t counter) { return uint64_t{1} << (counter % 64); }

}  // namespace

ReplayWindow::Verdict ReplayWindow::Check(uint32_t counter) const {
  if (counter == 0) return Verdict::kOld;
  if (counter > newest_) return Verdict::kFresh;
  if (newest_ - counter >= kWidth) return Verdict::kOld;
  const bool seen = (seen_[counter / 64 % kWords] & Bit(counter)) != 0;
  return seen ? Verdict::kDuplicate : Verdict::kFresh;
}

void ReplayWindow::Commit(uint32_t counter) {
  if (counter > newest_) {
    // Words between the old and the new top are reused: what they said is too old by now.
    const uint32_t from = newest_ / 64;
    const uint32_t steps = std::min<uint32_t>(counter / 64 - from, kWords);
    for (uint32_t step = 1; step <= steps; ++step) seen_[(from + step) % kWords] = 0;
    newest_ = counter;
  }
  seen_[counter / 64 % kWords] |= Bit(counter);
}

}  // namespace sotto
