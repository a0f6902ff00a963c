#include "gossip/statement_codec.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

#include "gossip/base/coded_error.h"
#include "gossip/wire.h"
#include "gossip/wire.pb.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_pki.h"

namespace sotto {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDayS = 86'400;

Endpoint V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port) {
  return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, port};
}

Endpoint V6(uint8_t first, uint8_t last, uint16_t port) {
  Endpoint endpoint;
  endpoint.ip[0] = first;
  endpoint.ip[15] = last;
  endpoint.port = port;
  return endpoint;
}

class StatementCodecTest : public testing::Test {
 protected:
  StatementContext ContextOf(const std::string& name, const PemPair& pair) const {
    StatementContext context;
    context.cluster = "edge-prod";
    context.name = name;
    context.identity = *ProcessIdentity::Create("edge-prod", name);
    context.addresses = {V4(10, 0, 3, 11, 7950)};
    context.credentials = pki_.Use(pair);
    return context;
  }
  StatementContext ContextOf(const std::string& name) const {
    return ContextOf(name, pki_.Issue(name));
  }

  StatementRef Sign(const StatementDraft& draft) const { return *SignDraft(draft, gw1_); }
  StatementRef Alive() const {
    return Sign({StatementKind::kAlive, "gw-1", Incarnation::Of(3, 1), {{"role", "gateway"}}});
  }

  DropReason Verify(std::string_view bytes, const StatementContext& signer, int64_t now = kNow,
                    absl::Status* why = nullptr) const {
    UnverifiedStatement parsed;
    const DropReason reason = ParseStatement(bytes, &parsed);
    if (reason != DropReason::kNone) return reason;
    return VerifyStatement(parsed, *signer.credentials->certificate(), *trust_, now, why);
  }

  // A body of gw-1's Alive (or of its Suspect of gw-2), changed and signed anew with a good key.
  DropReason Spoil(const std::function<void(wire::StatementBody&)>& change,
                   StatementKind kind = StatementKind::kAlive) const {
    wire::StatementBody body;
    const StatementRef good = kind == StatementKind::kAlive
                                  ? Alive()
                                  : Sign({kind,
                                          kind == StatementKind::kLeave ? "gw-1" : "gw-2",
                                          Incarnation::Of(3, 1),
                                          {}});
    EXPECT_TRUE(body.ParseFromArray(good->bytes.data(), static_cast<int>(good->bytes.size()) - 64));
    change(body);
    return Verify(SignBody(body, gw1_), gw1_);
  }
  static std::string SignBody(const wire::StatementBody& body, const StatementContext& signer) {
    const std::string bytes = body.SerializeAsString();
    std::string text = "sotto/1 ";
    text += ToString(static_cast<StatementKind>(body.kind()));
    text.push_back('\0');
    return bytes + *signer.credentials->Sign(text + bytes);
  }

  TestPki pki_{"edge-prod", kNow};
  TrustStoreRef trust_ = pki_.Trust();
  StatementContext gw1_ = ContextOf("gw-1");
  StatementContext gw2_ = ContextOf("gw-2");
};

