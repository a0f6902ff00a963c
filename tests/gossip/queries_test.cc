// Bookkeeping of queries: who is expected, what is new, what is sent again.
#include "gossip/queries.h"

#include <gtest/gtest.h>

#include <string>

#include "gossip/user_events.h"
#include "tests/support/fake_signer.h"

namespace sotto {
namespace {

StatementRef Query(std::string_view origin, uint64_t lamport, uint32_t boot = 1) {
  SaidQuery query;
  query.name = "who";
  query.lamport = lamport;
  query.timeout_ms = 1'000;
  return testing::FakeSaid(testing::MakeFakeProcess(origin), query, Incarnation::Of(boot, 0));
}

StatementRef AnswerOf(std::string_view by, const StatementRef& query, bool is_ack = false) {
  return testing::FakeSaid(testing::MakeFakeProcess(by),
                           SaidAnswer{KeyOfQuery(query->hash), query->signer, is_ack, {}},
                           Incarnation::Of(1, 0));
}

Instant At(int64_t ms) { return Instant::FromNanos(0) + Duration::Millis(ms); }

TEST(OwnQueries, EndsWhenAllHaveAnswered) {
  OwnQueries queries;
  const StatementRef query = Query("me", 1);
  queries.Open(query, {"a", "b"}, At(1'000));
  EXPECT_EQ(queries.NextEnd(), At(1'000));
  Hash256 id;
  const QueryKey key = KeyOfQuery(query->hash);
  EXPECT_EQ(queries.Hear(key, "a", true, &id), OwnQueries::Heard::kAck);
  EXPECT_EQ(id, query->hash);
  EXPECT_EQ(queries.Hear(key, "a", true, &id), OwnQueries::Heard::kDuplicate);
  EXPECT_EQ(queries.Hear(key, "a", false, &id), OwnQueries::Heard::kAnswer);
  EXPECT_EQ(queries.Hear(key, "a", true, &id), OwnQueries::Heard::kDuplicate) << "an ack behind it";
  EXPECT_EQ(queries.Hear(key, "c", false, &id), OwnQueries::Heard::kUnasked);
  EXPECT_TRUE(queries.TakeEnded(At(10)).empty());
  EXPECT_EQ(queries.Hear(key, "b", false, &id), OwnQueries::Heard::kAnswer);
  const auto ended = queries.TakeEnded(At(11));
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].summary.expected, 2u);
  EXPECT_EQ(ended[0].summary.acked, 2u);
  EXPECT_EQ(ended[0].summary.answered, 2u);
  EXPECT_FALSE(ended[0].summary.timed_out);
  EXPECT_EQ(queries.Hear(key, "b", false, &id), OwnQueries::Heard::kLate);
}

TEST(OwnQueries, NamesTheSilent) {
  OwnQueries queries;
  const StatementRef query = Query("me", 1);
  queries.Open(query, {"c", "a", "b"}, At(1'000));
  Hash256 id;
  queries.Hear(KeyOfQuery(query->hash), "b", true, &id);
  const auto ended = queries.TakeEnded(At(1'000));
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].summary.silent, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(ended[0].summary.acked, 1u);
  EXPECT_TRUE(ended[0].summary.timed_out);
  EXPECT_EQ(queries.NextEnd(), Instant::Never());
}

TEST(OwnQueries, NobodyAskedEndsAtOnce) {
  OwnQueries queries;
  queries.Open(Query("me", 1), {}, At(1'000));
  const auto ended = queries.TakeEnded(At(0));
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_FALSE(ended[0].summary.timed_out);
}

TEST(HeardQueries, LetsEachInOnce) {
  HeardQueries heard;
  EXPECT_TRUE(heard.Admit(*Query("a", 5)));
  EXPECT_FALSE(heard.Admit(*Query("a", 5)));
  EXPECT_TRUE(heard.Admit(*Query("a", 3))) << "out of order";
  EXPECT_TRUE(heard.Admit(*Query("b", 5)));
  EXPECT_TRUE(heard.Admit(*Query("a", 1, 2))) << "a new life of its origin";
  EXPECT_FALSE(heard.Admit(*Query("a", 9, 1))) << "the former one";
}

// However many follow: none is let in again.
TEST(HeardQueries, ReplaysStayOutForEver) {
  HeardQueries heard;
  for (uint64_t i = 1; i <= 1'000; ++i) ASSERT_TRUE(heard.Admit(*Query("a", i)));
  for (uint64_t i = 1; i <= 1'000; ++i) ASSERT_FALSE(heard.Admit(*Query("a", i)));
}

TEST(HeardQueries, OpenOnesAreBoundedAndEnd) {
  HeardQueries heard;
  size_t kept = 0;
  for (uint64_t i = 1; i <= 100; ++i) kept += heard.Keep(At(0), Query("a", i), At(500));
  EXPECT_EQ(kept, HeardQueries::kOpenPerOriginMax);
  const QueryKey key = KeyOfQuery(Query("a", 1)->hash);
  EXPECT_NE(heard.Find(At(499), key), nullptr);
  EXPECT_EQ(heard.Find(At(500), key), nullptr);
  EXPECT_EQ(heard.size(), 0u);
}

TEST(HeardQueries, AnsweredOnesMakeRoomAndStayKnown) {
  HeardQueries heard;
  for (uint64_t i = 1; i <= 1'000; ++i) {
    const StatementRef query = Query("a", i);
    ASSERT_TRUE(heard.Admit(*query));
    ASSERT_TRUE(heard.Keep(At(0), query, At(60'000))) << i;
    heard.Close(KeyOfQuery(query->hash));
    ASSERT_EQ(heard.Find(At(0), KeyOfQuery(query->hash)), nullptr);
    ASSERT_FALSE(heard.Admit(*query)) << "a replay";
  }
  EXPECT_EQ(heard.size(), 0u);
}

TEST(AnswerOutbox, SendsAgainUntilConfirmed) {
  AnswerOutbox outbox;
  const StatementRef answer = AnswerOf("me", Query("a", 1));
  outbox.Add(At(0), answer, 2, At(10'000), Duration::Millis(500));
  auto due = outbox.TakeDue(At(0));
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].sends, 1);
  EXPECT_EQ(due[0].origin, "a");
  EXPECT_EQ(due[0].relays, 2);
  EXPECT_EQ(outbox.NextDue(), At(500));
  due = outbox.TakeDue(At(500));
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].sends, 2);
  EXPECT_EQ(outbox.NextDue(), At(1'500)) << "twice as long";
  outbox.Confirm(PrefixOf(answer->hash), "b");
  EXPECT_EQ(outbox.size(), 1u) << "not the one who asked";
  outbox.Confirm(PrefixOf(answer->hash), "a");
  EXPECT_EQ(outbox.size(), 0u);
  EXPECT_EQ(outbox.NextDue(), Instant::Never());
}

TEST(AnswerOutbox, EndsAtTheDeadline) {
  AnswerOutbox outbox;
  outbox.Add(At(0), AnswerOf("me", Query("a", 1)), 0, At(1'000), Duration::Millis(500));
  int sends = 0;
  for (int64_t ms = 0; ms < 5'000; ms += 100)
    sends += static_cast<int>(outbox.TakeDue(At(ms)).size());
  EXPECT_EQ(sends, 2);
  EXPECT_EQ(outbox.size(), 0u);
}

// However long its query lives.
TEST(AnswerOutbox, SendsSixTimesAndThroughRelaysTwice) {
  AnswerOutbox outbox;
  outbox.Add(At(0), AnswerOf("me", Query("a", 1)), 5, At(300'000), Duration::Millis(500));
  std::vector<int> relays;
  while (outbox.NextDue() != Instant::Never()) {
    for (const auto& due : outbox.TakeDue(outbox.NextDue())) relays.push_back(due.relays);
    ASSERT_LE(relays.size(), 100u);
  }
  EXPECT_EQ(relays, (std::vector<int>{5, 5, 0, 0, 0, 0}));
}

TEST(AnswerOutbox, OneOriginHasItsShare) {
  AnswerOutbox outbox;
  for (uint64_t i = 1; i <= 2 * AnswerOutbox::kPerOriginMax; ++i) {
    outbox.Add(At(0), AnswerOf("me", Query("a", i)), 0, At(300'000), Duration::Millis(500));
  }
  EXPECT_EQ(outbox.size(), AnswerOutbox::kPerOriginMax);
  outbox.Add(At(0), AnswerOf("me", Query("b", 1)), 0, At(300'000), Duration::Millis(500));
  EXPECT_EQ(outbox.size(), AnswerOutbox::kPerOriginMax + 1);
  outbox.DropOf("a");
  EXPECT_EQ(outbox.size(), 1u);
}

TEST(AnswerOutbox, AnAnswerReplacesItsAck) {
  AnswerOutbox outbox;
  const StatementRef query = Query("a", 1);
  outbox.Add(At(0), AnswerOf("me", query, true), 0, At(1'000), Duration::Millis(500));
  outbox.Add(At(0), AnswerOf("me", query, false), 0, At(1'000), Duration::Millis(500));
  EXPECT_EQ(outbox.size(), 1u);
  const auto due = outbox.TakeDue(At(0));
  ASSERT_EQ(due.size(), 1u);
  EXPECT_FALSE(std::get<SaidAnswer>(*due[0].answer->said).is_ack);
}

}  // namespace
}  // namespace sotto
