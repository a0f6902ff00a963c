#include "crypto/base64.h"

#include <algorithm>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"

namespace sotto {
namespace {

using absl::StatusCode;

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// The six bits of a character, or -1.
int ValueOf(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool AllHex(std::string_view text) { return std::all_of(text.begin(), text.end(), IsHex); }

std::optional<SecretBytes> Decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  if (text.empty()) return SecretBytes();
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  SecretBytes bytes(text.size() / 4 * 3 - padding);
  const std::span<uint8_t> out = bytes.mutable_view();
  uint32_t bits = 0;
  int bit_count = 0;
  size_t at = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const int value = ValueOf(c);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      out[at++] = static_cast<uint8_t>(bits >> bit_count);
    }
  }
  const bool stray_bits = (bits & ((1u << bit_count) - 1)) != 0;
  if (stray_bits || at != out.size()) return std::nullopt;
  return bytes;
}

absl::Status BadBase64(std::string_view text) {
  const bool url_safe = text.find_first_of("-_") != std::string_view::npos &&
                        std::all_of(text.begin(), text.end(), [](char c) {
                          return c == '-' || c == '_' || c == '=' || ValueOf(c) >= 0;
                        });
  if (url_safe) {
    return CodedError(StatusCode::kInvalidArgument, "KEY_BAD_BASE64",
                      "the key is in the URL-safe alphabet; write + for - and / for _");
  }
  return CodedError(StatusCode::kInvalidArgument, "KEY_BAD_BASE64",
                    absl::StrCat("the key's ", text.size(),
                                 " characters are not strict base64: standard alphabet, exact "
                                 "padding, no white space, no stray bits"));
}

}  // namespace

std::string EncodeBase64(std::span<const uint8_t> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  uint32_t bits = 0;
  int bit_count = 0;
  for (const uint8_t byte : bytes) {
    bits = bits << 8 | byte;
    bit_count += 8;
    while (bit_count >= 6) {
      bit_count -= 6;
      text += kAlphabet[bits >> bit_count & 63];
    }
  }
  if (bit_count > 0) text += kAlphabet[bits << (6 - bit_count) & 63];
  while (text.size() % 4 != 0) text += '=';
  return text;
}

absl::StatusOr<SecretBytes> DecodeBase64(std::string_view text) {
  std::optional<SecretBytes> bytes = Decode(text);
  if (bytes.has_value()) return *std::move(bytes);
  return CodedError(StatusCode::kInvalidArgument, "BASE64_BAD",
                    absl::StrCat("the ", text.size(), " characters are not strict base64"));
}

absl::StatusOr<SecretBytes> DecodeKeyBase64(std::string_view text, DecodeKeyOptions options) {
  if (text.empty())
    return CodedError(StatusCode::kInvalidArgument, "KEY_EMPTY", "the key is empty");
  if (text.size() > kKeyTextCharsMax) {
    return CodedError(StatusCode::kInvalidArgument, "KEY_TOO_LONG",
                      absl::StrCat("the key has ", text.size(), " characters, over the limit of ",
                                   kKeyTextCharsMax));
  }
  std::optional<SecretBytes> bytes = Decode(text);
  if (!bytes.has_value()) return BadBase64(text);
  const bool hex = AllHex(text);
  if (bytes->size() != 16 && bytes->size() != 24 && bytes->size() != 32) {
    return CodedError(StatusCode::kInvalidArgument, "KEY_BAD_LENGTH",
                      absl::StrCat("got ", bytes->size(), " bytes, want 16, 24 or 32",
                                   hex ? "; it looks like hex, want base64" : ""));
  }
  if (hex && !options.allow_hex_looking) {
    return CodedError(StatusCode::kInvalidArgument, "KEY_LOOKS_HEX",
                      absl::StrCat("the key's ", text.size(),
                                   " characters are all hex digits: probably a key of ",
                                   text.size() / 2, " bytes in hex, want base64"));
  }
  return *std::move(bytes);
}

}  // namespace sotto
