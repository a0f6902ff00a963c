#include "store/secret_source.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

constexpr size_t kNameBytesMax = 255;

struct Source {
  std::string_view kind;  // "file", "credential", "env"
  std::string name;
};

absl::Status InvalidSource(std::string_view why) {
  return CodedError(
      absl::StatusCode::kInvalidArgument, "SECRET_SOURCE_INVALID",
      absl::StrCat(std::string(why), "; want file:/path, credential:NAME or env:NAME"));
}

absl::StatusOr<Source> ParseSource(std::string_view text) {
  for (const std::string_view kind : {"file", "credential", "env"}) {
    if (!text.starts_with(kind) || text.substr(kind.size(), 1) != ":") continue;
    const std::string name(text.substr(kind.size() + 1));
    if (name.empty() || name.find('\0') != std::string::npos) {
      return InvalidSource("the source names nothing");
    }
    if (kind == "file") return Source{kind, name};
    const bool is_word = std::all_of(name.begin(), name.end(), [kind](unsigned char c) {
      return absl::ascii_isalnum(c) || c == '_' || (kind == "credential" && (c == '.' || c == '-'));
    });
    if (!is_word || name.size() > kNameBytesMax || name == "." || name == "..") {
      return InvalidSource(kind == "env" ? "that is no name of a variable"
                                         : "that is no name of a credential");
    }
    return Source{kind, name};
  }
  return InvalidSource("the secret itself does not stand in the configuration, only where it lies");
}

absl::Status Missing(const std::string& message) {
  return CodedError(absl::StatusCode::kNotFound, "SECRET_MISSING", message);
}

absl::StatusOr<SecretBytes> TakeVariable(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, SecretBytes>* const taken = new std::map<std::string, SecretBytes>();
  const std::lock_guard<std::mutex> lock(mutex);
  if (char* value = getenv(name.c_str()); value != nullptr) {
    const size_t size = strlen(value);
    (*taken)[name] = SecretBytes(std::span(reinterpret_cast<const uint8_t*>(value), size));
    // unsetenv moves pointers alone: the bytes would stay, and in /proc/<pid>/environ as well.
    explicit_bzero(value, size);
    unsetenv(name.c_str());
  }
  const auto found = taken->find(name);
  if (found == taken->end()) {
    return Missing(absl::StrCat("the environment has no variable ", name));
  }
  return found->second.Clone();
}

absl::StatusOr<SecretBytes> ReadFile(const Source& source, const FileRules& rules) {
  std::string path = source.name;
  if (source.kind == "credential") {
    const char* folder = getenv("CREDENTIALS_DIRECTORY");
    if (folder == nullptr || *folder == '\0') {
      return Missing(absl::StrCat("there is no credential ", source.name,
                                  ": systemd has given this process none"));
    }
    path = absl::StrCat(folder, "/", source.name);
  }
  SOTTO_ASSIGN_OR_RETURN(SecretBytes bytes, ReadSecretFile(path, rules));
  std::span<const uint8_t> view = bytes.view();
  if (!view.empty() && view.back() == '\n') return SecretBytes(view.first(view.size() - 1));
  return bytes;
}

}  // namespace

absl::Status CheckSecretSource(std::string_view source) { return ParseSource(source).status(); }

absl::StatusOr<SecretBytes> ReadSecretSource(std::string_view source, size_t bytes_max,
                                             std::optional<uid_t> also_owner) {
  SOTTO_ASSIGN_OR_RETURN(const Source parsed, ParseSource(source));
  absl::StatusOr<SecretBytes> bytes =
      parsed.kind == "env" ? TakeVariable(parsed.name)
                           : ReadFile(parsed, {.bytes_max = bytes_max + 1,
                                               .also_owner = also_owner,
                                               .root_may_share = parsed.kind == "credential"});
  if (!bytes.ok()) return bytes.status();
  if (bytes->empty()) {
    return CodedError(absl::StatusCode::kInvalidArgument, "SECRET_EMPTY",
                      absl::StrCat(std::string(parsed.kind), ":", parsed.name, " is empty"));
  }
  if (bytes->size() > bytes_max) {
    return CodedError(absl::StatusCode::kResourceExhausted, "FILE_TOO_LONG",
                      absl::StrCat(std::string(parsed.kind), ":", parsed.name, ": longer than ",
                                   bytes_max, " bytes"));
  }
  return bytes;
}

}  // namespace sotto
