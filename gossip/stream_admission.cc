#include "gossip/stream_admission.h"

#include <utility>

namespace sotto {

StreamAdmission::Place::Place(std::shared_ptr<Count> count, std::string key)
    : count_(std::move(count)), key_(std::move(key)) {
  ++count_->total;
  ++count_->by_key[key_];
}

StreamAdmission::Place::~Place() {
  if (!count_) return;
  --count_->total;
  const auto it = count_->by_key.find(key_);
  if (--it->second == 0) count_->by_key.erase(it);
}

StreamAdmission::Place& StreamAdmission::Place::operator=(Place&& other) noexcept {
  std::swap(count_, other.count_);
  std::swap(key_, other.key_);
  return *this;
}

StreamAdmission::Place StreamAdmission::Admit(const std::shared_ptr<Count>& count,
                                              const std::string& key, size_t total_max,
                                              size_t per_key_max) {
  const auto it = count->by_key.find(key);
  const size_t of_key = it != count->by_key.end() ? it->second : 0;
  if (count->total >= total_max || of_key >= per_key_max) return {};
  return Place(count, key);
}

StreamAdmission::Place StreamAdmission::AdmitAddress(const std::string& address) {
  return Admit(unknown_, address, kUnknownMax, kUnknownPerAddressMax);
}

StreamAdmission::Place StreamAdmission::AdmitName(const std::string& name) {
  return Admit(known_, name, kKnownMax, kKnownPerNameMax);
}

StreamAdmission::Place StreamAdmission::AdmitSync() {
  return Admit(syncs_, std::string(), kSyncsMax, kSyncsMax);
}

}  // namespace sotto
