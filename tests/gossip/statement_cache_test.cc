#include "gossip/statement_cache.h"

#include <gtest/gtest.h>

#include <string>

#include "gossip/base/coded_error.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_pki.h"

namespace sotto {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDayS = 86'400;

class StatementCacheTest : public testing::Test {
 protected:
  StatementContext ContextOf(const std::string& name, CredentialsRef credentials) const {
    StatementContext context;
    context.cluster = "edge-prod";
    context.name = name;
    context.identity = *ProcessIdentity::Create("edge-prod", name);
    context.addresses = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}, 7950}};
    context.credentials = std::move(credentials);
    return context;
  }
  StatementContext ContextOf(const std::string& name) const {
    return ContextOf(name, pki_.Node(name));
  }
  static StatementRef Alive(const StatementContext& signer, uint32_t counter = 0) {
    return *SignDraft({StatementKind::kAlive, signer.name, Incarnation::Of(1, counter), {}},
                      signer);
  }
  static const std::string& Der(const StatementContext& signer) {
    return signer.credentials->certificate()->der();
  }
  static Hash256 HashOf(const StatementContext& signer) {
    return signer.credentials->certificate()->sha256();
  }
  static DropReason Dropped(const StatementResult& result) {
    const auto* dropped = std::get_if<StatementDropped>(&result);
    return dropped == nullptr ? DropReason::kNone : dropped->reason;
  }
  static bool IsVerified(const StatementResult& result) {
    return std::holds_alternative<StatementVerified>(result);
  }
  static bool Needs(const StatementResult& result, const Hash256& certificate) {
    const auto* needs = std::get_if<StatementNeedsCertificate>(&result);
    return needs != nullptr && needs->certificate == certificate;
  }

  TestPki pki_{"edge-prod", kNow};
  StatementContext gw1_ = ContextOf("gw-1");
  StatementContext gw2_ = ContextOf("gw-2");
  StatementCache cache_{pki_.Trust()};
};

TEST_F(StatementCacheTest, AsksForTheCertificateThenVerifies) {
  const StatementRef alive = Alive(gw1_);
  const StatementRef leave =
      *SignDraft({StatementKind::kLeave, "gw-1", Incarnation::Of(1, 1), {}}, gw1_);
  const StatementResult first = cache_.Resolve(alive->bytes, kNow);
  EXPECT_TRUE(Needs(first, HashOf(gw1_)));
  EXPECT_EQ(std::get<StatementNeedsCertificate>(first).signer, "gw-1");
  EXPECT_TRUE(Needs(cache_.Resolve(leave->bytes, kNow), HashOf(gw1_)));
  EXPECT_TRUE(Needs(cache_.Resolve(alive->bytes, kNow), HashOf(gw1_)));
  EXPECT_EQ(cache_.pending(), 2u);
  EXPECT_EQ(cache_.pending_bytes(), alive->bytes.size() + leave->bytes.size());

  const auto verified = cache_.AddCertificate(Der(gw1_), kNow);
  SOTTO_ASSERT_OK(verified);
  EXPECT_EQ(verified->size(), 2u);
  EXPECT_EQ(cache_.pending(), 0u);
  EXPECT_EQ(cache_.pending_bytes(), 0u);
  EXPECT_EQ(cache_.statements(), 2u);
  EXPECT_EQ(cache_.FindCertificate(HashOf(gw1_))->der(), Der(gw1_));
}

TEST_F(StatementCacheTest, EachStatementIsCheckedOnce) {
  SOTTO_ASSERT_OK(cache_.AddCertificate(Der(gw1_), kNow));
  const StatementRef alive = Alive(gw1_);
  StatementResult result = cache_.Resolve(alive->bytes, kNow);
  ASSERT_TRUE(IsVerified(result));
  EXPECT_TRUE(std::get<StatementVerified>(result).fresh);
  EXPECT_EQ(std::get<StatementVerified>(result).statement->hash, alive->hash);
  const StatementRef kept = std::get<StatementVerified>(result).statement;
  for (int i = 0; i < 100; ++i) {
    result = cache_.Resolve(alive->bytes, kNow + i);
    ASSERT_TRUE(IsVerified(result));
    EXPECT_FALSE(std::get<StatementVerified>(result).fresh);
    EXPECT_EQ(std::get<StatementVerified>(result).statement, kept);
  }
  EXPECT_EQ(cache_.signatures_checked(), 1u);
}

