#include "cmd/config/address.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/endpoint_text.h"

namespace sotto {
namespace {

constexpr size_t kHostBytesMax = 253;  // RFC 1035
constexpr uint16_t kAnyPort = 1;       // the question is about the address alone

absl::Status Invalid(std::string_view text, std::string_view why) {
  return CodedError(absl::StatusCode::kInvalidArgument, "ADDRESS_INVALID",
                    absl::StrCat("\"", absl::CHexEscape(std::string(text.substr(0, 300))),
                                 "\": ", std::string(why)));
}

bool IsHostName(std::string_view host) {
  if (host.empty() || host.size() > kHostBytesMax || host.front() == '.') return false;
  if (host.front() == '-') return false;
  return std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
  });
}

// "10.0.0" or "300.1.1.1": digits and dots alone are meant as an address and are none.
bool LooksLikeBadIpv4(std::string_view host) {
  return std::all_of(host.begin(), host.end(),
                     [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

}  // namespace

absl::StatusOr<ConfigAddress> ParseConfigAddress(std::string_view text, uint16_t default_port) {
  if (text.empty()) return Invalid(text, "an empty address");
  ConfigAddress result;
  std::string_view port_text;
  bool has_port = false;
  if (text.front() == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return Invalid(text, "\"[\" without \"]\"");
    result.host = std::string(text.substr(1, end - 1));
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return Invalid(text, "want \":port\" after \"]\"");
    has_port = !rest.empty();
    if (has_port) port_text = rest.substr(1);
    const std::optional<Endpoint> ip = ParseIp(result.host);
    if (!ip.has_value() || result.host.find(':') == std::string::npos) {
      return Invalid(text, "no IPv6 address between the brackets");
    }
    result.is_ip = true;
  } else {
    const auto colons = std::count(text.begin(), text.end(), ':');
    if (colons > 1) return Invalid(text, "write an IPv6 address in brackets: [::1]:7950");
    has_port = colons == 1;
    const size_t colon = text.find(':');
    result.host = std::string(text.substr(0, colon));
    if (has_port) port_text = text.substr(colon + 1);
    result.is_ip = ParseIp(result.host).has_value();
    if (!result.is_ip && LooksLikeBadIpv4(result.host)) {
      return Invalid(text, result.host.empty() ? "no host before the port" : "not an IPv4 address");
    }
    if (!result.is_ip && !IsHostName(result.host)) return Invalid(text, "not a host name");
  }
  result.port = default_port;
  if (has_port) {
    uint32_t port = 0;
    const bool digits = !port_text.empty() && port_text.size() <= 5 &&
                        std::all_of(port_text.begin(), port_text.end(),
                                    [](char c) { return c >= '0' && c <= '9'; });
    if (!digits || !absl::SimpleAtoi(std::string(port_text), &port) || port > 65'535) {
      return Invalid(text, "the port is not a number from 0 to 65535");
    }
    result.port = static_cast<uint16_t>(port);
  }
  return result;
}

std::string ToString(const ConfigAddress& address) {
  const bool is_ipv6 = address.host.find(':') != std::string::npos;
  return is_ipv6 ? absl::StrCat("[", address.host, "]:", address.port)
                 : absl::StrCat(address.host, ":", address.port);
}

bool IsLoopbackHost(std::string_view host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  const std::optional<Endpoint> ip = ParseIp(host);
  return ip.has_value() && IsLoopback(*ip);
}

bool IsWildcardHost(std::string_view host) {
  const std::optional<Endpoint> ip = ParseIp(host);
  return ip.has_value() && IsWildcard(*ip);
}

bool IsUnroutableHost(std::string_view host) {
  std::optional<Endpoint> ip = ParseIp(host);
  if (!ip.has_value()) return false;
  ip->port = kAnyPort;
  if (IsUnroutable(*ip)) return true;
  const uint8_t* b = ip->ip.data();
  if (IsV4(*ip)) {
    b += 12;
    return (b[0] == 192 && b[1] == 0 && b[2] == 2) || (b[0] == 198 && b[1] == 51 && b[2] == 100) ||
           (b[0] == 203 && b[1] == 0 && b[2] == 113);
  }
  const bool documentation = b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8;
  const bool link_local = b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
  const bool has_scope = host.find('%') != std::string_view::npos;
  return documentation || (link_local && !has_scope);
}

}  // namespace sotto
