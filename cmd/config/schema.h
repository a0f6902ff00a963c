// Every key of the configuration: the one table behind parsing, environment, `show`, `init` and
// suggestions.
#ifndef SOTTO_CMD_CONFIG_SCHEMA_H_
#define SOTTO_CMD_CONFIG_SCHEMA_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/config/config.h"

namespace sotto {

enum class ValueType : uint8_t { kText, kTextList, kBool, kInteger, kDuration, kTags, kPath };

using Value =
    std::variant<std::string, std::vector<std::string>, bool, int64_t, Duration, std::vector<Tag>>;

struct KeySpec {
  std::string_view key;  // "sync.tls.ca"
  ValueType type;
  std::string_view fallback;  // the default as text; empty: none, or worked out (see `doc`)
  std::string_view doc;       // one line
  std::string_view words;     // "local|lan|wan": the only texts allowed; empty: any
  int64_t min = 0, max = 0;   // kInteger, and kDuration in nanoseconds; both 0: any
  bool reloadable = false;    // SIGHUP applies it
  bool from_profile = false;  // the default comes with gossip.profile
  // Puts a value of `type` into the settings.
  void (*set)(Config& config, const Value& value);
  // The value in the settings.
  Value (*get)(const Config& config);
};

std::span<const KeySpec> ConfigSchema();

// The one name beside the table: a list of tables, [[handler]].
inline constexpr std::string_view kHandlerKey = "handler";

// Null if there is none.
const KeySpec* FindKey(std::string_view key);

// Whether `section` ("sync", "sync.tls") holds keys.
bool IsSection(std::string_view section);

// The key or section nearest in spelling to `key`, siblings preferred; empty if none is near.
std::string NearestKey(std::string_view key);

// "SOTTO_SYNC__TLS__CA".
std::string EnvironmentName(std::string_view key);

// "500ms", "1.5s", "10m", "24h", "7d". CONFIG_WRONG_TYPE without a unit, CONFIG_OUT_OF_RANGE.
absl::StatusOr<Duration> ParseDuration(std::string_view text);
std::string ToText(Duration duration);

// A value as it comes from the environment or --set: lists and tags are separated by commas.
absl::StatusOr<Value> ParseValue(const KeySpec& spec, std::string_view text);
// Type fits already: words and ranges. CONFIG_OUT_OF_RANGE.
absl::Status CheckValue(const KeySpec& spec, const Value& value);
// As TOML writes it.
std::string ToToml(const Value& value);
// `text` as a TOML string.
std::string QuoteToml(std::string_view text);

// Every key with its type, default and meaning, as a Markdown table.
std::string ConfigReference();

}  // namespace sotto

#endif  // SOTTO_CMD_CONFIG_SCHEMA_H_
