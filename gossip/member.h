// What a member of a cluster is to the protocol: a name, a state, an incarnation, addresses.
//
// Plain values with total orders; nothing here does I/O or depends on the machine.
#ifndef SOTTO_GOSSIP_MEMBER_H_
#define SOTTO_GOSSIP_MEMBER_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sotto {

inline constexpr size_t kMemberNameBytesMax = 128;
inline constexpr size_t kClusterNameBytesMax = 40;

// The 8 public bytes that name one life of one process (design W2).
struct BootId {
  std::array<uint8_t, 8> bytes{};
  friend auto operator<=>(const BootId&, const BootId&) = default;
};

// A SHA-256.
struct Hash256 {
  std::array<uint8_t, 32> bytes{};
  friend auto operator<=>(const Hash256&, const Hash256&) = default;
};

// An address and a port, UDP and TCP alike. IPv4 is held mapped (::ffff:a.b.c.d).
struct Endpoint {
  std::array<uint8_t, 16> ip{};
  uint16_t port = 0;
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

// One label of a member. A tag list is sorted by key and holds each key once.
struct Tag {
  std::string key;
  std::string value;
  friend auto operator<=>(const Tag&, const Tag&) = default;
};

// The version of what a member says of itself. The upper half is the boot number, persisted and
// raised at every start, so that a restarted member outranks its own ghost; the lower half counts
// changes and refutations within one life. Only the owner's signature moves it (design M2).
class Incarnation {
 public:
  constexpr Incarnation() = default;
  explicit constexpr Incarnation(uint64_t value) : value_(value) {}
  static constexpr Incarnation Of(uint32_t boot_number, uint32_t counter) {
    return Incarnation(uint64_t{boot_number} << 32 | counter);
  }

  constexpr uint64_t value() const { return value_; }
  constexpr uint32_t boot_number() const { return static_cast<uint32_t>(value_ >> 32); }
  constexpr uint32_t counter() const { return static_cast<uint32_t>(value_); }

  friend constexpr auto operator<=>(Incarnation, Incarnation) = default;

 private:
  uint64_t value_ = 0;
};

// What one node holds of one member. The numbers are the ranks of design M3: at one incarnation the
// higher rank wins.
enum class MemberState : uint8_t { kAlive = 0, kSuspect = 1, kDead = 2, kForgotten = 3, kLeft = 4 };

// "alive", "suspect", "dead", "forgotten", "left".
std::string_view ToString(MemberState state);

// 1 to 128 bytes of [A-Za-z0-9._-], the first a letter or a digit: fit for a URI, a file name and a
// log line. Cluster names use the same alphabet, up to 40 bytes.
bool IsValidMemberName(std::string_view name);
bool IsValidClusterName(std::string_view name);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_MEMBER_H_
