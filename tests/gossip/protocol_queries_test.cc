// Queries in the core: who is asked, what comes back, and what members can do to each other by
// them.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gossip/reach.h"
#include "tests/gossip/core_driver.h"
#include "tests/support/fake_signer.h"

namespace sotto {
namespace {

using testing::CoreDriver;
using testing::Inc;

QueryRequest Ask(std::string name = "load", Duration timeout = Duration::Seconds(5)) {
  QueryRequest request;
  request.name = std::move(name);
  request.timeout = timeout;
  return request;
}

StatementRef QueryOf(std::string_view by, uint64_t lamport, std::string name = "load",
                     QueryFilter filter = {}, uint8_t relays = 0, uint32_t timeout_ms = 5'000) {
  SaidQuery query;
  query.name = std::move(name);
  query.lamport = lamport;
  query.timeout_ms = timeout_ms;
  query.filter = std::move(filter);
  query.relays = relays;
  return testing::FakeSaid(testing::MakeFakeProcess(by), query, Inc(1));
}

StatementRef AnswerOf(std::string_view by, const Hash256& query, std::string origin,
                      std::string payload = {}, bool is_ack = false) {
  return testing::FakeSaid(
      testing::MakeFakeProcess(by),
      SaidAnswer{KeyOfQuery(query), std::move(origin), is_ack, std::move(payload)}, Inc(1));
}

// Asks, answers for ourselves, and gives the query's id.
Hash256 AskAll(CoreDriver& me, const QueryRequest& request) {
  EXPECT_EQ(me.Finish(me.core.PrepareQuery(me.now, request)), SayVerdict::kOk);
  const Hash256 id = me.signed_statements.back()->hash;
  if (!me.queries.empty()) me.Finish(me.core.PrepareAnswer(me.now, id, "mine"));
  return id;
}

TEST(ProtocolQueries, EndWhenAllHaveAnswered) {
  CoreDriver me;
  me.Meet({"a", "b"});
  const Hash256 id = AskAll(me, Ask());
  me.Tell("a", AnswerOf("a", id, "me", {}, true));
  me.Tell("a", AnswerOf("a", id, "me", "from a"));
  EXPECT_TRUE(me.ended_queries.empty());
  me.Tell("b", AnswerOf("b", id, "me"));
  ASSERT_EQ(me.ended_queries.size(), 1u);
  const QuerySummary& summary = me.ended_queries[0].summary;
  EXPECT_EQ(summary.expected, 3u);
  EXPECT_EQ(summary.answered, 3u);
  EXPECT_FALSE(summary.timed_out);
  EXPECT_EQ(me.SentMessages<AnswerReceipt>("a"), 2u);
  EXPECT_EQ(me.SentMessages<AnswerReceipt>("b"), 1u);
  // What comes afterwards is counted and told nobody.
  const size_t replies = me.replies.size();
  me.Tell("b", AnswerOf("b", id, "me", "again"));
  EXPECT_EQ(me.replies.size(), replies);
  EXPECT_EQ(me.core.counters().replies_late, 1u);
}

TEST(ProtocolQueries, TimeOutAndNameTheSilent) {
  CoreDriver me;
  me.Meet({"a", "b"});
  me.Answer({"a", "b"});
  AskAll(me, Ask("load", Duration::Seconds(2)));
  me.RunFor(Duration::Millis(1'999));
  EXPECT_TRUE(me.ended_queries.empty());
  me.RunFor(Duration::Millis(1));
  ASSERT_EQ(me.ended_queries.size(), 1u);
  EXPECT_TRUE(me.ended_queries[0].summary.timed_out);
  EXPECT_EQ(me.ended_queries[0].summary.silent, (std::vector<std::string>{"a", "b"}));
}

// serf's formula: gossip interval * 16 * digits(n).
TEST(ProtocolQueries, TheDefaultTimeoutFollowsTheSize) {
  CoreDriver me;
  me.Meet("a");
  Say say = me.core.PrepareQuery(me.now, Ask("load", Duration()));
  ASSERT_TRUE(say.draft);
  EXPECT_EQ(std::get<SaidQuery>(*say.draft->said).timeout_ms, 3'200u);
  for (int i = 0; i < 10; ++i) me.Meet("m" + std::to_string(i));
  say = me.core.PrepareQuery(me.now, Ask("load", Duration()));
  ASSERT_TRUE(say.draft);
  EXPECT_EQ(std::get<SaidQuery>(*say.draft->said).timeout_ms, 6'400u);
}

TEST(ProtocolQueries, FiltersChooseWhoIsExpected) {
  CoreDriver me;
  me.Meet({"gw-1", "gw-2", "db-1"});
  me.core.HandleStatement(me.now, me.AliveOf("gw-3", Inc(1), {{"role", "gateway"}}));
  me.Settle();
  QueryRequest request = Ask();
  request.filter.names = {"gw-*"};
  AskAll(me, request);
  request.filter.tags = {{"role", "gate*"}};
  AskAll(me, request);
  EXPECT_TRUE(me.queries.empty()) << "we are not asked";
  me.Answer({"gw-1", "gw-2", "gw-3", "db-1"});
  me.RunFor(Duration::Seconds(6));
  ASSERT_EQ(me.ended_queries.size(), 2u);
  std::vector<size_t> expected = {me.ended_queries[0].summary.expected,
                                  me.ended_queries[1].summary.expected};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(expected, (std::vector<size_t>{1, 3}));
}

TEST(ProtocolQueries, NobodyAskedEndsAtOnce) {
  CoreDriver me;
  me.Meet("a");
  QueryRequest request = Ask();
  request.filter.names = {"nobody"};
  AskAll(me, request);
  ASSERT_EQ(me.ended_queries.size(), 1u);
  EXPECT_EQ(me.ended_queries[0].summary.expected, 0u);
}

TEST(ProtocolQueries, WhatCannotBeIsRefused) {
  CoreDriver me;
  me.Meet("a");
  const auto verdict = [&](const QueryRequest& request) {
    return me.core.PrepareQuery(me.now, request).result.verdict;
  };
  EXPECT_EQ(verdict(Ask("a b")), SayVerdict::kInvalid);
  EXPECT_EQ(verdict(Ask("_sotto/locks")), SayVerdict::kReserved);
  EXPECT_EQ(verdict(Ask("load", Duration::Minutes(6))), SayVerdict::kInvalid);
  QueryRequest request = Ask();
  request.relays = kQueryRelaysMax + 1;
  EXPECT_EQ(verdict(request), SayVerdict::kInvalid);
  request = Ask();
  request.filter.names = {"gw-[0-9]+"};
  EXPECT_EQ(verdict(request), SayVerdict::kInvalid) << "globs, no regular expressions";
  request.filter.names.assign(kFilterNamesMax + 1, "a");
  EXPECT_EQ(verdict(request), SayVerdict::kInvalid);
  request = Ask();
  request.payload = std::string(1'025, 'x');
  EXPECT_EQ(verdict(request), SayVerdict::kTooLarge);
}

// ---- being asked --------------------------------------------------------------------------------

TEST(ProtocolQueries, AreAskedOnceAckedAndAnswered) {
  CoreDriver me;
  me.Meet({"a", "b"});
  const StatementRef query = QueryOf("a", 3);
  me.Tell("b", query);
  me.Tell("a", query);
  ASSERT_EQ(me.queries.size(), 1u);
  EXPECT_EQ(me.queries[0].from, "a");
  ASSERT_EQ(me.SentStatements(StatementKind::kAnswer, "me", "a").size(), 1u) << "the ack";
  EXPECT_EQ(me.Finish(me.core.PrepareAnswer(me.now, query->hash, "42")), SayVerdict::kOk);
  const auto answers = me.SentStatements(StatementKind::kAnswer, "me", "a");
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(std::get<SaidAnswer>(*answers[1]->said).payload, "42");
  EXPECT_TRUE(me.SentStatements(StatementKind::kAnswer, "me", "b").empty());
  EXPECT_EQ(me.Finish(me.core.PrepareAnswer(me.now, query->hash, "43")), SayVerdict::kUnknown)
      << "once";
}

TEST(ProtocolQueries, AnAnswerIsSentAgainUntilItsReceipt) {
  CoreDriver me;
  me.Meet({"a", "b"});
  me.Answer({"a", "b"});
  const StatementRef query = QueryOf("a", 3);
  me.Tell("a", query);
  me.Finish(me.core.PrepareAnswer(me.now, query->hash, "42"));
  me.Forget();
  me.RunFor(Duration::Millis(500));
  const auto again = me.SentStatements(StatementKind::kAnswer, "me", "a");
  ASSERT_EQ(again.size(), 1u);
  me.RunFor(Duration::Millis(1'000));
  EXPECT_EQ(me.SentStatements(StatementKind::kAnswer, "me", "a").size(), 2u);
  // Only its origin can say that it has come.
  me.Receive("b", {{AnswerReceipt{PrefixOf(again[0]->hash)}}, {}});
  me.RunFor(Duration::Millis(2'000));
  EXPECT_EQ(me.SentStatements(StatementKind::kAnswer, "me", "a").size(), 3u);
  me.Receive("a", {{AnswerReceipt{PrefixOf(again[0]->hash)}}, {}});
  me.RunFor(Duration::Seconds(10));
  EXPECT_EQ(me.SentStatements(StatementKind::kAnswer, "me", "a").size(), 3u);
}

// Four queries a second whose time is a minute: what is answered takes no place.
TEST(ProtocolQueries, AnsweredOnesDoNotMakeANodeDeaf) {
  CoreDriver me;
  me.Meet({"a", "b"});
  me.Answer({"a", "b"});
  for (uint64_t i = 1; i <= 200; ++i) {
    const StatementRef query = QueryOf("a", i, "load", {}, 0, 60'000);
    me.Tell("b", query);
    ASSERT_EQ(me.queries.size(), i);
    ASSERT_EQ(me.Finish(me.core.PrepareAnswer(me.now, query->hash, "42")), SayVerdict::kOk);
    me.Tell("b", query);
    ASSERT_EQ(me.queries.size(), i) << "a replay";
    const auto answers = me.SentStatements(StatementKind::kAnswer, "me", "a");
    for (const StatementRef& answer : answers) {
      me.Receive("a", {{AnswerReceipt{PrefixOf(answer->hash)}}, {}});
    }
    me.Forget();
    me.RunFor(Duration::Millis(250));
  }
  // What is not answered does.
  for (uint64_t i = 201; i <= 400; ++i) {
    me.Tell("b", QueryOf("a", i, "load", {}, 0, 120'000));
    me.RunFor(Duration::Millis(250));
  }
  EXPECT_EQ(me.queries.size(), 264u);
}

TEST(ProtocolQueries, AnAnswerThatNobodyConfirmsIsSentAFewTimes) {
  CoreDriver me;
  me.Meet({"a", "b", "c", "d"});
  me.Answer({"a", "b", "c", "d"});
  const StatementRef query = QueryOf("a", 3, "load", {}, 2, 300'000);
  me.Tell("a", query);
  me.Finish(me.core.PrepareAnswer(me.now, query->hash, "42"));
  const auto answers = [&](std::string_view to) {
    size_t count = 0;
    for (const StatementRef& sent : me.SentStatements(StatementKind::kAnswer, "me", to)) {
      count += !std::get<SaidAnswer>(*sent->said).is_ack;
    }
    return count;
  };
  me.RunFor(Duration::Minutes(5));
  EXPECT_EQ(answers("a"), 6u);
  EXPECT_EQ(answers("b") + answers("c") + answers("d"), 4u) << "two relays, twice";
}

TEST(ProtocolQueries, AnAnswerEndsWithItsOrigin) {
  CoreDriver me;
  me.Meet({"a", "b", "c"});
  me.Answer({"b", "c"});
  const StatementRef query = QueryOf("a", 3, "load", {}, 2, 300'000);
  me.Tell("b", query);
  me.Finish(me.core.PrepareAnswer(me.now, query->hash, "42"));
  me.core.HandleStatement(me.now, testing::FakeLeave(testing::MakeFakeProcess("a"), Inc(1)));
  me.Settle();
  ASSERT_EQ(me.StateOf("a"), MemberState::kLeft);
  me.Forget();
  me.RunFor(Duration::Minutes(1));
  EXPECT_TRUE(me.SentStatements(StatementKind::kAnswer, "me").empty());
}

TEST(ProtocolQueries, AnAnswerGoesThroughRelaysToo) {
  CoreDriver me;
  me.Meet({"a", "b", "c", "d"});
  const StatementRef query = QueryOf("a", 3, "load", {}, 2);
  me.Tell("a", query);
  me.Forget();
  me.Finish(me.core.PrepareAnswer(me.now, query->hash, "42"));
  size_t relays = 0;
  for (const char* peer : {"b", "c", "d"}) {
    relays += me.SentStatements(StatementKind::kAnswer, "me", peer).size();
  }
  EXPECT_EQ(relays, 2u);
  EXPECT_EQ(me.SentStatements(StatementKind::kAnswer, "me", "a").size(), 1u);
}

TEST(ProtocolQueries, ARelayPassesOnOneStepOnly) {
  CoreDriver me;
  me.Meet({"a", "b", "c"});
  const StatementRef answer = AnswerOf("b", QueryOf("a", 1)->hash, "a", "42");
  me.Tell("c", answer);
  EXPECT_TRUE(me.SentStatements(StatementKind::kAnswer, "b").empty()) << "not of its speaker";
  me.Tell("b", answer);
  EXPECT_EQ(me.SentStatements(StatementKind::kAnswer, "b", "a").size(), 1u);
  for (int i = 0; i < 200; ++i) me.Tell("b", answer);
  EXPECT_LE(me.SentStatements(StatementKind::kAnswer, "b", "a").size(), 32u) << "bounded";
}

TEST(ProtocolQueries, OnlyThoseThatMatchAreAsked) {
  CoreDriver me;
  me.Meet("a");
  me.Tell("a", QueryOf("a", 1, "load", {{"gw-*"}, {}}));
  EXPECT_TRUE(me.queries.empty());
  me.Tell("a", QueryOf("a", 2, "load", {{"gw-*", "m?"}, {}}));
  EXPECT_EQ(me.queries.size(), 1u);
}

TEST(ProtocolQueries, AnswersEndAtTheDeadline) {
  CoreDriver me;
  me.Meet({"a", "b"});
  me.Answer({"a", "b"});
  const StatementRef query = QueryOf("a", 1);
  me.Tell("a", query);
  me.RunFor(Duration::Seconds(5));
  EXPECT_EQ(me.Finish(me.core.PrepareAnswer(me.now, query->hash, "late")), SayVerdict::kUnknown);
}

// ---- attacks ------------------------------------------------------------------------------------

TEST(ProtocolQueries, AReplayedQueryIsNotAskedAgain) {
  CoreDriver me;
  me.Meet({"a", "b"});
  me.Answer({"a", "b"});
  const StatementRef query = QueryOf("a", 5);
  me.Tell("a", query);
  ASSERT_EQ(me.queries.size(), 1u);
  me.RunFor(Duration::Minutes(30));
  me.Tell("b", query);
  EXPECT_EQ(me.queries.size(), 1u);
  EXPECT_GE(me.core.counters().queries_old, 1u);
  // Nor after its origin was restarted, here or elsewhere.
  me.core.HandleStatement(me.now, me.AliveOf("a", Inc(2)));
  me.Settle();
  me.Tell("b", QueryOf("a", 6));
  EXPECT_EQ(me.queries.size(), 1u);
}

TEST(ProtocolQueries, WhoWasNotAskedIsNotHeard) {
  CoreDriver me;
  me.Meet({"a", "b", "stranger"});
  QueryRequest request = Ask();
  request.filter.names = {"a", "b"};
  const Hash256 id = AskAll(me, request);
  me.Tell("stranger", AnswerOf("stranger", id, "me", "lies"));
  EXPECT_TRUE(me.replies.empty());
  EXPECT_EQ(me.core.counters().replies_unasked, 1u);
  me.Tell("stranger", AnswerOf("a", id, "me", "true"));
  ASSERT_EQ(me.replies.size(), 1u) << "a relay adds nothing";
  EXPECT_EQ(me.replies[0].reply.from, "a");
}

// Somebody repeats an answer to us: its signer gets a bounded number of receipts, and no news of
// ours rides along with them.
TEST(ProtocolQueries, ReceiptsAreBoundedAndGoAlone) {
  CoreDriver me;
  me.Meet({"a", "b"});
  const Hash256 id = AskAll(me, Ask());
  me.SayEvent("deploy", "v1");
  const StatementRef answer = AnswerOf("a", id, "me", "42");
  me.Forget();
  for (int i = 0; i < 1'000; ++i) me.Tell("b", answer);
  EXPECT_GE(me.SentMessages<AnswerReceipt>("a"), 32u);
  EXPECT_LE(me.SentMessages<AnswerReceipt>("a"), 129u);
  size_t with_statements = 0;
  for (const auto& sent : me.sent) {
    const bool receipt = !sent.packet.messages.empty() &&
                         std::holds_alternative<AnswerReceipt>(sent.packet.messages.front());
    with_statements += receipt && !sent.packet.statements.empty();
  }
  EXPECT_EQ(with_statements, 0u);
}

TEST(ProtocolQueries, AStormOfQueriesIsBounded) {
  CoreDriver me;
  me.Meet({"a", "b"});
  for (uint64_t i = 1; i <= 500; ++i) me.Tell("b", QueryOf("a", i));
  EXPECT_EQ(me.queries.size(), 64u);
}

// ---- internal queries ---------------------------------------------------------------------------

TEST(ProtocolQueries, PingIsAnsweredByTheNode) {
  CoreDriver me;
  me.Meet("a");
  me.Tell("a", QueryOf("a", 1, "_sotto/ping"));
  EXPECT_TRUE(me.queries.empty());
  const auto answers = me.SentStatements(StatementKind::kAnswer, "me", "a");
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_FALSE(std::get<SaidAnswer>(*answers[0]->said).is_ack);
  // One that this version does not know has an answer, too: there is none.
  me.Tell("a", QueryOf("a", 2, "_sotto/of-later"));
  EXPECT_EQ(me.SentStatements(StatementKind::kAnswer, "me", "a").size(), 2u);
}

TEST(ProtocolQueries, ReachTellsHowEachMemberWasHeard) {
  CoreDriver me;
  me.Meet({"a", "b", "c"});
  me.Answer("a");
  for (int second = 0; second < 24; ++second) {
    me.RunFor(Duration::Seconds(1));
    // "b" is reached over streams alone, "c" not at all; neither dies, for it refutes in time.
    for (const SendStreamPing& ping : std::exchange(me.stream_pings, {})) {
      if (ping.to->subject == "b") me.core.HandleStreamAck(me.now, ping.nonce);
    }
    me.Settle();
    const auto next = static_cast<uint32_t>(second + 1);
    me.core.HandleStatement(me.now, me.AliveOf("c", Inc(1, next)));
    me.core.HandleStatement(me.now, me.AliveOf("b", Inc(1, next)));
    me.Settle();
  }
  me.Meet("d");  // not asked yet
  me.Forget();
  me.Tell("a", QueryOf("a", 1, "_sotto/reach"));
  const auto answers = me.SentStatements(StatementKind::kAnswer, "me", "a");
  ASSERT_EQ(answers.size(), 1u);
  const std::string& payload = std::get<SaidAnswer>(*answers[0]->said).payload;
  const std::vector<std::string> names = {"a", "b", "c", "d", "me"};
  const auto reach = DecodeReach(payload, names);
  ASSERT_TRUE(reach);
  std::string letters;
  for (const Reach one : *reach) letters += Letter(one);
  EXPECT_EQ(letters, "utx-u");
  EXPECT_FALSE(DecodeReach(payload, std::vector<std::string>{"a", "b", "c", "me", "x"}));
}

TEST(Reach, HoldsAsManyAsAnAnswer) {
  std::vector<std::string> names;
  for (int i = 0; i < 4'052; ++i) names.push_back("n" + std::to_string(i));
  std::vector<Reach> reach(names.size(), Reach::kStream);
  const std::string bytes = EncodeReach(names, reach);
  EXPECT_LE(bytes.size(), kAnswerBytesMax);
  EXPECT_EQ(DecodeReach(bytes, names), reach);
  names.push_back("one more");
  reach.push_back(Reach::kStream);
  EXPECT_TRUE(EncodeReach(names, reach).empty());
  EXPECT_FALSE(DecodeReach("", names));
}

TEST(Globs, MatchStarsAndMarks) {
  EXPECT_TRUE(MatchesGlob("", ""));
  EXPECT_TRUE(MatchesGlob("*", ""));
  EXPECT_TRUE(MatchesGlob("gw-*", "gw-12"));
  EXPECT_FALSE(MatchesGlob("gw-*", "db-1"));
  EXPECT_TRUE(MatchesGlob("*-1", "gw-1"));
  EXPECT_TRUE(MatchesGlob("a*b*c", "aXbYbZc"));
  EXPECT_FALSE(MatchesGlob("a*b*c", "aXbYbZ"));
  EXPECT_TRUE(MatchesGlob("n?", "n1"));
  EXPECT_FALSE(MatchesGlob("n?", "n"));
  EXPECT_FALSE(MatchesGlob("n?", "n12"));
  // What makes backtracking matchers hang.
  EXPECT_FALSE(MatchesGlob("*a*a*a*a*a*a*a*a*b", std::string(200, 'a')));
}

}  // namespace
}  // namespace sotto