TEST_F(StatementCodecTest, AliveGoesThereAndBack) {
  gw1_.addresses = {V4(10, 0, 3, 11, 7950), V6(0xfd, 1, 65'535)};
  const StatementRef alive = Sign(
      {StatementKind::kAlive, "gw-1", Incarnation::Of(3, 7), {{"role", "gateway"}, {"zone", ""}}});
  UnverifiedStatement parsed;
  ASSERT_EQ(ParseStatement(alive->bytes, &parsed), DropReason::kNone);
  EXPECT_EQ(VerifyStatement(parsed, *gw1_.credentials->certificate(), *trust_, kNow),
            DropReason::kNone);
  const Statement& back = parsed.statement;
  EXPECT_EQ(parsed.cluster, "edge-prod");
  EXPECT_EQ(back.kind, StatementKind::kAlive);
  EXPECT_EQ(back.subject, "gw-1");
  EXPECT_EQ(back.signer, "gw-1");
  EXPECT_EQ(back.incarnation, Incarnation::Of(3, 7));
  EXPECT_EQ(back.hash, alive->hash);
  EXPECT_EQ(back.bytes, alive->bytes);
  EXPECT_EQ(back.certificate, gw1_.credentials->certificate()->sha256());
  ASSERT_TRUE(back.alive.has_value());
  EXPECT_EQ(*back.alive, *alive->alive);
  EXPECT_EQ(back.alive->addresses, gw1_.addresses);
  EXPECT_EQ(back.alive->boot_id, gw1_.identity->boot_id());
  EXPECT_EQ(back.alive->x25519_public, gw1_.identity->x25519_public());
  EXPECT_EQ(back.alive->not_after_unix_s, kNow + 30 * kDayS);
}

TEST_F(StatementCodecTest, EveryKindAndEveryKeyKind) {
  IssueRequest request = pki_.Request("gw-3");
  request.kind = SigningKeyKind::kEd25519;
  const StatementContext ed25519 = ContextOf("gw-3", pki_.Issue(request));
  for (const StatementContext& signer : {gw1_, ed25519}) {
    for (const StatementKind kind :
         {StatementKind::kAlive, StatementKind::kLeave, StatementKind::kSuspect,
          StatementKind::kDead, StatementKind::kForget}) {
      const std::string subject = IsOwnersKind(kind) ? signer.name : "gw-2";
      const auto statement = SignDraft({kind, subject, Incarnation::Of(1, 0), {}}, signer);
      SOTTO_ASSERT_OK(statement);
      EXPECT_EQ(Verify((*statement)->bytes, signer), DropReason::kNone) << ToString(kind);
      EXPECT_EQ((*statement)->signer, signer.name);
      EXPECT_EQ((*statement)->alive.has_value(), kind == StatementKind::kAlive);
    }
  }
}

// The numbers that the cost of gossip is reckoned with.
TEST_F(StatementCodecTest, Sizes) {
  EXPECT_LE(Alive()->bytes.size(), 250u);
  EXPECT_LE(Sign({StatementKind::kSuspect, "gw-2", Incarnation::Of(3, 1), {}})->bytes.size(), 150u);
}

TEST_F(StatementCodecTest, GreatestOneStaysInItsLimit) {
  const std::string cluster(kClusterNameBytesMax, 'c');
  const std::string name(kMemberNameBytesMax, 'n');
  const TestPki pki(cluster, kNow);
  StatementContext context;
  context.cluster = cluster;
  context.name = name;
  context.identity = *ProcessIdentity::Create(cluster, name);
  context.credentials = pki.Node(name);
  for (uint8_t i = 1; i <= kAddressesMax; ++i) context.addresses.push_back(V6(0xfd, i, 1));
  // The shortest keys there are, so as to have the most of them.
  std::set<std::string> keys;
  for (char a = '0'; a <= 'z'; ++a) {
    if (!std::isalnum(static_cast<unsigned char>(a))) continue;
    keys.insert(std::string(1, a));
    for (char b = '0'; b <= 'z' && keys.size() < 62 + 225; ++b) {
      if (std::isalnum(static_cast<unsigned char>(b))) keys.insert(std::string{a, b});
    }
  }
  std::vector<Tag> tags;
  size_t bytes = 0;
  for (const std::string& key : keys) {
    if (bytes + key.size() > kTagsBytesMax) break;
    bytes += key.size();
    tags.push_back({key, ""});
  }
  ASSERT_TRUE(AreValidTags(tags));
  const auto alive = SignDraft({StatementKind::kAlive, name, Incarnation(~0ull), tags}, context);
  SOTTO_ASSERT_OK(alive);
  EXPECT_LE((*alive)->bytes.size(), kStatementBytesMax);
  UnverifiedStatement parsed;
  EXPECT_EQ(ParseStatement((*alive)->bytes, &parsed), DropReason::kNone);
}

TEST_F(StatementCodecTest, EveryFlippedBitIsRefused) {
  for (const StatementRef& statement :
       {Alive(), Sign({StatementKind::kDead, "gw-2", Incarnation::Of(3, 1), {}})}) {
    for (size_t bit = 0; bit < statement->bytes.size() * 8; ++bit) {
      std::string bad = statement->bytes;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      EXPECT_NE(Verify(bad, gw1_), DropReason::kNone) << bit;
    }
  }
}

TEST_F(StatementCodecTest, EveryTruncationAndExtensionIsRefused) {
  const std::string good = Alive()->bytes;
  ASSERT_EQ(Verify(good, gw1_), DropReason::kNone);
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_NE(Verify(good.substr(0, size), gw1_), DropReason::kNone) << size;
  }
  EXPECT_NE(Verify(good + '\0', gw1_), DropReason::kNone);
  // Bytes that protobuf would pass over, between body and signature.
  EXPECT_NE(Verify(good.substr(0, good.size() - 64) + std::string("\xf2\x01\x00", 3) +
                       good.substr(good.size() - 64),
                   gw1_),
            DropReason::kNone);
  UnverifiedStatement parsed;
  EXPECT_EQ(ParseStatement(std::string(kStatementBytesMax + 1, '\0'), &parsed),
            DropReason::kDecode);
}

TEST_F(StatementCodecTest, KindIsUnderTheSignature) {
  wire::StatementBody body;
  const StatementRef suspect = Sign({StatementKind::kSuspect, "gw-2", Incarnation::Of(3, 1), {}});
  const std::string& bytes = suspect->bytes;
  ASSERT_TRUE(body.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()) - 64));
  body.set_kind(static_cast<uint32_t>(StatementKind::kDead));
  EXPECT_EQ(Verify(body.SerializeAsString() + bytes.substr(bytes.size() - 64), gw1_),
            DropReason::kBadSignature);
  // The prefix alone tells kinds apart, if ever two bodies were alike.
  const std::string plain = body.SerializeAsString();
  EXPECT_EQ(Verify(plain + *gw1_.credentials->Sign(plain), gw1_), DropReason::kBadSignature);
  EXPECT_EQ(Verify(SignBody(body, gw1_), gw1_), DropReason::kNone);
}

