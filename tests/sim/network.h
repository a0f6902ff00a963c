// The simulated network: what becomes of a datagram between two addresses.
//
// State is kept for each directed pair, so that any asymmetry can be played: loss, delay (whose
// spread reorders), duplication, cuts. One generator for each concern, so that choices do not
// correlate. Threads: none. Units: percent, and Duration of one way.
#ifndef SOTTO_TESTS_SIM_NETWORK_H_
#define SOTTO_TESTS_SIM_NETWORK_H_

#include <array>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "gossip/rng.h"
#include "gossip/time.h"

namespace sotto::sim {

// How one direction of one pair behaves while it is not cut.
struct LinkQuality {
  int loss_percent = 0;
  int duplicate_percent = 0;
  Duration delay_min = Duration::Micros(200);
  Duration delay_max = Duration::Millis(1);
};

class Network {
 public:
  Network(uint32_t addresses, uint64_t seed);

  // The quality of every pair without one of its own; forgets those.
  void SetAll(const LinkQuality& quality);
  void Set(uint32_t from, uint32_t to, const LinkQuality& quality);
  const LinkQuality& Quality(uint32_t from, uint32_t to) const;

  // One direction, both directions, everything between the groups, everything of one address.
  void CutOneWay(uint32_t from, uint32_t to);
  void CutBoth(uint32_t a, uint32_t b);
  void Split(const std::vector<std::vector<uint32_t>>& groups);
  void Isolate(uint32_t address);
  void Mend(uint32_t from, uint32_t to);
  void MendAll();
  bool IsCut(uint32_t from, uint32_t to) const;

  // The copies of one datagram that arrive, each after its delay.
  struct Fate {
    int copies = 0;
    std::array<Duration, 2> delays{};
    bool cut = false;
  };
  Fate Draw(uint32_t from, uint32_t to);

  // One way of a reliable byte stream: lost segments come back as delay.
  Duration StreamDelay(uint32_t from, uint32_t to);

  uint32_t addresses() const { return addresses_; }

 private:
  size_t Index(uint32_t from, uint32_t to) const { return size_t{from} * addresses_ + to; }

  uint32_t addresses_;
  LinkQuality all_;
  std::map<std::pair<uint32_t, uint32_t>, LinkQuality> own_;
  std::vector<bool> cut_;
  Rng loss_, delay_, duplicate_;
};

}  // namespace sotto::sim

#endif  // SOTTO_TESTS_SIM_NETWORK_H_
