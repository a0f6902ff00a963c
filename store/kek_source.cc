#include "store/kek_source.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "crypto/secret_bytes.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

using Kind = KekSource::Kind;

// Room for a text that is wrong in an ordinary way.
constexpr size_t kKekFileBytesMax = 1024;

struct Form {
  Kind kind;
  std::string_view prefix;
};
constexpr std::array<Form, 4> kForms = {Form{Kind::kFile, "file:"}, Form{Kind::kFolder, "folder:"},
                                        Form{Kind::kCredential, "credential:"},
                                        Form{Kind::kEnvironment, "env:"}};

absl::Status Invalid(std::string_view why) {
  return CodedError(absl::StatusCode::kInvalidArgument, "KEK_SOURCE_INVALID",
                    absl::StrCat("encryption.kek ", absl::string_view(why.data(), why.size()),
                                 "; want file:/path, folder:/path, credential:NAME or env:NAME"));
}

bool IsWordChar(char c, std::string_view more) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         more.find(c) != std::string_view::npos;
}

// A second source behind a separator. A path may hold such bytes, though no sane one does.
bool NamesTwo(std::string_view text) {
  for (const Form& form : kForms) {
    for (size_t at = text.find(form.prefix); at != std::string_view::npos;
         at = text.find(form.prefix, at + 1)) {
      if (at > 0 && std::string_view(" ,;|\t\n").find(text[at - 1]) != std::string_view::npos) {
        return true;
      }
    }
  }
  return false;
}

absl::Status CheckName(const KekSource& source) {
  const std::string_view name = source.name;
  if (name.empty()) return Invalid("names nothing behind the colon");
  if (name.find('\0') != std::string_view::npos) return Invalid("holds a zero byte");
  switch (source.kind) {
    case Kind::kFile:
    case Kind::kFolder:
      return absl::OkStatus();
    case Kind::kCredential:
      if (name.front() == '.' || name.size() > 255 ||
          !std::all_of(name.begin(), name.end(), [](char c) { return IsWordChar(c, "._-@:"); })) {
        return Invalid("names no credential: letters, digits, \".\", \"_\", \"-\"");
      }
      return absl::OkStatus();
    case Kind::kEnvironment:
      if ((name.front() >= '0' && name.front() <= '9') ||
          !std::all_of(name.begin(), name.end(), [](char c) { return IsWordChar(c, "_"); })) {
        return Invalid("names no variable: letters, digits and \"_\"");
      }
      if (name.starts_with("SOTTO_") && name.find("__") != std::string_view::npos) {
        return Invalid("names a variable that is itself a setting");
      }
      return absl::OkStatus();
  }
  return Invalid("is of no known kind");
}

absl::StatusOr<KekRef> ParseIn(std::span<const uint8_t> bytes, const std::string& where,
                               bool may_end_in_newline, bool allow_weak) {
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (may_end_in_newline && text.ends_with('\n')) text.remove_suffix(1);
  absl::StatusOr<KekRef> kek = ParseKekText(text, allow_weak);
  if (!kek.ok()) return WithContext(kek.status(), where);
  return kek;
}

absl::StatusOr<KekRef> ReadFile(const std::string& path, const KekSettings& settings,
                                bool is_credential) {
  const FileRules rules{.bytes_max = kKekFileBytesMax,
                        .also_owner = settings.also_owner,
                        .root_may_share = is_credential};
  SOTTO_ASSIGN_OR_RETURN(const SecretBytes bytes, ReadSecretFile(path, rules));
  return ParseIn(bytes.view(), path, /*may_end_in_newline=*/true, settings.allow_weak);
}

// ---- folders ------------------------------------------------------------------------------------

absl::Status FolderTrouble(const std::string& folder, int error) {
  if (error == ENOTDIR) {
    return Invalid(absl::StrCat("names ", folder, " as a folder, and it is none"));
  }
  const bool missing = error == ENOENT;
  return CodedError(missing ? absl::StatusCode::kNotFound : absl::StatusCode::kPermissionDenied,
                    missing ? "FILE_MISSING" : "FILE_UNREADABLE",
                    absl::StrCat(folder, missing ? ": there is no such folder"
                                                 : ": this user may not list the folder"));
}

