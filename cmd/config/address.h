// Addresses as people write them: "10.0.3.11:7950", "[::1]:7950", "gw-2.internal:7950".
#ifndef SOTTO_CMD_CONFIG_ADDRESS_H_
#define SOTTO_CMD_CONFIG_ADDRESS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sotto {

struct ConfigAddress {
  std::string host;  // without brackets
  uint16_t port = 0;
  bool is_ip = false;
};

// ADDRESS_INVALID: no host, not a port, an IPv6 address without brackets, a name that no host can
// have.
absl::StatusOr<ConfigAddress> ParseConfigAddress(std::string_view text, uint16_t default_port);

// "10.0.3.11:7950", "[::1]:7950".
std::string ToString(const ConfigAddress& address);

bool IsLoopbackHost(std::string_view host);  // 127/8, ::1, localhost
bool IsWildcardHost(std::string_view host);  // 0.0.0.0, ::
// Multicast, broadcast, unspecified, documentation or link-local without a scope: no peer can reach
// it.
bool IsUnroutableHost(std::string_view host);

}  // namespace sotto

#endif  // SOTTO_CMD_CONFIG_ADDRESS_H_
