// What has been verified under one trust store: certificates with their verdicts, statements by
// hash. Several nodes of one process may share it (SharedCache), and then pay for each once.
//
// Bounded: the least recently used go first, and of one name's certificates the one that ends
// first. Verdicts on certificates are made anew after kVerdictS.
// Threads: safe, one lock for a few look-ups; certificates and signatures are checked outside it.
// Trust: whoever shares it believes what the others have verified, so it is for one process only.
#ifndef SOTTO_GOSSIP_VERIFIED_STORE_H_
#define SOTTO_GOSSIP_VERIFIED_STORE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "crypto/certificate.h"
#include "gossip/member.h"
#include "gossip/statement.h"

namespace sotto {

struct VerifiedStoreOptions {
  size_t certificates_max = 65'536;
  size_t certificates_per_name_max = 4;  // renewals overlap; older ones go
  size_t statements_max = 65'536;
  // What members say has a place of its own, so that a flood of it pushes out no membership.
  size_t said_max = 4'096;
};

// A certificate that the trust store accepts for a node.
struct TrustedCertificate {
  CertificateRef certificate;
  CertificateIdentity identity;
  int64_t verdict_until_unix_s = 0;
};
using TrustedCertificateRef = std::shared_ptr<const TrustedCertificate>;

class VerifiedStore {
 public:
  // A verdict on a certificate is made anew after this long: revocation lists and chains run out.
  static constexpr int64_t kVerdictS = 600;

  explicit VerifiedStore(TrustStoreRef trust, VerifiedStoreOptions options = {});

  const TrustStoreRef& trust() const { return trust_; }

  // Null with `*why` OK: it is not held. Null with an error: it is no longer good, and was
  // forgotten.
  TrustedCertificateRef FindTrusted(const Hash256& hash, int64_t now_unix_s, absl::Status* why);
  // Judges and keeps it; null with `*why` if the trust store refuses it.
  TrustedCertificateRef AddCertificate(const CertificateRef& certificate, int64_t now_unix_s,
                                       absl::Status* why);
  // Whatever its verdict's age; null if it is not held.
  CertificateRef FindCertificate(const Hash256& hash);
  bool HoldsCertificate(const Hash256& hash) const;

  StatementRef FindStatement(const Hash256& hash);
  // Returns the one that is held, if another node of this process was quicker.
  StatementRef Remember(StatementRef statement);

  // All certificates, and all statements of membership, the least recently used first.
  std::vector<TrustedCertificateRef> Certificates() const;
  std::vector<StatementRef> Statements() const;
  size_t certificates() const;
  size_t statements() const;

 private:
  struct HashOf {
    size_t operator()(const Hash256& hash) const;
  };
  struct CertificateEntry {
    TrustedCertificateRef trusted;
    std::list<Hash256>::iterator order;
  };
  struct StatementEntry {
    StatementRef statement;
    std::list<Hash256>::iterator order;
  };

  std::list<Hash256>& OrderOf(StatementKind kind) {
    return IsSaidKind(kind) ? said_order_ : statement_order_;
  }
  absl::Status Judge(const CertificateRef& certificate, int64_t now_unix_s,
                     TrustedCertificateRef* verdict) const;
  void Keep(TrustedCertificateRef trusted);
  void Erase(Hash256 hash);  // by value: callers name it by what is erased

  const TrustStoreRef trust_;
  const VerifiedStoreOptions options_;
  mutable std::mutex mutex_;
  // Each with its order of use, the oldest first.
  std::unordered_map<Hash256, CertificateEntry, HashOf> certificates_;
  std::list<Hash256> certificate_order_;
  std::map<std::string, std::vector<Hash256>, std::less<>> certificates_by_name_;
  std::unordered_map<Hash256, StatementEntry, HashOf> statements_;
  std::list<Hash256> statement_order_;  // of membership
  std::list<Hash256> said_order_;       // of what members say
};

// The stores of one process, one for each trust (CA bundle, revocation list, cluster), for as long
// as a node uses it. Threads: safe.
class SharedCache {
 public:
  std::shared_ptr<VerifiedStore> For(const TrustStoreRef& trust);

 private:
  std::mutex mutex_;
  std::map<Hash256, std::weak_ptr<VerifiedStore>> stores_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_VERIFIED_STORE_H_
