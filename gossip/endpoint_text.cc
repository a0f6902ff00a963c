#include "gossip/endpoint_text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

absl::Status Invalid(std::string_view text, std::string_view why) {
  return CodedError(absl::StatusCode::kInvalidArgument, "ADDRESS_INVALID",
                    absl::StrCat("\"", std::string(text), "\" ", std::string(why)));
}

}  // namespace

bool IsV4(const Endpoint& endpoint) {
  return std::equal(std::begin(kMappedPrefix), std::end(kMappedPrefix), endpoint.ip.begin());
}

bool IsLoopback(const Endpoint& endpoint) {
  if (IsV4(endpoint)) return endpoint.ip[12] == 127;
  return std::all_of(endpoint.ip.begin(), endpoint.ip.end() - 1,
                     [](uint8_t b) { return b == 0; }) &&
         endpoint.ip[15] == 1;
}

bool IsWildcard(const Endpoint& endpoint) {
  const auto begin = endpoint.ip.begin() + (IsV4(endpoint) ? 12 : 0);
  return std::all_of(begin, endpoint.ip.end(), [](uint8_t b) { return b == 0; });
}

bool IsUnroutable(const Endpoint& endpoint) {
  if (IsWildcard(endpoint) || endpoint.port == 0) return true;
  if (!IsV4(endpoint)) return endpoint.ip[0] == 0xff;
  return endpoint.ip[12] >= 224 || endpoint.ip[12] == 0;
}

std::string ToString(const Endpoint& endpoint) {
  char text[INET6_ADDRSTRLEN] = {};
  if (IsV4(endpoint)) {
    inet_ntop(AF_INET, endpoint.ip.data() + 12, text, sizeof text);
    return absl::StrCat(text, ":", endpoint.port);
  }
  inet_ntop(AF_INET6, endpoint.ip.data(), text, sizeof text);
  return absl::StrCat("[", text, "]:", endpoint.port);
}

absl::StatusOr<HostPort> SplitHostPort(std::string_view text) {
  HostPort result;
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || close + 1 >= text.size() || text[close + 1] != ':') {
      return Invalid(text, "is not [address]:port");
    }
    result.host = text.substr(1, close - 1);
    port = text.substr(close + 2);
  } else {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return Invalid(text, "has no port; write host:port");
    if (text.find(':') != colon) return Invalid(text, "is ambiguous; write [IPv6 address]:port");
    result.host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (result.host.empty()) return Invalid(text, "has no host before the port");
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), result.port);
  if (error != std::errc() || end != port.data() + port.size()) {
    return Invalid(text, "has a port that is not a number from 0 to 65535");
  }
  return result;
}

std::optional<Endpoint> ParseIp(std::string_view host) {
  Endpoint endpoint;
  const std::string bare(host.substr(0, host.find('%')));
  if (inet_pton(AF_INET6, bare.c_str(), endpoint.ip.data()) == 1) return endpoint;
  std::copy(std::begin(kMappedPrefix), std::end(kMappedPrefix), endpoint.ip.begin());
  const bool is_v4 =
      bare.size() == host.size() && inet_pton(AF_INET, bare.c_str(), endpoint.ip.data() + 12) == 1;
  return is_v4 ? std::optional(endpoint) : std::nullopt;
}

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text) {
  SOTTO_ASSIGN_OR_RETURN(const HostPort parts, SplitHostPort(text));
  std::optional<Endpoint> endpoint = ParseIp(parts.host);
  if (!endpoint) return Invalid(text, "is not an IPv4 or IPv6 address with a port");
  endpoint->port = parts.port;
  return *endpoint;
}

}  // namespace sotto
