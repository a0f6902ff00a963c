// Raw statements to verified ones, each verified once; certificates on demand (design W8).
//
// Holds what waits for a certificate; certificates and verified statements lie in a VerifiedStore,
// its own or one that nodes of this process share. All of it is bounded: only certificates that the
// trust store accepts for a node are kept, a few for each name; waiting statements are limited in
// number, in bytes and for each signer they name. Verdicts hold for one trust store and at most
// VerifiedStore::kVerdictS; a new store redoes them all. A statement brings its signer's leaf
// alone: intermediates, if any, stand in the CA bundle. A table of more than pending_max statements
// is resolved again once its certificates have come. Threads: none; the node's strand owns it.
#ifndef SOTTO_GOSSIP_STATEMENT_CACHE_H_
#define SOTTO_GOSSIP_STATEMENT_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
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
#include "gossip/verified_store.h"

namespace sotto {

struct StatementCacheOptions {
  VerifiedStoreOptions verified;  // where the store is its own
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
  // A signer whose certificate the new trust store refuses.
  struct Refused {
    std::string name;
    Hash256 certificate;
    absl::Status why;
  };

  // `shared` null: a store of its own.
  explicit StatementCache(TrustStoreRef trust, StatementCacheOptions options = {},
                          std::shared_ptr<SharedCache> shared = nullptr);

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

  // Redoes all verdicts, in another store; who else uses the former is not touched. The refused are
  // forgotten with all they signed; the caller tells what follows.
  std::vector<Refused> SetTrust(TrustStoreRef trust, int64_t now_unix_s);
  const TrustStoreRef& trust() const { return store_->trust(); }

  size_t certificates() const { return store_->certificates(); }
  size_t statements() const { return store_->statements(); }
  size_t pending() const { return pending_.size(); }
  size_t pending_bytes() const { return pending_bytes_; }
  // Signature checks made since the start: what the cache exists to keep low.
  uint64_t signatures_checked() const { return signatures_checked_; }

 private:
  struct HashOf {
    size_t operator()(const Hash256& hash) const;
  };
  struct Pending {
    UnverifiedStatement parsed;
    std::list<Hash256>::iterator order;
  };

  std::shared_ptr<VerifiedStore> StoreFor(const TrustStoreRef& trust) const;
  StatementResult VerifyNow(UnverifiedStatement parsed, const TrustedCertificate& signer);
  void Wait(UnverifiedStatement parsed);
  std::vector<UnverifiedStatement> TakePendingFor(const Hash256& certificate);
  void ErasePending(const Hash256& statement);
  std::vector<StatementRef> ReleaseFor(const TrustedCertificate& trusted);

  const StatementCacheOptions options_;
  const std::shared_ptr<SharedCache> shared_;
  std::shared_ptr<VerifiedStore> store_;

  std::unordered_map<Hash256, Pending, HashOf> pending_;  // by the statement's hash
  std::list<Hash256> pending_order_;
  std::unordered_multimap<Hash256, Hash256, HashOf> pending_by_certificate_;
  std::map<std::string, size_t, std::less<>> pending_by_signer_;
  size_t pending_bytes_ = 0;
  uint64_t signatures_checked_ = 0;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_STATEMENT_CACHE_H_
