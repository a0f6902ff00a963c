// Two ends of a TLS handshake in memory, ours or a stranger's, and what each says of it.
#ifndef SOTTO_TESTS_CRYPTO_TLS_FIXTURE_H_
#define SOTTO_TESTS_CRYPTO_TLS_FIXTURE_H_

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crypto/certificate_internal.h"
#include "crypto/openssl_internal.h"
#include "crypto/tls_context.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_pki.h"

namespace sotto {

inline constexpr int64_t kNow = 1'800'000'000;
inline constexpr int64_t kDayS = 86'400;

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

inline SslCtxPtr MakeStranger(const Stranger& stranger) {
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

}  // namespace sotto

#endif  // SOTTO_TESTS_CRYPTO_TLS_FIXTURE_H_