TEST_F(StatementCodecTest, SomebodyElseCannotSign) {
  const std::string good = Alive()->bytes;
  // gw-2's certificate is not the one that the statement names.
  EXPECT_EQ(Verify(good, gw2_), DropReason::kUnknownCertificate);
  // gw-2 names its own certificate and signs well, but speaks as gw-1.
  StatementContext liar = gw2_;
  liar.name = "gw-1";
  liar.identity = gw1_.identity;
  const auto forged = SignDraft({StatementKind::kAlive, "gw-1", Incarnation::Of(9, 0), {}}, liar);
  SOTTO_ASSERT_OK(forged);
  EXPECT_EQ(Verify((*forged)->bytes, gw2_), DropReason::kSemantic);
  // gw-2 takes gw-1's certificate's name and signs with its own key.
  wire::StatementBody body;
  ASSERT_TRUE(body.ParseFromArray(good.data(), static_cast<int>(good.size()) - 64));
  EXPECT_EQ(Verify(SignBody(body, gw2_), gw1_), DropReason::kBadSignature);
}

TEST_F(StatementCodecTest, CertificateMustBeANodesAndTrusted) {
  absl::Status why;
  const TestPki other("edge-prod", kNow);
  const StatementContext foreign = ContextOf("gw-1", other.Issue("gw-1"));
  const StatementDraft draft{StatementKind::kAlive, "gw-1", Incarnation::Of(1, 0), {}};
  EXPECT_EQ(Verify((*SignDraft(draft, foreign))->bytes, foreign, kNow, &why),
            DropReason::kUnknownCertificate);
  EXPECT_THAT(why, HasCode("CERT_UNTRUSTED"));
  IssueRequest request = pki_.Request("gw-1");
  request.identity.role = CertificateRole::kAdmin;
  const StatementContext admin = ContextOf("gw-1", pki_.Issue(request));
  EXPECT_EQ(Verify((*SignDraft(draft, admin))->bytes, admin, kNow, &why),
            DropReason::kUnknownCertificate);
  EXPECT_THAT(why, HasCode("CERT_WRONG_ROLE"));
}

