// Statements of what members say: there and back, what cannot be, and what nobody can forge.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "gossip/statement_codec.h"
#include "gossip/wire.h"
#include "gossip/wire.pb.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_pki.h"

namespace sotto {
namespace {

constexpr int64_t kNow = 1'800'000'000;

class StatementSaidTest : public testing::Test {
 protected:
  StatementContext ContextOf(const std::string& name) const {
    StatementContext context;
    context.cluster = "edge-prod";
    context.name = name;
    context.identity = *ProcessIdentity::Create("edge-prod", name);
    context.credentials = pki_.Use(pki_.Issue(name));
    return context;
  }

  static StatementDraft Draft(const std::string& name, Said said) {
    const StatementKind kind = std::holds_alternative<SaidEvent>(said)   ? StatementKind::kUserEvent
                               : std::holds_alternative<SaidQuery>(said) ? StatementKind::kQuery
                                                                         : StatementKind::kAnswer;
    return {kind, name, Incarnation::Of(3, 1),
            {},   {},   std::make_shared<const Said>(std::move(said))};
  }

  DropReason Verify(std::string_view bytes, const StatementContext& signer) const {
    UnverifiedStatement parsed;
    const DropReason reason = ParseStatement(bytes, &parsed);
    if (reason != DropReason::kNone) return reason;
    return VerifyStatement(parsed, *signer.credentials->certificate(), *trust_, kNow);
  }

  // A sound body of this content, changed, and signed anew with a good key.
  DropReason Spoil(const Said& said,
                   const std::function<void(wire::StatementBody&)>& change) const {
    const StatementRef good = *SignDraft(Draft("gw-1", said), gw1_);
    wire::StatementBody body;
    EXPECT_TRUE(body.ParseFromArray(good->bytes.data(), static_cast<int>(good->bytes.size()) - 64));
    change(body);
    const std::string bytes = body.SerializeAsString();
    std::string text = "sotto/1 ";
    text += ToString(static_cast<StatementKind>(body.kind()));
    text.push_back('\0');
    return Verify(bytes + *gw1_.credentials->Sign(text + bytes), gw1_);
  }

