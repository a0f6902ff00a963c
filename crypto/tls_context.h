// TLS as sotto speaks it between nodes: 1.3 only, both certificates verified, ALPN sotto-sync/1, no
// tickets, no resumption, no SNI (design K1; docs/security.md has the why of each line).
//
// The context holds no policy of its own beyond TrustStore: the verify callback of each connection
// calls TrustStore::Verify and keeps its status, so that a refusal has an exact code.
#ifndef SOTTO_CRYPTO_TLS_CONTEXT_H_
#define SOTTO_CRYPTO_TLS_CONTEXT_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/certificate.h"

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;

namespace sotto {

inline constexpr std::string_view kAlpnSync = "sotto-sync/1";
inline constexpr std::string_view kAlpnAdmin = "sotto-admin/1";

// What a connection has learned about its other end; filled by the verify callback.
struct TlsPeer {
  CertificateRef certificate;    // null: none was shown
  CertificateIdentity identity;  // valid if `verdict` is OK
  absl::Status verdict = absl::UnknownError("no handshake");
};

class TlsContext {
 public:
  // Builds the context, checks that the key fits the certificate, that the certificate passes
  // `trust` for a node, and shakes hands with itself in memory; so a reload that returns OK works.
  // The certificate's own code (CERT_EXPIRED, CERT_WRONG_USAGE and so on), or TLS_SELF_TEST. Both
  // ends are nodes.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Create(CredentialsRef credentials,
                                                                  TrustStoreRef trust,
                                                                  std::string_view alpn,
                                                                  int64_t now_unix_s);
  ~TlsContext();

  // For one connection: installs the verify callback that fills `*peer`, which must outlive the
  // SSL. `wall_clock` gives the unix time at the moment of verification. `expected_name` empty: any
  // node of the cluster. An SSL of this context that was not prepared trusts nobody.
  void Prepare(SSL* ssl, bool is_server, std::string expected_name, TlsPeer* peer,
               std::function<int64_t()> wall_clock) const;
  // After the handshake: version, ALPN, certificate present, verdict. TLS_ALPN, TLS_VERSION,
  // CERT_MISSING, CERT_WRONG_NAME, or the verdict.
  absl::Status CheckHandshake(SSL* ssl, const TlsPeer& peer) const;

  SSL_CTX* native() const;
  const CredentialsRef& credentials() const;
  const TrustStoreRef& trust() const;

 private:
  TlsContext();
  class Impl;
  std::unique_ptr<Impl> impl_;
};
using TlsContextRef = std::shared_ptr<const TlsContext>;

// "TLSv1.3 TLS_AES_256_GCM_SHA384 X25519": version, suite, group.
std::string DescribeTls(SSL* ssl);

// The code and text for a failed handshake or read: peer's alert, wrong version, not TLS at all.
// Reads and clears OpenSSL's error queue of this thread; `peer.verdict` wins where it carries a
// code. `openssl_error`: the value of an error_code of Asio's SSL category, which has taken it off
// that queue.
//   CERT_MISSING             the other end showed none
//   TLS_REFUSED_UNKNOWN_CA, TLS_REFUSED_EXPIRED, TLS_REFUSED_REVOKED, TLS_REFUSED_NO_CERT,
//   TLS_REFUSED
//                            the other end refused our certificate; its log has the exact reason
//   TLS_ALPN, TLS_VERSION    it speaks TLS, but not ours
//   TLS_NOT_TLS              it does not speak TLS
//   TLS_PEER_CLOSED          it hung up
//   TLS_FAILED               anything else, with OpenSSL's words
absl::Status DescribeTlsFailure(std::string_view what, const TlsPeer& peer,
                                unsigned long openssl_error = 0);

}  // namespace sotto

#endif  // SOTTO_CRYPTO_TLS_CONTEXT_H_
