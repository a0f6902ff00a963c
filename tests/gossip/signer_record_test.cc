// Whose accusations count (design M4).
#include "gossip/signer_record.h"

#include <string>

#include "gtest/gtest.h"

namespace sotto {
namespace {

const Instant kStart = Instant::FromNanos(1'000'000'000'000);
constexpr Duration kNanosecond = Duration::Nanos(1);

TEST(SignerRecords, ABurstThenARate) {
  SignerRecords records(4, 2);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(records.TakeToken(kStart, "a")) << i;
  EXPECT_FALSE(records.TakeToken(kStart, "a"));
  EXPECT_TRUE(records.TakeToken(kStart, "b"));
  const Instant later = kStart + Duration::Millis(500);
  EXPECT_FALSE(records.TakeToken(later - kNanosecond, "a"));
  EXPECT_TRUE(records.TakeToken(later, "a"));
  EXPECT_FALSE(records.TakeToken(later, "a"));
  const Instant much_later = kStart + Duration::Hours(1);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(records.TakeToken(much_later, "a")) << i;
  EXPECT_FALSE(records.TakeToken(much_later, "a"));
}

TEST(SignerRecords, EightRefutedInARowDiscreditForAWhile) {
  SignerRecords records(100, 1);
  for (int i = 0; i < 7; ++i) records.Refuted(kStart, "liar");
  EXPECT_FALSE(records.IsDiscredited(kStart, "liar"));
  records.Refuted(kStart, "liar");
  EXPECT_TRUE(records.IsDiscredited(kStart, "liar"));
  EXPECT_TRUE(records.TakeToken(kStart, "liar"));  // within its rate all the same
  const Instant end = kStart + SignerRecords::kDiscredit;
  EXPECT_TRUE(records.IsDiscredited(end - kNanosecond, "liar"));
  EXPECT_FALSE(records.IsDiscredited(end, "liar"));
  records.Refuted(end, "liar");  // and again at once
  EXPECT_TRUE(records.IsDiscredited(end, "liar"));
  EXPECT_FALSE(records.IsDiscredited(end, "nobody"));
}

TEST(SignerRecords, OneThatComesTrueRedeems) {
  SignerRecords records(100, 1);
  for (int i = 0; i < 20; ++i) records.Refuted(kStart, "a");
  EXPECT_TRUE(records.IsDiscredited(kStart, "a"));
  records.Confirmed(kStart, "a");
  EXPECT_FALSE(records.IsDiscredited(kStart, "a"));
  for (int i = 0; i < 7; ++i) records.Refuted(kStart, "a");
  EXPECT_FALSE(records.IsDiscredited(kStart, "a"));
}

TEST(SignerRecords, TheLongestIdleMakesRoom) {
  SignerRecords records(1, 1);
  for (int i = 0; i < 20; ++i) records.Refuted(kStart, "first");
  for (int i = 0; i < 20; ++i) records.Refuted(kStart + kNanosecond, "second");
  for (size_t i = 0; i < SignerRecords::kSignersMax - 1; ++i) {
    records.TakeToken(kStart + kNanosecond * 2, "n" + std::to_string(i));
  }
  EXPECT_FALSE(records.IsDiscredited(kStart, "first"));
  EXPECT_TRUE(records.IsDiscredited(kStart, "second"));
}

}  // namespace
}  // namespace sotto
