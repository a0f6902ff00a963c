#include "cmd/config/settings.h"

#include <toml++/toml.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/edit_distance.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

// Deeper tables than any key has are refused by name; this bounds what is looked at.
constexpr size_t kWordBytesMax = 200;

// A name from outside, fit for a terminal.
std::string Shown(std::string_view text) {
  const std::string cut(text.substr(0, kWordBytesMax));
  return absl::Utf8SafeCHexEscape(cut);
}

ConfigFinding UnknownKey(const std::string& key, const std::string& where) {
  const std::string nearest = NearestKey(key);
  std::string message = absl::StrCat("unknown key \"", Shown(key), "\"");
  if (!nearest.empty()) absl::StrAppend(&message, "; did you mean \"", nearest, "\"?");
  return {FindingLevel::kError, "CONFIG_UNKNOWN_KEY", where, message,
          "sotto config show lists every key"};
}

ConfigFinding BadValue(const KeySpec& spec, const absl::Status& status, const std::string& where) {
  return {FindingLevel::kError, ErrorCode(status), where,
          absl::StrCat(std::string(spec.key), ": ", std::string(status.message())), ""};
}

std::string_view Wanted(ValueType type) {
  switch (type) {
    case ValueType::kText:
    case ValueType::kPath:
      return "a text";
    case ValueType::kTextList:
      return "a text or a list of texts";
    case ValueType::kBool:
      return "true or false";
    case ValueType::kInteger:
      return "a whole number";
    case ValueType::kDuration:
      return "a duration in quotes, such as \"500ms\" or \"10s\"";
    case ValueType::kTags:
      return "a table of texts, such as { role = \"gateway\" }";
  }
  return "";
}

