#include "store/key_cache.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "crypto/base64.h"
#include "crypto/envelope.h"
#include "crypto/kek_box.h"
#include "crypto/secret_bytes.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/crc32.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

using absl::StatusCode;

constexpr size_t kCacheBytesMax = 16 * 1024;
constexpr int64_t kFutureSecondsMax = 3600;
constexpr std::array<std::string_view, 3> kStateWords = {"prepared", "active", "retired"};

struct Head {
  std::string cluster, node, kek, box;  // the last two as text
};

std::string Format(const Head& head) {
  std::string text = absl::StrCat("sotto-key-cache 1\ncluster ", head.cluster, "\nnode ", head.node,
                                  "\nkek ", head.kek, "\nbox ", head.box, "\n");
  absl::StrAppendFormat(&text, "crc32 %08x\n", Crc32(text));
  return text;
}

std::string After(const std::string& line, std::string_view prefix) {
  return line.starts_with(prefix) ? line.substr(prefix.size()) : std::string();
}

// Nothing if it is not, byte for byte, what Format makes.
std::optional<Head> ParseHead(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (lines.size() != 7) return std::nullopt;
  Head head{After(lines[1], "cluster "), After(lines[2], "node "), After(lines[3], "kek "),
            After(lines[4], "box ")};
  if (Format(head) != text) return std::nullopt;
  return head;
}

// The sealed part. A row's value has no space, so one space between words is enough.
struct Inner {
  int64_t written_unix_s = 0;
  struct Line {
    KeyState state = KeyState::kActive;
    std::string wrapped;
  };
  std::vector<Line> lines;
};

std::string Format(const Inner& inner) {
  std::string text = absl::StrCat("written ", inner.written_unix_s, "\n");
  for (const Inner::Line& line : inner.lines) {
    absl::StrAppend(&text, std::string(kStateWords[static_cast<size_t>(line.state)]), " ",
                    line.wrapped, "\n");
  }
  return text;
}

std::optional<Inner> ParseInner(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (lines.size() < 2) return std::nullopt;
  lines.pop_back();
  Inner inner;
  if (!absl::SimpleAtoi(After(lines.front(), "written "), &inner.written_unix_s)) {
    return std::nullopt;
  }
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t space = lines[i].find(' ');
    if (space == std::string::npos) return std::nullopt;
    const auto word = std::find(kStateWords.begin(), kStateWords.end(), lines[i].substr(0, space));
    if (word == kStateWords.end()) return std::nullopt;
    inner.lines.push_back(
        {static_cast<KeyState>(word - kStateWords.begin()), lines[i].substr(space + 1)});
  }
  if (Format(inner) != text) return std::nullopt;
  return inner;
}

bool IsRing(const std::vector<CachedKey>& keys) {
  const auto active = std::count_if(keys.begin(), keys.end(), [](const CachedKey& cached) {
    return cached.state == KeyState::kActive;
  });
  return active == 1 && keys.size() <= Keyring::kKeysMax &&
         std::none_of(keys.begin(), keys.end(),
                      [](const CachedKey& cached) { return cached.key == nullptr; });
}

absl::Status Corrupt(const std::string& path, std::string_view why) {
  return CodedError(StatusCode::kDataLoss, "KEY_CACHE_CORRUPT",
                    absl::StrCat(path, ": the key cache is damaged: ",
                                 absl::string_view(why.data(), why.size())));
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  const absl::StatusOr<SecretBytes> bytes = ReadSecretFile(path, {.bytes_max = kCacheBytesMax});
  const std::string code = ErrorCode(bytes.status());
  if (code == "FILE_MISSING") {
    return CodedError(StatusCode::kNotFound, "KEY_CACHE_MISSING",
                      absl::StrCat(path, ": no keys were kept there yet"));
  }
  if (code == "FILE_TOO_LONG") return Corrupt(path, "it is too long");
  if (!bytes.ok()) return bytes.status();
  return std::string(bytes->view().begin(), bytes->view().end());
}

absl::StatusOr<SecretBytes> OpenBox(const std::string& path, const Head& head,
                                    const KekRing& keks) {
  const std::optional<KekId> id = ParseKekId(head.kek);
  const absl::StatusOr<SecretBytes> box = DecodeBase64(head.box);
  if (!id.has_value() || !box.ok()) return Corrupt(path, "its head is not in the right form");
  const Kek* const kek = keks.Find(*id);
  if (kek == nullptr) {
    return CodedError(StatusCode::kFailedPrecondition, "KEK_MISSING",
                      absl::StrCat(path, ": the key cache is sealed under the key-encryption key ",
                                   head.kek, ", which this node does not have"));
  }
  absl::StatusOr<SecretBytes> text =
      OpenUnderKek(*kek, KekUse::kKeyCache, {head.cluster, head.node, head.kek}, box->view());
  if (ErrorCode(text.status()) == "KEY_CORRUPT") return Corrupt(path, "the seal is broken");
  if (!text.ok()) return WithContext(text.status(), path);
  return text;
}

