#include "crypto/authority.h"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>

#include <set>

#include "crypto/certificate_internal.h"
#include "gossip/base/coded_error.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_pki.h"

namespace sotto {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDayS = 86'400;

TEST(AuthorityTest, IsACaOfOneClusterAndNoMore) {
  for (const SigningKeyKind kind : {SigningKeyKind::kP256, SigningKeyKind::kEd25519}) {
    const auto pair = CreateAuthority("edge-prod", kind, kNow);
    SOTTO_ASSERT_OK(pair);
    const auto certificate = Certificate::FromPem(pair->certificate_pem);
    SOTTO_ASSERT_OK(certificate);
    X509* x509 = (*certificate)->native().x509.get();
    EXPECT_EQ((*certificate)->SubjectText(), "O=edge-prod");
    EXPECT_EQ((*certificate)->KeyText(), kind == SigningKeyKind::kP256 ? "EC P-256" : "ED25519");
    EXPECT_EQ(X509_check_ca(x509), 1);
    EXPECT_EQ(X509_get_pathlen(x509), 0);
    EXPECT_EQ(X509_get_key_usage(x509), static_cast<uint32_t>(KU_KEY_CERT_SIGN | KU_CRL_SIGN));
    EXPECT_GE(X509_get_ext_by_NID(x509, NID_name_constraints, -1), 0);
    EXPECT_EQ((*certificate)->not_after_unix_s(), kNow + 5 * 365 * kDayS);
    EXPECT_NE(pair->key_pem.find("BEGIN PRIVATE KEY"), std::string::npos);
  }
}

TEST(AuthorityTest, LeafHasWhatAMemberNeeds) {
  const TestPki pki("edge-prod", kNow);
  const CertificateRef leaf = pki.Node("gw-1")->certificate();
  X509* x509 = leaf->native().x509.get();
  EXPECT_EQ(X509_check_ca(x509), 0);
  EXPECT_EQ(X509_get_key_usage(x509), static_cast<uint32_t>(KU_DIGITAL_SIGNATURE));
  EXPECT_EQ(X509_get_extended_key_usage(x509),
            static_cast<uint32_t>(XKU_SSL_SERVER | XKU_SSL_CLIENT));
  const int basic = X509_get_ext_by_NID(x509, NID_basic_constraints, -1);
  ASSERT_GE(basic, 0);
  EXPECT_EQ(X509_EXTENSION_get_critical(X509_get_ext(x509, basic)), 1);
  EXPECT_GE(X509_get_ext_by_NID(x509, NID_subject_key_identifier, -1), 0);
  EXPECT_GE(X509_get_ext_by_NID(x509, NID_authority_key_identifier, -1), 0);
  EXPECT_LE(leaf->der().size(), 520u);  // fits a hello beside its statement
}

TEST(AuthorityTest, SerialsNeverRepeat) {
  const TestPki pki("edge-prod", kNow);
  std::set<std::string> serials;
  for (int i = 0; i < 20; ++i) serials.insert(pki.Node("gw-1")->certificate()->SerialHex());
  EXPECT_EQ(serials.size(), 20u);
}

TEST(AuthorityTest, RefusesNamesThatCannotBe) {
  const TestPki pki("edge-prod", kNow);
  EXPECT_THAT(CreateAuthority("", SigningKeyKind::kP256, kNow), HasCode("CLUSTER_NAME_INVALID"));
  EXPECT_THAT(CreateAuthority("a,DNS:b", SigningKeyKind::kP256, kNow),
              HasCode("CLUSTER_NAME_INVALID"));
  for (const std::string& name :
       {std::string(), std::string("gw 1"), std::string("gw,URI:x"), std::string(129, 'n')}) {
    EXPECT_THAT(IssueCertificate(pki.authority(), pki.Request(name)),
                HasCode("MEMBER_NAME_INVALID"));
  }
}

TEST(AuthorityTest, RefusesSpansThatCannotBe) {
  const TestPki pki("edge-prod", kNow);
  IssueRequest request = pki.Request("gw-1");
  request.not_after_unix_s = request.not_before_unix_s;
  EXPECT_THAT(IssueCertificate(pki.authority(), request), HasCode("CERT_VALIDITY_INVALID"));
  request.not_after_unix_s = kNow + 4'000 * kDayS;
  EXPECT_THAT(IssueCertificate(pki.authority(), request), HasCode("CERT_VALIDITY_INVALID"));
}

TEST(AuthorityTest, RefusesABrokenAuthority) {
  const TestPki pki("edge-prod", kNow);
  const TestPki other("edge-prod", kNow);
  const IssueRequest request = pki.Request("gw-1");
  EXPECT_THAT(IssueCertificate({"junk", pki.authority().key_pem}, request),
              HasCode("CA_UNREADABLE"));
  EXPECT_THAT(IssueCertificate({pki.ca_pem(), "junk"}, request), HasCode("KEY_FILE_UNREADABLE"));
  EXPECT_THAT(IssueCertificate({pki.ca_pem(), other.authority().key_pem}, request),
              HasCode("CERT_KEY_MISMATCH"));
}

TEST(AuthorityTest, RevocationListsTakeOnlySerials) {
  const TestPki pki("edge-prod", kNow);
  for (const char* serial :
       {"", "xyz", "12 34", "-1", "0123456789012345678901234567890123456789a"}) {
    EXPECT_THAT(CreateRevocationList(pki.authority(), {serial}, kNow, kDayS),
                HasCode("SERIAL_INVALID"))
        << serial;
  }
  SOTTO_EXPECT_OK(CreateRevocationList(pki.authority(), {"0a", "ff"}, kNow, kDayS));
}

}  // namespace
}  // namespace sotto
