// Any text as a wrapped key: one spelling for each value, a code for each failure, and what opens
// was made by the holder of the KEK. The KEKs are those of tests/vectors/envelope.txt.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crypto/base64.h"
#include "crypto/envelope.h"
#include "crypto/kek.h"
#include "crypto/secret_bytes.h"
#include "crypto/sha256.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"

namespace sotto {
namespace {

KekRingRef Keks() {
  std::vector<KekRef> keks;
  for (const std::string_view text : {"kek 0", "kek 1"}) {
    auto kek = Kek::Create(SecretBytes(Sha256(text).bytes));
    SOTTO_CHECK(kek.ok());
    keks.push_back(*std::move(kek));
  }
  auto ring = KekRing::Create(keks[0], {keks[1]});
  SOTTO_CHECK(ring.ok());
  return *std::move(ring);
}

void CheckParsed(std::string_view text) {
  const auto wrapped = ParseWrappedKey(text);
  if (!wrapped.ok()) {
    SOTTO_CHECK(!ErrorCode(wrapped.status()).empty());
    if (text.size() >= 12) {
      SOTTO_CHECK(wrapped.status().ToString().find(std::string(text)) == std::string::npos);
    }
    return;
  }
  SOTTO_CHECK("sottok1:" + ToString(wrapped->kek) + ":" + std::to_string(wrapped->generation) +
                  ":" + EncodeBase64(wrapped->box) ==
              text);
}

void CheckOpened(std::string_view text, const KekRing& keks) {
  const auto none = UnwrapKey(text, "edge-prod", nullptr);
  SOTTO_CHECK(!none.ok() && !ErrorCode(none.status()).empty());
  const auto key = UnwrapKey(text, "edge-prod", &keks, {.allow_weak = true});
  if (!key.ok()) {
    SOTTO_CHECK(!ErrorCode(key.status()).empty());
    return;
  }
  // Only what the vectors' program sealed opens at all.
  SOTTO_CHECK((*key)->generation() >= 1 && (*key)->generation() <= 3);
  const auto elsewhere = UnwrapKey(text, "edge-prod-2", &keks, {.allow_weak = true});
  SOTTO_CHECK(ErrorCode(elsewhere.status()) == "KEY_CORRUPT");
}

}  // namespace
}  // namespace sotto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const sotto::KekRingRef keks = sotto::Keks();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  sotto::CheckParsed(text);
  sotto::CheckOpened(text, *keks);
  const auto id = sotto::ParseKekId(text);
  if (id.has_value()) SOTTO_CHECK(sotto::ToString(*id) == text);
  const auto kek = sotto::ParseKekText(text, /*allow_weak=*/true);
  if (!kek.ok()) SOTTO_CHECK(sotto::ErrorCode(kek.status()).starts_with("KEK_"));
  return 0;
}
