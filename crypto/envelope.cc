#include "crypto/envelope.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "crypto/base64.h"
#include "crypto/kek_box.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

using absl::StatusCode;

constexpr std::string_view kPrefix = "sottok";
constexpr std::string_view kVersion = "1";
// The name that a key has in whichever table it stands; not that of a row.
constexpr std::string_view kLogicalName = "ClusterEncryptionKey";
constexpr size_t kGenerationDigitsMax = 19;

bool AllDigits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "7" of "sottok7:…"; nothing if `text` is no wrapped key.
std::optional<std::string_view> VersionOf(std::string_view text) {
  if (!text.starts_with(kPrefix)) return std::nullopt;
  text.remove_prefix(kPrefix.size());
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || !AllDigits(text.substr(0, colon))) return std::nullopt;
  return text.substr(0, colon);
}

// Canonical: digits without leading zeros.
std::optional<uint64_t> ParseGeneration(std::string_view text) {
  if (!AllDigits(text) || text.size() > kGenerationDigitsMax || text.front() == '0') {
    return std::nullopt;
  }
  uint64_t generation = 0;
  if (!absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &generation) ||
      generation > kGenerationMax) {
    return std::nullopt;
  }
  return generation;
}

absl::Status Corrupt(std::string_view what) {
  return CodedError(
      StatusCode::kDataLoss, "KEY_CORRUPT",
      absl::StrCat("the wrapped key is damaged: ", absl::string_view(what.data(), what.size())));
}

std::string GenerationBytes(uint64_t generation) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(generation >> shift);
  return bytes;
}

std::string_view IdBytes(const KekId& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

bool IsKeyLength(size_t size) { return size == 16 || size == 24 || size == 32; }

}  // namespace

bool IsWrappedKey(std::string_view text) { return VersionOf(text).has_value(); }

absl::StatusOr<WrappedKey> ParseWrappedKey(std::string_view text) {
  if (text.size() > kKeyTextCharsMax) {
    return CodedError(StatusCode::kInvalidArgument, "KEY_TOO_LONG",
                      absl::StrCat("the key has ", text.size(), " characters, over the limit of ",
                                   kKeyTextCharsMax));
  }
  const std::optional<std::string_view> version = VersionOf(text);
  if (!version.has_value()) return Corrupt("it does not begin as one");
  if (*version != kVersion) {
    return CodedError(StatusCode::kUnimplemented, "KEY_UNSUPPORTED_VERSION",
                      "the key is wrapped in a form that this release does not know; a newer one "
                      "wrote it");
  }
  text.remove_prefix(kPrefix.size() + kVersion.size() + 1);
  const size_t first = text.find(':');
  const size_t second = first == std::string_view::npos ? first : text.find(':', first + 1);
  if (second == std::string_view::npos) return Corrupt("a field is missing");
  const std::optional<KekId> kek = ParseKekId(text.substr(0, first));
  if (!kek.has_value()) return Corrupt("its second field is no id of a key-encryption key");
  const std::optional<uint64_t> generation =
      ParseGeneration(text.substr(first + 1, second - first - 1));
  if (!generation.has_value()) return Corrupt("its third field is no generation");
  const std::string_view body = text.substr(second + 1);
  if (body.find(':') != std::string_view::npos) return Corrupt("it has a field too many");
  const absl::StatusOr<SecretBytes> box = DecodeBase64(body);
  if (!box.ok()) {
    return CodedError(StatusCode::kInvalidArgument, "KEY_BAD_BASE64",
                      absl::StrCat("the wrapped key's body of ", body.size(),
                                   " characters is not strict base64: standard alphabet, exact "
                                   "padding, no white space, no stray bits"));
  }
  if (box->size() < kKekBoxOverheadBytes || !IsKeyLength(box->size() - kKekBoxOverheadBytes)) {
    return Corrupt(absl::StrCat("its body has ", box->size(), " bytes"));
  }
  return WrappedKey{*kek, *generation, {box->view().begin(), box->view().end()}};
}

absl::StatusOr<std::string> WrapKey(const ClusterKey& key, const Kek& kek) {
  const uint64_t generation = key.generation();
  if (generation == 0 || generation > kGenerationMax) {
    return CodedError(StatusCode::kInvalidArgument, "KEY_CORRUPT",
                      absl::StrCat("no key has the generation ", generation));
  }
  SOTTO_ASSIGN_OR_RETURN(
      const std::vector<uint8_t> box,
      SealUnderKek(kek, KekUse::kClusterKey,
                   {kLogicalName, key.cluster(), IdBytes(kek.id()), GenerationBytes(generation)},
                   key.secret().view()));
  return absl::StrCat(std::string(kPrefix), std::string(kVersion), ":", ToString(kek.id()), ":",
                      generation, ":", EncodeBase64(box));
}

absl::StatusOr<ClusterKeyRef> UnwrapKey(std::string_view text, std::string_view cluster,
                                        const KekRing* keks, UnwrapOptions options) {
  SOTTO_ASSIGN_OR_RETURN(const WrappedKey wrapped, ParseWrappedKey(text));
  const Kek* const kek = keks == nullptr ? nullptr : keks->Find(wrapped.kek);
  if (kek == nullptr) {
    return CodedError(
        StatusCode::kFailedPrecondition, "KEK_MISSING",
        absl::StrCat("the key is wrapped under the key-encryption key ", ToString(wrapped.kek),
                     keks == nullptr ? ", and this node has none (encryption.kek)"
                                     : ", which this node does not have"));
  }
  absl::StatusOr<SecretBytes> bytes = OpenUnderKek(
      *kek, KekUse::kClusterKey,
      {kLogicalName, cluster, IdBytes(wrapped.kek), GenerationBytes(wrapped.generation)},
      wrapped.box);
  if (ErrorCode(bytes.status()) == "KEY_CORRUPT") {
    return Corrupt("changed after it was wrapped, or wrapped for another cluster or generation");
  }
  if (!bytes.ok()) return WithContext(bytes.status(), "the wrapped key");
  return ClusterKey::Create(*std::move(bytes), cluster, wrapped.generation, options.allow_weak);
}

}  // namespace sotto
