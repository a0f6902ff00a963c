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

StatementCache::StatementCache(TrustStoreRef trust, StatementCacheOptions options)
    : trust_(std::move(trust)), options_(options) {}

// ---- statements ---------------------------------------------------------------------------------

StatementResult StatementCache::Resolve(std::string_view bytes, int64_t now_unix_s) {
  if (const auto known = statements_.find(Sha256(bytes)); known != statements_.end()) {
    const StatementRef statement = known->second.statement;
    absl::Status why;
    if (FindTrusted(statement->certificate, now_unix_s, &why) != nullptr) {
      statement_order_.splice(statement_order_.end(), statement_order_, known->second.order);
      return StatementVerified{statement, false};
    }
    // Its certificate was pushed out (ask for it again) or is no longer good.
    if (!why.ok()) return StatementDropped{DropReason::kUnknownCertificate, why};
  }
  UnverifiedStatement parsed;
  const DropReason reason = ParseStatement(bytes, &parsed);
  if (reason != DropReason::kNone) return StatementDropped{reason, absl::OkStatus()};
  if (parsed.cluster != trust_->cluster()) {
    return StatementDropped{DropReason::kSemantic, absl::OkStatus()};
  }
  absl::Status why;
  const CertificateEntry* signer = FindTrusted(parsed.statement.certificate, now_unix_s, &why);
  if (signer != nullptr) return VerifyNow(std::move(parsed), *signer);
  if (!why.ok()) return StatementDropped{DropReason::kUnknownCertificate, why};
  const StatementNeedsCertificate needs{parsed.statement.certificate, parsed.statement.signer};
  Wait(std::move(parsed));
  return needs;
}

StatementResult StatementCache::VerifyNow(UnverifiedStatement parsed,
                                          const CertificateEntry& signer) {
  ++signatures_checked_;
  const DropReason reason =
      VerifyStatementBy(parsed, *signer.certificate, signer.identity, *trust_);
  if (reason != DropReason::kNone) return StatementDropped{reason, absl::OkStatus()};
  const auto statement = std::make_shared<const Statement>(std::move(parsed.statement));
  Remember(statement);
  return StatementVerified{statement, true};
}

void StatementCache::AddOwn(const StatementRef& statement) { Remember(statement); }

void StatementCache::Remember(const StatementRef& statement) {
  if (const auto known = statements_.find(statement->hash); known != statements_.end()) {
    statement_order_.splice(statement_order_.end(), statement_order_, known->second.order);
    return;
  }
  statement_order_.push_back(statement->hash);
  statements_[statement->hash] = {statement, std::prev(statement_order_.end())};
  while (statements_.size() > options_.statements_max) {
    statements_.erase(statement_order_.front());
    statement_order_.pop_front();
  }
}

void StatementCache::EraseStatementsOf(const Hash256& certificate) {
  std::erase_if(statements_, [&](const auto& item) {
    if (item.second.statement->certificate != certificate) return false;
    statement_order_.erase(item.second.order);
    return true;
  });
}

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

absl::Status StatementCache::Judge(CertificateEntry& entry, int64_t now_unix_s) const {
  absl::StatusOr<CertificateIdentity> identity = trust_->Verify(
      *entry.certificate, {}, CertificateRole::kNode, now_unix_s, kCertificateGraceS);
  if (!identity.ok()) return identity.status();
  entry.identity = *std::move(identity);
  entry.verdict_until_unix_s =
      std::min(now_unix_s + kVerdictS, entry.certificate->not_after_unix_s() + kCertificateGraceS);
  return absl::OkStatus();
}

// Null with `*why` OK: it is not held. Null with an error: it is no longer good, and was forgotten.
StatementCache::CertificateEntry* StatementCache::FindTrusted(const Hash256& hash,
                                                              int64_t now_unix_s,
                                                              absl::Status* why) {
  const auto found = certificates_.find(hash);
  if (found == certificates_.end()) return nullptr;
  CertificateEntry& entry = found->second;
  // A verdict also ends if the clock was set back behind the moment it was made.
  if (now_unix_s >= entry.verdict_until_unix_s ||
      now_unix_s < entry.verdict_until_unix_s - kVerdictS) {
    *why = Judge(entry, now_unix_s);
    if (!why->ok()) {
      EraseCertificate(hash);
      return nullptr;
    }
  }
  certificate_order_.splice(certificate_order_.end(), certificate_order_, entry.order);
  return &entry;
}