TEST_F(StatementCacheTest, OwnStatementsCostNothing) {
  SOTTO_ASSERT_OK(cache_.AddCertificate(gw1_.credentials->certificate(), kNow));
  const StatementRef alive = Alive(gw1_);
  cache_.AddOwn(alive);
  EXPECT_TRUE(IsVerified(cache_.Resolve(alive->bytes, kNow)));
  EXPECT_EQ(cache_.signatures_checked(), 0u);
}

TEST_F(StatementCacheTest, ForgeriesAreDroppedForTheirReason) {
  SOTTO_ASSERT_OK(cache_.AddCertificate(Der(gw1_), kNow));
  const std::string good = Alive(gw1_)->bytes;
  std::string bad = good;
  bad.back() = static_cast<char>(bad.back() ^ 1);
  EXPECT_EQ(Dropped(cache_.Resolve(bad, kNow)), DropReason::kBadSignature);
  EXPECT_EQ(Dropped(cache_.Resolve("junk", kNow)), DropReason::kDecode);
  EXPECT_EQ(Dropped(cache_.Resolve("", kNow)), DropReason::kDecode);
  EXPECT_TRUE(IsVerified(cache_.Resolve(good, kNow)));
  // gw-2 speaking as gw-1 under its own certificate.
  StatementContext liar = gw2_;
  liar.name = "gw-1";
  const std::string forged = Alive(liar)->bytes;
  EXPECT_TRUE(Needs(cache_.Resolve(forged, kNow), HashOf(gw2_)));
  const auto verified = cache_.AddCertificate(Der(gw2_), kNow);
  SOTTO_ASSERT_OK(verified);
  EXPECT_TRUE(verified->empty());
  EXPECT_EQ(Dropped(cache_.Resolve(forged, kNow)), DropReason::kSemantic);
  // Another cluster's: no question is asked about it.
  StatementContext elsewhere = gw2_;
  elsewhere.cluster = "edge-test";
  EXPECT_EQ(Dropped(cache_.Resolve(Alive(elsewhere)->bytes, kNow)), DropReason::kSemantic);
  EXPECT_EQ(cache_.pending(), 0u);
  EXPECT_EQ(cache_.statements(), 1u);
}

TEST_F(StatementCacheTest, OnlyTrustedCertificatesAreKept) {
  const TestPki other("edge-prod", kNow);
  const StatementContext foreign = ContextOf("gw-9", other.Node("gw-9"));
  EXPECT_TRUE(Needs(cache_.Resolve(Alive(foreign)->bytes, kNow), HashOf(foreign)));
  EXPECT_THAT(cache_.AddCertificate(Der(foreign), kNow), HasCode("CERT_UNTRUSTED"));
  EXPECT_EQ(cache_.certificates(), 0u);
  EXPECT_EQ(cache_.pending(), 0u);  // nothing will ever vouch for it
  EXPECT_THAT(cache_.AddCertificate("junk", kNow), HasCode("CERT_UNREADABLE"));
  IssueRequest request = pki_.Request("anna");
  request.identity.role = CertificateRole::kAdmin;
  EXPECT_THAT(cache_.AddCertificate(pki_.Use(pki_.Issue(request))->certificate(), kNow),
              HasCode("CERT_WRONG_ROLE"));
  EXPECT_EQ(cache_.certificates(), 0u);
}

TEST_F(StatementCacheTest, FewCertificatesForEachName) {
  std::vector<CredentialsRef> renewals;
  for (int i = 0; i < 6; ++i) {
    IssueRequest request = pki_.Request("gw-1");
    request.not_after_unix_s = kNow + (i + 1) * kDayS;
    renewals.push_back(pki_.Use(pki_.Issue(request)));
    SOTTO_ASSERT_OK(cache_.AddCertificate(renewals.back()->certificate(), kNow));
  }
  SOTTO_ASSERT_OK(cache_.AddCertificate(Der(gw2_), kNow));
  EXPECT_EQ(cache_.certificates(), 5u);
  EXPECT_FALSE(cache_.HoldsCertificate(renewals[0]->certificate()->sha256()));
  EXPECT_FALSE(cache_.HoldsCertificate(renewals[1]->certificate()->sha256()));
  EXPECT_TRUE(cache_.HoldsCertificate(renewals[5]->certificate()->sha256()));
}

