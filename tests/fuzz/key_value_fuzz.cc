// Any text as the value of the key's row: a key of a right length, or a code; the message never
// holds the text.
#include <cstdint>
#include <string>
#include <string_view>

#include "crypto/base64.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "store/cluster_key.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kSecretBytesMin = 8;  // shorter texts stand in messages by chance
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const sotto::KeyPolicy strict;
  const sotto::KeyPolicy lax{.allow_weak = true, .allow_hex_looking = true};
  const auto key = sotto::ParseClusterKey(text, "edge", lax);
  if (key.ok()) {
    SOTTO_CHECK((*key)->size() == 16 || (*key)->size() == 24 || (*key)->size() == 32);
    SOTTO_CHECK(sotto::EncodeBase64((*key)->secret().view()) == text);
  } else {
    SOTTO_CHECK(!sotto::ErrorCode(key.status()).empty());
  }
  // What the strict reading takes, the lax one takes too.
  const auto strict_key = sotto::ParseClusterKey(text, "edge", strict);
  SOTTO_CHECK(!strict_key.ok() || key.ok());
  if (!strict_key.ok() && size >= kSecretBytesMin) {
    SOTTO_CHECK(strict_key.status().ToString().find(std::string(text)) == std::string::npos);
  }
  const auto of_file = sotto::ParseClusterKeyText(std::string(text) + "\n", "edge", strict);
  SOTTO_CHECK(of_file.ok() == strict_key.ok());
  return 0;
}