absl::Status CheckAge(const std::string& path, int64_t written, int64_t now) {
  if (written > now + kFutureSecondsMax) {
    return CodedError(StatusCode::kFailedPrecondition, "KEY_CACHE_TOO_OLD",
                      absl::StrCat(path, ": the key cache was written ", (written - now) / 3600,
                                   " hours from now: this machine's clock cannot tell its age"));
  }
  if (now - written > kKeyCacheAgeMaxSeconds) {
    return CodedError(StatusCode::kFailedPrecondition, "KEY_CACHE_TOO_OLD",
                      absl::StrCat(path, ": the key cache is ", (now - written) / 86'400,
                                   " days old, and counts for ", kKeyCacheAgeMaxSeconds / 86'400));
  }
  return absl::OkStatus();
}

}  // namespace

const ClusterKeyRef& KeyCache::active() const {
  return std::find_if(keys.begin(), keys.end(),
                      [](const CachedKey& cached) { return cached.state == KeyState::kActive; })
      ->key;
}

std::string KeyCachePlace::path() const { return absl::StrCat(folder, "/key.cache"); }

absl::Status WriteKeyCache(const KeyCachePlace& place, const KekRing& keks, const KeyCache& cache) {
  if (!IsRing(cache.keys)) {
    return absl::InvalidArgumentError("a key cache holds 1 to 4 keys, one of them active");
  }
  const Kek& kek = *keks.active();
  Inner inner;
  inner.written_unix_s = cache.written_unix_s;
  for (const CachedKey& cached : cache.keys) {
    SOTTO_ASSIGN_OR_RETURN(std::string wrapped, WrapKey(*cached.key, kek));
    inner.lines.push_back({cached.state, std::move(wrapped)});
  }
  const std::string text = Format(inner);
  Head head{place.cluster, place.node, ToString(kek.id()), ""};
  SOTTO_ASSIGN_OR_RETURN(
      const std::vector<uint8_t> box,
      SealUnderKek(kek, KekUse::kKeyCache, {head.cluster, head.node, head.kek},
                   {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  head.box = EncodeBase64(box);
  const absl::Status written = AtomicWrite(place.path(), Format(head), 0600);
  if (written.ok()) return written;
  return CodedError(written.code(), "KEY_CACHE_UNWRITABLE",
                    absl::StrCat("the key cache can't be kept: ", written.message()));
}

absl::StatusOr<KeyCache> ReadKeyCache(const KeyCachePlace& place, const KekRing& keks,
                                      int64_t now_unix_s) {
  const std::string path = place.path();
  SOTTO_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  const std::optional<Head> head = ParseHead(text);
  if (!head.has_value()) return Corrupt(path, "its form or its checksum is wrong");
  if (head->cluster != place.cluster || head->node != place.node) {
    return CodedError(
        StatusCode::kFailedPrecondition, "KEY_CACHE_OTHER_NODE",
        absl::StrCat(path, ": the key cache of node \"", head->node, "\" of cluster \"",
                     head->cluster, "\", not of \"", place.node, "\" of \"", place.cluster, "\""));
  }
  SOTTO_ASSIGN_OR_RETURN(const SecretBytes opened, OpenBox(path, *head, keks));
  const std::optional<Inner> inner =
      ParseInner(std::string(opened.view().begin(), opened.view().end()));
  if (!inner.has_value()) return Corrupt(path, "what is sealed in it has no form");
  SOTTO_RETURN_IF_ERROR(CheckAge(path, inner->written_unix_s, now_unix_s));
  KeyCache cache;
  cache.written_unix_s = inner->written_unix_s;
  for (const Inner::Line& line : inner->lines) {
    // Weak or not was judged when the key was taken from its row.
    absl::StatusOr<ClusterKeyRef> key =
        UnwrapKey(line.wrapped, place.cluster, &keks, {.allow_weak = true});
    if (!key.ok()) return WithContext(key.status(), path);
    cache.keys.push_back({*std::move(key), line.state});
  }
  if (!IsRing(cache.keys)) return Corrupt(path, "its keys are no ring");
  return cache;
}

}  // namespace sotto
