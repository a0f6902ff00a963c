#include "crypto/tls_context.h"

#include <openssl/ssl.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/certificate_internal.h"
#include "crypto/openssl_internal.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

using internal::BioPtr;
using SslCtxPtr = std::unique_ptr<SSL_CTX, internal::OpenSslFree<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, internal::OpenSslFree<SSL_free>>;

constexpr char kSuites[] =
    "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
constexpr std::string_view kGroups = "X25519:P-256";
// Refused by its length, before a chain is parsed: four leaves at their greatest.
constexpr long kChainBytesMax = 4 * Certificate::kDerBytesMax;

// What the verify callback needs; hangs at the SSL, and dies with it.
struct Connection {
  TrustStoreRef trust;
  std::string alpn;
  std::string expected_name;
  TlsPeer* peer = nullptr;
  std::function<int64_t()> wall_clock;
};

void FreeConnection(void*, void* connection, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<Connection*>(connection);
}

// An index of our own: Asio keeps its callbacks under index 0, and deletes what it finds there.
int ConnectionIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, FreeConnection);
  return index;
}

Connection* ConnectionOf(const SSL* ssl) {
  return ssl == nullptr ? nullptr
                        : static_cast<Connection*>(SSL_get_ex_data(ssl, ConnectionIndex()));
}

CertificateRef CopyOf(X509* x509) {
  uint8_t* der = nullptr;
  const int size = i2d_X509(x509, &der);
  const std::unique_ptr<uint8_t, decltype([](uint8_t* p) { OPENSSL_free(p); })> owner(der);
  if (size <= 0) return nullptr;
  absl::StatusOr<CertificateRef> copy = Certificate::FromDer({der, static_cast<size_t>(size)});
  return copy.ok() ? *std::move(copy) : nullptr;
}

internal::Refusal Judge(const Connection& connection, X509* leaf, STACK_OF(X509) * untrusted) {
  TlsPeer& peer = *connection.peer;
  internal::Refusal refusal;
  peer.certificate = leaf != nullptr ? CopyOf(leaf) : nullptr;
  if (!peer.certificate) {
    refusal.status = CodedError(absl::StatusCode::kUnauthenticated, "CERT_UNREADABLE",
                                absl::StrCat("the other end's certificate cannot be read, or has "
                                             "more than ",
                                             Certificate::kDerBytesMax, " bytes"));
    refusal.x509_error = X509_V_ERR_UNSPECIFIED;
    return refusal;
  }
  absl::StatusOr<CertificateIdentity> identity =
      internal::VerifyX509(*connection.trust, leaf, untrusted, CertificateRole::kNode,
                           connection.wall_clock(), 0, &refusal);
  if (!identity.ok()) return refusal;
  peer.identity = *std::move(identity);
  if (!connection.expected_name.empty() && peer.identity.name != connection.expected_name) {
    refusal.status = CodedError(absl::StatusCode::kPermissionDenied, "CERT_WRONG_NAME",
                                absl::StrCat("the certificate names ", peer.identity.name,
                                             ", expected ", connection.expected_name));
    refusal.x509_error = X509_V_ERR_HOSTNAME_MISMATCH;
  }
  return refusal;
}

// In place of OpenSSL's own verification, so that statements and TLS follow the same rules.
int VerifyCallback(X509_STORE_CTX* context, void*) {
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const Connection* connection = ConnectionOf(ssl);
  if (connection == nullptr) {
    X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
  }
  const internal::Refusal refusal =
      Judge(*connection, X509_STORE_CTX_get0_cert(context), X509_STORE_CTX_get0_untrusted(context));
  connection->peer->verdict = refusal.status;
  X509_STORE_CTX_set_error(context, refusal.x509_error);
  return refusal.status.ok() ? 1 : 0;
}

