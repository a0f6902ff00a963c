#include "store/store_url.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/edit_distance.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

constexpr uint16_t kPostgresPort = 5432;
constexpr uint16_t kMysqlPort = 3306;
constexpr size_t kSocketBytesMax = 107;
constexpr std::string_view kPasswordPlace =
    "a password does not belong into a URL, which is shown in many places: put it into a file of "
    "mode 0600 and name that in store.password_file";

absl::Status InvalidUrl(std::string_view url, std::string_view why) {
  return CodedError(absl::StatusCode::kInvalidArgument, "STORE_URL_INVALID",
                    absl::StrCat("store.url \"", RedactStoreUrl(url), "\": ", std::string(why)));
}

bool TakePrefix(std::string_view* text, std::string_view prefix) {
  if (!text->starts_with(prefix)) return false;
  text->remove_prefix(prefix.size());
  return true;
}

// What stands before `mark`, which is taken off with it; all of the text where there is none.
std::string_view TakeUntil(std::string_view* text, char mark) {
  const size_t at = text->find(mark);
  const std::string_view head = text->substr(0, at);
  *text = at == std::string_view::npos ? std::string_view() : text->substr(at + 1);
  return head;
}

// nullopt for a broken escape, or a NUL.
std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned byte = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || read.ptr != digits.data() + 2 || byte == 0) return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  if (out.find('\0') != std::string::npos) return std::nullopt;
  return out;
}

std::optional<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), port);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size() || port == 0) {
    return std::nullopt;
  }
  return port;
}

