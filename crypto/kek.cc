#include "crypto/kek.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "crypto/base64.h"
#include "crypto/hkdf.h"
#include "crypto/keyring.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

using absl::StatusCode;

constexpr std::string_view kKekIdLabel = "sotto/1 kek-id";

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

absl::Status BadText(std::string_view text) {
  std::string_view hint = "want base64 -w0 of 32 random bytes, one line";
  const bool raw = std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return byte >= 0x7f || (byte < 0x20 && c != '\r' && c != '\n');
  });
  if (text.ends_with('\r') || text.find("\r\n") != std::string_view::npos) {
    hint = "it has the line end CR LF of another system";
  } else if (raw) {
    hint = "it holds raw bytes: head -c32 /dev/urandom | base64 -w0";
  } else if (text.find_first_of("-_") != std::string_view::npos) {
    hint = "it is in the URL-safe alphabet; write + for - and / for _";
  }
  return CodedError(StatusCode::kInvalidArgument, "KEK_BAD_BASE64",
                    absl::StrCat("the ", text.size(), " characters are not strict base64: ",
                                 absl::string_view(hint.data(), hint.size())));
}

}  // namespace

std::string ToString(const KekId& id) {
  std::string text = EncodeBase64(id.bytes);
  text.resize(kKekIdChars);
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

std::optional<KekId> ParseKekId(std::string_view text) {
  if (text.size() != kKekIdChars || text.find_first_of("+/=") != std::string_view::npos) {
    return std::nullopt;
  }
  std::string padded = absl::StrCat(absl::string_view(text.data(), text.size()), "=");
  std::replace(padded.begin(), padded.end(), '-', '+');
  std::replace(padded.begin(), padded.end(), '_', '/');
  const absl::StatusOr<SecretBytes> bytes = DecodeBase64(padded);
  KekId id;
  if (!bytes.ok() || bytes->size() != id.bytes.size()) return std::nullopt;
  std::copy_n(bytes->view().begin(), id.bytes.size(), id.bytes.begin());
  return id;
}

absl::StatusOr<KekRef> Kek::Create(SecretBytes key, bool allow_weak) {
  if (key.size() != kKeyBytes) {
    return CodedError(StatusCode::kInvalidArgument, "KEK_BAD_LENGTH",
                      absl::StrCat("got ", key.size(), " bytes, want ", kKeyBytes));
  }
  if (!allow_weak && LooksWeak(key.view())) {
    return CodedError(StatusCode::kInvalidArgument, "KEK_WEAK",
                      "the bytes are not random: text, or few distinct values");
  }
  std::shared_ptr<Kek> made(new Kek());
  SOTTO_RETURN_IF_ERROR(HkdfSha256(key.view(), {}, BytesOf(kKekIdLabel), made->id_.bytes));
  made->key_ = std::move(key);
  return made;
}

absl::StatusOr<KekRef> ParseKekText(std::string_view text, bool allow_weak) {
  if (text.empty()) {
    return CodedError(StatusCode::kInvalidArgument, "KEK_EMPTY", "it is empty");
  }
  absl::StatusOr<SecretBytes> bytes = DecodeBase64(text);
  if (!bytes.ok()) return BadText(text);
  absl::StatusOr<KekRef> kek = Kek::Create(*std::move(bytes), allow_weak);
  const bool hex = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  });
  if (ErrorCode(kek.status()) != "KEK_BAD_LENGTH" || !hex) return kek;
  return CodedError(StatusCode::kInvalidArgument, "KEK_BAD_LENGTH",
                    absl::StrCat(kek.status().message(), "; it looks like hex, want base64"));
}

absl::StatusOr<KekRingRef> KekRing::Create(KekRef active, std::vector<KekRef> others) {
  SOTTO_CHECK(active != nullptr);
  std::shared_ptr<KekRing> ring(new KekRing());
  ring->keks_.push_back(std::move(active));
  for (KekRef& kek : others) {
    SOTTO_CHECK(kek != nullptr);
    const Kek* const held = ring->Find(kek->id());
    if (held == nullptr) {
      ring->keks_.push_back(std::move(kek));
    } else if (!(held->secret() == kek->secret())) {
      return CodedError(StatusCode::kInvalidArgument, "KEK_ID_COLLISION",
                        absl::StrCat("two key-encryption keys have the id ", ToString(kek->id())));
    }
  }
  if (ring->keks_.size() > kKeksMax) {
    return CodedError(
        StatusCode::kResourceExhausted, "KEK_TOO_MANY",
        absl::StrCat(ring->keks_.size(), " key-encryption keys, want at most ", kKeksMax));
  }
  return ring;
}

const Kek* KekRing::Find(const KekId& id) const {
  for (const KekRef& kek : keks_) {
    if (kek->id() == id) return kek.get();
  }
  return nullptr;
}

}  // namespace sotto
