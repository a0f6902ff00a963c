#include "crypto/certificate.h"

#include <gtest/gtest.h>

#include <string>

#include "gossip/base/coded_error.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_pki.h"

namespace sotto {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDayS = 86'400;

class CertificateTest : public testing::Test {
 protected:
  // Each refusal stands beside a certificate that differs in that one thing and passes.
  void SetUp() override { SOTTO_ASSERT_OK(Verify(pki_.Issue("gw-1"))); }

  absl::StatusOr<CertificateIdentity> Verify(const PemPair& pair, int64_t now = kNow,
                                             int64_t grace_s = 0) const {
    return VerifyWith(*trust_, pair, now, grace_s);
  }
  static absl::StatusOr<CertificateIdentity> VerifyWith(const TrustStore& trust,
                                                        const PemPair& pair, int64_t now = kNow,
                                                        int64_t grace_s = 0) {
    const auto credentials = Credentials::FromPem(pair.certificate_pem, pair.key_pem);
    if (!credentials.ok()) return credentials.status();
    return trust.Verify(*(*credentials)->certificate(), (*credentials)->chain(),
                        CertificateRole::kNode, now, grace_s);
  }

  TestPki pki_{"edge-prod", kNow};
  TrustStoreRef trust_ = pki_.Trust();
};

TEST_F(CertificateTest, GoodOnesNameTheirNode) {
  for (const SigningKeyKind kind : {SigningKeyKind::kP256, SigningKeyKind::kEd25519}) {
    IssueRequest request = pki_.Request("gw-1");
    request.kind = kind;
    const auto identity = Verify(pki_.Issue(request));
    SOTTO_ASSERT_OK(identity);
    EXPECT_EQ(identity->name, "gw-1");
    EXPECT_EQ(identity->cluster, "edge-prod");
    EXPECT_EQ(identity->role, CertificateRole::kNode);
  }
}

TEST_F(CertificateTest, LongestNamesWork) {
  const std::string cluster(kClusterNameBytesMax, 'c');
  const std::string name(kMemberNameBytesMax, 'n');
  const TestPki pki(cluster, kNow);
  const auto identity = VerifyWith(*pki.Trust(), pki.Issue(name));
  SOTTO_ASSERT_OK(identity);
  EXPECT_EQ(identity->name, name);
}

TEST_F(CertificateTest, WhatItSaysOfItself) {
  const CertificateRef leaf = pki_.Node("gw-1")->certificate();
  EXPECT_EQ(leaf->KeyText(), "EC P-256");
  EXPECT_EQ(leaf->SubjectText(), "O=edge-prod");
  EXPECT_EQ(leaf->IssuerText(), "O=edge-prod");
  EXPECT_EQ(leaf->SerialHex().size(), 32u);
  EXPECT_EQ(leaf->not_before_unix_s(), kNow - 300);
  EXPECT_EQ(leaf->not_after_unix_s(), kNow + 30 * kDayS);
  EXPECT_LE(leaf->der().size(), 600u);
}

TEST_F(CertificateTest, DerIsReadWholeOrNotAtAll) {
  const std::string der = pki_.Node("gw-1")->certificate()->der();
  const auto parse = [](const std::string& bytes) {
    return Certificate::FromDer({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  };
  SOTTO_ASSERT_OK(parse(der));
  EXPECT_EQ((*parse(der))->der(), der);
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_THAT(parse(der.substr(0, size)), HasCode("CERT_UNREADABLE")) << size;
  }
  EXPECT_THAT(parse(der + std::string(1, '\0')), HasCode("CERT_UNREADABLE"));
  EXPECT_THAT(parse(std::string(Certificate::kDerBytesMax + 1, '0')), HasCode("CERT_UNREADABLE"));
  EXPECT_THAT(Certificate::FromPem("no certificate"), HasCode("CERT_UNREADABLE"));
}

// ---- who is trusted -----------------------------------------------------------------------------

TEST_F(CertificateTest, AnotherAuthorityOfTheSameName) {
  const TestPki other("edge-prod", kNow);
  EXPECT_THAT(Verify(other.Issue("gw-1")), HasCode("CERT_UNTRUSTED"));
  EXPECT_THAT(Verify(other.Issue("gw-1")), HasKind(absl::StatusCode::kUnauthenticated));
  SOTTO_EXPECT_OK(VerifyWith(*other.Trust(), other.Issue("gw-1")));
}

TEST_F(CertificateTest, SelfSigned) {
  EXPECT_THAT(Verify(pki_.Make({.uris = {"sotto://edge-prod/node/gw-1"}})),
              HasCode("CERT_UNTRUSTED"));
}

TEST_F(CertificateTest, ALeafIsNoAuthority) {
  const PemPair leaf = pki_.Issue("gw-1");
  IssueRequest request = pki_.Request("gw-2");
  request.not_after_unix_s -= 10;
  EXPECT_THAT(IssueCertificate(leaf, request), HasCode("CA_UNREADABLE"));
  request.issuer_unchecked = true;
  auto forged = IssueCertificate(leaf, request);
  SOTTO_ASSERT_OK(forged);
  EXPECT_THAT(Verify(*forged), HasCode("CERT_UNTRUSTED"));
  forged->certificate_pem += leaf.certificate_pem;
  EXPECT_THAT(Verify(*forged), HasCode("CERT_UNTRUSTED"));
}

TEST_F(CertificateTest, AnAuthorityIsNoMember) {
  const PemPair ca = pki_.Make({.uris = {"sotto://edge-prod/node/gw-1"}, .is_ca = true});
  const auto trust = TrustStore::Create(ca.certificate_pem, "", "edge-prod", 1);
  SOTTO_ASSERT_OK(trust);
  EXPECT_THAT(VerifyWith(**trust, ca), HasCode("CERT_WRONG_USAGE"));
}

TEST_F(CertificateTest, ChainsOfAFewAreTakenDeepOnesAreNot) {
  std::vector<PemPair> authorities;
  authorities.push_back(pki_.Make({.organization = "ca 0", .is_ca = true}));
  const auto trust = TrustStore::Create(authorities[0].certificate_pem, "", "edge-prod", 1);
  SOTTO_ASSERT_OK(trust);
  std::string chain;
  for (int depth = 1; depth <= 12; ++depth) {
    PemPair leaf =
        pki_.Make({.issuer = &authorities.back(), .uris = {"sotto://edge-prod/node/gw-1"}});
    leaf.certificate_pem += chain;
    const auto verdict = VerifyWith(**trust, leaf);
    if (depth <= 5) {  // four intermediates
      SOTTO_EXPECT_OK(verdict);
    } else {
      EXPECT_THAT(verdict, HasCode(depth > 8 ? "CERT_UNREADABLE" : "CERT_UNTRUSTED")) << depth;
    }
    authorities.push_back(pki_.Make({.issuer = &authorities.back(),
                                     .organization = "ca " + std::to_string(depth),
                                     .is_ca = true}));
    chain = authorities.back().certificate_pem + chain;
  }
}

TEST_F(CertificateTest, TheBundleMayHoldTwoWhileItRollsOver) {
  const TestPki next("edge-prod", kNow);
  const auto both = TrustStore::Create(pki_.ca_pem() + next.ca_pem(), "", "edge-prod", 2);
  SOTTO_ASSERT_OK(both);
  EXPECT_EQ((*both)->authorities().size(), 2u);
  SOTTO_EXPECT_OK(VerifyWith(**both, pki_.Issue("gw-1")));
  SOTTO_EXPECT_OK(VerifyWith(**both, next.Issue("gw-1")));
}

TEST_F(CertificateTest, UnreadableBundles) {
  EXPECT_THAT(TrustStore::Create("", "", "edge-prod", 1), HasCode("CA_UNREADABLE"));
  EXPECT_THAT(TrustStore::Create("junk", "", "edge-prod", 1), HasCode("CA_UNREADABLE"));
  EXPECT_THAT(TrustStore::Create(pki_.Issue("gw-1").certificate_pem, "", "edge-prod", 1),
              HasCode("CA_UNREADABLE"));
}

// ---- when ---------------------------------------------------------------------------------------

TEST_F(CertificateTest, Expired) {
  IssueRequest request = pki_.Request("gw-1");
  request.not_before_unix_s = kNow - 10 * kDayS;
  request.not_after_unix_s = kNow;
  const PemPair pair = pki_.Issue(request);
  SOTTO_EXPECT_OK(Verify(pair, kNow - 1));
  EXPECT_THAT(Verify(pair, kNow + 1), HasCode("CERT_EXPIRED"));
}

TEST_F(CertificateTest, GraceIsForTheLeafsEndAlone) {
  IssueRequest request = pki_.Request("gw-1");
  request.not_before_unix_s = kNow - 10 * kDayS;
  request.not_after_unix_s = kNow;
  const PemPair pair = pki_.Issue(request);
  SOTTO_EXPECT_OK(Verify(pair, kNow + 3'599, 3'600));
  EXPECT_THAT(Verify(pair, kNow + 3'601, 3'600), HasCode("CERT_EXPIRED"));
  const TestPki other("edge-prod", kNow);
  EXPECT_THAT(Verify(other.Issue(request), kNow + 10, 3'600), HasCode("CERT_UNTRUSTED"));
  request.omit_usage = true;
  EXPECT_THAT(Verify(pki_.Issue(request), kNow + 10, 3'600), HasCode("CERT_NO_USAGE"));
}

TEST_F(CertificateTest, NotYetValid) {
  IssueRequest request = pki_.Request("gw-1");
  request.not_before_unix_s = kNow + 60;
  EXPECT_THAT(Verify(pki_.Issue(request)), HasCode("CERT_NOT_YET_VALID"));
  SOTTO_EXPECT_OK(Verify(pki_.Issue(request), kNow + 61));
}

// ---- for what -----------------------------------------------------------------------------------

TEST_F(CertificateTest, UsageMustBeBoth) {
  IssueRequest request = pki_.Request("gw-1");
  request.server_usage_only = true;
  EXPECT_THAT(Verify(pki_.Issue(request)), HasCode("CERT_WRONG_USAGE"));
  request = pki_.Request("gw-1");
  request.client_usage_only = true;
  EXPECT_THAT(Verify(pki_.Issue(request)), HasCode("CERT_WRONG_USAGE"));
  request = pki_.Request("gw-1");
  request.omit_usage = true;
  EXPECT_THAT(Verify(pki_.Issue(request)), HasCode("CERT_NO_USAGE"));
  EXPECT_THAT(Verify(pki_.Make({.issuer = &pki_.authority(),
                                .uris = {"sotto://edge-prod/node/gw-1"},
                                .usage = "anyExtendedKeyUsage"})),
              HasCode("CERT_WRONG_USAGE"));
}

// ---- who it names -------------------------------------------------------------------------------

TEST_F(CertificateTest, CommonNameDoesNotCount) {
  IssueRequest request = pki_.Request("gw-1");
  request.common_name_only = true;
  const PemPair pair = pki_.Issue(request);
  EXPECT_EQ(pki_.Use(pair)->certificate()->SubjectText(), "CN=gw-1,O=edge-prod");
  EXPECT_THAT(Verify(pair), HasCode("CERT_NO_IDENTITY"));
}

TEST_F(CertificateTest, OneUriAndItExact) {
  const PemPair ca = pki_.Make({.is_ca = true});
  const auto trust = TrustStore::Create(ca.certificate_pem, "", "edge-prod", 1);
  SOTTO_ASSERT_OK(trust);
  const auto verify = [&](std::vector<std::string> uris) {
    return VerifyWith(**trust, pki_.Make({.issuer = &ca, .uris = std::move(uris)}));
  };
  SOTTO_EXPECT_OK(verify({"sotto://edge-prod/node/gw-1"}));
  SOTTO_EXPECT_OK(verify({"https://example.com/", "sotto://edge-prod/node/gw-1"}));
  EXPECT_THAT(verify({"sotto://edge-prod/node/gw-1", "sotto://edge-prod/node/gw-2"}),
              HasCode("CERT_NO_IDENTITY"));
  EXPECT_THAT(verify({"sotto://edge-prod/node/gw-1", "sotto:"}), HasCode("CERT_NO_IDENTITY"));
  EXPECT_THAT(verify({"https://example.com/"}), HasCode("CERT_NO_IDENTITY"));
  EXPECT_THAT(verify({}), HasCode("CERT_NO_IDENTITY"));
  using namespace std::string_literals;
  for (const std::string& uri :
       {"sotto://edge-prod/node/"s, "sotto://edge-prod/node/*"s, "sotto://edge-prod/node/gw-1/x"s,
        "sotto://edge-prod/node/gw-1\0"s, "sotto://edge-prod/node/gw\0-1"s, "sotto:///node/gw-1"s,
        "sotto://edge-prod/gw-1"s, "sotto://edge-prod/root/gw-1"s, "sotto://a@edge-prod/node/gw-1"s,
        "sotto://edge-prod:1/node/gw-1"s, "sotto://edge-prod/node/gw-1?x"s,
        "sotto://edge-prod/node/gw-1#x"s, "sotto://edge-prod/node/gw%2d1"s,
        "sotto://edge-prod/Node/gw-1"s, "sotto://edge-prod/node/" + std::string(129, 'n')}) {
    EXPECT_THAT(verify({uri}), HasCode("CERT_NO_IDENTITY")) << uri;
  }
  EXPECT_THAT(verify({"SOTTO://edge-prod/node/gw-1"}), HasCode("CERT_NO_IDENTITY"));
  EXPECT_THAT(verify({"sotto://Edge-Prod/node/gw-1"}), HasCode("CERT_OTHER_CLUSTER"));
}

TEST_F(CertificateTest, UriGoesThereAndBack) {
  const CertificateIdentity admin{"edge-prod", CertificateRole::kAdmin, "anna"};
  EXPECT_EQ(ToUri(admin), "sotto://edge-prod/admin/anna");
  const auto parsed = ParseIdentityUri(ToUri(admin));
  SOTTO_ASSERT_OK(parsed);
  EXPECT_EQ(parsed->role, CertificateRole::kAdmin);
  EXPECT_EQ(parsed->name, "anna");
}

TEST_F(CertificateTest, OtherCluster) {
  IssueRequest request = pki_.Request("gw-1");
  request.uri_override = "sotto://edge-test/node/gw-1";
  // Our CA's name constraints already forbid it to OpenSSL …
  EXPECT_THAT(Verify(pki_.Issue(request)), HasCode("CERT_OTHER_CLUSTER"));
  // … and our own comparison does where a CA has none.
  const PemPair ca = pki_.Make({.is_ca = true});
  const auto trust = TrustStore::Create(ca.certificate_pem, "", "edge-prod", 1);
  SOTTO_ASSERT_OK(trust);
  EXPECT_THAT(
      VerifyWith(**trust, pki_.Make({.issuer = &ca, .uris = {"sotto://edge-test/node/gw-1"}})),
      HasCode("CERT_OTHER_CLUSTER"));
  // The same certificate is good in its own cluster.
  const auto own = TrustStore::Create(ca.certificate_pem, "", "edge-test", 1);
  SOTTO_EXPECT_OK(
      VerifyWith(**own, pki_.Make({.issuer = &ca, .uris = {"sotto://edge-test/node/gw-1"}})));
}

TEST_F(CertificateTest, AdminIsNoNodeAndTheReverse) {
  IssueRequest request = pki_.Request("anna");
  request.identity.role = CertificateRole::kAdmin;
  const PemPair admin = pki_.Issue(request);
  EXPECT_THAT(Verify(admin), HasCode("CERT_WRONG_ROLE"));
  EXPECT_THAT(Verify(admin), HasKind(absl::StatusCode::kPermissionDenied));
  SOTTO_EXPECT_OK(
      trust_->Verify(*pki_.Use(admin)->certificate(), {}, CertificateRole::kAdmin, kNow));
  EXPECT_THAT(trust_->Verify(*pki_.Node("gw-1")->certificate(), {}, CertificateRole::kAdmin, kNow),
              HasCode("CERT_WRONG_ROLE"));
}

// ---- how strong ---------------------------------------------------------------------------------

TEST_F(CertificateTest, WeakKeysAndDigests) {
  IssueRequest request = pki_.Request("gw-1");
  request.weak_rsa = true;
  EXPECT_THAT(Verify(pki_.Issue(request)), HasCode("CERT_WEAK_KEY"));
  EXPECT_THAT(
      Verify(pki_.Make(
          {.issuer = &pki_.authority(), .uris = {"sotto://edge-prod/node/gw-1"}, .sha1 = true})),
      HasCode("CERT_WEAK_KEY"));
  SOTTO_EXPECT_OK(
      Verify(pki_.Make({.issuer = &pki_.authority(), .uris = {"sotto://edge-prod/node/gw-1"}})));
}

TEST_F(CertificateTest, KeysThatSignNoStatements) {
  for (const char* key : {"RSA", "P-384"}) {
    EXPECT_THAT(
        Verify(pki_.Make(
            {.issuer = &pki_.authority(), .uris = {"sotto://edge-prod/node/gw-1"}, .key = key})),
        HasCode("CERT_KEY_KIND"))
        << key;
  }
}

// ---- revocation ---------------------------------------------------------------------------------

TEST_F(CertificateTest, Revoked) {
  const PemPair bad = pki_.Issue("gw-1");
  const PemPair good = pki_.Issue("gw-2");
  const std::string serial = pki_.Use(bad)->certificate()->SerialHex();
  const TrustStoreRef trust = pki_.Trust(pki_.Revoke({serial, "0a"}, kNow, kDayS), 2);
  EXPECT_THAT(VerifyWith(*trust, bad), HasCode("CERT_REVOKED"));
  SOTTO_EXPECT_OK(VerifyWith(*trust, good));
  EXPECT_EQ(trust->generation(), 2u);
}

TEST_F(CertificateTest, EmptyListRevokesNobodyAndAnOldOneEverybody) {
  const TrustStoreRef trust = pki_.Trust(pki_.Revoke({}, kNow, kDayS));
  const PemPair pair = pki_.Issue("gw-1");
  SOTTO_EXPECT_OK(VerifyWith(*trust, pair, kNow));
  EXPECT_THAT(VerifyWith(*trust, pair, kNow + kDayS + 1), HasCode("CRL_EXPIRED"));
  EXPECT_THAT(VerifyWith(*trust, pair, kNow + kDayS + 1, 3'600), HasCode("CRL_EXPIRED"));
}

TEST_F(CertificateTest, ListOfOneAuthorityLeavesTheOthersWithoutOne) {
  const TestPki next("edge-prod", kNow);
  const auto both = TrustStore::Create(pki_.ca_pem() + next.ca_pem(), next.Revoke({}, kNow, kDayS),
                                       "edge-prod", 2);
  SOTTO_ASSERT_OK(both);
  SOTTO_EXPECT_OK(VerifyWith(**both, next.Issue("gw-1")));
  EXPECT_THAT(VerifyWith(**both, pki_.Issue("gw-1")), HasCode("CRL_MISSING"));
}

TEST_F(CertificateTest, ForgedAndUnreadableLists) {
  const TestPki other("edge-prod", kNow);
  EXPECT_THAT(TrustStore::Create(pki_.ca_pem(), other.Revoke({}, kNow, kDayS), "edge-prod", 1),
              HasCode("CRL_UNREADABLE"));
  EXPECT_THAT(TrustStore::Create(pki_.ca_pem(), "junk", "edge-prod", 1), HasCode("CRL_UNREADABLE"));
}

// ---- credentials and signatures -----------------------------------------------------------------

TEST_F(CertificateTest, KeyMustBeTheCertificates) {
  const PemPair one = pki_.Issue("gw-1");
  const PemPair two = pki_.Issue("gw-1");
  EXPECT_THAT(Credentials::FromPem(one.certificate_pem, two.key_pem), HasCode("CERT_KEY_MISMATCH"));
  EXPECT_THAT(Credentials::FromPem(one.certificate_pem, "junk"), HasCode("KEY_FILE_UNREADABLE"));
  EXPECT_THAT(Credentials::FromPem("junk", one.key_pem), HasCode("CERT_UNREADABLE"));
}

// A terminal must never be asked: a daemon has none.
TEST_F(CertificateTest, KeyUnderAPassphraseIsUnreadable) {
  const std::string sealed =
      "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
      "DEK-Info: AES-256-CBC,0123456789ABCDEF0123456789ABCDEF\n\n"
      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
      "-----END EC PRIVATE KEY-----\n";
  EXPECT_THAT(Credentials::FromPem(pki_.Issue("gw-1").certificate_pem, sealed),
              HasCode("KEY_FILE_UNREADABLE"));
}

TEST_F(CertificateTest, SignaturesHoldForOneTextAndOneKey) {
  for (const SigningKeyKind kind : {SigningKeyKind::kP256, SigningKeyKind::kEd25519}) {
    IssueRequest request = pki_.Request("gw-1");
    request.kind = kind;
    const CredentialsRef signer = pki_.Use(pki_.Issue(request));
    const auto signature = signer->Sign("text");
    SOTTO_ASSERT_OK(signature);
    EXPECT_EQ(signature->size(), 64u);
    EXPECT_TRUE(signer->certificate()->VerifySignature("text", *signature));
    EXPECT_FALSE(signer->certificate()->VerifySignature("texts", *signature));
    EXPECT_FALSE(pki_.Node("gw-1")->certificate()->VerifySignature("text", *signature));
    for (size_t bit = 0; bit < 64 * 8; bit += 7) {
      std::string bad = *signature;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      EXPECT_FALSE(signer->certificate()->VerifySignature("text", bad)) << bit;
    }
    EXPECT_FALSE(signer->certificate()->VerifySignature("text", ""));
    EXPECT_FALSE(signer->certificate()->VerifySignature("text", std::string(64, '\0')));
    EXPECT_FALSE(signer->certificate()->VerifySignature("text", *signature + "x"));
  }
}

// n - s of a good ECDSA signature verifies too, for OpenSSL; a relay could so give a statement a
// second hash.
TEST_F(CertificateTest, HighHalfOfEcdsaIsRefused) {
  constexpr uint8_t kOrder[32] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,    0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                  0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
  const CredentialsRef signer = pki_.Node("gw-1");
  for (int round = 0; round < 16; ++round) {
    const std::string text = "text " + std::to_string(round);
    std::string signature = *signer->Sign(text);
    ASSERT_TRUE(signer->certificate()->VerifySignature(text, signature));
    int borrow = 0;
    for (int i = 31; i >= 0; --i) {
      const int digit = kOrder[i] - static_cast<uint8_t>(signature[32 + i]) - borrow;
      borrow = digit < 0 ? 1 : 0;
      signature[32 + i] = static_cast<char>(digit & 0xff);
    }
    EXPECT_FALSE(signer->certificate()->VerifySignature(text, signature));
  }
}

}  // namespace
}  // namespace sotto
