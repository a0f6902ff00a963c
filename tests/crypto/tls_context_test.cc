#include "crypto/tls_context.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "gossip/base/coded_error.h"
#include "tests/crypto/tls_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_pki.h"

namespace sotto {
namespace {

// ---- the good ones ------------------------------------------------------------------------------

TEST_F(TlsContextTest, TwoNodesOfOneCluster) {
  End client, server;
  Ours(*client_, false, &client, "gw-1");
  Ours(*server_, true, &server);
  Shake(&client, client_.get(), &server, server_.get());
  SOTTO_EXPECT_OK(client.handshake);
  SOTTO_EXPECT_OK(server.handshake);
  SOTTO_EXPECT_OK(client.first_read);
  EXPECT_EQ(client.peer.identity.name, "gw-1");
  EXPECT_EQ(server.peer.identity.name, "gw-2");
  EXPECT_EQ(DescribeTls(client.ssl.get()), "TLSv1.3 TLS_AES_256_GCM_SHA384 X25519");
  EXPECT_EQ(DescribeTls(server.ssl.get()), DescribeTls(client.ssl.get()));
}

TEST_F(TlsContextTest, Ed25519Works) {
  const TestPki pki("edge-prod", kNow, SigningKeyKind::kEd25519);
  IssueRequest request = pki.Request("gw-9");
  request.kind = SigningKeyKind::kEd25519;
  SOTTO_EXPECT_OK(TlsContext::Create(pki.Use(pki.Issue(request)), pki.Trust(), kAlpnSync, kNow));
}

TEST_F(TlsContextTest, GoodStrangerPasses) {
  const PemPair good = pki_.Issue("gw-3");
  End client;
  SOTTO_EXPECT_OK(Against(good, &client));
  SOTTO_EXPECT_OK(client.first_read);
  SOTTO_EXPECT_OK(ServedBy(good));
}

// Nothing may carry over from one connection to the next, and no session may be resumed.
TEST_F(TlsContextTest, NoTicketsNoSessionsNoEarlyData) {
  EXPECT_EQ(SSL_CTX_get_num_tickets(server_->native()), 0u);
  EXPECT_EQ(SSL_CTX_get_session_cache_mode(server_->native()),
            static_cast<long>(SSL_SESS_CACHE_OFF));
  EXPECT_EQ(SSL_CTX_get_max_early_data(server_->native()), 0u);
  EXPECT_NE(SSL_CTX_get_options(server_->native()) & SSL_OP_NO_TICKET, 0u);
  EXPECT_EQ(SSL_CTX_get_security_level(server_->native()), 2);
  End client, server;
  Ours(*client_, false, &client);
  Ours(*server_, true, &server);
  Shake(&client, client_.get(), &server, server_.get());
  SOTTO_ASSERT_OK(client.first_read);
  EXPECT_EQ(SSL_SESSION_has_ticket(SSL_get0_session(client.ssl.get())), 0);
  EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get0_session(client.ssl.get())), 0);
}

// ---- bad clients: each learns of it by its first read -------------------------------------------

TEST_F(TlsContextTest, ClientWithoutCertificate) {
  End client;
  EXPECT_THAT(Against(Stranger{}, *server_, &client), HasCode("CERT_MISSING"));
  SOTTO_EXPECT_OK(client.handshake);
  EXPECT_THAT(client.first_read, HasCode("TLS_REFUSED_NO_CERT"));
}

TEST_F(TlsContextTest, ClientOfAnotherAuthorityOfTheSameName) {
  const TestPki other("edge-prod", kNow);
  const PemPair bad = other.Issue("gw-3");
  End client;
  EXPECT_THAT(Against(bad, &client), HasCode("CERT_UNTRUSTED"));
  SOTTO_EXPECT_OK(client.handshake);
  EXPECT_THAT(client.first_read, HasCode("TLS_REFUSED_UNKNOWN_CA"));
  EXPECT_THAT(ServedBy(bad), HasCode("CERT_UNTRUSTED"));
}

TEST_F(TlsContextTest, SelfSigned) {
  const PemPair bad = pki_.Make({.uris = {"sotto://edge-prod/node/gw-3"}});
  End client;
  EXPECT_THAT(Against(bad, &client), HasCode("CERT_UNTRUSTED"));
  EXPECT_THAT(client.first_read, HasCode("TLS_REFUSED_UNKNOWN_CA"));
  EXPECT_THAT(ServedBy(bad), HasCode("CERT_UNTRUSTED"));
}

TEST_F(TlsContextTest, Expired) {
  IssueRequest request = pki_.Request("gw-3");
  request.not_before_unix_s = kNow - 10 * kDayS;
  request.not_after_unix_s = kNow - 1;
  const PemPair bad = pki_.Issue(request);
  End client;
  EXPECT_THAT(Against(bad, &client), HasCode("CERT_EXPIRED"));
  EXPECT_THAT(client.first_read, HasCode("TLS_REFUSED_EXPIRED"));
  EXPECT_THAT(ServedBy(bad), HasCode("CERT_EXPIRED"));
}

