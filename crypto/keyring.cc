#include "crypto/keyring.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/hkdf.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

using absl::StatusCode;

constexpr std::string_view kKeyIdLabel = "sotto/1 key-id";
// One byte says the length of a cluster's name in what is hashed, so that no two names and labels
// run into one another.
constexpr size_t kClusterBytesMax = 255;
constexpr size_t kDistinctBytesMin = 8;

absl::StatusOr<KeyId> DeriveId(const SecretBytes& key, std::string_view cluster) {
  std::string info(kKeyIdLabel);
  info += '\0';
  info += static_cast<char>(cluster.size());
  info += cluster;
  std::array<uint8_t, 4> id;
  SOTTO_RETURN_IF_ERROR(
      HkdfSha256(key.view(), {}, {reinterpret_cast<const uint8_t*>(info.data()), info.size()}, id));
  return KeyId{uint32_t{id[0]} << 24 | uint32_t{id[1]} << 16 | uint32_t{id[2]} << 8 | id[3]};
}

}  // namespace

bool LooksWeak(std::span<const uint8_t> key) {
  std::bitset<256> seen;
  for (const uint8_t byte : key) seen.set(byte);
  const bool printable =
      std::all_of(key.begin(), key.end(), [](uint8_t byte) { return byte >= 0x20 && byte < 0x7f; });
  return seen.count() < kDistinctBytesMin || printable;
}

std::string ToString(KeyId id) {
  return absl::StrCat(absl::Hex(id.value >> 16, absl::kZeroPad4), "-",
                      absl::Hex(id.value & 0xffff, absl::kZeroPad4));
}

std::optional<KeyId> ParseKeyId(std::string_view text) {
  if (text.size() != 9 || text[4] != '-') return std::nullopt;
  uint32_t value = 0;
  for (const char c : text) {
    if (c == '-') continue;
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return std::nullopt;
    value = value << 4 | static_cast<uint32_t>(digit ? c - '0' : c - 'a' + 10);
  }
  const KeyId id{value};
  // One spelling each.
  return ToString(id) == text ? std::optional(id) : std::nullopt;
}

std::string_view ToString(AeadAlgorithm algorithm) {
  switch (algorithm) {
    case AeadAlgorithm::kAes128Gcm:
      return "AES-128-GCM";
    case AeadAlgorithm::kAes192Gcm:
      return "AES-192-GCM";
    case AeadAlgorithm::kAes256Gcm:
      return "AES-256-GCM";
  }
  return "unknown";
}

absl::StatusOr<ClusterKeyRef> ClusterKey::Create(SecretBytes key, std::string_view cluster,
                                                 uint64_t generation, bool allow_weak) {
  AeadAlgorithm algorithm;
  switch (key.size()) {
    case 16:
      algorithm = AeadAlgorithm::kAes128Gcm;
      break;
    case 24:
      algorithm = AeadAlgorithm::kAes192Gcm;
      break;
    case 32:
      algorithm = AeadAlgorithm::kAes256Gcm;
      break;
    default:
      return CodedError(StatusCode::kInvalidArgument, "KEY_BAD_LENGTH",
                        absl::StrCat("got ", key.size(), " bytes, want 16, 24 or 32"));
  }
  if (cluster.empty() || cluster.size() > kClusterBytesMax) {
    return CodedError(StatusCode::kInvalidArgument, "CLUSTER_NAME_INVALID",
                      absl::StrCat("a cluster's name of ", cluster.size(), " bytes"));
  }
  if (!allow_weak && LooksWeak(key.view())) {
    return CodedError(StatusCode::kInvalidArgument, "KEY_WEAK",
                      "the key's bytes are not random: text, or few distinct values");
  }
  SOTTO_ASSIGN_OR_RETURN(const KeyId id, DeriveId(key, cluster));
  std::shared_ptr<ClusterKey> made(new ClusterKey());
  made->key_ = std::move(key);
  made->cluster_ = cluster;
  made->id_ = id;
  made->algorithm_ = algorithm;
  made->generation_ = generation;
  return ClusterKeyRef(std::move(made));
}

absl::Status Keyring::Install(ClusterKeyRef key) {
  if (const ClusterKeyRef present = Find(key->id())) {
    if (present->secret() == key->secret()) return absl::OkStatus();
    return CodedError(StatusCode::kAlreadyExists, "KEY_ID_COLLISION",
                      absl::StrCat("another key has the id ", ToString(key->id())));
  }
  if (keys_.size() >= kKeysMax) {
    return CodedError(
        StatusCode::kResourceExhausted, "KEY_RING_FULL",
        absl::StrCat("the ring holds ", keys_.size(), " keys already; remove one before adding ",
                     ToString(key->id())));
  }
  if (sealing_ == nullptr) sealing_ = key;
  keys_.push_back(std::move(key));
  return absl::OkStatus();
}

absl::Status Keyring::Use(KeyId id) {
  ClusterKeyRef key = Find(id);
  if (key == nullptr) {
    return CodedError(StatusCode::kNotFound, "KEY_UNKNOWN",
                      absl::StrCat("no key ", ToString(id), " in the ring"));
  }
  sealing_ = std::move(key);
  return absl::OkStatus();
}

absl::Status Keyring::Remove(KeyId id) {
  const auto at =
      std::find_if(keys_.begin(), keys_.end(), [id](const auto& key) { return key->id() == id; });
  if (at == keys_.end()) {
    return CodedError(StatusCode::kNotFound, "KEY_UNKNOWN",
                      absl::StrCat("no key ", ToString(id), " in the ring"));
  }
  if (*at == sealing_) {
    return CodedError(StatusCode::kFailedPrecondition, "KEY_IN_USE",
                      absl::StrCat("key ", ToString(id),
                                   " seals our frames; use another one before removing it"));
  }
  keys_.erase(at);
  return absl::OkStatus();
}

ClusterKeyRef Keyring::Find(KeyId id) const {
  for (const ClusterKeyRef& key : keys_) {
    if (key->id() == id) return key;
  }
  return nullptr;
}

}  // namespace sotto
