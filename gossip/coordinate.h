// Network coordinates: where members lie by their round trips (Vivaldi with height, adjustment and
// gravity, as in Dabek et al., SIGCOMM 2004, and as serf has them), so that the round trip between
// any two of them can be estimated without asking.
//
// Each node moves its own coordinate with each probe that a member answered itself, by that
// member's. What members claim is bounded: no value beyond kCoordinateMax, no error below a floor,
// no round trip above 10 s, no step longer than a quarter of the round trip that was really
// measured. Units: seconds. Threads: none; the node's strand owns a CoordinateTable. Floating
// point is allowed here because nothing of the protocol depends on it.
#ifndef SOTTO_GOSSIP_COORDINATE_H_
#define SOTTO_GOSSIP_COORDINATE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "gossip/time.h"

namespace sotto {

inline constexpr size_t kCoordinateDimensions = 8;
inline constexpr double kCoordinateMax = 10.0;  // of each part, either way

struct Coordinate {
  std::array<double, kCoordinateDimensions> vector{};
  double height = 10e-6;  // of the last mile, which every path of this node's takes
  double adjustment = 0;  // what the model gets wrong on average
  double error = 1.5;     // relative, of this node's own estimates
};

// 11 half floats, milliseconds (the error: as it is): 22 bytes, to a tenth of a percent.
inline constexpr size_t kCoordinateWireBytes = 22;
std::string EncodeCoordinate(const Coordinate& coordinate);
// Nothing for another length, NaN, infinity, or a value that no honest node has.
std::optional<Coordinate> DecodeCoordinate(std::string_view bytes);

// The estimated round trip.
Duration EstimateRtt(const Coordinate& a, const Coordinate& b);

// This node's coordinate, and what members have told of theirs.
class CoordinateTable {
 public:
  // A member older than this is not moved by: it has been elsewhere.
  static constexpr Duration kFresh = Duration::Minutes(2);

  explicit CoordinateTable(uint64_t seed) : random_(seed | 1) {}

  // What `member` says of itself; false if it is none.
  bool Learn(Instant now, std::string_view member, std::string_view bytes);
  // It answered in `rtt`. Moves this node if the member's coordinate is known and fresh; false if
  // the round trip is not believed.
  bool Observe(Instant now, std::string_view member, Duration rtt);
  // Keeps only those that `keep` names.
  template <typename Keep>
  void Retain(Keep keep) {
    std::erase_if(members_, [&](const auto& entry) { return !keep(entry.first); });
  }

  const Coordinate& own() const { return own_; }
  // Null: it has told none.
  const Coordinate* Find(std::string_view member) const;
  size_t size() const { return members_.size(); }

 private:
  struct Member {
    Coordinate coordinate;
    Instant told;
    bool known = false;
    std::deque<double> rtts;  // the last three
  };

  void Step(const Coordinate& other, double rtt);
  void Adjust(const Coordinate& other, double rtt);
  void PullToOrigin();
  double NextRandom();

  Coordinate own_;
  std::map<std::string, Member, std::less<>> members_;
  std::array<double, 20> samples_{};
  size_t next_sample_ = 0;
  uint64_t random_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_COORDINATE_H_