TEST_F(StatementCacheTest, EverythingIsBounded) {
  StatementCacheOptions options;
  options.verified.certificates_max = 4;
  options.verified.statements_max = 8;
  options.pending_max = 6;
  options.pending_per_signer_max = 2;
  StatementCache cache(pki_.Trust(), options);
  // One name that is claimed again and again.
  for (uint32_t i = 0; i < 5; ++i) (void)cache.Resolve(Alive(gw1_, i)->bytes, kNow);
  EXPECT_EQ(cache.pending(), 2u);
  std::vector<StatementContext> others;
  for (int i = 0; i < 10; ++i) others.push_back(ContextOf("n-" + std::to_string(i)));
  for (const auto& other : others) (void)cache.Resolve(Alive(other)->bytes, kNow);
  EXPECT_EQ(cache.pending(), 6u);
  // The oldest went, the newest are there.
  EXPECT_EQ(cache.AddCertificate(Der(gw1_), kNow)->size(), 0u);
  EXPECT_EQ(cache.AddCertificate(Der(others[9]), kNow)->size(), 1u);
  for (const auto& other : others) SOTTO_ASSERT_OK(cache.AddCertificate(Der(other), kNow));
  EXPECT_EQ(cache.certificates(), 4u);
  EXPECT_EQ(cache.pending(), 0u);
  for (uint32_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(IsVerified(cache.Resolve(Alive(others[9], i)->bytes, kNow)));
  }
  EXPECT_EQ(cache.statements(), 8u);
}

// A member that says much displaces nothing of membership.
TEST_F(StatementCacheTest, AFloodOfWordsPushesOutNoMembership) {
  StatementCacheOptions options;
  options.verified.statements_max = 8;
  options.verified.said_max = 4;
  StatementCache cache(pki_.Trust(), options);
  SOTTO_ASSERT_OK(cache.AddCertificate(Der(gw1_), kNow));
  const StatementRef alive = Alive(gw1_);
  EXPECT_TRUE(IsVerified(cache.Resolve(alive->bytes, kNow)));
  for (uint64_t i = 1; i <= 50; ++i) {
    const auto said = std::make_shared<const Said>(SaidEvent{"flood", "", i, true});
    const StatementRef event =
        *SignDraft({StatementKind::kUserEvent, "gw-1", Incarnation::Of(1, 0), {}, {}, said}, gw1_);
    EXPECT_TRUE(IsVerified(cache.Resolve(event->bytes, kNow)));
  }
  EXPECT_EQ(cache.statements(), 5u);
  const uint64_t checked = cache.signatures_checked();
  EXPECT_TRUE(IsVerified(cache.Resolve(alive->bytes, kNow)));
  EXPECT_EQ(cache.signatures_checked(), checked) << "remembered";
}

TEST_F(StatementCacheTest, PendingBytesAreBounded) {
  const size_t size = Alive(gw1_)->bytes.size();
  StatementCacheOptions options;
  options.pending_bytes_max = 3 * size + 10;
  StatementCache cache(pki_.Trust(), options);
  for (uint32_t i = 0; i < 10; ++i) (void)cache.Resolve(Alive(gw1_, i)->bytes, kNow);
  EXPECT_LE(cache.pending_bytes(), options.pending_bytes_max);
  EXPECT_EQ(cache.pending(), 3u);
  EXPECT_EQ(cache.AddCertificate(Der(gw1_), kNow)->size(), 3u);
  EXPECT_EQ(cache.pending_bytes(), 0u);
}

// A certificate that was pushed out is asked for again, and the remembered statement is not
// believed without it.
TEST_F(StatementCacheTest, PushedOutCertificateIsAskedForAgain) {
  StatementCacheOptions options;
  options.verified.certificates_max = 1;
  StatementCache cache(pki_.Trust(), options);
  const StatementRef alive = Alive(gw1_);
  SOTTO_ASSERT_OK(cache.AddCertificate(Der(gw1_), kNow));
  ASSERT_TRUE(IsVerified(cache.Resolve(alive->bytes, kNow)));
  SOTTO_ASSERT_OK(cache.AddCertificate(Der(gw2_), kNow));
  EXPECT_TRUE(Needs(cache.Resolve(alive->bytes, kNow), HashOf(gw1_)));
}

