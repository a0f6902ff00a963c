// Whom a node has heard lately and how: the answer to the internal query `_sotto/reach`.
//
//   version 1 (1 byte) || hash of the list of names (8) || count (2) || 2 bits for each name, the
//   first in the lowest bits
//
// in the order of the names. The names are not sent: a reader whose own list has another hash knows
// that the two tables differ, and reads nothing. 4,052 members fit 1024 bytes.
#ifndef SOTTO_GOSSIP_REACH_H_
#define SOTTO_GOSSIP_REACH_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sotto {

enum class Reach : uint8_t {
  kNotAsked = 0,  // -
  kDatagram = 1,  // u: it has acked a datagram of ours in one of the last probes of it
  kStream = 2,    // t: only a stream reached it
  kNothing = 3,   // x: asked, and nothing came from it directly
};

// '-', 'u', 't', 'x'.
char Letter(Reach reach);

// `names` sorted, `reach` of each. Empty if there are more than an answer holds.
std::string EncodeReach(std::span<const std::string> names, std::span<const Reach> reach);
// Nothing if the bytes are none of these, or about other names than `names` (sorted).
std::optional<std::vector<Reach>> DecodeReach(std::string_view bytes,
                                              std::span<const std::string> names);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_REACH_H_
