// Instants and durations of the protocol: plain integers that come in from outside.
//
// Own types, so that no clock can be read where they are used: the core never includes <chrono>.
// Units: nanoseconds in 64 bits, 292 years either way. Additions saturate at the ends, so that
// "never" stays never.
#ifndef SOTTO_GOSSIP_TIME_H_
#define SOTTO_GOSSIP_TIME_H_

#include <compare>
#include <cstdint>
#include <limits>

namespace sotto {

// A signed span of time.
class Duration {
 public:
  constexpr Duration() = default;

  static constexpr Duration Nanos(int64_t n) { return Duration(n); }
  static constexpr Duration Micros(int64_t n) { return Duration(n * 1'000); }
  static constexpr Duration Millis(int64_t n) { return Duration(n * 1'000'000); }
  static constexpr Duration Seconds(int64_t n) { return Duration(n * 1'000'000'000); }
  static constexpr Duration Minutes(int64_t n) { return Seconds(n * 60); }
  static constexpr Duration Hours(int64_t n) { return Seconds(n * 3'600); }
  static constexpr Duration Max() { return Duration(std::numeric_limits<int64_t>::max()); }

  constexpr int64_t nanos() const { return ns_; }
  constexpr int64_t millis() const { return ns_ / 1'000'000; }
  constexpr int64_t seconds() const { return ns_ / 1'000'000'000; }

  friend constexpr auto operator<=>(Duration, Duration) = default;
  friend constexpr Duration operator+(Duration a, Duration b) {
    int64_t sum = 0;
    if (__builtin_add_overflow(a.ns_, b.ns_, &sum)) return a.ns_ > 0 ? Max() : Duration(-Max().ns_);
    return Duration(sum);
  }
  friend constexpr Duration operator-(Duration a, Duration b) { return a + Duration(-b.ns_); }
  friend constexpr Duration operator*(Duration a, int64_t k) {
    int64_t product = 0;
    if (__builtin_mul_overflow(a.ns_, k, &product)) {
      return (a.ns_ > 0) == (k > 0) ? Max() : Duration(-Max().ns_);
    }
    return Duration(product);
  }
  friend constexpr Duration operator*(int64_t k, Duration a) { return a * k; }
  friend constexpr Duration operator/(Duration a, int64_t k) { return Duration(a.ns_ / k); }
  constexpr Duration& operator+=(Duration d) { return *this = *this + d; }
  constexpr Duration& operator-=(Duration d) { return *this = *this - d; }

 private:
  explicit constexpr Duration(int64_t ns) : ns_(ns) {}
  int64_t ns_ = 0;
};

// A point on the driver's monotonic clock, whose zero means nothing.
class Instant {
 public:
  constexpr Instant() = default;
  static constexpr Instant FromNanos(int64_t ns) { return Instant(Duration::Nanos(ns)); }
  static constexpr Instant Never() { return Instant(Duration::Max()); }

  constexpr int64_t nanos() const { return since_zero_.nanos(); }

  friend constexpr auto operator<=>(Instant, Instant) = default;
  friend constexpr Instant operator+(Instant t, Duration d) { return Instant(t.since_zero_ + d); }
  friend constexpr Instant operator-(Instant t, Duration d) { return Instant(t.since_zero_ - d); }
  friend constexpr Duration operator-(Instant a, Instant b) {
    return a.since_zero_ - b.since_zero_;
  }
  constexpr Instant& operator+=(Duration d) { return *this = *this + d; }

 private:
  explicit constexpr Instant(Duration d) : since_zero_(d) {}
  Duration since_zero_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_TIME_H_
