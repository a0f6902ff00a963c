// Which of the newest counters of one session have come already (design W6; after RFC 6479).
//
// A ring of words, one bit a counter. Check first, open the frame, and commit only after a good
// tag: a forged counter then moves nothing. Threads: as a plain value.
#ifndef SOTTO_CRYPTO_REPLAY_WINDOW_H_
#define SOTTO_CRYPTO_REPLAY_WINDOW_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace sotto {

class ReplayWindow {
 public:
  // A counter this far below the newest one, or farther, is too old to judge.
  static constexpr uint32_t kWidth = 1024;

  enum class Verdict : uint8_t { kFresh, kDuplicate, kOld };

  // Reads only. Counters start at 1; 0 is always kOld.
  Verdict Check(uint32_t counter) const;
  // `counter` must be kFresh.
  void Commit(uint32_t counter);

  uint32_t newest() const { return newest_; }

 private:
  // One word more than the width needs, so that the oldest and the newest counter never share a
  // word.
  static constexpr size_t kWords = kWidth / 64 + 1;

  std::array<uint64_t, kWords> seen_{};
  uint32_t newest_ = 0;
};

}  // namespace sotto

#endif  // SOTTO_CRYPTO_REPLAY_WINDOW_H_