bool IsLoopbackHost(const std::string& host) {
  const std::string name = absl::AsciiStrToLower(host);
  if (name == "localhost" || name.ends_with(".localhost")) return true;
  std::array<unsigned char, sizeof(in6_addr)> ip{};
  if (inet_pton(AF_INET, name.c_str(), ip.data()) == 1) return ip[0] == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, name.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string OwnUserName() {
  std::vector<char> space(16 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(geteuid(), &entry, space.data(), space.size(), &found);
  return found == nullptr ? "" : found->pw_name;
}

using Parameters = std::vector<std::pair<std::string, std::string>>;

// One URL of a server on its way through.
class ServerUrl {
 public:
  ServerUrl(std::string_view url, std::string_view scheme, SqlDialect dialect)
      : url_(url), scheme_(scheme), is_mysql_(dialect == SqlDialect::kMysql) {
    out_.dialect = dialect;
  }

  absl::StatusOr<StoreUrl> Parse(std::string_view rest) {
    if (rest.find('#') != std::string_view::npos) {
      return Invalid("\"#\" has no meaning here; inside a name write %23");
    }
    std::string_view query = rest;
    std::string_view place = TakeUntil(&query, '?');
    std::string_view path = place;
    const std::string_view authority = TakeUntil(&path, '/');
    SOTTO_RETURN_IF_ERROR(ParseAuthority(authority));
    const auto database = PercentDecode(path);
    if (!database.has_value()) return Invalid("a broken % escape in the database's name");
    if (database->empty()) return Invalid(absl::StrCat("it names no database; ", Form()));
    if (database->find('/') != std::string::npos) return Invalid("the database's name has a \"/\"");
    out_.database = *database;
    while (!query.empty()) SOTTO_RETURN_IF_ERROR(ParseParameter(TakeUntil(&query, '&')));
    SOTTO_RETURN_IF_ERROR(Finish());
    return std::move(out_);
  }

 private:
  absl::Status Invalid(std::string_view why) const { return InvalidUrl(url_, why); }

  std::string Form() const {
    return absl::StrCat("want ", scheme_, "user@host/database, or ", scheme_,
                        is_mysql_ ? "user@/database?socket=/path" : "user@/database?host=/folder");
  }

  absl::Status ParseAuthority(std::string_view authority) {
    const size_t at = authority.rfind('@');
    if (at != std::string_view::npos) {
      const std::string_view user = authority.substr(0, at);
      if (user.find(':') != std::string_view::npos) return Invalid(kPasswordPlace);
      const auto name = PercentDecode(user);
      if (!name.has_value()) return Invalid("a broken % escape in the user's name");
      out_.user = *name;
      authority.remove_prefix(at + 1);
    }
    return ParseHost(authority);
  }

  absl::Status ParseHost(std::string_view text) {
    if (text.starts_with('[')) {
      const size_t end = text.find(']');
      if (end == std::string_view::npos) return Invalid("a \"[\" without its \"]\"");
      out_.host = std::string(text.substr(1, end - 1));
      in6_addr ignored{};
      if (inet_pton(AF_INET6, out_.host.c_str(), &ignored) != 1) {
        return Invalid("between [ and ] stands no IPv6 address");
      }
      text.remove_prefix(end + 1);
      if (!text.empty() && !TakePrefix(&text, ":")) return Invalid("want \":port\" after \"]\"");
      return text.empty() ? absl::OkStatus() : SetPort(text);
    }
    const bool has_port = text.find(':') != std::string_view::npos;
    out_.host = std::string(TakeUntil(&text, ':'));
    for (const char c : out_.host) {
      if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_') {
        continue;
      }
      return Invalid(c == ',' ? "one host, not a list" : "the host is no name and no IP address");
    }
    return has_port ? SetPort(text) : absl::OkStatus();
  }

  absl::Status SetPort(std::string_view text) {
    const auto port = ParsePort(text);
    if (!port.has_value()) return Invalid("the port is no number from 1 to 65535");
    if (out_.port != 0) return Invalid("the port is given twice");
    out_.port = *port;
    return absl::OkStatus();
  }

  absl::Status ParseParameter(std::string_view text) {
    const std::string name(TakeUntil(&text, '='));
    const std::string lower = absl::AsciiStrToLower(name);
    if (lower.find("pass") != std::string::npos || lower == "pwd") return Invalid(kPasswordPlace);
    const auto value = PercentDecode(text);
    if (!value.has_value()) return Invalid(absl::StrCat("a broken % escape in ", name));
    for (const auto& [known, ignored] : seen_) {
      if (known == name) return Invalid(absl::StrCat(name, " is given twice"));
    }
    seen_.emplace_back(name, *value);
    return SetParameter(name, *value);
  }

  absl::Status SetParameter(const std::string& name, const std::string& value) {
    if (name == (is_mysql_ ? "ssl-mode" : "sslmode")) {
      mode_ = value;
      return absl::OkStatus();
    }
    if (name == (is_mysql_ ? "ssl-ca" : "sslrootcert")) {
      if (!value.starts_with('/')) return Invalid(absl::StrCat(name, " wants an absolute path"));
      out_.ca_file = value;
      return absl::OkStatus();
    }
    if (name == (is_mysql_ ? "socket" : "host")) {
      if (!value.starts_with('/') || value.size() > kSocketBytesMax) {
        return Invalid(absl::StrCat(name, is_mysql_
                                              ? "= is for the path of a Unix socket, absolute"
                                              : "= is for the folder of a Unix socket, absolute; a "
                                                "host stands before the database"));
      }
      if (!is_mysql_ && value.find(',') != std::string::npos)
        return Invalid("one host, not a list");
      out_.socket = value;
      return absl::OkStatus();
    }
    if (name == "port" && !is_mysql_) return SetPort(value);
    return UnknownParameter(name);
  }

  absl::Status UnknownParameter(const std::string& name) const {
    constexpr std::array<std::string_view, 4> kOfPostgres = {"host", "port", "sslmode",
                                                             "sslrootcert"};
    constexpr std::array<std::string_view, 3> kOfMysql = {"socket", "ssl-ca", "ssl-mode"};
    const std::span<const std::string_view> known =
        is_mysql_ ? std::span<const std::string_view>(kOfMysql) : kOfPostgres;
    std::string_view nearest;
    size_t least = 4;
    std::string all;
    for (const std::string_view candidate : known) {
      absl::StrAppend(&all, all.empty() ? "" : ", ", std::string(candidate));
      const size_t distance = EditDistance(name, candidate);
      if (distance >= least) continue;
      least = distance;
      nearest = candidate;
    }
    return Invalid(absl::StrCat(
        "unknown parameter \"", name.substr(0, 40), "\"",
        nearest.empty() ? absl::StrCat("; there are ", all)
                        : absl::StrCat("; did you mean \"", std::string(nearest), "\"?")));
  }

  absl::Status Finish() {
    if (!out_.host.empty() && !out_.socket.empty()) {
      return Invalid("a host and a Unix socket at once; leave one of them out");
    }
    if (out_.host.empty() && out_.socket.empty()) {
      return Invalid(absl::StrCat("it names no host; ", Form()));
    }
    if (out_.user.empty()) out_.user = OwnUserName();
    if (out_.user.empty()) return Invalid("it names no user, and this process's has no name");
    if (is_mysql_ && out_.host.empty() && out_.port != 0) {
      return Invalid("a Unix socket has no port");
    }
    if (out_.port == 0) out_.port = is_mysql_ ? kMysqlPort : kPostgresPort;
    SOTTO_RETURN_IF_ERROR(SetTls());
    const bool is_v6 = out_.host.find(':') != std::string::npos;
    const std::string host = is_v6 ? absl::StrCat("[", out_.host, "]") : out_.host;
    out_.display = absl::StrCat(
        scheme_, host, out_.host.empty() ? "" : absl::StrCat(":", out_.port), "/", out_.database);
    if (!out_.socket.empty()) {
      absl::StrAppend(&out_.display, is_mysql_ ? "?socket=" : "?host=", out_.socket);
    }
    return absl::OkStatus();
  }

  absl::Status SetTls() {
    const std::string mode = absl::AsciiStrToLower(mode_);
    const bool is_off = mode == (is_mysql_ ? "disabled" : "disable");
    const bool is_full = mode == (is_mysql_ ? "verify_identity" : "verify-full");
    const std::string_view name = is_mysql_ ? "ssl-mode" : "sslmode";
    const std::string_view full = is_mysql_ ? "VERIFY_IDENTITY" : "verify-full";
    if (!mode.empty() && !is_off && !is_full) {
      for (const std::string_view weak :
           {"allow", "prefer", "preferred", "require", "required", "verify-ca", "verify_ca"}) {
        if (mode != weak) continue;
        return Invalid(absl::StrCat(std::string(name), "=", mode_,
                                    " lets another machine pass for the server; use ",
                                    std::string(full), ", which is the default"));
      }
      return Invalid(absl::StrCat(std::string(name), " knows ", std::string(full), " and ",
                                  is_mysql_ ? "DISABLED" : "disable"));
    }
    if (is_off && !out_.host.empty() && !IsLoopbackHost(out_.host)) {
      return Invalid(absl::StrCat(std::string(name), "=", mode_,
                                  " would send the key in the clear; it is for loopback and Unix "
                                  "sockets alone"));
    }
    if (out_.host.empty() && is_full) {
      return Invalid(
          absl::StrCat("there is no TLS on a Unix socket; leave ", std::string(name), " out"));
    }
    out_.tls = !out_.host.empty() && !is_off;
    if (!out_.tls && !out_.ca_file.empty()) {
      return Invalid("authorities are named for a connection that has no TLS");
    }
    if (out_.tls && out_.ca_file.empty()) out_.ca_file = std::string(kSystemAuthorities);
    return absl::OkStatus();
  }

  const std::string_view url_;
  const std::string scheme_;
  const bool is_mysql_;
  StoreUrl out_;
  std::string mode_;
  Parameters seen_;
};

}  // namespace

