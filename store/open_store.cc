#include "store/open_store.h"

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/sqlite_systems_table.h"

namespace sotto {
namespace {

bool TakePrefix(std::string_view* text, std::string_view prefix) {
  if (!text->starts_with(prefix)) return false;
  text->remove_prefix(prefix.size());
  return true;
}

absl::Status InvalidUrl(std::string_view url, std::string_view why) {
  return CodedError(absl::StatusCode::kInvalidArgument, "STORE_URL_INVALID",
                    absl::StrCat("store.url \"", RedactStoreUrl(url),
                                 "\": ", absl::string_view(why.data(), why.size())));
}

}  // namespace

absl::StatusOr<std::string> SqlitePath(std::string_view url) {
  for (const std::string_view later : {"postgres://", "postgresql://", "mysql://"}) {
    if (url.starts_with(later)) {
      return CodedError(absl::StatusCode::kUnimplemented, "STORE_UNSUPPORTED",
                        absl::StrCat("store.url \"", RedactStoreUrl(url),
                                     "\": PostgreSQL and MySQL come with a later version; this one "
                                     "has SQLite (sqlite:/path/to/file)"));
    }
  }
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

absl::StatusOr<std::unique_ptr<SystemsTable>> OpenSystemsTable(std::string_view url,
                                                               const StoreOptions& options) {
  SOTTO_ASSIGN_OR_RETURN(const std::string path, SqlitePath(url));
  return OpenSqliteSystemsTable(path, options);
}

std::string RedactStoreUrl(std::string_view url) {
  if (url.starts_with("sqlite:")) return std::string(url);
  const size_t scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) {
    // Not a URL at all; it may be a password in the wrong place.
    return url.empty() ? "" : "…";
  }
  std::string_view rest = url.substr(scheme_end + 3);
  rest = rest.substr(0, rest.find_first_of("?#"));
  const size_t at = rest.rfind('@');
  if (at != std::string_view::npos) rest.remove_prefix(at + 1);
  return absl::StrCat(std::string(url.substr(0, scheme_end)), "://", std::string(rest));
}

}  // namespace sotto