std::string_view Got(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number with a point";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

// One file's walk. Findings and settings come in the order of lines, whatever order TOML's tables
// have.
class TomlWalk {
 public:
  explicit TomlWalk(std::string name) : name_(std::move(name)), folder_(FolderOf(name_)) {}

  void Table(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      const std::string path = prefix.empty() ? std::string(key.str())
                                              : absl::StrCat(prefix, ".", std::string(key.str()));
      // A key with a dot inside quotes is not a path.
      const bool is_word = key.str().find('.') == std::string_view::npos;
      if (prefix.empty() && key.str() == kHandlerKey) {
        Handlers(node);
      } else if (const KeySpec* spec = is_word ? FindKey(path) : nullptr) {
        Key(*spec, node);
      } else if (!is_word || !IsSection(path)) {
        Report(key.source().begin, UnknownKey(path, Where(key.source().begin)));
      } else if (const toml::table* section = node.as_table()) {
        Table(*section, path);
      } else {
        Report(
            node.source().begin,
            {FindingLevel::kError, "CONFIG_WRONG_TYPE", Where(node.source().begin),
             absl::StrCat(path, " is ", std::string(Got(node)), ", want a section: [", path, "]"),
             ""});
      }
    }
  }

  Settings Finish() {
    std::stable_sort(findings_.begin(), findings_.end(), [](const auto& a, const auto& b) {
      return std::tie(a.line, a.column) < std::tie(b.line, b.column);
    });
    Settings result;
    for (Found& found : findings_) result.findings.push_back(std::move(found.finding));
    result.settings = std::move(settings_);
    result.handlers = std::move(handlers_);
    return result;
  }

 private:
  struct Found {
    uint32_t line, column;
    ConfigFinding finding;
  };

  std::string Where(const toml::source_position& at) const {
    return absl::StrCat(name_, ":", at.line, ":", at.column);
  }

  void Report(const toml::source_position& at, ConfigFinding finding) {
    findings_.push_back({at.line, at.column, std::move(finding)});
  }

  void Key(const KeySpec& spec, const toml::node& node) {
    const toml::source_position at = node.source().begin;
    const std::optional<absl::StatusOr<Value>> converted = Convert(spec, node);
    if (!converted.has_value()) {
      Report(at, {FindingLevel::kError, "CONFIG_WRONG_TYPE", Where(at),
                  absl::StrCat(std::string(spec.key), " is ", std::string(Got(node)), ", want ",
                               std::string(Wanted(spec.type))),
                  ""});
      return;
    }
    const absl::Status status =
        converted->ok() ? CheckValue(spec, **converted) : converted->status();
    if (!status.ok()) {
      Report(at, BadValue(spec, status, Where(at)));
      return;
    }
    settings_.push_back({&spec, **converted, Where(at), folder_});
  }

  // Nothing if the node's type does not fit.
  static std::optional<absl::StatusOr<Value>> Convert(const KeySpec& spec, const toml::node& node) {
    switch (spec.type) {
      case ValueType::kText:
      case ValueType::kPath:
        if (const auto* text = node.as_string()) return Value(text->get());
        return std::nullopt;
      case ValueType::kTextList:
        return ConvertList(node);
      case ValueType::kBool:
        if (const auto* yes = node.as_boolean()) return Value(yes->get());
        return std::nullopt;
      case ValueType::kInteger:
        if (const auto* number = node.as_integer()) return Value(int64_t{number->get()});
        return std::nullopt;
      case ValueType::kDuration:
        if (const auto* text = node.as_string()) return ParseValue(spec, text->get());
        return std::nullopt;
      case ValueType::kTags:
        return ConvertTags(node);
    }
    return std::nullopt;
  }

  static std::optional<absl::StatusOr<Value>> ConvertList(const toml::node& node) {
    if (const auto* text = node.as_string()) return Value(std::vector<std::string>{text->get()});
    const toml::array* list = node.as_array();
    if (list == nullptr) return std::nullopt;
    std::vector<std::string> texts;
    for (const toml::node& element : *list) {
      const auto* text = element.as_string();
      if (text == nullptr) return std::nullopt;
      texts.push_back(text->get());
    }
    return Value(std::move(texts));
  }

  static std::optional<absl::StatusOr<Value>> ConvertTags(const toml::node& node) {
    const toml::table* table = node.as_table();
    if (table == nullptr) return std::nullopt;
    std::vector<Tag> tags;
    for (const auto& [key, element] : *table) {
      const auto* text = element.as_string();
      if (text == nullptr) return std::nullopt;
      tags.push_back({std::string(key.str()), text->get()});
    }
    std::sort(tags.begin(), tags.end());
    return Value(std::move(tags));
  }

  void Handlers(const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr) return HandlerError(node, "CONFIG_WRONG_TYPE", "want [[handler]]");
    for (const toml::node& element : *list) {
      if (const toml::table* table = element.as_table()) {
        Handler(*table);
      } else {
        HandlerError(element, "CONFIG_WRONG_TYPE", "want [[handler]]");
      }
    }
  }

  void HandlerError(const toml::node& node, std::string_view code, const std::string& message) {
    Report(node.source().begin, {FindingLevel::kError, std::string(code),
                                 Where(node.source().begin), "handler: " + message, ""});
  }

  void Handler(const toml::table& table) {
    HandlerConfig handler;
    handler.origin = Where(table.source().begin);
    const size_t before = findings_.size();
    for (const auto& [key, node] : table) {
      const std::string word(key.str());
      if (word == "on") {
        Triggers(node, &handler.on);
      } else if (word == "run") {
        Program(node, &handler.run);
      } else if (word == "timeout") {
        Timeout(node, &handler.timeout);
      } else if (word == "queue") {
        const auto* number = node.as_integer();
        if (number != nullptr && number->get() >= 1 && number->get() <= 10'000) {
          handler.queue = number->get();
        } else {
          HandlerError(node, "CONFIG_OUT_OF_RANGE", "queue: want a whole number from 1 to 10000");
        }
      } else if (word == "batch") {
        const auto* yes = node.as_boolean();
        if (yes != nullptr) {
          handler.batch = yes->get();
        } else {
          HandlerError(node, "CONFIG_WRONG_TYPE", "batch: want true or false");
        }
      } else {
        UnknownHandlerKey(word, key.source().begin);
      }
    }
    if (findings_.size() == before && (handler.on.empty() || handler.run.empty())) {
      HandlerError(table, "CONFIG_MISSING",
                   absl::StrCat(handler.on.empty() ? "on" : "run", " is not set: ",
                                handler.on.empty() ? "when is it to run?" : "what is to be run?"));
    }
    if (findings_.size() == before) handlers_.push_back(std::move(handler));
  }

  void UnknownHandlerKey(const std::string& word, const toml::source_position& at) {
    std::string message = absl::StrCat("unknown key \"handler.", Shown(word), "\"");
    for (const std::string_view known : {"on", "run", "timeout", "queue", "batch"}) {
      if (EditDistance(word, known) > 1 + known.size() / 4) continue;
      absl::StrAppend(&message, "; did you mean \"", std::string(known), "\"?");
      break;
    }
    Report(at, {FindingLevel::kError, "CONFIG_UNKNOWN_KEY", Where(at), message,
                "a handler has on, run, timeout, queue, batch"});
  }

  void Triggers(const toml::node& node, std::vector<std::string>* on) {
    const auto list = ConvertList(node);
    if (!list.has_value()) {
      return HandlerError(node, "CONFIG_WRONG_TYPE", "on: want a list of texts");
    }
    *on = std::get<std::vector<std::string>>(**list);
    for (const std::string& trigger : *on) {
      const absl::Status status = CheckTrigger(trigger);
      if (!status.ok()) {
        HandlerError(node, ErrorCode(status), "on: " + std::string(status.message()));
      }
    }
  }

  // Never looked for in PATH, so that nobody else decides what is run.
  void Program(const toml::node& node, std::vector<std::string>* run) {
    const toml::array* list = node.as_array();
    const auto texts = list == nullptr ? std::nullopt : ConvertList(node);
    if (!texts.has_value()) {
      return HandlerError(node, "CONFIG_WRONG_TYPE",
                          "run: want a list: [\"/path/of/program\", \"argument\"]; no shell");
    }
    *run = std::get<std::vector<std::string>>(**texts);
    if (run->empty()) return;
    for (const std::string& word : *run) {
      if (word.find('\0') != std::string::npos) {
        return HandlerError(node, "CONFIG_OUT_OF_RANGE", "run: it holds a zero byte");
      }
    }
    std::string& path = run->front();
    if (path.find('/') == std::string::npos) {
      return HandlerError(node, "CONFIG_OUT_OF_RANGE",
                          absl::StrCat("run: \"", Shown(path), "\" is no path; want one with a /"));
    }
    if (path.front() != '/' && !folder_.empty() && folder_ != ".") {
      path = absl::StrCat(folder_, "/", path);
    }
  }

  void Timeout(const toml::node& node, Duration* timeout) {
    const auto* text = node.as_string();
    const absl::StatusOr<Duration> parsed =
        text == nullptr ? absl::InvalidArgumentError("") : ParseDuration(text->get());
    if (!parsed.ok()) {
      HandlerError(node, "CONFIG_WRONG_TYPE",
                   "timeout: want a duration in quotes, such as \"10s\"");
    } else if (*parsed < Duration::Millis(10) || *parsed > Duration::Hours(1)) {
      HandlerError(node, "CONFIG_OUT_OF_RANGE", "timeout: want 10ms to 1h");
    } else {
      *timeout = *parsed;
    }
  }

  const std::string name_;
  const std::string folder_;
  std::vector<Found> findings_;
  std::vector<Setting> settings_;
  std::vector<HandlerConfig> handlers_;
};

