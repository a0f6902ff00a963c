// X.509 certificates as sotto reads them: who it names, in which role, until when (design M1, S6).
//
// Identity is one URI SAN, sotto://<cluster>/node/<name> or sotto://<cluster>/admin/<name>. No CN,
// no DNS name counts. OpenSSL's types stay in *_internal.h and .cc files. Threads: immutable after
// parsing; share freely.
#ifndef SOTTO_CRYPTO_CERTIFICATE_H_
#define SOTTO_CRYPTO_CERTIFICATE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gossip/member.h"

namespace sotto {

enum class CertificateRole : uint8_t { kNode, kAdmin };

struct CertificateIdentity {
  std::string cluster;
  CertificateRole role = CertificateRole::kNode;
  std::string name;
};

// "sotto://edge-prod/node/gw-1".
std::string ToUri(const CertificateIdentity& identity);
// The reverse, exact to the byte. INVALID_ARGUMENT CERT_NO_IDENTITY.
absl::StatusOr<CertificateIdentity> ParseIdentityUri(std::string_view uri);
// "node", "admin".
std::string_view ToString(CertificateRole role);

class Certificate {
 public:
  static constexpr size_t kDerBytesMax = 4096;

  // INVALID_ARGUMENT CERT_UNREADABLE: not one certificate, or too long.
  static absl::StatusOr<std::shared_ptr<const Certificate>> FromDer(std::span<const uint8_t> der);
  // The first certificate of a PEM text.
  static absl::StatusOr<std::shared_ptr<const Certificate>> FromPem(std::string_view pem);
  ~Certificate();

  // INVALID_ARGUMENT CERT_NO_IDENTITY: no sotto URI, more than one, or a malformed one; a CN-only
  // certificate ends here.
  absl::StatusOr<CertificateIdentity> Identity() const;

  const std::string& der() const { return der_; }
  const Hash256& sha256() const { return sha256_; }  // of the DER
  int64_t not_before_unix_s() const { return not_before_; }
  int64_t not_after_unix_s() const { return not_after_; }
  std::string SubjectText() const;
  std::string IssuerText() const;
  std::string SerialHex() const;
  std::string KeyText() const;  // "EC P-256", "ED25519", …

  // ECDSA P-256 over SHA-256, or Ed25519, by the key's kind; 64 bytes either way. ECDSA's are r ||
  // s with the low s, so that nobody else can turn a signature into another one. Another kind of
  // key verifies nothing, and is refused by TrustStore.
  bool VerifySignature(std::string_view message, std::string_view signature) const;

  struct Native;  // certificate_internal.h
  const Native& native() const { return *native_; }

 private:
  Certificate();
  std::unique_ptr<Native> native_;
  std::string der_;
  Hash256 sha256_;
  int64_t not_before_ = 0;
  int64_t not_after_ = 0;
};
using CertificateRef = std::shared_ptr<const Certificate>;

// Who may speak for the cluster: the CA bundle and, if one is configured, its revocation list.
// Immutable; a change makes a new store with a higher generation, and verdicts are redone (W8).
class TrustStore {
 public:
  // CA_UNREADABLE: no certificate in `ca_pem`, or one that is not a CA. CRL_UNREADABLE: not a list,
  // or not signed by one of these CAs. No system roots, ever.
  static absl::StatusOr<std::shared_ptr<const TrustStore>> Create(std::string_view ca_pem,
                                                                  std::string_view crl_pem,
                                                                  std::string_view cluster,
                                                                  uint64_t generation);
  ~TrustStore();

  // Whether `certificate` (with `chain`, intermediates) speaks for a member of this cluster in
  // `role` at `now_unix_s`. The identity if so; else PERMISSION_DENIED or UNAUTHENTICATED with one
  // of
  //   CERT_UNTRUSTED (another CA, though of the same name; self-signed; a leaf used as CA; too
  //   deep) CERT_EXPIRED, CERT_NOT_YET_VALID, CERT_REVOKED, CRL_EXPIRED, CRL_MISSING (a list is
  //   configured, but none of its issuer) CERT_WRONG_USAGE (either EKU lacking; CA as leaf),
  //   CERT_NO_USAGE (no EKU at all) CERT_NO_IDENTITY, CERT_OTHER_CLUSTER, CERT_WRONG_ROLE,
  //   CERT_WEAK_KEY, CERT_KEY_KIND (neither P-256 nor Ed25519)
  // `grace_s`: how long past its end the certificate itself is still taken.
  absl::StatusOr<CertificateIdentity> Verify(const Certificate& certificate,
                                             std::span<const CertificateRef> chain,
                                             CertificateRole role, int64_t now_unix_s,
                                             int64_t grace_s = 0) const;

  uint64_t generation() const { return generation_; }
  // Of what it was made of, the generation apart: equal ones give equal verdicts.
  const Hash256& fingerprint() const { return fingerprint_; }
  const std::string& cluster() const { return cluster_; }
  const std::vector<CertificateRef>& authorities() const { return authorities_; }

  struct Native;
  const Native& native() const { return *native_; }

 private:
  TrustStore();
  std::unique_ptr<Native> native_;
  std::vector<CertificateRef> authorities_;
  std::string cluster_;
  Hash256 fingerprint_;
  uint64_t generation_ = 0;
};
using TrustStoreRef = std::shared_ptr<const TrustStore>;

// A certificate with its private key: what this node signs statements and shows in TLS with.
class Credentials {
 public:
  // CERT_UNREADABLE, KEY_FILE_UNREADABLE, CERT_KEY_MISMATCH (the key is not the certificate's).
  // `cert_pem` holds the leaf first, then intermediates.
  static absl::StatusOr<std::shared_ptr<const Credentials>> FromPem(std::string_view cert_pem,
                                                                    std::string_view key_pem);
  ~Credentials();

  const CertificateRef& certificate() const { return certificate_; }
  const std::vector<CertificateRef>& chain() const { return chain_; }
  // 64 bytes, as Certificate::VerifySignature takes them. INTERNAL: OpenSSL refused.
  absl::StatusOr<std::string> Sign(std::string_view message) const;

  struct Native;
  const Native& native() const { return *native_; }

 private:
  Credentials();
  std::unique_ptr<Native> native_;
  CertificateRef certificate_;
  std::vector<CertificateRef> chain_;
};
using CredentialsRef = std::shared_ptr<const Credentials>;

}  // namespace sotto

#endif  // SOTTO_CRYPTO_CERTIFICATE_H_