TEST_F(TlsContextTest, NotYetValid) {
  IssueRequest request = pki_.Request("gw-3");
  request.not_before_unix_s = kNow + 60;
  const PemPair bad = pki_.Issue(request);
  End client;
  EXPECT_THAT(Against(bad, &client), HasCode("CERT_NOT_YET_VALID"));
  EXPECT_THAT(client.first_read, HasCode("TLS_REFUSED"));
  EXPECT_THAT(ServedBy(bad), HasCode("CERT_NOT_YET_VALID"));
}

// The clock that counts is the connection's, not the one the context was made at.
TEST_F(TlsContextTest, ExpiresWhileTheContextLives) {
  for (const auto& [days, good] : {std::pair{29, true}, std::pair{31, false}}) {
    End client, server;
    Ours(*client_, false, &client, "", kNow);
    Ours(*server_, true, &server, "", kNow + days * kDayS);
    Shake(&client, client_.get(), &server, server_.get());
    if (good) {
      SOTTO_EXPECT_OK(server.handshake);
    } else {
      EXPECT_THAT(server.handshake, HasCode("CERT_EXPIRED"));
      EXPECT_THAT(client.first_read, HasCode("TLS_REFUSED_EXPIRED"));
    }
  }
}

TEST_F(TlsContextTest, Usages) {
  struct Case {
    bool server_only, client_only, none;
    const char* code;
  };
  for (const Case& c :
       {Case{true, false, false, "CERT_WRONG_USAGE"}, Case{false, true, false, "CERT_WRONG_USAGE"},
        Case{false, false, true, "CERT_NO_USAGE"}}) {
    IssueRequest request = pki_.Request("gw-3");
    request.server_usage_only = c.server_only;
    request.client_usage_only = c.client_only;
    request.omit_usage = c.none;
    const PemPair bad = pki_.Issue(request);
    End client;
    EXPECT_THAT(Against(bad, &client), HasCode(c.code));
    EXPECT_THAT(client.first_read, HasCode("TLS_REFUSED"));
    EXPECT_THAT(ServedBy(bad), HasCode(c.code));
  }
}

TEST_F(TlsContextTest, LeafAsAuthority) {
  const PemPair leaf = pki_.Issue("gw-1");
  IssueRequest request = pki_.Request("gw-3");
  request.not_after_unix_s -= 10;
  request.issuer_unchecked = true;
  const auto bad = IssueCertificate(leaf, request);
  SOTTO_ASSERT_OK(bad);
  End client;
  EXPECT_THAT(Against({.pair = &*bad, .chain = {&leaf}}, *server_, &client),
              HasCode("CERT_UNTRUSTED"));
  EXPECT_THAT(client.first_read, HasCode("TLS_REFUSED_UNKNOWN_CA"));
}

TEST_F(TlsContextTest, Identities) {
  IssueRequest cn_only = pki_.Request("gw-3");
  cn_only.common_name_only = true;
  IssueRequest other_cluster = pki_.Request("gw-3");
  other_cluster.uri_override = "sotto://edge-test/node/gw-3";
  IssueRequest malformed = pki_.Request("gw-3");
  malformed.uri_override = "sotto://edge-prod/node/*";
  IssueRequest admin = pki_.Request("anna");
  admin.identity.role = CertificateRole::kAdmin;
  const std::pair<IssueRequest, const char*> cases[] = {{cn_only, "CERT_NO_IDENTITY"},
                                                        {other_cluster, "CERT_OTHER_CLUSTER"},
                                                        {malformed, "CERT_NO_IDENTITY"},
                                                        {admin, "CERT_WRONG_ROLE"}};
  for (const auto& [request, code] : cases) {
    const PemPair bad = pki_.Issue(request);
    End client;
    EXPECT_THAT(Against(bad, &client), HasCode(code));
    EXPECT_EQ(client.first_read.code(), absl::StatusCode::kPermissionDenied) << code;
    EXPECT_THAT(ServedBy(bad), HasCode(code));
  }
}

TEST_F(TlsContextTest, WrongNameAtTheAddress) {
  const PemPair other = pki_.Issue("gw-3");
  EXPECT_THAT(ServedBy({.pair = &other}, *client_, "gw-1"), HasCode("CERT_WRONG_NAME"));
  SOTTO_EXPECT_OK(ServedBy({.pair = &other}, *client_, "gw-3"));
  SOTTO_EXPECT_OK(ServedBy({.pair = &other}, *client_, ""));
}

