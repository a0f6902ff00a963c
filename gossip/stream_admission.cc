#include "gossip/stream_admission.h"

#include <utility>

namespace sotto {

StreamAdmission::Place::Place(size_t* total, std::map<std::string, size_t>* by_key, std::string key)
    : total_(total), by_key_(by_key), key_(std::move(key)) {
  ++*total_;
  if (by_key_ != nullptr) ++(*by_key_)[key_];
}

StreamAdmission::Place::~Place() {
  if (total_ == nullptr) return;
  --*total_;
  if (by_key_ == nullptr) return;
  const auto it = by_key_->find(key_);
  if (--it->second == 0) by_key_->erase(it);
}

StreamAdmission::Place::Place(Place&& other) noexcept
    : total_(std::exchange(other.total_, nullptr)),
      by_key_(other.by_key_),
      key_(std::move(other.key_)) {}

StreamAdmission::Place& StreamAdmission::Place::operator=(Place&& other) noexcept {
  std::swap(total_, other.total_);
  std::swap(by_key_, other.by_key_);
  std::swap(key_, other.key_);
  return *this;
}

StreamAdmission::Place StreamAdmission::AdmitAddress(const std::string& address) {
  const auto it = by_address_.find(address);
  if (unknown_ >= kUnknownMax || (it != by_address_.end() && it->second >= kUnknownPerAddressMax)) {
    return {};
  }
  return Place(&unknown_, &by_address_, address);
}

StreamAdmission::Place StreamAdmission::AdmitName(const std::string& name) {
  const auto it = by_name_.find(name);
  if (known_ >= kKnownMax || (it != by_name_.end() && it->second >= kKnownPerNameMax)) return {};
  return Place(&known_, &by_name_, name);
}

StreamAdmission::Place StreamAdmission::AdmitSync() {
  if (syncs_ >= kSyncsMax) return {};
  return Place(&syncs_, nullptr, std::string());
}

}  // namespace sotto
