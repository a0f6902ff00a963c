// One layer of the configuration: the settings that one source makes, and what is wrong with it.
#ifndef SOTTO_CMD_CONFIG_SETTINGS_H_
#define SOTTO_CMD_CONFIG_SETTINGS_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cmd/config/config.h"
#include "cmd/config/schema.h"

namespace sotto {

struct Setting {
  const KeySpec* spec = nullptr;
  Value value;         // of the spec's type, inside its range
  std::string origin;  // as ConfigFinding::where
  std::string folder;  // that relative paths are taken from; empty: the working folder
};

struct Settings {
  std::vector<Setting> settings;
  std::vector<HandlerConfig> handlers;  // programs with a relative path made absolute
  std::vector<ConfigFinding> findings;
};

// `text` as TOML; `name` stands in every origin, and its folder is that of relative paths.
// A text that is no TOML gives one finding, CONFIG_SYNTAX, and no setting.
Settings ReadToml(std::string_view text, const std::string& name);
// SOTTO_SECTION__KEY. Names without two underscores after the prefix belong to the tools.
Settings ReadEnvironment(const Environment& env);
// --set section.key=value.
Settings ReadOverrides(const std::vector<std::pair<std::string, std::string>>& overrides);

}  // namespace sotto

#endif  // SOTTO_CMD_CONFIG_SETTINGS_H_
