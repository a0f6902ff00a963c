#include "gossip/statement_cache.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

#include "crypto/sha256.h"
#include "gossip/base/check.h"

namespace sotto {
namespace {

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

size_t StatementCache::HashOf::operator()(const Hash256& hash) const {
  size_t value = 0;
  std::memcpy(&value, hash.bytes.data(), sizeof value);
  return value;
}

StatementCache::StatementCache(TrustStoreRef trust, StatementCacheOptions options,
                               std::shared_ptr<SharedCache> shared)
    : options_(options), shared_(std::move(shared)), store_(StoreFor(trust)) {}

std::shared_ptr<VerifiedStore> StatementCache::StoreFor(const TrustStoreRef& trust) const {
  return shared_ ? shared_->For(trust) : std::make_shared<VerifiedStore>(trust, options_.verified);
}

// ---- statements ---------------------------------------------------------------------------------

StatementResult StatementCache::Resolve(std::string_view bytes, int64_t now_unix_s) {
  if (const StatementRef statement = store_->FindStatement(Sha256(bytes))) {
    absl::Status why;
    if (store_->FindTrusted(statement->certificate, now_unix_s, &why) != nullptr) {
      return StatementVerified{statement, false};
    }
    // Its certificate was pushed out (ask for it again) or is no longer good.
    if (!why.ok()) return StatementDropped{DropReason::kUnknownCertificate, why};
  }
  UnverifiedStatement parsed;
  const DropReason reason = ParseStatement(bytes, &parsed);
  if (reason != DropReason::kNone) return StatementDropped{reason, absl::OkStatus()};
  if (parsed.cluster != trust()->cluster()) {
    return StatementDropped{DropReason::kSemantic, absl::OkStatus()};
  }
  absl::Status why;
  const TrustedCertificateRef signer =
      store_->FindTrusted(parsed.statement.certificate, now_unix_s, &why);
  if (signer != nullptr) return VerifyNow(std::move(parsed), *signer);
  if (!why.ok()) return StatementDropped{DropReason::kUnknownCertificate, why};
  const StatementNeedsCertificate needs{parsed.statement.certificate, parsed.statement.signer};
  Wait(std::move(parsed));
  return needs;
}

StatementResult StatementCache::VerifyNow(UnverifiedStatement parsed,
                                          const TrustedCertificate& signer) {
  ++signatures_checked_;
  const DropReason reason =
      VerifyStatementBy(parsed, *signer.certificate, signer.identity, *trust());
  if (reason != DropReason::kNone) return StatementDropped{reason, absl::OkStatus()};
  const StatementRef statement =
      store_->Remember(std::make_shared<const Statement>(std::move(parsed.statement)));
  return StatementVerified{statement, true};
}

void StatementCache::AddOwn(const StatementRef& statement) { store_->Remember(statement); }

// ---- what waits for a certificate ---------------------------------------------------------------

void StatementCache::Wait(UnverifiedStatement parsed) {
  const Hash256 hash = parsed.statement.hash;
  const size_t size = parsed.statement.bytes.size();
  if (pending_.contains(hash) || size > options_.pending_bytes_max) return;
  // The claimed signer is not verified, so that its share bounds repetition, not malice; gossip
  // brings back what is turned away here.
  size_t& of_signer = pending_by_signer_[parsed.statement.signer];
  if (of_signer >= options_.pending_per_signer_max) return;
  ++of_signer;
  pending_bytes_ += size;
  pending_by_certificate_.emplace(parsed.statement.certificate, hash);
  pending_order_.push_back(hash);
  pending_[hash] = {std::move(parsed), std::prev(pending_order_.end())};
  while (pending_.size() > options_.pending_max || pending_bytes_ > options_.pending_bytes_max) {
    const Hash256 oldest = pending_order_.front();
    ErasePending(oldest);
  }
}

void StatementCache::ErasePending(const Hash256& hash) {
  const auto found = pending_.find(hash);
  if (found == pending_.end()) return;
  const Statement& statement = found->second.parsed.statement;
  pending_bytes_ -= statement.bytes.size();
  const auto of_signer = pending_by_signer_.find(statement.signer);
  if (--of_signer->second == 0) pending_by_signer_.erase(of_signer);
  const auto range = pending_by_certificate_.equal_range(statement.certificate);
  for (auto it = range.first; it != range.second; ++it) {
    if (it->second != hash) continue;
    pending_by_certificate_.erase(it);
    break;
  }
  pending_order_.erase(found->second.order);
  pending_.erase(found);
}

std::vector<UnverifiedStatement> StatementCache::TakePendingFor(const Hash256& certificate) {
  std::vector<Hash256> hashes;
  const auto range = pending_by_certificate_.equal_range(certificate);
  for (auto it = range.first; it != range.second; ++it) hashes.push_back(it->second);
  std::vector<UnverifiedStatement> taken;
  for (const Hash256& hash : hashes) {
    taken.push_back(pending_.at(hash).parsed);
    ErasePending(hash);
  }
  return taken;
}

// ---- certificates -------------------------------------------------------------------------------

absl::StatusOr<std::vector<StatementRef>> StatementCache::AddCertificate(std::string_view der,
                                                                         int64_t now_unix_s) {
  // Most of what comes is held already, and parsing costs more than the rest.
  absl::Status why;
  if (const auto known = store_->FindTrusted(Sha256(der), now_unix_s, &why)) {
    return ReleaseFor(*known);
  }
  absl::StatusOr<CertificateRef> certificate = Certificate::FromDer(AsBytes(der));
  if (!certificate.ok()) return certificate.status();
  return AddCertificate(*certificate, now_unix_s);
}

absl::StatusOr<std::vector<StatementRef>> StatementCache::AddCertificate(
    const CertificateRef& certificate, int64_t now_unix_s) {
  absl::Status why;
  const TrustedCertificateRef trusted = store_->AddCertificate(certificate, now_unix_s, &why);
  if (trusted == nullptr) {
    TakePendingFor(certificate->sha256());  // nothing will ever vouch for them
    return why;
  }
  return ReleaseFor(*trusted);
}

std::vector<StatementRef> StatementCache::ReleaseFor(const TrustedCertificate& trusted) {
  std::vector<StatementRef> verified;
  for (UnverifiedStatement& parsed : TakePendingFor(trusted.certificate->sha256())) {
    const StatementResult result = VerifyNow(std::move(parsed), trusted);
    if (const auto* good = std::get_if<StatementVerified>(&result)) {
      verified.push_back(good->statement);
    }
  }
  return verified;
}

CertificateRef StatementCache::FindCertificate(const Hash256& hash) {
  return store_->FindCertificate(hash);
}

bool StatementCache::HoldsCertificate(const Hash256& hash) const {
  return store_->HoldsCertificate(hash);
}

std::vector<StatementCache::Refused> StatementCache::SetTrust(TrustStoreRef trust,
                                                              int64_t now_unix_s) {
  const std::shared_ptr<VerifiedStore> former = std::exchange(store_, StoreFor(trust));
  std::vector<Refused> refused;
  for (const TrustedCertificateRef& held : former->Certificates()) {
    absl::Status verdict;
    if (store_->AddCertificate(held->certificate, now_unix_s, &verdict) == nullptr) {
      refused.push_back({held->identity.name, held->certificate->sha256(), verdict});
    }
  }
  std::sort(refused.begin(), refused.end(), [](const Refused& a, const Refused& b) {
    return std::tie(a.name, a.certificate) < std::tie(b.name, b.certificate);
  });
  const auto is_refused = [&refused](const Hash256& certificate) {
    return std::any_of(refused.begin(), refused.end(),
                       [&](const Refused& one) { return one.certificate == certificate; });
  };
  for (const StatementRef& statement : former->Statements()) {
    if (!is_refused(statement->certificate)) store_->Remember(statement);
  }
  return refused;
}

}  // namespace sotto
