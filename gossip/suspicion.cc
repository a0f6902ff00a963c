#include "gossip/suspicion.h"

#include <algorithm>

#include "gossip/fixed_point.h"

namespace sotto {

SuspicionBounds SuspicionBounds::For(const ProtocolOptions& options, size_t members) {
  const uint64_t scale = std::max(kFixedOne, Log10Fixed(std::max<size_t>(members, 1)));
  SuspicionBounds bounds;
  bounds.min = Scale(options.probe_interval * options.suspicion_alpha, scale);
  const auto expected = static_cast<size_t>(options.suspicion_confirmations);
  if (members < expected + 2 || !options.lifeguard.dynamic_suspicion) {
    bounds.max = bounds.min;
  } else {
    bounds.max = bounds.min * options.suspicion_beta;
    bounds.confirmations = options.suspicion_confirmations;
  }
  return bounds;
}

Duration SuspicionBounds::After(int confirmed) const {
  if (confirmed >= confirmations) return min;
  const uint64_t ratio = (Log2Fixed(static_cast<uint64_t>(confirmed) + 1) << 24) /
                         (Log2Fixed(static_cast<uint64_t>(confirmations) + 1) >> 8);
  return std::max(min, max - Scale(max - min, ratio));
}

Suspicion::Suspicion(const SuspicionBounds& bounds, Instant start, std::string_view accuser)
    : bounds_(bounds), start_(start), hold_until_(start) {
  accusers_.emplace_back(accuser);
}

bool Suspicion::WouldCount(std::string_view accuser) const {
  return accusers_.size() <= static_cast<size_t>(bounds_.confirmations) && !HasAccuser(accuser);
}

bool Suspicion::Confirm(std::string_view accuser) {
  if (!WouldCount(accuser)) return false;
  accusers_.emplace(std::lower_bound(accusers_.begin(), accusers_.end(), accuser), accuser);
  return true;
}

bool Suspicion::HasAccuser(std::string_view accuser) const {
  return std::binary_search(accusers_.begin(), accusers_.end(), accuser);
}

void Suspicion::Hold(Instant until) { hold_until_ = std::max(hold_until_, until); }

Instant Suspicion::NextWarning() {
  constexpr int kDoublingsMax = 30;
  return start_ + bounds_.min / 3 * (int64_t{1} << std::min(warnings_++, kDoublingsMax));
}

Instant Suspicion::deadline() const {
  const int confirmed = static_cast<int>(accusers_.size()) - 1;
  return std::max(hold_until_, start_ + bounds_.After(confirmed));
}

}  // namespace sotto