absl::StatusOr<std::string> SqlitePath(std::string_view url) {
  std::string_view path = url;
  if (!TakePrefix(&path, "sqlite:")) {
    return InvalidUrl(url, "want sqlite:/absolute/path or sqlite:relative/path");
  }
  if (path.starts_with("//") && !path.starts_with("///")) {
    return InvalidUrl(url, "sqlite has no host; write sqlite:/absolute/path");
  }
  while (path.starts_with("//")) path.remove_prefix(1);
  if (path.empty() || path.ends_with('/')) return InvalidUrl(url, "it names no file");
  if (path == ":memory:") return InvalidUrl(url, "a key must outlive the process");
  if (path.find('\0') != std::string_view::npos) return InvalidUrl(url, "a NUL in the path");
  return std::string(path);
}

absl::StatusOr<StoreUrl> ParseStoreUrl(std::string_view url) {
  struct Scheme {
    std::string_view text;
    SqlDialect dialect;
  };
  for (const Scheme& scheme :
       {Scheme{"postgres://", SqlDialect::kPostgres},
        Scheme{"postgresql://", SqlDialect::kPostgres}, Scheme{"mysql://", SqlDialect::kMysql}}) {
    std::string_view rest = url;
    if (!TakePrefix(&rest, scheme.text)) continue;
    return ServerUrl(url, scheme.text, scheme.dialect).Parse(rest);
  }
  if (!url.starts_with("sqlite:")) {
    return InvalidUrl(url,
                      "want sqlite:/path, postgres://user@host/database or "
                      "mysql://user@host/database");
  }
  StoreUrl out;
  SOTTO_ASSIGN_OR_RETURN(out.path, SqlitePath(url));
  out.display = absl::StrCat("sqlite:", out.path);
  return out;
}

std::string RedactStoreUrl(std::string_view url) {
  if (url.starts_with("sqlite:")) return std::string(url);
  const size_t scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) {
    // Not a URL at all; it may be a password in the wrong place.
    return url.empty() ? "" : "…";
  }
  const std::string scheme = absl::StrCat(std::string(url.substr(0, scheme_end)), "://");
  const std::string_view all = url.substr(scheme_end + 3);
  std::string_view rest = all.substr(0, all.find_first_of("?#"));
  const size_t at = rest.rfind('@');
  // A password with a "?" in it hides the "@" that ends it; one without any "@" looks like a port.
  if (at == std::string_view::npos && all.find('@') != std::string_view::npos) {
    return absl::StrCat(scheme, "…");
  }
  if (at != std::string_view::npos) rest.remove_prefix(at + 1);
  const std::string_view host = rest.substr(0, rest.find('/'));
  const size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && !host.ends_with(']') &&
      !ParsePort(host.substr(colon + 1)).has_value()) {
    return absl::StrCat(scheme, "…");
  }
  return absl::StrCat(scheme, std::string(rest));
}

}  // namespace sotto