TEST_F(StatementCacheTest, NewTrustRedoesEveryVerdict) {
  const StatementRef one = Alive(gw1_);
  const StatementRef two = Alive(gw2_);
  SOTTO_ASSERT_OK(cache_.AddCertificate(Der(gw1_), kNow));
  SOTTO_ASSERT_OK(cache_.AddCertificate(Der(gw2_), kNow));
  ASSERT_TRUE(IsVerified(cache_.Resolve(one->bytes, kNow)));
  ASSERT_TRUE(IsVerified(cache_.Resolve(two->bytes, kNow)));
  EXPECT_TRUE(cache_.SetTrust(pki_.Trust("", 2), kNow).empty());
  ASSERT_TRUE(IsVerified(cache_.Resolve(one->bytes, kNow)));

  const std::string crl = pki_.Revoke({gw1_.credentials->certificate()->SerialHex()}, kNow, kDayS);
  const auto refused = cache_.SetTrust(pki_.Trust(crl, 3), kNow);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].name, "gw-1");
  EXPECT_EQ(refused[0].certificate, HashOf(gw1_));
  EXPECT_THAT(refused[0].why, HasCode("CERT_REVOKED"));
  EXPECT_EQ(cache_.trust()->generation(), 3u);
  EXPECT_TRUE(Needs(cache_.Resolve(one->bytes, kNow), HashOf(gw1_)));
  EXPECT_THAT(cache_.AddCertificate(Der(gw1_), kNow), HasCode("CERT_REVOKED"));
  EXPECT_TRUE(IsVerified(cache_.Resolve(two->bytes, kNow)));
  EXPECT_EQ(cache_.statements(), 1u);
}

TEST_F(StatementCacheTest, VerdictsRunOut) {
  const StatementRef alive = Alive(gw1_);
  const std::string crl = pki_.Revoke({}, kNow, kDayS);
  cache_.SetTrust(pki_.Trust(crl, 2), kNow);
  SOTTO_ASSERT_OK(cache_.AddCertificate(Der(gw1_), kNow));
  EXPECT_TRUE(IsVerified(cache_.Resolve(alive->bytes, kNow + kDayS - 1)));
  const StatementResult late =
      cache_.Resolve(alive->bytes, kNow + kDayS + VerifiedStore::kVerdictS + 1);
  EXPECT_EQ(Dropped(late), DropReason::kUnknownCertificate);
  EXPECT_THAT(std::get<StatementDropped>(late).why, HasCode("CRL_EXPIRED"));
}

TEST_F(StatementCacheTest, ExpiredCertificateEndsWhatItSigned) {
  const StatementRef alive = Alive(gw1_);
  SOTTO_ASSERT_OK(cache_.AddCertificate(Der(gw1_), kNow));
  const int64_t end = kNow + 30 * kDayS;
  EXPECT_TRUE(IsVerified(cache_.Resolve(alive->bytes, end + kCertificateGraceS - 1)));
  const StatementResult late = cache_.Resolve(alive->bytes, end + kCertificateGraceS + 1);
  EXPECT_EQ(Dropped(late), DropReason::kUnknownCertificate);
  EXPECT_THAT(std::get<StatementDropped>(late).why, HasCode("CERT_EXPIRED"));
}

// ---- shared by the nodes of one process --------------------------------------------------------

class SharedCacheTest : public StatementCacheTest {
 protected:
  static StatementCache Sharing(const std::shared_ptr<SharedCache>& shared, TrustStoreRef trust) {
    return StatementCache(std::move(trust), {}, shared);
  }
  const std::shared_ptr<SharedCache> shared_ = std::make_shared<SharedCache>();
};

