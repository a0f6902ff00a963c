#include "tests/sim/network.h"

#include <algorithm>

namespace sotto::sim {
namespace {

// A lost segment is sent again after this long (Linux's least retransmission time), at most this
// often in a row.
constexpr Duration kSegmentRetry = Duration::Millis(200);
constexpr int kSegmentRetriesMax = 6;

}  // namespace

Network::Network(uint32_t addresses, uint64_t seed)
    : addresses_(addresses),
      cut_(size_t{addresses} * addresses, false),
      loss_(seed ^ 0x6c6f7373),
      delay_(seed ^ 0x64656c6179),
      duplicate_(seed ^ 0x647570) {}

void Network::SetAll(const LinkQuality& quality) {
  all_ = quality;
  own_.clear();
}

void Network::Set(uint32_t from, uint32_t to, const LinkQuality& quality) {
  own_[{from, to}] = quality;
}

const LinkQuality& Network::Quality(uint32_t from, uint32_t to) const {
  if (own_.empty()) return all_;
  auto found = own_.find({from, to});
  return found == own_.end() ? all_ : found->second;
}

void Network::CutOneWay(uint32_t from, uint32_t to) { cut_[Index(from, to)] = true; }

void Network::CutBoth(uint32_t a, uint32_t b) {
  CutOneWay(a, b);
  CutOneWay(b, a);
}

void Network::Split(const std::vector<std::vector<uint32_t>>& groups) {
  for (const auto& left : groups) {
    for (const auto& right : groups) {
      if (&left == &right) continue;
      for (uint32_t a : left) {
        for (uint32_t b : right) CutOneWay(a, b);
      }
    }
  }
}

void Network::Isolate(uint32_t address) {
  for (uint32_t other = 0; other < addresses_; ++other) {
    if (other != address) CutBoth(address, other);
  }
}

void Network::Mend(uint32_t from, uint32_t to) { cut_[Index(from, to)] = false; }

void Network::MendAll() { std::fill(cut_.begin(), cut_.end(), false); }

bool Network::IsCut(uint32_t from, uint32_t to) const { return cut_[Index(from, to)]; }

Network::Fate Network::Draw(uint32_t from, uint32_t to) {
  // Every draw is made, whatever comes of it: a cut does not shift the luck of other datagrams.
  const LinkQuality& quality = Quality(from, to);
  Fate fate;
  bool lost = loss_.Chance(static_cast<uint64_t>(quality.loss_percent), 100);
  bool doubled = duplicate_.Chance(static_cast<uint64_t>(quality.duplicate_percent), 100);
  for (Duration& delay : fate.delays) {
    delay = delay_.Between(quality.delay_min, quality.delay_max);
  }
  fate.cut = IsCut(from, to);
  if (!lost && !fate.cut) fate.copies = doubled ? 2 : 1;
  return fate;
}

Duration Network::StreamDelay(uint32_t from, uint32_t to) {
  const LinkQuality& quality = Quality(from, to);
  Duration delay = delay_.Between(quality.delay_min, quality.delay_max);
  Duration retry = kSegmentRetry;
  for (int i = 0; i < kSegmentRetriesMax; ++i, retry = retry * 2) {
    if (!loss_.Chance(static_cast<uint64_t>(quality.loss_percent), 100)) break;
    delay += retry;
  }
  return delay;
}

}  // namespace sotto::sim
