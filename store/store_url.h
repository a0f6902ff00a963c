// The URL of `[store] url`, taken apart:
//
//   sqlite:/absolute/path, sqlite:relative/path
//   postgres://user@host[:port]/database    (or postgresql://)
//     ?sslmode=verify-full|disable  ?sslrootcert=/file  ?host=/folder/of/the/socket  ?port=N
//   mysql://user@host[:port]/database
//     ?ssl-mode=VERIFY_IDENTITY|DISABLED  ?ssl-ca=/file  ?socket=/path
//
// TLS with the server's certificate and name verified is the rule. Going without is accepted on
// Unix sockets, and on loopback where it is asked for. A password never stands in a URL, nor in
// any message of this file.
#ifndef SOTTO_STORE_STORE_URL_H_
#define SOTTO_STORE_STORE_URL_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "store/sql.h"

namespace sotto {

// The authorities that Debian's ca-certificates gathers: where the URL names none.
inline constexpr std::string_view kSystemAuthorities = "/etc/ssl/certs/ca-certificates.crt";

struct StoreUrl {
  SqlDialect dialect = SqlDialect::kSqlite;
  std::string path;    // SQLite: the file
  std::string host;    // a name or an IP address; empty: a Unix socket
  std::string socket;  // PostgreSQL: the folder of the socket; MySQL: the socket
  uint16_t port = 0;   // the server's default where the URL has none
  std::string user;    // default: the name of this process's user
  std::string database;
  bool tls = false;
  std::string ca_file;  // PEM, where `tls`
  std::string display;  // without user and parameters, but with the socket
};

// INVALID_ARGUMENT STORE_URL_INVALID, with what is wrong and what would be right.
absl::StatusOr<StoreUrl> ParseStoreUrl(std::string_view url);

// The path of an sqlite URL; STORE_URL_INVALID for the others.
absl::StatusOr<std::string> SqlitePath(std::string_view url);

// `url` without user name, password and parameters: fit for a log, whatever was typed.
std::string RedactStoreUrl(std::string_view url);

}  // namespace sotto

#endif  // SOTTO_STORE_STORE_URL_H_