// Runs only if the client offers protocols at all; CheckHandshake asks again.
int SelectAlpn(SSL* ssl, const uint8_t** out, uint8_t* out_size, const uint8_t* in,
               unsigned int in_size, void*) {
  const Connection* connection = ConnectionOf(ssl);
  if (connection == nullptr) return SSL_TLSEXT_ERR_ALERT_FATAL;
  for (unsigned int at = 0; at < in_size && at + 1 + in[at] <= in_size; at += 1 + in[at]) {
    if (std::string_view(reinterpret_cast<const char*>(in) + at + 1, in[at]) == connection->alpn) {
      *out = in + at + 1;
      *out_size = in[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

absl::Status Failed(std::string_view what) {
  return internal::OpenSslError(absl::StatusCode::kInternal, "TLS_SELF_TEST", what);
}

absl::Status UseCredentials(SSL_CTX* context, const Credentials& credentials) {
  if (SSL_CTX_use_certificate(context, credentials.certificate()->native().x509.get()) != 1) {
    return Failed("the certificate was not taken");
  }
  for (const CertificateRef& intermediate : credentials.chain()) {
    if (SSL_CTX_add1_chain_cert(context, intermediate->native().x509.get()) != 1) {
      return Failed("an intermediate certificate was not taken");
    }
  }
  // SSL_CTX_use_certificate drops a key that does not fit, and returns 1: hence the order, and the
  // check at the end.
  if (SSL_CTX_use_PrivateKey(context, credentials.native().key.get()) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return CodedError(absl::StatusCode::kInvalidArgument, "CERT_KEY_MISMATCH",
                      "the private key is not the certificate's");
  }
  return absl::OkStatus();
}

absl::StatusOr<SslCtxPtr> MakeContext(const Credentials& credentials, std::string_view alpn) {
  ERR_clear_error();
  SslCtxPtr context(SSL_CTX_new(TLS_method()));
  if (!context) return Failed("no TLS context");
  SSL_CTX* ctx = context.get();
  std::string groups(kGroups);  // OpenSSL's macro casts away const
  SSL_CTX_set_security_level(ctx, internal::kSecurityLevel);
  // TLS 1.2 shows certificates, and so names, in clear.
  if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(ctx, kSuites) != 1 ||
      SSL_CTX_set1_groups_list(ctx, groups.data()) != 1) {
    return Failed("versions, suites or groups were not taken");
  }
  SOTTO_RETURN_IF_ERROR(UseCredentials(ctx, credentials));
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE);
  // What is configured is sent; nothing is looked for in a store.
  SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_early_data(ctx, 0);
  constexpr std::string_view kSessionContext = "sotto";
  if (SSL_CTX_set_session_id_context(ctx, reinterpret_cast<const uint8_t*>(kSessionContext.data()),
                                     kSessionContext.size()) != 1) {
    return Failed("the session context was not taken");
  }
  SSL_CTX_set_max_cert_list(ctx, kChainBytesMax);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_verify_depth(ctx, internal::kVerifyDepth);
  SSL_CTX_set_cert_verify_callback(ctx, VerifyCallback, nullptr);
  std::string offer(1, static_cast<char>(alpn.size()));
  offer += alpn;
  if (SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const uint8_t*>(offer.data()),
                              static_cast<unsigned int>(offer.size())) != 0) {
    return Failed("the application protocol was not taken");
  }
  SSL_CTX_set_alpn_select_cb(ctx, SelectAlpn, nullptr);
  return context;
}

}  // namespace

class TlsContext::Impl {
 public:
  SslCtxPtr context;
  CredentialsRef credentials;
  TrustStoreRef trust;
  std::string alpn;
};

TlsContext::TlsContext() : impl_(std::make_unique<Impl>()) {}
TlsContext::~TlsContext() = default;

SSL_CTX* TlsContext::native() const { return impl_->context.get(); }
const CredentialsRef& TlsContext::credentials() const { return impl_->credentials; }
const TrustStoreRef& TlsContext::trust() const { return impl_->trust; }

