#include "gossip/signer_record.h"

#include <algorithm>

namespace sotto {

SignerRecords::SignerRecords(int burst, int per_s)
    : token_(Duration::Seconds(1) / per_s), bucket_(token_ * burst) {}

bool SignerRecords::TakeToken(Instant now, std::string_view signer) {
  Record& record = RecordOf(now, signer);
  const Instant full_at = std::max(record.full_at, now) + token_;
  if (full_at - now > bucket_) return false;
  record.full_at = full_at;
  return true;
}

bool SignerRecords::IsDiscredited(Instant now, std::string_view signer) const {
  const auto it = records_.find(signer);
  return it != records_.end() && IsDiscredited(now, it->second);
}

void SignerRecords::Refuted(Instant now, std::string_view signer) {
  Record& record = RecordOf(now, signer);
  record.refuted_at = now;
  if (record.refuted_in_a_row < kOutcomes) ++record.refuted_in_a_row;
}

void SignerRecords::Confirmed(Instant now, std::string_view signer) {
  RecordOf(now, signer).refuted_in_a_row = 0;
}

SignerRecords::Record& SignerRecords::RecordOf(Instant now, std::string_view signer) {
  auto it = records_.find(signer);
  if (it == records_.end()) {
    if (records_.size() >= kSignersMax) {
      records_.erase(std::min_element(records_.begin(), records_.end(), [](auto& a, auto& b) {
        return a.second.used_at < b.second.used_at;
      }));
    }
    it = records_.emplace(signer, Record{now, now, now, 0}).first;
  }
  it->second.used_at = now;
  return it->second;
}

bool SignerRecords::IsDiscredited(Instant now, const Record& record) {
  return record.refuted_in_a_row >= kOutcomes && now < record.refuted_at + kDiscredit;
}

}  // namespace sotto
