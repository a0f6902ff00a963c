#include "crypto/tls_context.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "crypto/certificate_internal.h"
#include "crypto/openssl_internal.h"
#include "gossip/base/coded_error.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_pki.h"

namespace sotto {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDayS = 86'400;

using SslPtr = std::unique_ptr<SSL, internal::OpenSslFree<SSL_free>>;
using SslCtxPtr = std::unique_ptr<SSL_CTX, internal::OpenSslFree<SSL_CTX_free>>;

// What a connection came to at one end.
struct End {
  SslPtr ssl;
  TlsPeer peer;
  absl::Status handshake = absl::UnknownError("unfinished");  // with CheckHandshake behind it
  absl::Status first_read = absl::UnknownError("not tried");
  bool finished = false;  // OpenSSL's part of the handshake
};

// A stranger's TLS: whatever version, certificate and protocol, verifying nobody.
struct Stranger {
  const PemPair* pair = nullptr;
  std::vector<const PemPair*> chain = {};
  int chain_copies = 1;
  int version = TLS1_3_VERSION;
  std::string alpn = std::string(kAlpnSync);
};

SslCtxPtr MakeStranger(const Stranger& stranger) {
  SslCtxPtr context(SSL_CTX_new(TLS_method()));
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_min_proto_version(context.get(), stranger.version);
  SSL_CTX_set_max_proto_version(context.get(), stranger.version);
  SSL_CTX_set_mode(context.get(), SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  if (stranger.pair != nullptr) {
    const auto leaf = internal::CertificatesFromPem(stranger.pair->certificate_pem, 1);
    const auto key = internal::PrivateKeyFromPem(stranger.pair->key_pem);
    EXPECT_EQ(SSL_CTX_use_certificate(context.get(), leaf[0].get()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(context.get(), key->get()), 1);
  }
  for (const PemPair* above : stranger.chain) {
    const auto x509 = internal::CertificatesFromPem(above->certificate_pem, 1);
    for (int i = 0; i < stranger.chain_copies; ++i) {
      EXPECT_EQ(SSL_CTX_add1_chain_cert(context.get(), x509[0].get()), 1);
    }
  }
  if (!stranger.alpn.empty()) {
    const std::string offer =
        std::string(1, static_cast<char>(stranger.alpn.size())) + stranger.alpn;
    SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const uint8_t*>(offer.data()),
                            static_cast<unsigned int>(offer.size()));
    SSL_CTX_set_alpn_select_cb(
        context.get(),
        [](SSL*, const uint8_t** out, uint8_t* out_size, const uint8_t* in, unsigned int size,
           void*) {
          // The first that is offered, whatever it is.
          if (size < 2) return SSL_TLSEXT_ERR_NOACK;
          *out = in + 1;
          *out_size = in[0];
          return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
  }
  ERR_clear_error();
  return context;
}

class TlsContextTest : public testing::Test {
 protected:
  TlsContextRef Context(const PemPair& pair, TrustStoreRef trust,
                        std::string_view alpn = kAlpnSync) const {
    auto tls = TlsContext::Create(pki_.Use(pair), std::move(trust), alpn, kNow);
    SOTTO_EXPECT_OK(tls);
    return *std::move(tls);
  }
  TlsContextRef Node(std::string_view name) const {
    return Context(pki_.Issue(name), pki_.Trust());
  }

  void Ours(const TlsContext& tls, bool is_server, End* end, std::string expected_name = "",
            int64_t now = kNow) const {
    *end = End();
    end->ssl.reset(SSL_new(tls.native()));
    tls.Prepare(end->ssl.get(), is_server, std::move(expected_name), &end->peer,
                [now] { return now; });
  }
  static void Theirs(const SslCtxPtr& context, bool is_server, End* end) {
    *end = End();
    end->ssl.reset(SSL_new(context.get()));
    end->peer.verdict = absl::OkStatus();  // strangers ask nothing
    if (is_server) {
      SSL_set_accept_state(end->ssl.get());
    } else {
      SSL_set_connect_state(end->ssl.get());
    }
  }

  // Shakes hands over a pair of memory BIOs; then the server says a byte and the client reads once:
  // under TLS 1.3 a client learns only there that it was refused.
  static void Shake(End* client, const TlsContext* client_tls, End* server,
                    const TlsContext* server_tls) {
    BIO* near_end = nullptr;
    BIO* far_end = nullptr;
    ASSERT_EQ(BIO_new_bio_pair(&near_end, 1 << 22, &far_end, 1 << 22), 1);
    SSL_set_bio(client->ssl.get(), near_end, near_end);
    SSL_set_bio(server->ssl.get(), far_end, far_end);
    bool client_failed = false;
    bool server_failed = false;
    for (int round = 0; round < 2'000; ++round) {
      Step(client, client_tls, &client_failed);
      Step(server, server_tls, &server_failed);
      if ((client->finished || client_failed) && (server->finished || server_failed)) break;
    }
    char byte = 's';
    if (server->handshake.ok()) {
      ASSERT_EQ(SSL_write(server->ssl.get(), &byte, 1), 1);
    } else if (server->finished) {
      SSL_shutdown(server->ssl.get());  // refused by CheckHandshake: the caller hangs up
    }
    if (!client->finished) return;
    byte = 0;
    ERR_clear_error();
    const int read = SSL_read(client->ssl.get(), &byte, 1);
    client->first_read =
        read == 1 && byte == 's' ? absl::OkStatus() : DescribeTlsFailure("reading", client->peer);
  }

  // Runs a bad client against our server, and returns what the server says of it.
  absl::Status Against(const Stranger& stranger, const TlsContext& server_tls, End* client) const {
    const SslCtxPtr context = MakeStranger(stranger);
    End server;
    Theirs(context, false, client);
    Ours(server_tls, true, &server);
    Shake(client, nullptr, &server, &server_tls);
    return server.handshake;
  }
  absl::Status Against(const PemPair& pair, End* client) const {
    return Against({.pair = &pair}, *server_, client);
  }
  // A bad server against our client.
  absl::Status ServedBy(const Stranger& stranger, const TlsContext& client_tls,
                        std::string expected_name = "") const {
    const SslCtxPtr context = MakeStranger(stranger);
    End client, server;
    Ours(client_tls, false, &client, std::move(expected_name));
    Theirs(context, true, &server);
    Shake(&client, &client_tls, &server, nullptr);
    return client.handshake;
  }
  absl::Status ServedBy(const PemPair& pair) const { return ServedBy({.pair = &pair}, *client_); }

  TestPki pki_{"edge-prod", kNow};
  TlsContextRef server_ = Node("gw-1");
  TlsContextRef client_ = Node("gw-2");

 private:
  static void Step(End* end, const TlsContext* tls, bool* failed) {
    if (end->finished || *failed) return;
    ERR_clear_error();
    const int result = SSL_do_handshake(end->ssl.get());
    if (result == 1) {
      end->finished = true;
      end->handshake =
          tls != nullptr ? tls->CheckHandshake(end->ssl.get(), end->peer) : absl::OkStatus();
      return;
    }
    const int error = SSL_get_error(end->ssl.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
    *failed = true;
    end->handshake = DescribeTlsFailure("TLS handshake", end->peer);
  }
};

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

// ---- what does not speak TLS, or stops ----------------------------------------------------------

class TlsFailureTest : public TlsContextTest {
 protected:
  // Feeds `bytes` to one end and reports its failure; with `then_close`, the end of the stream
  // after.
  absl::Status Feed(bool is_server, std::string_view bytes, bool then_close) const {
    End end;
    const TlsContextRef& tls = is_server ? server_ : client_;
    Ours(*tls, is_server, &end);
    BIO* in = BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()));
    BIO_set_mem_eof_return(in, then_close ? 0 : -1);
    SSL_set_bio(end.ssl.get(), in, BIO_new(BIO_s_mem()));
    ERR_clear_error();
    const int result = SSL_do_handshake(end.ssl.get());
    EXPECT_NE(result, 1);
    if (SSL_get_error(end.ssl.get(), result) == SSL_ERROR_WANT_READ) {
      return absl::UnknownError("waiting");
    }
    return DescribeTlsFailure("TLS handshake", end.peer);
  }
};

TEST_F(TlsFailureTest, OtherProtocolsAreNamed) {
  EXPECT_THAT(Feed(true, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", false), HasCode("TLS_NOT_TLS"));
  EXPECT_THAT(Feed(true, "SSH-2.0-OpenSSH_9.2p1 Debian\r\n", false), HasCode("TLS_NOT_TLS"));
  EXPECT_THAT(Feed(true, std::string(64, '\0'), false), HasCode("TLS_NOT_TLS"));
  EXPECT_THAT(Feed(false, "HTTP/1.1 400 Bad Request\r\n\r\n", false), HasCode("TLS_NOT_TLS"));
  EXPECT_THAT(Feed(false, "SSH-2.0-OpenSSH_9.2p1 Debian\r\n", false), HasCode("TLS_NOT_TLS"));
}

TEST_F(TlsFailureTest, HangingUpIsNamed) {
  EXPECT_THAT(Feed(true, std::string("\x16\x03\x01", 3), true), HasCode("TLS_PEER_CLOSED"));
  EXPECT_THAT(Feed(false, "", true), HasCode("TLS_PEER_CLOSED"));
}

// Asio takes the first error off the queue before its caller sees it.
TEST_F(TlsFailureTest, ErrorThatAsioTookIsTold) {
  ERR_clear_error();
  ERR_raise(ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER);
  const unsigned long taken = ERR_get_error();
  TlsPeer peer;
  EXPECT_THAT(DescribeTlsFailure("x", peer, taken), HasCode("TLS_NOT_TLS"));
  EXPECT_THAT(DescribeTlsFailure("x", peer), HasCode("TLS_PEER_CLOSED"));
  ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
  EXPECT_THAT(DescribeTlsFailure("x", peer), HasCode("TLS_FAILED"));
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST_F(TlsFailureTest, OwnVerdictWins) {
  TlsPeer peer;
  peer.verdict = CodedError(absl::StatusCode::kPermissionDenied, "CERT_WRONG_NAME", "no");
  ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
  EXPECT_THAT(DescribeTlsFailure("x", peer), HasCode("CERT_WRONG_NAME"));
  EXPECT_EQ(ERR_peek_error(), 0u);
}

// An SSL of ours that nobody prepared trusts nobody.
TEST_F(TlsFailureTest, UnpreparedTrustsNobody) {
  End client, server;
  Ours(*client_, false, &client);
  server.ssl.reset(SSL_new(server_->native()));
  SSL_set_accept_state(server.ssl.get());
  Shake(&client, client_.get(), &server, server_.get());
  EXPECT_FALSE(server.handshake.ok());
  EXPECT_FALSE(client.first_read.ok() && client.handshake.ok());
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