void AddText(const KeySpec& spec, std::string_view text, const std::string& where,
             Settings* result) {
  const absl::StatusOr<Value> value = ParseValue(spec, text);
  const absl::Status status = value.ok() ? CheckValue(spec, *value) : value.status();
  if (!status.ok()) {
    result->findings.push_back(BadValue(spec, status, where));
  } else {
    result->settings.push_back({&spec, *value, where, ""});
  }
}

}  // namespace

Settings ReadToml(std::string_view text, const std::string& name) {
  // The library's way to fail is an exception; it ends here.
  try {
    const toml::table table = toml::parse(text, std::string_view(name));
    TomlWalk walk(name);
    walk.Table(table, "");
    return walk.Finish();
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    Settings result;
    result.findings.push_back({FindingLevel::kError, "CONFIG_SYNTAX",
                               absl::StrCat(name, ":", at.line, ":", at.column),
                               absl::StrCat("no TOML: ", Shown(error.description())), ""});
    return result;
  }
}

Settings ReadEnvironment(const Environment& env) {
  constexpr std::string_view kPrefix = "SOTTO_";
  Settings result;
  for (const auto& [name, text] : env) {
    if (!name.starts_with(kPrefix)) continue;
    const std::string tail = name.substr(kPrefix.size());
    if (tail.find("__") == std::string::npos) continue;
    const std::string key = absl::AsciiStrToLower(absl::StrReplaceAll(tail, {{"__", "."}}));
    if (const KeySpec* spec = FindKey(key)) {
      AddText(*spec, text, name, &result);
      continue;
    }
    const std::string nearest = NearestKey(key);
    std::string message = "this variable names no setting";
    if (!nearest.empty()) {
      absl::StrAppend(&message, "; did you mean \"", EnvironmentName(nearest), "\"?");
    }
    result.findings.push_back(
        {FindingLevel::kError, "CONFIG_UNKNOWN_KEY", Shown(name), message, "unset " + Shown(name)});
  }
  return result;
}

Settings ReadOverrides(const std::vector<std::pair<std::string, std::string>>& overrides) {
  Settings result;
  for (const auto& [key, text] : overrides) {
    const std::string where = absl::StrCat("--set ", Shown(key));
    if (const KeySpec* spec = FindKey(key)) {
      AddText(*spec, text, where, &result);
    } else {
      result.findings.push_back(UnknownKey(key, where));
    }
  }
  return result;
}

}  // namespace sotto