  const SaidEvent event_{"deploy:web", std::string("v1\0.2", 5), 77, true};
  const SaidQuery query_{
      "load", "now", 78, 3'200, {{"gw-*", "db-?"}, {{"role", "gate*"}, {"zone", ""}}}, true, 2};
  const SaidAnswer answer_{{1, 2, 3}, "gw-2", false, "42"};

  TestPki pki_{"edge-prod", kNow};
  TrustStoreRef trust_ = pki_.Trust();
  StatementContext gw1_ = ContextOf("gw-1");
  StatementContext gw2_ = ContextOf("gw-2");
};

TEST_F(StatementSaidTest, EachGoesThereAndBack) {
  const std::vector<Said> all = {event_,  SaidEvent{"e", "", 1, false},
                                 query_,  SaidQuery{"_sotto/ping", "", 1, 1, {}, false, 0},
                                 answer_, SaidAnswer{{}, "gw-2", true, ""}};
  for (const Said& said : all) {
    const auto statement = SignDraft(Draft("gw-1", said), gw1_);
    SOTTO_ASSERT_OK(statement);
    UnverifiedStatement parsed;
    ASSERT_EQ(ParseStatement((*statement)->bytes, &parsed), DropReason::kNone) << said.index();
    EXPECT_EQ(Verify((*statement)->bytes, gw1_), DropReason::kNone) << said.index();
    ASSERT_NE(parsed.statement.said, nullptr);
    EXPECT_EQ(*parsed.statement.said, said);
    EXPECT_EQ(parsed.statement.signer, "gw-1");
    EXPECT_EQ(parsed.statement.hash, (*statement)->hash);
    EXPECT_FALSE(parsed.statement.alive.has_value());
    // The bound by which a node tells in advance what fits.
    EXPECT_LE((*statement)->bytes.size(), SaidStatementBytesMax(said, 9, 4)) << said.index();
    EXPECT_GE((*statement)->bytes.size() + 60, SaidStatementBytesMax(said, 9, 4)) << said.index();
  }
}

// At the widest as well: the longest names, the largest numbers.
TEST_F(StatementSaidTest, SizesAreForetold) {
  const std::string longest(kMemberNameBytesMax, 'n');
  const std::string cluster(kClusterNameBytesMax, 'c');
  const TestPki pki{cluster, kNow};
  StatementContext context;
  context.cluster = cluster;
  context.name = longest;
  context.identity = *ProcessIdentity::Create(cluster, longest);
  context.credentials = pki.Use(pki.Issue(longest));
  QueryFilter filter;
  for (int i = 0; i < 16; ++i) filter.names.emplace_back(16, 'g');
  for (int i = 0; i < 16; ++i) filter.tags.push_back({std::string(8, 'k'), std::string(8, 'v')});
  const std::vector<Said> all = {
      SaidEvent{std::string(64, 'e'), std::string(960, 'x'), kLamportEnd - 1, true},
      SaidQuery{std::string(64, 'q'), std::string(960, 'x'), kLamportEnd - 1, 300'000, filter, true,
                5},
      SaidAnswer{{}, longest, false, std::string(1'024, 'x')}};
  for (const Said& said : all) {
    const auto statement = SignDraft(Draft(longest, said), context);
    SOTTO_ASSERT_OK(statement);
    EXPECT_LE((*statement)->bytes.size(), SaidStatementBytesMax(said, 40, 128)) << said.index();
    EXPECT_LE((*statement)->bytes.size(), kStatementBytesMax) << said.index();
  }
}

TEST_F(StatementSaidTest, WhatCannotBeIsNotSignedAndNotTaken) {
  const auto refused = [&](const Said& said) { return !SignDraft(Draft("gw-1", said), gw1_).ok(); };
  EXPECT_TRUE(refused(SaidEvent{"a b", "", 1, true}));
  EXPECT_TRUE(refused(SaidEvent{"_sotto/x", "", 1, true}));
  EXPECT_TRUE(refused(SaidEvent{"e", std::string(1'024, 'x'), 1, true}));
  EXPECT_TRUE(refused(SaidEvent{"e", "", 0, true}));
  EXPECT_TRUE(refused(SaidEvent{"e", "", kLamportEnd, true}));
  EXPECT_TRUE(refused(SaidQuery{"q", "", 1, 0, {}, true, 0}));
  EXPECT_TRUE(refused(SaidQuery{"q", "", 1, 300'001, {}, true, 0}));
  EXPECT_TRUE(refused(SaidQuery{"q", "", 1, 1, {}, true, 6}));
  EXPECT_TRUE(refused(SaidAnswer{{}, "no name!", false, ""}));
  EXPECT_TRUE(refused(SaidAnswer{{}, "gw-2", true, "an ack with a payload"}));
  EXPECT_TRUE(refused(SaidAnswer{{}, "gw-2", false, std::string(1'025, 'x')}));

  const auto no_change = [](wire::StatementBody&) {};
  EXPECT_EQ(Spoil(event_, no_change), DropReason::kNone);
  using Body = wire::StatementBody;
  const std::vector<std::function<void(Body&)>> spoils = {
      [](Body& b) { b.clear_event(); },
      [](Body& b) { b.mutable_answer()->set_origin("gw-2"); },
      [](Body& b) { b.set_kind(7); },
      [](Body& b) { b.set_kind(9); },
      [](Body& b) { b.set_signer("gw-1"); },
      [](Body& b) { b.mutable_event()->set_name("_sotto/ping"); },
      [](Body& b) { b.mutable_event()->set_name(""); },
      [](Body& b) { b.mutable_event()->set_payload(std::string(1'020, 'x')); },
      [](Body& b) { b.mutable_event()->set_lamport(0); },
      [](Body& b) { b.mutable_event()->set_lamport(kLamportEnd); },
      [](Body& b) { b.set_boot_nonce(std::string(16, 'n')), b.set_kind(1); },
  };
  for (size_t i = 0; i < spoils.size(); ++i) {
    EXPECT_EQ(Spoil(event_, spoils[i]), DropReason::kSemantic) << i;
  }
  const std::vector<std::function<void(Body&)>> query_spoils = {
      [](Body& b) { b.mutable_query()->add_tags("a key alone"); },
      [](Body& b) { b.mutable_query()->set_relays(6); },
      [](Body& b) { b.mutable_query()->set_relays(256); },  // must not wrap round to 0
      [](Body& b) { b.mutable_query()->set_timeout_ms(300'001); },
      [](Body& b) { b.mutable_query()->add_names("(a+)+"); },
      [](Body& b) {
        for (int i = 0; i < 40; ++i) b.mutable_query()->add_names("g");
      },
      [](Body& b) { b.mutable_query()->add_names(std::string(600, 'g')); },
  };
  for (size_t i = 0; i < query_spoils.size(); ++i) {
    EXPECT_EQ(Spoil(query_, query_spoils[i]), DropReason::kSemantic) << i;
  }
  EXPECT_EQ(Spoil(answer_, [](Body& b) { b.mutable_answer()->set_query("15 bytes, short"); }),
            DropReason::kSemantic);
}

// ---- what nobody can do -------------------------------------------------------------------------

TEST_F(StatementSaidTest, NobodySpeaksInAnothersName) {
  // gw-2 signs what says that gw-1 speaks: its certificate does not bear that name.
  const auto forged = SignDraft(Draft("gw-1", event_), gw2_);
  EXPECT_FALSE(forged.ok()) << "not even signed by our own code";
  wire::StatementBody body;
  const StatementRef own = *SignDraft(Draft("gw-2", event_), gw2_);
  ASSERT_TRUE(body.ParseFromArray(own->bytes.data(), static_cast<int>(own->bytes.size()) - 64));
  body.set_subject("gw-1");
  const std::string bytes = body.SerializeAsString();
  std::string text("sotto/1 event");
  text.push_back('\0');
  const std::string whole = bytes + *gw2_.credentials->Sign(text + bytes);
  EXPECT_EQ(Verify(whole, gw2_), DropReason::kSemantic);
  EXPECT_EQ(Verify(whole, gw1_), DropReason::kUnknownCertificate);
}

TEST_F(StatementSaidTest, ARelayCannotAlterAWord) {
  const StatementRef answer = *SignDraft(Draft("gw-1", answer_), gw1_);
  const size_t at = answer->bytes.find("42");
  ASSERT_NE(at, std::string::npos);
  for (size_t i = 0; i < answer->bytes.size(); ++i) {
    std::string altered = answer->bytes;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    EXPECT_NE(Verify(altered, gw1_), DropReason::kNone) << i;
  }
}

// An event's signature does not make a query of the same bytes, nor a leave.
TEST_F(StatementSaidTest, ASignatureHoldsForItsKindAlone) {
  const StatementRef event = *SignDraft(Draft("gw-1", event_), gw1_);
  wire::StatementBody body;
  ASSERT_TRUE(body.ParseFromArray(event->bytes.data(), static_cast<int>(event->bytes.size()) - 64));
  const std::string signature = event->bytes.substr(event->bytes.size() - 64);
  body.set_kind(2);
  body.clear_event();
  EXPECT_EQ(Verify(body.SerializeAsString() + signature, gw1_), DropReason::kBadSignature);
}

}  // namespace
}  // namespace sotto