namespace {

// Shakes hands with itself and sends one byte each way: what OpenSSL refuses only at run time (key
// kinds, sizes, chains) comes out before the context is used.
absl::Status SelfTest(const TlsContext& tls, int64_t now_unix_s) {
  ERR_clear_error();
  const SslPtr client(SSL_new(tls.native()));
  const SslPtr server(SSL_new(tls.native()));
  BIO* near_end = nullptr;
  BIO* far_end = nullptr;
  if (!client || !server || BIO_new_bio_pair(&near_end, 0, &far_end, 0) != 1) {
    return Failed("the self-test could not begin");
  }
  SSL_set_bio(client.get(), near_end, near_end);
  SSL_set_bio(server.get(), far_end, far_end);
  TlsPeer of_client, of_server;
  const auto clock = [now_unix_s] { return now_unix_s; };
  tls.Prepare(client.get(), false, "", &of_client, clock);
  tls.Prepare(server.get(), true, "", &of_server, clock);
  int client_done = 0;
  int server_done = 0;
  for (int round = 0; round < 16 && (client_done != 1 || server_done != 1); ++round) {
    if (client_done != 1) client_done = SSL_do_handshake(client.get());
    if (server_done != 1) server_done = SSL_do_handshake(server.get());
  }
  if (client_done != 1 || server_done != 1) {
    if (!of_client.verdict.ok() && !ErrorCode(of_client.verdict).empty()) return of_client.verdict;
    if (!of_server.verdict.ok() && !ErrorCode(of_server.verdict).empty()) return of_server.verdict;
    return Failed("the context cannot shake hands with itself");
  }
  SOTTO_RETURN_IF_ERROR(tls.CheckHandshake(client.get(), of_client));
  SOTTO_RETURN_IF_ERROR(tls.CheckHandshake(server.get(), of_server));
  char byte = 's';
  if (SSL_write(server.get(), &byte, 1) != 1 || SSL_read(client.get(), &byte, 1) != 1 ||
      SSL_write(client.get(), &byte, 1) != 1 || SSL_read(server.get(), &byte, 1) != 1) {
    return Failed("the context cannot pass a byte to itself");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsContextRef> TlsContext::Create(CredentialsRef credentials, TrustStoreRef trust,
                                                 std::string_view alpn, int64_t now_unix_s) {
  SOTTO_RETURN_IF_ERROR(trust
                            ->Verify(*credentials->certificate(), credentials->chain(),
                                     CertificateRole::kNode, now_unix_s)
                            .status());
  std::shared_ptr<TlsContext> tls(new TlsContext());
  SOTTO_ASSIGN_OR_RETURN(tls->impl_->context, MakeContext(*credentials, alpn));
  tls->impl_->credentials = std::move(credentials);
  tls->impl_->trust = std::move(trust);
  tls->impl_->alpn = alpn;
  SOTTO_RETURN_IF_ERROR(SelfTest(*tls, now_unix_s));
  return TlsContextRef(std::move(tls));
}

void TlsContext::Prepare(SSL* ssl, bool is_server, std::string expected_name, TlsPeer* peer,
                         std::function<int64_t()> wall_clock) const {
  *peer = TlsPeer();
  auto connection = std::make_unique<Connection>();
  connection->trust = impl_->trust;
  connection->alpn = impl_->alpn;
  connection->expected_name = std::move(expected_name);
  connection->peer = peer;
  connection->wall_clock = std::move(wall_clock);
  delete ConnectionOf(ssl);
  if (SSL_set_ex_data(ssl, ConnectionIndex(), connection.get()) == 1) {
    (void)connection.release();
  }
  // SSL_new takes the mode over, but a caller's own SSL_set_verify may have come between.
  SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  if (is_server) {
    SSL_set_accept_state(ssl);
  } else {
    SSL_set_connect_state(ssl);
  }
}

absl::Status TlsContext::CheckHandshake(SSL* ssl, const TlsPeer& peer) const {
  if (SSL_version(ssl) != TLS1_3_VERSION) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "TLS_VERSION",
                      absl::StrCat("the connection is ", SSL_get_version(ssl), ", want TLSv1.3"));
  }
  const uint8_t* alpn = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &size);
  if (std::string_view(reinterpret_cast<const char*>(alpn), size) != impl_->alpn) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "TLS_ALPN",
                      absl::StrCat("the other end did not agree to ", impl_->alpn));
  }
  const internal::X509Ptr shown(SSL_get1_peer_certificate(ssl));
  if (!shown || !peer.certificate) {
    return CodedError(absl::StatusCode::kUnauthenticated, "CERT_MISSING",
                      "the other end showed no certificate");
  }
  SOTTO_RETURN_IF_ERROR(peer.verdict);
  if (SSL_get_verify_result(ssl) != X509_V_OK) {
    return CodedError(absl::StatusCode::kUnauthenticated, "CERT_UNTRUSTED",
                      X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
  }
  return absl::OkStatus();
}

std::string DescribeTls(SSL* ssl) {
  const char* suite = SSL_get_cipher_name(ssl);
  const char* group = OBJ_nid2sn(static_cast<int>(SSL_get_negotiated_group(ssl)));
  return absl::StrCat(SSL_get_version(ssl), " ", suite != nullptr ? suite : "no suite", " ",
                      group != nullptr ? group : "no group");
}

}  // namespace sotto
