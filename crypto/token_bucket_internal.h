// How many of something may happen in a burst and in the long run, in integers.
#ifndef SOTTO_CRYPTO_TOKEN_BUCKET_INTERNAL_H_
#define SOTTO_CRYPTO_TOKEN_BUCKET_INTERNAL_H_

#include <algorithm>
#include <cstdint>
#include <optional>

#include "gossip/time.h"

namespace sotto::internal {

class TokenBucket {
 public:
  TokenBucket(int64_t burst, int64_t per_second)
      : interval_(Duration::Seconds(1) / per_second), depth_(interval_ * (burst - 1)) {}

  // False: none left, and none is taken.
  bool Take(Instant now) {
    const Instant from = std::max(full_at_.value_or(now), now);
    if (from - now > depth_) return false;
    full_at_ = from + interval_;
    return true;
  }
  // Gives back one that was taken.
  void Return() {
    if (full_at_.has_value()) full_at_ = *full_at_ - interval_;
  }

 private:
  Duration interval_;
  Duration depth_;
  std::optional<Instant> full_at_;  // when every token is back
};

}  // namespace sotto::internal

#endif  // SOTTO_CRYPTO_TOKEN_BUCKET_INTERNAL_H_