// What stands there under names without a dot in front, folders left out. Sorted.
absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open_folder(opendir(folder.c_str()), &closedir);
  if (open_folder == nullptr) return FolderTrouble(folder, errno);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(open_folder.get())) {
    const std::string name = entry->d_name;
    struct stat info {};
    if (name.front() == '.') continue;
    // A link that leads nowhere is listed, and told when it is read.
    const bool known = stat(absl::StrCat(folder, "/", name).c_str(), &info) == 0;
    if (!known || !S_ISDIR(info.st_mode)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string RealPath(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), &free);
  return real == nullptr ? "" : real.get();
}

// The file itself where `name` is a link to one in `folder` or directly below it. The folders on
// the way belong to this user or root and nobody else may write them, so that whoever could turn a
// link meanwhile could as well write the key.
absl::StatusOr<std::string> FollowLink(const std::string& folder, const std::string& name) {
  const std::string path = absl::StrCat(folder, "/", name);
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return path;
  const std::string top = RealPath(folder);
  const std::string target = RealPath(path);
  if (target.empty() || top.empty()) {
    return CodedError(absl::StatusCode::kNotFound, "FILE_MISSING",
                      absl::StrCat(path, ": the link leads to no file"));
  }
  const std::string parent = FolderOf(target);
  if (parent == top || FolderOf(parent) == top) return target;
  return CodedError(absl::StatusCode::kInvalidArgument, "FILE_NOT_REGULAR",
                    absl::StrCat(path, ": it is a symbolic link that leads out of its folder"));
}

// The place of the one that wraps.
absl::StatusOr<size_t> ChooseActive(const std::string& folder,
                                    const std::vector<std::string>& names,
                                    const std::string& active) {
  const std::string listed = absl::StrJoin(names, ", ");
  if (active.empty() && names.size() > 1) {
    return CodedError(
        absl::StatusCode::kFailedPrecondition, "KEK_AMBIGUOUS",
        absl::StrCat(folder, " holds ", listed,
                     ": say which one wraps, encryption.kek_active = \"<file name>\""));
  }
  if (active.empty()) return 0;
  const auto found = std::find(names.begin(), names.end(), active);
  if (found != names.end()) return static_cast<size_t>(found - names.begin());
  return CodedError(
      absl::StatusCode::kNotFound, "KEK_ACTIVE_MISSING",
      absl::StrCat("encryption.kek_active = \"", active, "\", and ", folder, " holds ", listed));
}

absl::StatusOr<KekRingRef> ReadFolder(const std::string& folder, const KekSettings& settings) {
  SOTTO_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  SOTTO_RETURN_IF_ERROR(CheckSecretFolder(folder, {.also_owner = settings.also_owner}));
  if (names.empty()) {
    return CodedError(absl::StatusCode::kNotFound, "KEK_FOLDER_EMPTY",
                      absl::StrCat(folder, ": no file in it is a key-encryption key"));
  }
  if (names.size() > KekRing::kKeksMax) {
    return CodedError(
        absl::StatusCode::kResourceExhausted, "KEK_TOO_MANY",
        absl::StrCat(folder, ": ", names.size(), " files, want at most ", KekRing::kKeksMax));
  }
  SOTTO_ASSIGN_OR_RETURN(const size_t active, ChooseActive(folder, names, settings.active));
  std::vector<KekRef> keks;
  for (const std::string& name : names) {
    SOTTO_ASSIGN_OR_RETURN(const std::string path, FollowLink(folder, name));
    SOTTO_ASSIGN_OR_RETURN(KekRef kek, ReadFile(path, settings, /*is_credential=*/false));
    keks.push_back(std::move(kek));
  }
  absl::StatusOr<KekRingRef> ring = KekRing::Create(keks[active], keks);
  if (!ring.ok()) return WithContext(ring.status(), folder);
  return ring;
}

// ---- the others ---------------------------------------------------------------------------------

