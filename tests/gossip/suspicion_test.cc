// The timings of suspicion against Lifeguard's formula and the tables that memberlist's suite pins
// down.
#include "gossip/suspicion.h"

#include <string>

#include "gossip/fixed_point.h"
#include "gtest/gtest.h"

namespace sotto {
namespace {

constexpr Duration kMs = Duration::Millis(1);
const Instant kStart = Instant::FromNanos(5'000'000'000);

SuspicionBounds Bounds(Duration min, Duration max, int k) {
  SuspicionBounds bounds;
  bounds.min = min;
  bounds.max = max;
  bounds.confirmations = k;
  return bounds;
}

void ExpectNear(Duration actual, Duration expected, Duration tolerance) {
  EXPECT_LE(actual, expected + tolerance);
  EXPECT_GE(actual, expected - tolerance);
}

TEST(FixedPoint, LogarithmsAreExactWhereTheyCanBe) {
  EXPECT_EQ(Log2Fixed(1), 0u);
  EXPECT_EQ(Log2Fixed(2), kFixedOne);
  EXPECT_EQ(Log2Fixed(uint64_t{1} << 63), 63 * kFixedOne);
  EXPECT_NEAR(static_cast<double>(Log2Fixed(3)), 6807362105.7, 2.0);    // 1.5849625 × 2^32
  EXPECT_NEAR(static_cast<double>(Log2Fixed(10)), 14267572526.9, 2.0);  // 3.3219281 × 2^32
  // Within 2^-28 of one, two, three.
  for (const auto& [x, log] : {std::pair<uint64_t, uint64_t>{10, 1}, {100, 2}, {1'000, 3}}) {
    EXPECT_NEAR(static_cast<double>(Log10Fixed(x)), static_cast<double>(log * kFixedOne), 16.0);
  }
  EXPECT_EQ(DecimalDigits(0), 1);
  EXPECT_EQ(DecimalDigits(9), 1);
  EXPECT_EQ(DecimalDigits(10), 2);
  EXPECT_EQ(DecimalDigits(9'999), 4);
  EXPECT_EQ(Scale(Duration::Seconds(3), kFixedOne / 2), Duration::Millis(1'500));
  EXPECT_EQ(Scale(Duration::Max(), 2 * kFixedOne), Duration::Max());
}

// K = 3, 2 s to 30 s: the table of memberlist's suspicion test.
TEST(Suspicion, FallsWithEachConfirmation) {
  Suspicion s(Bounds(Duration::Seconds(2), Duration::Seconds(30), 3), kStart, "me");
  EXPECT_EQ(s.deadline() - kStart, Duration::Seconds(30));
  EXPECT_TRUE(s.Confirm("foo"));
  ExpectNear(s.deadline() - (kStart + Duration::Seconds(2)), Duration::Seconds(14), kMs);
  EXPECT_TRUE(s.Confirm("bar"));
  ExpectNear(s.deadline() - (kStart + Duration::Seconds(3)), Duration::Millis(4'810), kMs);
  EXPECT_TRUE(s.Confirm("baz"));
  EXPECT_EQ(s.deadline(), kStart + Duration::Seconds(2));  // at 4 s it is overdue
  EXPECT_EQ(s.latest(), kStart + Duration::Seconds(30));
}

TEST(Suspicion, CountsEachAccuserOnceAndNeverTheFirst) {
  Suspicion s(Bounds(Duration::Seconds(2), Duration::Seconds(30), 3), kStart, "me");
  EXPECT_FALSE(s.Confirm("me"));
  EXPECT_TRUE(s.Confirm("foo"));
  const Instant after_one = s.deadline();
  EXPECT_FALSE(s.Confirm("foo"));
  EXPECT_FALSE(s.WouldCount("foo"));
  EXPECT_EQ(s.deadline(), after_one);
  EXPECT_TRUE(s.Confirm("bar"));
  EXPECT_TRUE(s.WouldCount("baz"));
  EXPECT_TRUE(s.Confirm("baz"));
  EXPECT_FALSE(s.Confirm("one too many"));
  EXPECT_EQ(s.accusers(), (std::vector<std::string>{"bar", "baz", "foo", "me"}));
}

TEST(Suspicion, WithoutExpectedConfirmationsItRunsTheMinimum) {
  Suspicion s(Bounds(Duration::Seconds(2), Duration::Seconds(30), 0), kStart, "me");
  EXPECT_EQ(s.deadline(), kStart + Duration::Seconds(2));
  EXPECT_FALSE(s.Confirm("foo"));
  EXPECT_EQ(s.deadline(), kStart + Duration::Seconds(2));
}

TEST(Suspicion, HoldPutsTheEndOffButNeverBringsItForward) {
  Suspicion s(Bounds(Duration::Seconds(2), Duration::Seconds(2), 0), kStart, "me");
  s.Hold(kStart + Duration::Seconds(1));
  EXPECT_EQ(s.deadline(), kStart + Duration::Seconds(2));
  s.Hold(kStart + Duration::Seconds(7));
  EXPECT_EQ(s.deadline(), kStart + Duration::Seconds(7));
}

// Minimum 500 ms, maximum 1000 ms: from five members on, three confirmations are expected.
TEST(SuspicionBounds, TheMaximumAppliesFromFiveMembersOn) {
  ProtocolOptions options;
  options.probe_interval = Duration::Millis(100);
  options.probe_timeout = Duration::Millis(50);
  options.suspicion_alpha = 5;
  options.suspicion_beta = 2;
  for (const size_t n : {1u, 2u, 3u, 4u}) {
    const SuspicionBounds bounds = SuspicionBounds::For(options, n);
    EXPECT_EQ(bounds.confirmations, 0) << n;
    EXPECT_EQ(bounds.max, Duration::Millis(500)) << n;
  }
  for (const size_t n : {5u, 6u}) {
    const SuspicionBounds bounds = SuspicionBounds::For(options, n);
    EXPECT_EQ(bounds.confirmations, 3) << n;
    EXPECT_EQ(bounds.After(0), Duration::Millis(1'000));
    EXPECT_EQ(bounds.After(1), Duration::Millis(750));
    ExpectNear(bounds.After(2), Duration::Micros(603'759), Duration::Micros(1));
    EXPECT_EQ(bounds.After(3), Duration::Millis(500));
    EXPECT_EQ(bounds.After(4), Duration::Millis(500));
  }
}

// memberlist.md 5.1: α = 4, β = 6, 1 s.
TEST(SuspicionBounds, GrowWithTheLogarithmOfTheCluster) {
  const ProtocolOptions lan = ProtocolOptions::Lan();
  const struct {
    size_t n;
    int64_t min_ms, max_ms;
  } rows[] = {{3, 4'000, 4'000},       {5, 4'000, 24'000},   {10, 4'000, 24'000},
              {32, 6'020, 36'123},     {100, 8'000, 48'000}, {1'000, 12'000, 72'000},
              {10'000, 16'000, 96'000}};
  for (const auto& row : rows) {
    const SuspicionBounds bounds = SuspicionBounds::For(lan, row.n);
    ExpectNear(bounds.min, Duration::Millis(row.min_ms), kMs);
    ExpectNear(bounds.max, Duration::Millis(row.max_ms), kMs);
  }
  EXPECT_EQ(SuspicionBounds::For(ProtocolOptions::Wan(), 3).min, Duration::Seconds(30));
}

}  // namespace
}  // namespace sotto
