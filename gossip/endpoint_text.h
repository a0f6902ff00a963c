// Endpoints as people write them, and what kind of address one is.
#ifndef SOTTO_GOSSIP_ENDPOINT_TEXT_H_
#define SOTTO_GOSSIP_ENDPOINT_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "gossip/member.h"

namespace sotto {

// "10.0.3.11:7950", "[2001:db8::1]:7950".
std::string ToString(const Endpoint& endpoint);

// Addresses only, no host names. INVALID_ARGUMENT ADDRESS_INVALID.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text);

// An IP address alone, with port 0: "10.0.3.11", "2001:db8::1", "fe80::1%eth0" (the scope is left
// out).
std::optional<Endpoint> ParseIp(std::string_view host);

// "host:port", "[v6]:port". INVALID_ARGUMENT ADDRESS_INVALID: no port, or one out of range.
struct HostPort {
  std::string host;
  uint16_t port = 0;
};
absl::StatusOr<HostPort> SplitHostPort(std::string_view text);

bool IsV4(const Endpoint& endpoint);
bool IsLoopback(const Endpoint& endpoint);
bool IsWildcard(const Endpoint& endpoint);
// Multicast, reserved, broadcast, unspecified, or port 0: no datagram to one member can go there.
bool IsUnroutable(const Endpoint& endpoint);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_ENDPOINT_TEXT_H_