absl::StatusOr<KekRef> ReadCredential(const std::string& name, const KekSettings& settings) {
  const char* const folder = std::getenv("CREDENTIALS_DIRECTORY");
  if (folder == nullptr || folder[0] != '/') {
    return CodedError(absl::StatusCode::kFailedPrecondition, "KEK_NO_CREDENTIALS",
                      absl::StrCat("encryption.kek = \"credential:", name,
                                   "\", and systemd gave this process no credentials"));
  }
  return ReadFile(absl::StrCat(folder, "/", name), settings, /*is_credential=*/true);
}

absl::StatusOr<KekRef> ReadVariable(const std::string& name, const KekSettings& settings) {
  const char* const value = std::getenv(name.c_str());
  if (value == nullptr) {
    return CodedError(absl::StatusCode::kNotFound, "KEK_VARIABLE_MISSING",
                      absl::StrCat("the variable ", name, " is not set"));
  }
  return ParseIn({reinterpret_cast<const uint8_t*>(value), strlen(value)},
                 absl::StrCat("the variable ", name), /*may_end_in_newline=*/false,
                 settings.allow_weak);
}

// The block that the process was started with holds the value: /proc shows it until it is wiped.
void TakeOut(const std::string& name) {
  if (char* const value = std::getenv(name.c_str())) explicit_bzero(value, strlen(value));
  unsetenv(name.c_str());
}

absl::StatusOr<KekRingRef> RingOfOne(absl::StatusOr<KekRef> kek, const KekSettings& settings) {
  if (!kek.ok()) return kek.status();
  if (!settings.active.empty()) {
    return CodedError(absl::StatusCode::kNotFound, "KEK_ACTIVE_MISSING",
                      absl::StrCat("encryption.kek_active = \"", settings.active,
                                   "\" names a file of a folder, and encryption.kek is no folder"));
  }
  return KekRing::Create(*std::move(kek), {});
}

}  // namespace

absl::StatusOr<KekSource> ParseKekSource(std::string_view text) {
  for (const Form& form : kForms) {
    if (!text.starts_with(form.prefix)) continue;
    if (NamesTwo(text)) {
      return CodedError(absl::StatusCode::kInvalidArgument, "KEK_TWO_SOURCES",
                        "encryption.kek names two sources; of several keys, make a folder");
    }
    KekSource source{form.kind, std::string(text.substr(form.prefix.size()))};
    SOTTO_RETURN_IF_ERROR(CheckName(source));
    return source;
  }
  // The text is not repeated: somebody may have put the key itself there.
  return Invalid("names no source");
}

std::string ToString(const KekSource& source) {
  for (const Form& form : kForms) {
    if (form.kind == source.kind) return std::string(form.prefix) + source.name;
  }
  return source.name;
}

absl::StatusOr<KekRingRef> LookAtKeks(const KekSettings& settings) {
  if (settings.source.empty()) return KekRingRef();
  SOTTO_ASSIGN_OR_RETURN(const KekSource source, ParseKekSource(settings.source));
  switch (source.kind) {
    case Kind::kFile:
      return RingOfOne(ReadFile(source.name, settings, /*is_credential=*/false), settings);
    case Kind::kFolder:
      return ReadFolder(source.name, settings);
    case Kind::kCredential:
      return RingOfOne(ReadCredential(source.name, settings), settings);
    case Kind::kEnvironment:
      break;
  }
  return RingOfOne(ReadVariable(source.name, settings), settings);
}

absl::StatusOr<KekRingRef> KekLoader::Load(const KekSettings& settings) {
  const absl::StatusOr<KekSource> source = ParseKekSource(settings.source);
  if (!source.ok() || source->kind != Kind::kEnvironment) return LookAtKeks(settings);
  if (taken_ != nullptr && variable_ == source->name && std::getenv(variable_.c_str()) == nullptr) {
    return RingOfOne(taken_, settings);
  }
  SOTTO_ASSIGN_OR_RETURN(KekRingRef ring, LookAtKeks(settings));
  TakeOut(source->name);
  variable_ = source->name;
  taken_ = ring->active();
  return ring;
}

}  // namespace sotto
