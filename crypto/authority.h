// A small certificate authority in a folder: what `sotto certs` makes and issues with (design S6).
#ifndef SOTTO_CRYPTO_AUTHORITY_H_
#define SOTTO_CRYPTO_AUTHORITY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/certificate.h"

namespace sotto {

struct PemPair {
  std::string certificate_pem;
  std::string key_pem;  // secret: the caller writes it with mode 0600 and wipes it
};

enum class SigningKeyKind : uint8_t { kP256, kEd25519 };

// A self-signed CA for one cluster: subject O=<cluster>, CA:TRUE pathlen 0, keyCertSign and
// cRLSign, name constraints that permit URIs of this cluster alone. INVALID_ARGUMENT
// CLUSTER_NAME_INVALID: not a cluster's name. INTERNAL: OpenSSL refused.
absl::StatusOr<PemPair> CreateAuthority(std::string_view cluster, SigningKeyKind kind,
                                        int64_t now_unix_s, int64_t valid_s = 5 * 365 * 86'400LL);

struct IssueRequest {
  CertificateIdentity identity;
  SigningKeyKind kind = SigningKeyKind::kP256;
  int64_t not_before_unix_s = 0;  // set five minutes back by callers, for clocks
  int64_t not_after_unix_s = 0;

  // Deviations that only tests ask for: each makes one of the certificates a node must refuse.
  bool omit_usage = false;         // no extended key usage
  bool server_usage_only = false;  // or client_usage_only
  bool client_usage_only = false;
  bool common_name_only = false;  // no URI; the name in CN
  std::string uri_override;       // this text as the URI instead of the identity
  bool weak_rsa = false;          // RSA-1024
  bool issuer_unchecked = false;  // signs with whatever certificate is given, a leaf too
};

// A leaf under the authority: critical basicConstraints CA:FALSE, keyUsage digitalSignature, EKU
// serverAuth and clientAuth, one URI SAN made with the GeneralName API (no text form to inject
// into). INVALID_ARGUMENT MEMBER_NAME_INVALID, CERT_VALIDITY_INVALID (an empty span, or beyond the
// authority's), CA_UNREADABLE (not a CA), CERT_KEY_MISMATCH, KEY_FILE_UNREADABLE.
absl::StatusOr<PemPair> IssueCertificate(const PemPair& authority, const IssueRequest& request);

// A signed, empty-or-not revocation list: serials in hex as SerialHex gives them.
// INVALID_ARGUMENT SERIAL_INVALID.
absl::StatusOr<std::string> CreateRevocationList(const PemPair& authority,
                                                 const std::vector<std::string>& serials_hex,
                                                 int64_t now_unix_s, int64_t valid_s);

}  // namespace sotto

#endif  // SOTTO_CRYPTO_AUTHORITY_H_