TEST_F(StatementCodecTest, AnHourPastTheCertificatesEnd) {
  const std::string alive = Alive()->bytes;
  absl::Status why;
  EXPECT_EQ(Verify(alive, gw1_, kNow + 30 * kDayS + 3'599), DropReason::kNone);
  EXPECT_EQ(Verify(alive, gw1_, kNow + 30 * kDayS + 3'601, &why), DropReason::kUnknownCertificate);
  EXPECT_THAT(why, HasCode("CERT_EXPIRED"));
}

// A boot id is made from names that nobody has vouched for yet: any length must be refused, not
// believed.
TEST_F(StatementCodecTest, NamesOfAnyLengthAreRefusedBeforeABootIdIsMadeFromThem) {
  for (const size_t size : {0u, 129u, 255u, 256u, 300u, 2'000u}) {
    const std::string name(size, 'a');
    EXPECT_EQ(Spoil([&](wire::StatementBody& b) { b.set_subject(name); }), DropReason::kSemantic)
        << size;
    EXPECT_EQ(Spoil([&](wire::StatementBody& b) { b.set_cluster(name); }), DropReason::kSemantic)
        << size;
  }
}

TEST_F(StatementCodecTest, AnotherClustersStatement) {
  EXPECT_EQ(Spoil([](wire::StatementBody& b) { b.set_cluster("edge-test"); }),
            DropReason::kSemantic);
}

TEST_F(StatementCodecTest, WhatCannotBe) {
  using Body = wire::StatementBody;
  EXPECT_EQ(Spoil([](Body&) {}), DropReason::kNone);
  const auto bad = DropReason::kSemantic;
  EXPECT_EQ(Spoil([](Body& b) { b.set_cluster(""); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_subject(""); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_subject(std::string(129, 'n')); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_subject("gw\n1"); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_signer("gw-1"); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_signer("gw-2"); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_kind(0); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_kind(6); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_certificate("short"); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_incarnation(0xffffffff); }), bad);  // boot number 0
  EXPECT_EQ(Spoil([](Body& b) { b.set_not_after(b.not_after() + 1); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_boot_nonce(std::string(15, 'b')); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_x25519(std::string(31, 'x')); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_x25519(std::string(32, '\0')); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_version_min(0); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_version_min(2); }), bad);
  EXPECT_EQ(Spoil([](Body& b) { b.set_version_max(257); }), bad);
}

TEST_F(StatementCodecTest, AddressesThatCannotBe) {
  using namespace std::string_literals;
  const auto with = [this](std::vector<std::string> addresses) {
    return Spoil([&](wire::StatementBody& b) {
      b.clear_addresses();
      for (const std::string& address : addresses) b.add_addresses(address);
    });
  };
  const std::string good = "\x0a\x00\x00\x01\x1f\x0e"s;
  const std::string v6 = "\xfd" + std::string(14, '\0') + "\x01\x1f\x0e"s;
  EXPECT_EQ(with({good}), DropReason::kNone);
  EXPECT_EQ(with({good, v6, good, v6}), DropReason::kNone);
  EXPECT_EQ(with({"\x7f\x00\x00\x01\x1f\x0e"s}), DropReason::kNone);  // loopback: one machine
  const std::vector<std::vector<std::string>> bad = {
      {},
      {good, good, good, good, good},
      {""},
      {"\x0a\x00\x00\x01\x1f"s},
      {"\x0a\x00\x00\x01\x00\x00"s},                                   // port 0
      {"\x00\x00\x00\x00\x1f\x0e"s},                                   // wildcard
      {"\xe0\x00\x00\x01\x1f\x0e"s},                                   // multicast
      {"\xff\xff\xff\xff\x1f\x0e"s},                                   // broadcast
      {std::string(16, '\0') + "\x1f\x0e"s},                           // [::]
      {"\xff\x02"s + std::string(13, '\0') + "\x01\x1f\x0e"s},         // multicast
      {std::string(10, '\0') + "\xff\xff\x0a\x00\x00\x01\x1f\x0e"s}};  // IPv4 in the long form
  for (const auto& addresses : bad) EXPECT_EQ(with(addresses), DropReason::kSemantic);
}

TEST_F(StatementCodecTest, TagsThatCannotBe) {
  using namespace std::string_literals;
  const auto with = [this](std::vector<std::string> tags) {
    return Spoil([&](wire::StatementBody& b) {
      b.clear_tags();
      for (const std::string& tag : tags) b.add_tags(tag);
    });
  };
  EXPECT_EQ(with({}), DropReason::kNone);
  EXPECT_EQ(with({"a", "", "b", "Zürich \xf0\x9f\x90\xa6"}), DropReason::kNone);
  EXPECT_EQ(with({"k", std::string(511, 'v')}), DropReason::kNone);
  const std::vector<std::vector<std::string>> bad = {{"a"},
                                                     {"b", "", "a", ""},
                                                     {"a", "1", "a", "2"},
                                                     {"", "v"},
                                                     {"a b", "v"},
                                                     {"k", std::string(512, 'v')},
                                                     {"k", "\x1b[2J"},
                                                     {"k", "a\0b"s},
                                                     {"k", "\x7f"},
                                                     {"k", "\xc2\x9b"},  // CSI as a C1 control
                                                     {"k", "\xff"},
                                                     {"k", "\xc0\xaf"},          // overlong
                                                     {"k", "\xed\xa0\x80"},      // surrogate
                                                     {"k", "\xf4\x90\x80\x80"},  // beyond Unicode
                                                     {"k", "\xe2\x82"}};         // cut short
  for (const auto& tags : bad) EXPECT_EQ(with(tags), DropReason::kSemantic) << tags.size();
}

TEST_F(StatementCodecTest, AccusationsNameAnother) {
  for (const StatementKind kind :
       {StatementKind::kSuspect, StatementKind::kDead, StatementKind::kForget}) {
    EXPECT_EQ(Spoil([](wire::StatementBody&) {}, kind), DropReason::kNone);
    EXPECT_EQ(Spoil([](wire::StatementBody& b) { b.set_subject("gw-1"); }, kind),
              DropReason::kSemantic);
    EXPECT_EQ(Spoil([](wire::StatementBody& b) { b.clear_signer(); }, kind), DropReason::kSemantic);
    EXPECT_THAT(SignDraft({kind, "gw-1", Incarnation::Of(1, 0), {}}, gw1_),
                HasCode("STATEMENT_INVALID"));
  }
  for (const StatementKind kind : {StatementKind::kAlive, StatementKind::kLeave}) {
    EXPECT_THAT(SignDraft({kind, "gw-2", Incarnation::Of(1, 0), {}}, gw1_),
                HasCode("STATEMENT_INVALID"));
  }
}

TEST_F(StatementCodecTest, EvidenceIsSignedAndHasOneEncoding) {
  Evidence evidence;
  evidence.direct_failed = true;
  evidence.relays_asked = kEvidenceRelaysMax;
  evidence.relays_nacked = 2;
  evidence.stream = Evidence::Stream::kFailed;
  evidence.health_score = kEvidenceScoreMax;
  evidence.silent_for = kEvidenceSilenceMax;
  for (const Evidence& given : {evidence, Evidence()}) {
    for (const StatementKind kind : {StatementKind::kSuspect, StatementKind::kDead}) {
      const StatementRef made = Sign({kind, "gw-2", Incarnation::Of(1, 0), {}, given});
      UnverifiedStatement parsed;
      ASSERT_EQ(ParseStatement(made->bytes, &parsed), DropReason::kNone);
      EXPECT_EQ(parsed.statement.evidence, given);
      EXPECT_EQ(Verify(made->bytes, gw1_), DropReason::kNone);
    }
  }
  // Nobody else's word has any.
  for (const StatementKind kind :
       {StatementKind::kAlive, StatementKind::kLeave, StatementKind::kForget}) {
    EXPECT_EQ(Spoil([](wire::StatementBody& b) { b.set_evidence(1); }, kind),
              DropReason::kSemantic);
  }
  const auto with = [this](uint64_t bits) {
    return Spoil([bits](wire::StatementBody& b) { b.set_evidence(bits); }, StatementKind::kSuspect);
  };
  EXPECT_EQ(with(0), DropReason::kNone);
  EXPECT_EQ(with(1), DropReason::kNone);
  EXPECT_EQ(with(2), DropReason::kSemantic);               // there, and does not say so
  EXPECT_EQ(with(1 | 1ull << 20), DropReason::kSemantic);  // bits without a meaning
  EXPECT_EQ(with(1 | 1ull << 31), DropReason::kSemantic);
  EXPECT_EQ(with(1 | 17ull << 3), DropReason::kSemantic);             // too many relays
  EXPECT_EQ(with(1 | 2ull << 3 | 3ull << 8), DropReason::kSemantic);  // more nacks than relays
  EXPECT_EQ(with(1 | 65ull << 13), DropReason::kSemantic);            // beyond any score
}

TEST_F(StatementCodecTest, EvidenceThatCannotBeIsNotSigned) {
  const auto sign = [this](const Evidence& evidence) {
    return SignDraft({StatementKind::kSuspect, "gw-2", Incarnation::Of(1, 0), {}, evidence}, gw1_);
  };
  SOTTO_EXPECT_OK(sign({.silent_for = Duration::Millis(7)}));
  EXPECT_THAT(sign({.silent_for = Duration::Millis(-1)}), HasCode("STATEMENT_INVALID"));
  EXPECT_THAT(sign({.silent_for = Duration::Micros(1)}), HasCode("STATEMENT_INVALID"));
  EXPECT_THAT(sign({.silent_for = kEvidenceSilenceMax + Duration::Millis(1)}),
              HasCode("STATEMENT_INVALID"));
  EXPECT_THAT(sign({.relays_asked = 1, .relays_nacked = 2}), HasCode("STATEMENT_INVALID"));
}

TEST_F(StatementCodecTest, DraftsThatNobodyWouldTakeAreNotSigned) {
  const StatementDraft good{StatementKind::kAlive, "gw-1", Incarnation::Of(1, 0), {}};
  SOTTO_EXPECT_OK(SignDraft(good, gw1_));
  StatementContext context = gw1_;
  context.addresses.clear();
  EXPECT_THAT(SignDraft(good, context), HasCode("STATEMENT_INVALID"));
  context.addresses = {V4(0, 0, 0, 0, 7950)};
  EXPECT_THAT(SignDraft(good, context), HasCode("STATEMENT_INVALID"));
  StatementDraft draft = good;
  draft.incarnation = Incarnation::Of(0, 1);
  EXPECT_THAT(SignDraft(draft, gw1_), HasCode("STATEMENT_INVALID"));
  draft = good;
  draft.tags = {{"b", ""}, {"a", ""}};
  EXPECT_THAT(SignDraft(draft, gw1_), HasCode("STATEMENT_INVALID"));
}

}  // namespace
}  // namespace sotto
