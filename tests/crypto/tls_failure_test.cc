// How a handshake that fails is named: by what does not speak TLS, or stops.
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "crypto/tls_context.h"
#include "gossip/base/coded_error.h"
#include "tests/crypto/tls_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_pki.h"

namespace sotto {
namespace {

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

}  // namespace
}  // namespace sotto
