#include "gossip/verified_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gossip/statement_codec.h"

namespace sotto {

size_t VerifiedStore::HashOf::operator()(const Hash256& hash) const {
  size_t value = 0;
  std::memcpy(&value, hash.bytes.data(), sizeof value);
  return value;
}

VerifiedStore::VerifiedStore(TrustStoreRef trust, VerifiedStoreOptions options)
    : trust_(std::move(trust)), options_(options) {}

// ---- certificates -------------------------------------------------------------------------------

absl::Status VerifiedStore::Judge(const CertificateRef& certificate, int64_t now_unix_s,
                                  TrustedCertificateRef* verdict) const {
  absl::StatusOr<CertificateIdentity> identity =
      trust_->Verify(*certificate, {}, CertificateRole::kNode, now_unix_s, kCertificateGraceS);
  if (!identity.ok()) return identity.status();
  auto trusted = std::make_shared<TrustedCertificate>();
  trusted->certificate = certificate;
  trusted->identity = *std::move(identity);
  trusted->verdict_until_unix_s =
      std::min(now_unix_s + kVerdictS, certificate->not_after_unix_s() + kCertificateGraceS);
  *verdict = std::move(trusted);
  return absl::OkStatus();
}

TrustedCertificateRef VerifiedStore::FindTrusted(const Hash256& hash, int64_t now_unix_s,
                                                 absl::Status* why) {
  TrustedCertificateRef trusted;
  {
    const std::lock_guard lock(mutex_);
    const auto found = certificates_.find(hash);
    if (found == certificates_.end()) return nullptr;
    certificate_order_.splice(certificate_order_.end(), certificate_order_, found->second.order);
    trusted = found->second.trusted;
  }
  // A verdict also ends if the clock was set back behind the moment it was made.
  if (now_unix_s < trusted->verdict_until_unix_s &&
      now_unix_s >= trusted->verdict_until_unix_s - kVerdictS) {
    return trusted;
  }
  *why = Judge(trusted->certificate, now_unix_s, &trusted);
  const std::lock_guard lock(mutex_);
  if (!why->ok()) {
    Erase(hash);
    return nullptr;
  }
  const auto found = certificates_.find(hash);
  if (found != certificates_.end()) found->second.trusted = trusted;
  return trusted;
}

TrustedCertificateRef VerifiedStore::AddCertificate(const CertificateRef& certificate,
                                                    int64_t now_unix_s, absl::Status* why) {
  const Hash256 hash = certificate->sha256();
  TrustedCertificateRef trusted = FindTrusted(hash, now_unix_s, why);
  if (trusted || !why->ok()) return trusted;
  *why = Judge(certificate, now_unix_s, &trusted);
  if (!why->ok()) return nullptr;
  const std::lock_guard lock(mutex_);
  if (!certificates_.contains(hash)) Keep(trusted);
  return trusted;
}

void VerifiedStore::Keep(TrustedCertificateRef trusted) {
  const Hash256 hash = trusted->certificate->sha256();
  std::vector<Hash256>& of_name = certificates_by_name_[trusted->identity.name];
  certificate_order_.push_back(hash);
  certificates_[hash] = {std::move(trusted), std::prev(certificate_order_.end())};
  of_name.push_back(hash);
  if (of_name.size() > options_.certificates_per_name_max) {
    // The one that ends first; the oldest here where that is the new one.
    const auto end_of = [this](const Hash256& h) {
      return certificates_.at(h).trusted->certificate->not_after_unix_s();
    };
    const Hash256 first = *std::min_element(
        of_name.begin(), of_name.end(),
        [&](const Hash256& a, const Hash256& b) { return end_of(a) < end_of(b); });
    Erase(first == hash ? of_name.front() : first);
  }
  while (certificates_.size() > options_.certificates_max) {
    const Hash256 oldest = certificate_order_.front();
    Erase(oldest);
  }
}

void VerifiedStore::Erase(Hash256 hash) {
  const auto found = certificates_.find(hash);
  if (found == certificates_.end()) return;
  const auto of_name = certificates_by_name_.find(found->second.trusted->identity.name);
  std::erase(of_name->second, hash);
  if (of_name->second.empty()) certificates_by_name_.erase(of_name);
  certificate_order_.erase(found->second.order);
  certificates_.erase(found);
}

CertificateRef VerifiedStore::FindCertificate(const Hash256& hash) {
  const std::lock_guard lock(mutex_);
  const auto found = certificates_.find(hash);
  if (found == certificates_.end()) return nullptr;
  certificate_order_.splice(certificate_order_.end(), certificate_order_, found->second.order);
  return found->second.trusted->certificate;
}

bool VerifiedStore::HoldsCertificate(const Hash256& hash) const {
  const std::lock_guard lock(mutex_);
  return certificates_.contains(hash);
}

std::vector<TrustedCertificateRef> VerifiedStore::Certificates() const {
  const std::lock_guard lock(mutex_);
  std::vector<TrustedCertificateRef> all;
  for (const Hash256& hash : certificate_order_) all.push_back(certificates_.at(hash).trusted);
  return all;
}

size_t VerifiedStore::certificates() const {
  const std::lock_guard lock(mutex_);
  return certificates_.size();
}

// ---- statements ---------------------------------------------------------------------------------

StatementRef VerifiedStore::FindStatement(const Hash256& hash) {
  const std::lock_guard lock(mutex_);
  const auto found = statements_.find(hash);
  if (found == statements_.end()) return nullptr;
  std::list<Hash256>& order = OrderOf(found->second.statement->kind);
  order.splice(order.end(), order, found->second.order);
  return found->second.statement;
}

StatementRef VerifiedStore::Remember(StatementRef statement) {
  const std::lock_guard lock(mutex_);
  if (const auto known = statements_.find(statement->hash); known != statements_.end()) {
    std::list<Hash256>& order = OrderOf(statement->kind);
    order.splice(order.end(), order, known->second.order);
    return known->second.statement;
  }
  std::list<Hash256>& order = OrderOf(statement->kind);
  order.push_back(statement->hash);
  statements_[statement->hash] = {statement, std::prev(order.end())};
  const size_t most = IsSaidKind(statement->kind) ? options_.said_max : options_.statements_max;
  while (order.size() > most) {
    statements_.erase(order.front());
    order.pop_front();
  }
  return statement;
}

std::vector<StatementRef> VerifiedStore::Statements() const {
  const std::lock_guard lock(mutex_);
  std::vector<StatementRef> all;
  for (const Hash256& hash : statement_order_) all.push_back(statements_.at(hash).statement);
  return all;
}

size_t VerifiedStore::statements() const {
  const std::lock_guard lock(mutex_);
  return statements_.size();
}

// ---- one process --------------------------------------------------------------------------------

std::shared_ptr<VerifiedStore> SharedCache::For(const TrustStoreRef& trust) {
  const std::lock_guard lock(mutex_);
  std::erase_if(stores_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<VerifiedStore>& held = stores_[trust->fingerprint()];
  std::shared_ptr<VerifiedStore> store = held.lock();
  if (!store) {
    store = std::make_shared<VerifiedStore>(trust);
    held = store;
  }
  return store;
}

}  // namespace sotto