TEST_F(SharedCacheTest, WhatOneHasVerifiedTheOtherBelieves) {
  StatementCache a = Sharing(shared_, pki_.Trust({}, 1));
  StatementCache b = Sharing(shared_, pki_.Trust({}, 2));  // the same trust, loaded another time
  const StatementRef alive = Alive(gw1_);
  SOTTO_ASSERT_OK(a.AddCertificate(Der(gw1_), kNow));
  const StatementResult first = a.Resolve(alive->bytes, kNow);
  ASSERT_TRUE(IsVerified(first));
  const StatementResult second = b.Resolve(alive->bytes, kNow);
  ASSERT_TRUE(IsVerified(second));
  EXPECT_EQ(std::get<StatementVerified>(first).statement,
            std::get<StatementVerified>(second).statement)
      << "held once";
  EXPECT_EQ(a.signatures_checked(), 1u);
  EXPECT_EQ(b.signatures_checked(), 0u);
  EXPECT_EQ(b.FindCertificate(HashOf(gw1_))->der(), Der(gw1_));
}

TEST_F(SharedCacheTest, WhatWaitsIsEachOnesOwn) {
  StatementCache a = Sharing(shared_, pki_.Trust());
  StatementCache b = Sharing(shared_, pki_.Trust());
  const StatementRef alive = Alive(gw1_);
  EXPECT_TRUE(Needs(a.Resolve(alive->bytes, kNow), HashOf(gw1_)));
  EXPECT_TRUE(Needs(b.Resolve(alive->bytes, kNow), HashOf(gw1_)));
  const auto of_a = a.AddCertificate(Der(gw1_), kNow);
  SOTTO_ASSERT_OK(of_a);
  EXPECT_EQ(of_a->size(), 1u);
  // b holds it as well now, and still hears of its own when the certificate comes to it.
  EXPECT_TRUE(b.HoldsCertificate(HashOf(gw1_)));
  const auto of_b = b.AddCertificate(Der(gw1_), kNow);
  SOTTO_ASSERT_OK(of_b);
  EXPECT_EQ(of_b->size(), 1u);
}

TEST_F(SharedCacheTest, OtherTrustSharesNothing) {
  const TestPki foreign{"edge-prod", kNow};
  StatementCache a = Sharing(shared_, pki_.Trust());
  StatementCache b = Sharing(shared_, foreign.Trust());
  SOTTO_ASSERT_OK(a.AddCertificate(Der(gw1_), kNow));
  ASSERT_TRUE(IsVerified(a.Resolve(Alive(gw1_)->bytes, kNow)));
  EXPECT_FALSE(b.HoldsCertificate(HashOf(gw1_)));
  EXPECT_FALSE(b.AddCertificate(Der(gw1_), kNow).ok());
  EXPECT_FALSE(IsVerified(b.Resolve(Alive(gw1_)->bytes, kNow)));
}

TEST_F(SharedCacheTest, ANewTrustOfOneLeavesTheOthersAlone) {
  StatementCache a = Sharing(shared_, pki_.Trust());
  StatementCache b = Sharing(shared_, pki_.Trust());
  const StatementRef alive1 = Alive(gw1_);
  const StatementRef alive2 = Alive(gw2_);
  for (const auto* gw : {&gw1_, &gw2_}) SOTTO_ASSERT_OK(a.AddCertificate(Der(*gw), kNow));
  ASSERT_TRUE(IsVerified(a.Resolve(alive1->bytes, kNow)));
  ASSERT_TRUE(IsVerified(a.Resolve(alive2->bytes, kNow)));

  const std::string crl =
      pki_.Revoke({gw1_.credentials->certificate()->SerialHex()}, kNow - 60, kDayS);
  const auto refused = a.SetTrust(pki_.Trust(crl, 2), kNow);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].name, "gw-1");
  EXPECT_FALSE(IsVerified(a.Resolve(alive1->bytes, kNow)));
  EXPECT_TRUE(IsVerified(a.Resolve(alive2->bytes, kNow)));
  EXPECT_TRUE(IsVerified(b.Resolve(alive1->bytes, kNow))) << "b still trusts as before";

  // b follows, into the same store: what a knows there it need not verify again.
  const auto refused_too = b.SetTrust(pki_.Trust(crl, 3), kNow);
  ASSERT_EQ(refused_too.size(), 1u);
  EXPECT_FALSE(IsVerified(b.Resolve(alive1->bytes, kNow)));
  EXPECT_TRUE(IsVerified(b.Resolve(alive2->bytes, kNow)));
  EXPECT_EQ(b.signatures_checked(), 0u);
}

}  // namespace
}  // namespace sotto
