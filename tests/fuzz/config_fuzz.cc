// Any text as the configuration: settings that hold to their ranges, or findings with a code and a
// place.
#include <cstdint>
#include <string_view>

#include "cmd/config/config.h"
#include "cmd/config/schema.h"
#include "gossip/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const sotto::ConfigResult result = sotto::LoadConfigText(text, "fuzz.toml");
  for (const sotto::ConfigFinding& finding : result.findings) {
    SOTTO_CHECK(!finding.code.empty() && !finding.where.empty() && !finding.message.empty());
    for (const char c : ToString(finding)) SOTTO_CHECK(static_cast<unsigned char>(c) >= ' ');
  }
  for (const sotto::KeySpec& spec : sotto::ConfigSchema()) {
    SOTTO_CHECK(sotto::CheckValue(spec, spec.get(result.config)).ok() || !result.ok());
  }
  // One for each key, and one for all handlers.
  SOTTO_CHECK(result.values.size() == sotto::ConfigSchema().size() + 1);
  return 0;
}