TEST_F(TlsContextTest, WeakAndForeignKeys) {
  IssueRequest request = pki_.Request("gw-3");
  request.weak_rsa = true;
  const PemPair rsa_1024 = pki_.Issue(request);
  const std::vector<std::string> uris = {"sotto://edge-prod/node/gw-3"};
  const PemPair sha1 = pki_.Make({.issuer = &pki_.authority(), .uris = uris, .sha1 = true});
  const PemPair rsa_2048 = pki_.Make({.issuer = &pki_.authority(), .uris = uris, .key = "RSA"});
  End client;
  EXPECT_THAT(Against(rsa_1024, &client), HasCode("CERT_WEAK_KEY"));
  EXPECT_THAT(client.first_read, HasCode("TLS_REFUSED"));
  EXPECT_THAT(Against(sha1, &client), HasCode("CERT_WEAK_KEY"));
  EXPECT_THAT(Against(rsa_2048, &client), HasCode("CERT_KEY_KIND"));
}

// ---- revocation ---------------------------------------------------------------------------------

TEST_F(TlsContextTest, Revocation) {
  const PemPair bad = pki_.Issue("gw-3");
  const PemPair good = pki_.Issue("gw-4");
  const std::string serial = pki_.Use(bad)->certificate()->SerialHex();
  const auto server = Context(pki_.Issue("gw-1"), pki_.Trust(pki_.Revoke({serial}, kNow, kDayS)));
  End client;
  EXPECT_THAT(Against({.pair = &bad}, *server, &client), HasCode("CERT_REVOKED"));
  EXPECT_THAT(client.first_read, HasCode("TLS_REFUSED_REVOKED"));
  SOTTO_EXPECT_OK(Against({.pair = &good}, *server, &client));
}

TEST_F(TlsContextTest, RevocationListRunsOutWhileTheContextLives) {
  const auto server = Context(pki_.Issue("gw-1"), pki_.Trust(pki_.Revoke({}, kNow, kDayS)));
  for (const auto& [later, code] : {std::pair{0L, ""}, std::pair{kDayS + 1, "CRL_EXPIRED"}}) {
    End client, end;
    Ours(*client_, false, &client);
    Ours(*server, true, &end, "", kNow + later);
    Shake(&client, client_.get(), &end, server.get());
    EXPECT_EQ(ErrorCode(end.handshake), code);
  }
}

TEST_F(TlsContextTest, RevocationListOfAnotherAuthorityAlone) {
  const TestPki next("edge-prod", kNow);
  const auto trust = TrustStore::Create(pki_.ca_pem() + next.ca_pem(), next.Revoke({}, kNow, kDayS),
                                        "edge-prod", 1);
  SOTTO_ASSERT_OK(trust);
  const auto server = Context(next.Issue("gw-1"), *trust);
  const PemPair without = pki_.Issue("gw-3");
  const PemPair with = next.Issue("gw-3");
  End client;
  EXPECT_THAT(Against({.pair = &without}, *server, &client), HasCode("CRL_MISSING"));
  SOTTO_EXPECT_OK(Against({.pair = &with}, *server, &client));
}

// ---- versions, protocols, sizes -----------------------------------------------------------------

TEST_F(TlsContextTest, OlderTls) {
  const PemPair good = pki_.Issue("gw-3");
  for (const int version : {TLS1_1_VERSION, TLS1_2_VERSION}) {
    End client;
    EXPECT_THAT(Against({.pair = &good, .version = version}, *server_, &client),
                HasCode("TLS_VERSION"));
    EXPECT_THAT(client.handshake, HasCode("TLS_VERSION"));
    EXPECT_THAT(ServedBy({.pair = &good, .version = version}, *client_), HasCode("TLS_VERSION"));
  }
}

TEST_F(TlsContextTest, ApplicationProtocols) {
  const PemPair good = pki_.Issue("gw-3");
  End client;
  EXPECT_THAT(Against({.pair = &good, .alpn = "h2"}, *server_, &client), HasCode("TLS_ALPN"));
  EXPECT_THAT(client.handshake, HasCode("TLS_ALPN"));
  // A longer one that begins alike, and the prefix of ours.
  EXPECT_THAT(Against({.pair = &good, .alpn = "sotto-sync/10"}, *server_, &client),
              HasCode("TLS_ALPN"));
  EXPECT_THAT(Against({.pair = &good, .alpn = "sotto-sync/"}, *server_, &client),
              HasCode("TLS_ALPN"));
  EXPECT_THAT(Against({.pair = &good, .alpn = std::string(kAlpnAdmin)}, *server_, &client),
              HasCode("TLS_ALPN"));
}

// OpenSSL does not ask our callback then, and finishes the handshake.
TEST_F(TlsContextTest, NoApplicationProtocolAtAll) {
  const PemPair good = pki_.Issue("gw-3");
  End client;
  EXPECT_THAT(Against({.pair = &good, .alpn = ""}, *server_, &client), HasCode("TLS_ALPN"));
  EXPECT_TRUE(client.finished);
  EXPECT_FALSE(client.first_read.ok());
  EXPECT_THAT(ServedBy({.pair = &good, .alpn = ""}, *client_), HasCode("TLS_ALPN"));
}

