// Cases of suspicion: what is kept of them, and what the protocol writes into them.
#include "gossip/case_book.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/gossip/core_driver.h"

namespace sotto {
namespace {

using namespace testing;  // NOLINT
using End = SuspicionCase::End;

const Instant kStart = Instant::FromNanos(1'000'000'000);

void Accuse(CaseBook& book, Instant now, const std::string& member, uint32_t counter,
            const std::string& by) {
  book.Accuse(now, member, Inc(1, counter), by, StatementKind::kSuspect, std::nullopt);
}

TEST(CaseBook, KeepsTheLastCasesOfAMemberAndTheFirstAccusersOfACase) {
  CaseBook book;
  for (uint32_t i = 0; i < 20; ++i) {
    for (int by = 0; by < 30; ++by) {
      Accuse(book, kStart + Duration::Seconds(i), "a", i, "by" + std::to_string(by));
      Accuse(book, kStart + Duration::Seconds(i), "a", i, "by" + std::to_string(by));
    }
    book.End(kStart + Duration::Seconds(i), "a", End::kRefuted, Inc(1, i + 1));
  }
  const auto cases = book.Of("a");
  ASSERT_EQ(cases.size(), CaseBook::kCasesMax);
  EXPECT_EQ(cases.back().incarnation, Inc(1, 19));
  EXPECT_EQ(cases.front().incarnation, Inc(1, 12));
  EXPECT_EQ(cases.back().accusers.size(), CaseBook::kAccusersMax);
  EXPECT_EQ(cases.back().answered_with, Inc(1, 20));
  EXPECT_TRUE(book.Of("b").empty());
}

TEST(CaseBook, ThePlaceOfTheOldestClosedCaseIsGivenAway) {
  CaseBook book;
  Accuse(book, kStart, "open", 1, "x");
  Accuse(book, kStart + Duration::Seconds(1), "closed", 1, "x");
  book.End(kStart + Duration::Seconds(2), "closed", End::kMoot);
  for (size_t i = 0; i + 1 < CaseBook::kMembersMax; ++i) {
    Accuse(book, kStart + Duration::Seconds(3), "m" + std::to_string(i), 1, "x");
  }
  EXPECT_EQ(book.members(), CaseBook::kMembersMax);
  EXPECT_FALSE(book.Of("open").empty());
  EXPECT_TRUE(book.Of("closed").empty());
}

TEST(CaseBook, AnotherIncarnationIsAnotherCase) {
  CaseBook book;
  Accuse(book, kStart, "a", 1, "x");
  Accuse(book, kStart, "a", 2, "x");
  const auto cases = book.Of("a");
  ASSERT_EQ(cases.size(), 2u);
  EXPECT_EQ(cases[0].end, End::kMoot);
  EXPECT_EQ(cases[1].end, End::kOpen);
  EXPECT_FALSE(book.EvidenceOf("a", Inc(1, 1), "x").has_value());
}

// ---- in the protocol ----------------------------------------------------------------------------

TEST(Cases, AFailedProbeIsTheEvidenceOfTheAccuser) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Answer({"a", "b", "c", "d", "e"});
  d.RunFor(Duration::Seconds(20));
  d.Receive("a", {});
  const Instant last_word = d.now;
  d.Answer("a", false);
  d.Forget();
  RunToPing(d, "a");
  const Instant failed = d.now + d.options.probe_interval;
  d.RunUntil(failed);
  ASSERT_EQ(d.StateOf("a"), MemberState::kSuspect);
  ASSERT_EQ(d.signed_statements.size(), 1u);
  Evidence expected;
  expected.direct_failed = true;
  expected.relays_asked = 3;
  expected.relays_nacked = 3;
  expected.stream = Evidence::Stream::kFailed;
  expected.silent_for = Duration::Millis((failed - last_word).millis());
  EXPECT_EQ(d.signed_statements[0]->evidence, expected);
  // Another's word, with its own.
  Evidence theirs;
  theirs.direct_failed = true;
  theirs.health_score = 3;
  const StatementRef word =
      FakeSign({StatementKind::kSuspect, "a", Inc(1), {}, theirs}, MakeFakeProcess("b"));
  d.Tell("b", word);

  auto cases = d.core.CasesOf("a");
  ASSERT_EQ(cases.size(), 1u);
  EXPECT_EQ(cases[0].began, failed);
  EXPECT_EQ(cases[0].incarnation, Inc(1));
  EXPECT_EQ(cases[0].end, End::kOpen);
  ASSERT_EQ(cases[0].accusers.size(), 2u);
  EXPECT_EQ(cases[0].accusers[0].name, "me");
  EXPECT_EQ(cases[0].accusers[0].evidence, expected);
  EXPECT_EQ(cases[0].accusers[1].name, "b");
  EXPECT_EQ(cases[0].accusers[1].evidence, theirs);
  // The verdict carries the evidence as well.
  d.RunFor(Duration::Seconds(30));
  ASSERT_EQ(d.StateOf("a"), MemberState::kDead);
  EXPECT_EQ(d.signed_statements.back()->kind, StatementKind::kDead);
  EXPECT_TRUE(d.signed_statements.back()->evidence.has_value());
  cases = d.core.CasesOf("a");
  EXPECT_EQ(cases[0].end, End::kDied);
  EXPECT_FALSE(cases[0].answered_with.has_value());
  // It was no death.
  d.Tell("a", d.AliveOf("a", Inc(1, 1)));
  EXPECT_EQ(d.core.CasesOf("a")[0].answered_with, Inc(1, 1));
}

TEST(Cases, EndAsTheSuspicionDoes) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Answer({"b", "c", "d", "e"});
  EXPECT_TRUE(d.core.CasesOf("a").empty());
  d.Accuse("b", "a", Inc(1));
  d.Tell("a", d.AliveOf("a", Inc(1, 1)));
  d.Accuse("b", "a", Inc(1, 1));
  d.Tell("a", FakeAlive(MakeFakeProcess("a", 2), Inc(2)));
  d.Accuse("b", "a", Inc(2), StatementKind::kDead);
  d.Tell("a", FakeLeave(MakeFakeProcess("a", 2), Inc(2)));
  const auto cases = d.core.CasesOf("a");
  ASSERT_EQ(cases.size(), 3u);
  EXPECT_EQ(cases[0].end, End::kRefuted);
  EXPECT_EQ(cases[0].answered_with, Inc(1, 1));
  EXPECT_EQ(cases[0].ended, d.now);
  EXPECT_EQ(cases[1].end, End::kMoot);  // started anew: who accused it may have been right
  EXPECT_EQ(cases[2].end, End::kLeft);
  EXPECT_EQ(cases[2].accusers[0].kind, StatementKind::kDead);
}

TEST(Cases, OurOwnAreKeptTooWithTheIncarnationThatAnswered) {
  CoreDriver d;
  d.Meet({"a", "b"});
  const Incarnation before = d.core.incarnation();
  d.Accuse("a", "me", before);
  const auto cases = d.core.CasesOf("me");
  ASSERT_EQ(cases.size(), 1u);
  EXPECT_EQ(cases[0].incarnation, before);
  EXPECT_EQ(cases[0].end, End::kRefuted);
  EXPECT_EQ(cases[0].answered_with, d.core.incarnation());
  ASSERT_EQ(cases[0].accusers.size(), 1u);
  EXPECT_EQ(cases[0].accusers[0].name, "a");
}

// An attack: a member that makes up names and cases without end fills no memory.
TEST(Cases, MadeUpNamesMakeNone) {
  CoreDriver d;
  d.Meet({"a", "b"});
  for (int i = 0; i < 3'000; ++i) d.Accuse("a", "nobody" + std::to_string(i), Inc(1));
  EXPECT_TRUE(d.core.CasesOf("nobody0").empty());
  EXPECT_TRUE(d.core.CasesOf("nobody2999").empty());
}

}  // namespace
}  // namespace sotto
