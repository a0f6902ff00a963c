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
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(records.Admit(kStart, "a")) << i;
  EXPECT_FALSE(records.Admit(kStart, "a"));
  EXPECT_TRUE(records.Admit(kStart, "b"));
  const Instant later = kStart + Duration::Millis(500);
  EXPECT_FALSE(records.Admit(later - kNanosecond, "a"));
  EXPECT_TRUE(records.Admit(later, "a"));
  EXPECT_FALSE(records.Admit(later, "a"));
  const Instant much_later = kStart + Duration::Hours(1);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(records.Admit(much_later, "a")) << i;
  EXPECT_FALSE(records.Admit(much_later, "a"));
}

TEST(SignerRecords, EightRefutedInARowDiscreditForAWhile) {
  SignerRecords records(100, 1);
  for (int i = 0; i < 7; ++i) records.Refuted(kStart, "liar");
  EXPECT_TRUE(records.Admit(kStart, "liar"));
  records.Refuted(kStart, "liar");
  EXPECT_TRUE(records.IsDiscredited(kStart, "liar"));
  EXPECT_FALSE(records.Admit(kStart, "liar"));
  const Instant end = kStart + SignerRecords::kDiscredit;
  EXPECT_FALSE(records.Admit(end - kNanosecond, "liar"));
  EXPECT_TRUE(records.Admit(end, "liar"));
  records.Refuted(end, "liar");  // and again at once
  EXPECT_FALSE(records.Admit(end, "liar"));
  EXPECT_FALSE(records.IsDiscredited(end, "nobody"));
}

TEST(SignerRecords, OneThatComesTrueRedeems) {
  SignerRecords records(100, 1);
  for (int i = 0; i < 20; ++i) records.Refuted(kStart, "a");
  EXPECT_FALSE(records.Admit(kStart, "a"));
  records.Confirmed(kStart, "a");
  EXPECT_TRUE(records.Admit(kStart, "a"));
  for (int i = 0; i < 7; ++i) records.Refuted(kStart, "a");
  EXPECT_TRUE(records.Admit(kStart, "a"));
}

TEST(SignerRecords, TheLongestIdleMakesRoom) {
  SignerRecords records(1, 1);
  for (int i = 0; i < 20; ++i) records.Refuted(kStart, "first");
  for (int i = 0; i < 20; ++i) records.Refuted(kStart + kNanosecond, "second");
  for (size_t i = 0; i < SignerRecords::kSignersMax - 1; ++i) {
    records.Admit(kStart + kNanosecond * 2, "n" + std::to_string(i));
  }
  EXPECT_FALSE(records.IsDiscredited(kStart, "first"));
  EXPECT_TRUE(records.IsDiscredited(kStart, "second"));
}

}  // namespace
}  // namespace sotto