TEST_F(TlsContextTest, MegabytesOfCertificates) {
  const PemPair good = pki_.Issue("gw-3");
  End client;
  EXPECT_THAT(Against({.pair = &good, .chain = {&pki_.authority()}, .chain_copies = 6'500},
                      *server_, &client),
              HasCode("CERT_CHAIN_TOO_LONG"));
  SOTTO_EXPECT_OK(
      Against({.pair = &good, .chain = {&pki_.authority()}, .chain_copies = 1}, *server_, &client));
}

TEST_F(TlsContextTest, DeepChains) {
  std::vector<std::unique_ptr<PemPair>> cas;
  cas.push_back(std::make_unique<PemPair>(pki_.Make({.organization = "ca 0", .is_ca = true})));
  const auto trust =
      TrustStore::Create(pki_.ca_pem() + cas[0]->certificate_pem, "", "edge-prod", 1);
  SOTTO_ASSERT_OK(trust);
  const auto server = Context(pki_.Issue("gw-1"), *trust);
  for (int intermediates = 1; intermediates <= 7; ++intermediates) {
    cas.push_back(
        std::make_unique<PemPair>(pki_.Make({.issuer = cas.back().get(),
                                             .organization = "ca " + std::to_string(intermediates),
                                             .is_ca = true})));
    const PemPair leaf =
        pki_.Make({.issuer = cas.back().get(), .uris = {"sotto://edge-prod/node/gw-3"}});
    Stranger stranger{.pair = &leaf};
    for (size_t i = cas.size() - 1; i >= 1; --i) stranger.chain.push_back(cas[i].get());
    End client;
    EXPECT_EQ(ErrorCode(Against(stranger, *server, &client)),
              intermediates <= 4 ? "" : "CERT_UNTRUSTED")
        << intermediates;
  }
}

// ---- making a context, as at start and at reload ------------------------------------------------

TEST_F(TlsContextTest, CreateRefusesWhatOthersWould) {
  const auto create = [this](const PemPair& pair, TrustStoreRef trust, int64_t now = kNow) {
    return TlsContext::Create(pki_.Use(pair), std::move(trust), kAlpnSync, now);
  };
  SOTTO_EXPECT_OK(create(pki_.Issue("gw-1"), pki_.Trust()));
  EXPECT_THAT(create(pki_.Issue("gw-1"), pki_.Trust(), kNow + 31 * kDayS), HasCode("CERT_EXPIRED"));
  const TestPki other("edge-prod", kNow);
  EXPECT_THAT(create(pki_.Issue("gw-1"), other.Trust()), HasCode("CERT_UNTRUSTED"));
  IssueRequest request = pki_.Request("gw-1");
  request.omit_usage = true;
  EXPECT_THAT(create(pki_.Issue(request), pki_.Trust()), HasCode("CERT_NO_USAGE"));
  request = pki_.Request("gw-1");
  request.weak_rsa = true;
  EXPECT_THAT(create(pki_.Issue(request), pki_.Trust()), HasCode("CERT_WEAK_KEY"));
  EXPECT_THAT(create(pki_.Issue("gw-1"), pki_.Trust(pki_.Revoke({}, kNow - 2 * kDayS, kDayS))),
              HasCode("CRL_EXPIRED"));
}

// A reload that fails leaves the old context as it was; one that works does not touch a connection
// that stands.
TEST_F(TlsContextTest, ReloadWithAForeignKeyLeavesTheOldContext) {
  const PemPair one = pki_.Issue("gw-1");
  const PemPair two = pki_.Issue("gw-1");
  const TlsContextRef old = Context(one, pki_.Trust());
  EXPECT_THAT(Credentials::FromPem(one.certificate_pem, two.key_pem), HasCode("CERT_KEY_MISMATCH"));
  End client, server;
  Ours(*client_, false, &client);
  Ours(*old, true, &server);
  Shake(&client, client_.get(), &server, old.get());
  SOTTO_EXPECT_OK(client.first_read);
}

TEST_F(TlsContextTest, ConnectionOutlivesItsContext) {
  TlsContextRef old = Node("gw-1");
  End client, server;
  Ours(*client_, false, &client);
  Ours(*old, true, &server);
  Shake(&client, client_.get(), &server, old.get());
  SOTTO_ASSERT_OK(client.first_read);
  old.reset();
  char byte = 'x';
  ASSERT_EQ(SSL_write(client.ssl.get(), &byte, 1), 1);
  byte = 0;
  EXPECT_EQ(SSL_read(server.ssl.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
}

}  // namespace
}  // namespace sotto
