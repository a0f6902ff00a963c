// Any text as base64 and as a cluster key: what decodes has one spelling, and what does not has a
// code.
#include <cstdint>
#include <string_view>

#include "crypto/base64.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto bytes = sotto::DecodeBase64(text);
  if (bytes.ok()) SOTTO_CHECK(sotto::EncodeBase64(bytes->view()) == text);
  const auto encoded = sotto::EncodeBase64({data, size});
  const auto back = sotto::DecodeBase64(encoded);
  SOTTO_CHECK(back.ok() && back->size() == size);

  const auto key = sotto::DecodeKeyBase64(text, {.allow_hex_looking = true});
  if (key.ok()) {
    SOTTO_CHECK(bytes.ok() && *key == *bytes);
    SOTTO_CHECK(key->size() == 16 || key->size() == 24 || key->size() == 32);
  } else {
    SOTTO_CHECK(!sotto::ErrorCode(key.status()).empty());
  }
  return 0;
}
