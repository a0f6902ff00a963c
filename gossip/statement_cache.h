// Raw statements to verified ones, each verified once; certificates on demand (design W8).
//
// Holds the certificates of the cluster's nodes (relayed on request), verified statements by hash,
// and statements that wait for a certificate. All of it is bounded: only certificates that the
// trust store accepts for a node are kept, a few for each name; waiting statements are limited in
// number, in bytes and for each signer they name. Verdicts hold for one trust store and at most
// kVerdictS; a new store redoes them all. A statement brings its signer's leaf alone:
// intermediates, if any, stand in the CA bundle. A table of more than pending_max statements is
// resolved again once its certificates have come. Threads: none; the node's strand owns it.
#ifndef SOTTO_GOSSIP_STATEMENT_CACHE_H_
#define SOTTO_GOSSIP_STATEMENT_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/certificate.h"
#include "crypto/frame_codec.h"
#include "gossip/statement.h"
#include "gossip/statement_codec.h"

namespace sotto {

struct StatementCacheOptions {
  size_t certificates_max = 65'536;
  size_t certificates_per_name_max = 4;  // renewals overlap; older ones go
  size_t statements_max = 65'536;
  size_t pending_max = 1'024;
  size_t pending_bytes_max = 512 * 1024;
  size_t pending_per_signer_max = 16;
};

struct StatementVerified {
  StatementRef statement;
  bool fresh = false;  // verified by this call, not remembered
};
// Ask for it, from whoever sent the statement; the statement waits.
struct StatementNeedsCertificate {
  Hash256 certificate;
  std::string signer;  // as claimed; not verified
};
struct StatementDropped {
  DropReason reason = DropReason::kNone;
  absl::Status why;  // the certificate's code, where that was the reason
};
using StatementResult =
    std::variant<StatementVerified, StatementNeedsCertificate, StatementDropped>;

class StatementCache {
 public:
  // A verdict on a certificate is made anew after this long: revocation lists and chains run out.
  static constexpr int64_t kVerdictS = 600;

  // A signer whose certificate the new trust store refuses.
  struct Refused {
    std::string name;
    Hash256 certificate;
    absl::Status why;
  };

  explicit StatementCache(TrustStoreRef trust, StatementCacheOptions options = {});

  // One statement from the network, byte for byte.
  StatementResult Resolve(std::string_view bytes, int64_t now_unix_s);

  // A certificate from the network, or of a TLS peer. The statements that waited for it and are now
  // verified; or the trust store's status, in which case those that waited for it are dropped.
  absl::StatusOr<std::vector<StatementRef>> AddCertificate(std::string_view der,
                                                           int64_t now_unix_s);
  absl::StatusOr<std::vector<StatementRef>> AddCertificate(const CertificateRef& certificate,
                                                           int64_t now_unix_s);

  // Remembers a statement of our own making, so that its echoes cost nothing; our certificate must
  // have been added.
  void AddOwn(const StatementRef& statement);

  // Null if it is not held. Relays answer requests from here.
  CertificateRef FindCertificate(const Hash256& hash);
  bool HoldsCertificate(const Hash256& hash) const;

  // Redoes all verdicts. The refused are forgotten with all they signed; the caller tells what
  // follows.
  std::vector<Refused> SetTrust(TrustStoreRef trust, int64_t now_unix_s);
  const TrustStoreRef& trust() const { return trust_; }

  size_t certificates() const { return certificates_.size(); }
  size_t statements() const { return statements_.size(); }
  size_t pending() const { return pending_.size(); }
  size_t pending_bytes() const { return pending_bytes_; }
  // Signature checks made since the start: what the cache exists to keep low.
  uint64_t signatures_checked() const { return signatures_checked_; }

 private:
  struct HashOf {
    size_t operator()(const Hash256& hash) const;
  };
  struct CertificateEntry {
    CertificateRef certificate;
    CertificateIdentity identity;
    int64_t verdict_until_unix_s = 0;
    std::list<Hash256>::iterator order;
  };
  struct StatementEntry {
    StatementRef statement;
    std::list<Hash256>::iterator order;
  };
  struct Pending {
    UnverifiedStatement parsed;
    std::list<Hash256>::iterator order;
  };
  using CertificateMap = std::unordered_map<Hash256, CertificateEntry, HashOf>;

  absl::Status Judge(CertificateEntry& entry, int64_t now_unix_s) const;
  CertificateEntry* FindTrusted(const Hash256& hash, int64_t now_unix_s, absl::Status* why);
  StatementResult VerifyNow(UnverifiedStatement parsed, const CertificateEntry& signer);
  void Remember(const StatementRef& statement);
  void Wait(UnverifiedStatement parsed);
  std::vector<UnverifiedStatement> TakePendingFor(const Hash256& certificate);
  void ErasePending(const Hash256& statement);
  void EraseCertificate(const Hash256& hash);
  void EraseStatementsOf(const Hash256& certificate);
  void KeepCertificate(CertificateEntry entry);

  TrustStoreRef trust_;
  StatementCacheOptions options_;

  // Each with its order of use, the oldest first.
  CertificateMap certificates_;
  std::list<Hash256> certificate_order_;
  std::map<std::string, std::vector<Hash256>, std::less<>> certificates_by_name_;
  std::unordered_map<Hash256, StatementEntry, HashOf> statements_;
  std::list<Hash256> statement_order_;
  std::unordered_map<Hash256, Pending, HashOf> pending_;  // by the statement's hash
  std::list<Hash256> pending_order_;
  std::unordered_multimap<Hash256, Hash256, HashOf> pending_by_certificate_;
  std::map<std::string, size_t, std::less<>> pending_by_signer_;
  size_t pending_bytes_ = 0;
  uint64_t signatures_checked_ = 0;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_STATEMENT_CACHE_H_
