// What lies behind Certificate, TrustStore and Credentials. For crypto/'s .cc files and test
// helpers.
#ifndef SOTTO_CRYPTO_CERTIFICATE_INTERNAL_H_
#define SOTTO_CRYPTO_CERTIFICATE_INTERNAL_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/certificate.h"
#include "crypto/openssl_internal.h"

namespace sotto {

struct Certificate::Native {
  internal::X509Ptr x509;
};

struct TrustStore::Native {
  internal::X509StorePtr store;
  bool has_revocation_list = false;
};

struct Credentials::Native {
  internal::EvpPkeyPtr key;
};

namespace internal {

struct FreeX509Stack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};
// A stack that owns itself and none of the certificates in it.
using X509StackView = std::unique_ptr<STACK_OF(X509), FreeX509Stack>;

// The longest chain that is looked at: leaf, three intermediates and the root (see kVerifyDepth).
inline constexpr int kChainMax = 8;
inline constexpr int kVerifyDepth = 4;
inline constexpr int kSecurityLevel = 2;  // 112 bits: RSA 2048, no SHA-1

// A refusal, with what OpenSSL is to tell the other end by its alert (an X509_V_ERR_).
struct Refusal {
  absl::Status status;
  int x509_error = X509_V_OK;
};

// TrustStore::Verify on OpenSSL's objects; `untrusted` may be null. `*refusal` is set on failure.
absl::StatusOr<CertificateIdentity> VerifyX509(const TrustStore& trust, X509* leaf,
                                               STACK_OF(X509) * untrusted, CertificateRole role,
                                               int64_t now_unix_s, int64_t grace_s,
                                               Refusal* refusal);

// The one sotto URI of a certificate: CERT_NO_IDENTITY.
absl::StatusOr<CertificateIdentity> IdentityOf(const X509* x509);

// The private key of a PEM text; never asks for a passphrase. KEY_FILE_UNREADABLE.
absl::StatusOr<EvpPkeyPtr> PrivateKeyFromPem(std::string_view pem);
// Every certificate of a PEM text in order, at most `max`. Empty where the text is not PEM.
std::vector<X509Ptr> CertificatesFromPem(std::string_view pem, size_t max);

// "EC P-256", "ED25519", "RSA 2048".
std::string KeyTextOf(EVP_PKEY* key);
bool IsP256(EVP_PKEY* key);
bool IsEd25519(EVP_PKEY* key);

}  // namespace internal
}  // namespace sotto

#endif  // SOTTO_CRYPTO_CERTIFICATE_INTERNAL_H_