absl::StatusOr<std::vector<StatementRef>> StatementCache::AddCertificate(std::string_view der,
                                                                         int64_t now_unix_s) {
  absl::StatusOr<CertificateRef> certificate = Certificate::FromDer(AsBytes(der));
  if (!certificate.ok()) return certificate.status();
  return AddCertificate(*certificate, now_unix_s);
}

absl::StatusOr<std::vector<StatementRef>> StatementCache::AddCertificate(
    const CertificateRef& certificate, int64_t now_unix_s) {
  const Hash256 hash = certificate->sha256();
  absl::Status why;
  if (FindTrusted(hash, now_unix_s, &why) == nullptr) {
    CertificateEntry entry;
    entry.certificate = certificate;
    if (why.ok()) why = Judge(entry, now_unix_s);
    if (!why.ok()) {
      TakePendingFor(hash);  // nothing will ever vouch for them
      return why;
    }
    KeepCertificate(std::move(entry));
  }
  std::vector<StatementRef> verified;
  for (UnverifiedStatement& parsed : TakePendingFor(hash)) {
    const StatementResult result = VerifyNow(std::move(parsed), certificates_.at(hash));
    if (const auto* good = std::get_if<StatementVerified>(&result)) {
      verified.push_back(good->statement);
    }
  }
  return verified;
}

void StatementCache::KeepCertificate(CertificateEntry entry) {
  const Hash256 hash = entry.certificate->sha256();
  const std::string name = entry.identity.name;
  certificate_order_.push_back(hash);
  entry.order = std::prev(certificate_order_.end());
  certificates_.insert_or_assign(hash, std::move(entry));
  std::vector<Hash256>& of_name = certificates_by_name_[name];
  of_name.push_back(hash);
  if (of_name.size() > options_.certificates_per_name_max) {
    // The one that ends first; the new one itself if it is the oldest.
    const Hash256 first = *std::min_element(
        of_name.begin(), of_name.end(), [this](const Hash256& a, const Hash256& b) {
          return certificates_.at(a).certificate->not_after_unix_s() <
                 certificates_.at(b).certificate->not_after_unix_s();
        });
    EraseCertificate(first == hash ? of_name.front() : first);
  }
  while (certificates_.size() > options_.certificates_max) {
    const Hash256 oldest = certificate_order_.front();
    EraseCertificate(oldest);
  }
}

void StatementCache::EraseCertificate(const Hash256& hash) {
  const auto found = certificates_.find(hash);
  if (found == certificates_.end()) return;
  const auto of_name = certificates_by_name_.find(found->second.identity.name);
  std::erase(of_name->second, hash);
  if (of_name->second.empty()) certificates_by_name_.erase(of_name);
  certificate_order_.erase(found->second.order);
  certificates_.erase(found);
}

CertificateRef StatementCache::FindCertificate(const Hash256& hash) {
  const auto found = certificates_.find(hash);
  if (found == certificates_.end()) return nullptr;
  certificate_order_.splice(certificate_order_.end(), certificate_order_, found->second.order);
  return found->second.certificate;
}

bool StatementCache::HoldsCertificate(const Hash256& hash) const {
  return certificates_.contains(hash);
}

std::vector<StatementCache::Refused> StatementCache::SetTrust(TrustStoreRef trust,
                                                              int64_t now_unix_s) {
  trust_ = std::move(trust);
  std::vector<Refused> refused;
  for (auto& [hash, entry] : certificates_) {
    const absl::Status verdict = Judge(entry, now_unix_s);
    if (!verdict.ok()) refused.push_back({entry.identity.name, hash, verdict});
  }
  for (const Refused& one : refused) {
    EraseStatementsOf(one.certificate);
    EraseCertificate(one.certificate);
  }
  std::sort(refused.begin(), refused.end(), [](const Refused& a, const Refused& b) {
    return std::tie(a.name, a.certificate) < std::tie(b.name, b.certificate);
  });
  return refused;
}

}  // namespace sotto
