#include "cmd/config/config.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/config/address.h"
#include "cmd/config/schema.h"
#include "cmd/config/settings.h"
#include "gossip/base/coded_error.h"
#include "gossip/contacts.h"
#include "gossip/member.h"
#include "store/file_rules.h"
#include "store/kek_source.h"
#include "store/secret_source.h"
#include "store/store_url.h"

extern char** environ;

namespace sotto {
namespace {

constexpr size_t kConfigBytesMax = 256 * 1024;

std::string Variable(const Environment& env, const std::string& name) {
  const auto found = env.find(name);
  return found == env.end() ? std::string() : found->second;
}

std::string HostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "";
  return name.data();
}

std::string DefaultStateDir() {
  if (geteuid() == 0) return "/var/lib/sotto";
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && state[0] == '/') {
    return absl::StrCat(state, "/sotto");
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/') {
    return absl::StrCat(home, "/.local/state/sotto");
  }
  return "/var/lib/sotto";
}

std::string Absolute(const std::string& path, const std::string& folder) {
  if (path.empty() || path.front() == '/' || folder.empty() || folder == ".") return path;
  return absl::StrCat(folder, "/", path);
}

// conf.d/*.toml beside `path`, sorted by name.
std::vector<std::string> DropIns(const std::string& path) {
  const std::string folder = FolderOf(path) + "/conf.d";
  const std::unique_ptr<DIR, int (*)(DIR*)> open_folder(opendir(folder.c_str()), &closedir);
  std::vector<std::string> files;
  if (open_folder == nullptr) return files;
  while (const dirent* entry = readdir(open_folder.get())) {
    const std::string name = entry->d_name;
    if (name.ends_with(".toml") && name.front() != '.') {
      files.push_back(absl::StrCat(folder, "/", name));
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Layers come in by Apply, later ones over earlier ones; Finish works out the rest and checks it.
class Loader {
 public:
  void Apply(Settings layer) {
    for (ConfigFinding& finding : layer.findings) {
      is_unread_ = is_unread_ || finding.code == "CONFIG_SYNTAX";
      result_.findings.push_back(std::move(finding));
    }
    for (Setting& setting : layer.settings) {
      CheckOnlySource(setting);
      chosen_[setting.spec] = std::move(setting);
    }
    // Handlers add up: a drop-in file brings its own and takes none away.
    for (HandlerConfig& handler : layer.handlers) {
      result_.config.handlers.push_back(std::move(handler));
    }
  }

  void ApplyFile(const std::string& path) {
    const absl::StatusOr<std::string> text = ReadPlainFile(path, kConfigBytesMax);
    if (!text.ok()) {
      is_unread_ = true;
      result_.findings.push_back({FindingLevel::kError, ErrorCode(text.status()), path,
                                  std::string(text.status().message()),
                                  ErrorCode(text.status()) == "FILE_MISSING"
                                      ? absl::StrCat("sotto --config ", path, " config init")
                                      : ""});
      return;
    }
    result_.files.push_back(path);
    Apply(ReadToml(*text, path));
  }

  ConfigResult Finish() {
    SetAll();
    WorkOutDefaults();
    // What a file that was not read would have set is unknown: to complain about it hides the one
    // thing that is wrong.
    if (!is_unread_) CheckAll();
    Show();
    return std::move(result_);
  }

 private:
  void CheckAll() {
    CheckNames();
    CheckAddresses();
    CheckRequired();
    CheckTags();
    CheckTimers();
    CheckStore();
    CheckKek();
    CheckSocket();
    CheckHandlers();
  }

  Config& config() { return result_.config; }

  bool IsSet(std::string_view key) const { return chosen_.contains(FindKey(key)); }

  std::string Where(std::string_view key) const {
    const auto found = chosen_.find(FindKey(key));
    return found == chosen_.end() ? "default" : found->second.origin;
  }

  void Error(std::string_view key, std::string_view code, const std::string& message,
             std::string fix = "") {
    result_.findings.push_back({FindingLevel::kError, std::string(code), Where(key),
                                absl::StrCat(std::string(key), ": ", message), std::move(fix)});
  }

  void Set(const KeySpec& spec) {
    const auto found = chosen_.find(&spec);
    if (found != chosen_.end()) {
      Value value = found->second.value;
      if (spec.type == ValueType::kPath) {
        value = Absolute(std::get<std::string>(value), found->second.folder);
      }
      spec.set(config(), value);
    } else if (!spec.fallback.empty()) {
      const absl::StatusOr<Value> value = ParseValue(spec, spec.fallback);
      if (value.ok()) spec.set(config(), *value);
    }
  }

  void SetAll() {
    // The profile first: single timers lie over it.
    Set(*FindKey("gossip.profile"));
    const std::string& profile = config().gossip.profile;
    config().gossip.protocol = profile == "local" ? ProtocolOptions::Local()
                               : profile == "wan" ? ProtocolOptions::Wan()
                                                  : ProtocolOptions::Lan();
    for (const KeySpec& spec : ConfigSchema()) Set(spec);
  }

  void WorkOutDefaults() {
    if (!IsSet("node.name")) config().node.name = HostName();
    if (config().node.state_dir.empty()) config().node.state_dir = DefaultStateDir();
    if (config().admin.socket.empty()) config().admin.socket = DefaultSocketPath();
    WorkOutKekPath();
    std::string& url = config().store.url;
    if (url.empty()) url = absl::StrCat("sqlite:", config().node.state_dir, "/sotto.db");
    // One host has other ways.
    if (!IsSet("discovery.enabled")) config().discovery.enabled = !url.starts_with("sqlite:");
    const auto found = chosen_.find(FindKey("store.url"));
    if (found == chosen_.end() || !url.starts_with("sqlite:")) return;
    const absl::StatusOr<std::string> path = SqlitePath(url);
    if (path.ok()) url = absl::StrCat("sqlite:", Absolute(*path, found->second.folder));
  }

  // Any other setting is overridden by a later layer. Of two sources of a KEK, the one that wins in
  // silence may be the wrong one (K9).
  void CheckOnlySource(const Setting& setting) {
    const auto before = chosen_.find(setting.spec);
    if (setting.spec->key != "encryption.kek" || before == chosen_.end()) return;
    if (before->second.value == setting.value) return;
    result_.findings.push_back({FindingLevel::kError, "KEK_TWO_SOURCES", setting.origin,
                                absl::StrCat("encryption.kek: another source is named at ",
                                             before->second.origin, "; leave one"),
                                ""});
  }

  void WorkOutKekPath() {
    std::string& kek = config().encryption.kek;
    const auto found = chosen_.find(FindKey("encryption.kek"));
    absl::StatusOr<KekSource> source = ParseKekSource(kek);
    if (found == chosen_.end() || !source.ok()) return;
    if (source->kind != KekSource::Kind::kFile && source->kind != KekSource::Kind::kFolder) return;
    source->name = Absolute(source->name, found->second.folder);
    kek = ToString(*source);
  }

  void CheckKek() {
    const Config::Encryption& encryption = config().encryption;
    const absl::StatusOr<KekSource> source = ParseKekSource(encryption.kek);
    if (!encryption.kek.empty() && !source.ok()) {
      const std::string_view prefix = "encryption.kek ";
      std::string_view message(source.status().message().data(), source.status().message().size());
      if (message.starts_with(prefix)) message.remove_prefix(prefix.size());
      Error("encryption.kek", ErrorCode(source.status()), std::string(message),
            "kek = \"file:/etc/sotto/kek\"");
    }
    const bool is_folder = source.ok() && source->kind == KekSource::Kind::kFolder;
    if (!encryption.kek_active.empty() && !is_folder) {
      Error("encryption.kek_active", "CONFIG_CONTRADICTION",
            "it names a file of a folder, and encryption.kek names no folder");
    }
  }

  void CheckNames() {
    const std::string rule = "want a letter or digit, then letters, digits, \".\", \"_\", \"-\"";
    if (!config().node.cluster.empty() && !IsValidClusterName(config().node.cluster)) {
      Error("node.cluster", "CLUSTER_NAME_INVALID",
            absl::StrCat("not a cluster's name: ", rule, ", at most ", kClusterNameBytesMax));
    }
    if (!IsValidMemberName(config().node.name)) {
      Error("node.name", "MEMBER_NAME_INVALID",
            absl::StrCat(IsSet("node.name") ? "not a node's name: " : "the host has no fit name: ",
                         rule, ", at most ", kMemberNameBytesMax));
    }
  }

  // Each address normalised; the port may be 0 only where this node picks it.
  void CheckList(std::string_view key, std::vector<std::string>* addresses, bool may_be_zero,
                 bool must_be_ip) {
    std::set<std::string> seen;
    for (std::string& address : *addresses) {
      const absl::StatusOr<ConfigAddress> parsed = ParseConfigAddress(address, kDefaultPort);
      if (!parsed.ok()) {
        Error(key, ErrorCode(parsed.status()), std::string(parsed.status().message()));
        continue;
      }
      address = ToString(*parsed);
      if (must_be_ip && !parsed->is_ip) {
        Error(key, "ADDRESS_INVALID", absl::StrCat("\"", address, "\": want an IP address"));
      } else if (parsed->port == 0 && !may_be_zero) {
        Error(key, "ADDRESS_INVALID", absl::StrCat("\"", address, "\": port 0 reaches nobody"));
      } else if (parsed->port != 0 && !seen.insert(address).second) {
        Error(key, "CONFIG_CONTRADICTION", absl::StrCat("\"", address, "\" is listed twice"));
      }
    }
  }

  void CheckAddresses() {
    Config::Gossip& gossip = config().gossip;
    CheckList("gossip.bind", &gossip.bind, /*may_be_zero=*/true, /*must_be_ip=*/true);
    CheckList("gossip.advertise", &gossip.advertise, /*may_be_zero=*/false, /*must_be_ip=*/true);
    CheckList("gossip.join", &gossip.join, /*may_be_zero=*/false, /*must_be_ip=*/false);
    for (const auto& [key, count, limit] :
         {std::tuple{"gossip.bind", gossip.bind.size(), kAddressesMax},
          std::tuple{"gossip.advertise", gossip.advertise.size(), kAddressesMax},
          std::tuple{"gossip.join", gossip.join.size(), kContactsMax}}) {
      if (count > limit) {
        Error(key, "CONFIG_OUT_OF_RANGE", absl::StrCat(count, " addresses, want at most ", limit));
      }
    }
  }

  void CheckRequired() {
    const std::string file = result_.files.empty() ? "configuration" : result_.files.front();
    for (const std::string_view key :
         {"node.cluster", "gossip.bind", "sync.tls.ca", "sync.tls.cert", "sync.tls.key"}) {
      const Value value = FindKey(key)->get(config());
      const auto* text = std::get_if<std::string>(&value);
      const auto* list = std::get_if<std::vector<std::string>>(&value);
      if ((text != nullptr && !text->empty()) || (list != nullptr && !list->empty())) continue;
      // A value that was refused has its own finding already.
      const bool is_told =
          std::any_of(result_.findings.begin(), result_.findings.end(), [key](const auto& f) {
            return f.message.starts_with(absl::StrCat(std::string(key), ":")) ||
                   f.message.starts_with(absl::StrCat(std::string(key), " "));
          });
      if (is_told) continue;
      result_.findings.push_back(
          {FindingLevel::kError, "CONFIG_MISSING", IsSet(key) ? Where(key) : file,
           absl::StrCat(std::string(key), " is not set: ", std::string(FindKey(key)->doc)), ""});
    }
  }

  void CheckTags() {
    size_t bytes = 0;
    std::string last;
    for (const Tag& tag : config().node.tags) {
      bytes += tag.key.size() + tag.value.size();
      if (!IsValidMemberName(tag.key)) {
        Error("node.tags", "TAGS_INVALID",
              "a key is no word of letters, digits, \".\", \"_\", \"-\"");
      }
      if (!last.empty() && tag.key == last) {
        Error("node.tags", "TAGS_INVALID", absl::StrCat("\"", tag.key, "\" is there twice"));
      }
      last = tag.key;
    }
    if (bytes > kTagsBytesMax) {
      Error("node.tags", "TAGS_INVALID",
            absl::StrCat(bytes, " bytes in all, want at most ", kTagsBytesMax));
    }
  }

  void CheckTimers() {
    const std::optional<OptionError> error = config().gossip.protocol.Validate();
    if (!error.has_value()) return;
    const std::string key = error->field == "packet_bytes_max"
                                ? "gossip.datagram_bytes_max"
                                : absl::StrCat("gossip.", error->field);
    // A timer that only the profile sets has no place; the one that was set beside it has.
    std::string_view at = key;
    for (const KeySpec& spec : ConfigSchema()) {
      if (!IsSet(at) && spec.from_profile && IsSet(spec.key)) at = spec.key;
    }
    result_.findings.push_back({FindingLevel::kError, "CONFIG_CONTRADICTION", Where(at),
                                absl::StrCat(key, ": ", error->message),
                                "sotto config show --origin"});
  }

  void CheckStore() {
    const Config::Store& store = config().store;
    const absl::StatusOr<StoreUrl> url = ParseStoreUrl(store.url);
    if (!url.ok()) {
      Error("store.url", ErrorCode(url.status()), std::string(url.status().message()),
            absl::StrCat("url = \"sqlite:", config().node.state_dir, "/sotto.db\""));
    }
    if (!store.password.empty()) {
      const absl::Status source = CheckSecretSource(store.password);
      if (!source.ok()) {
        Error("store.password", ErrorCode(source), std::string(source.message()),
              "password_file = \"/etc/sotto/sql.pass\"");
      }
    }
    if (!store.password.empty() && !store.password_file.empty()) {
      Error("store.password", "CONFIG_CONTRADICTION",
            "store.password_file is set too; leave one of the two out");
    }
    const bool has_password = !store.password.empty() || !store.password_file.empty();
    if (url.ok() && url->dialect == SqlDialect::kSqlite && has_password) {
      Error(store.password.empty() ? "store.password_file" : "store.password",
            "CONFIG_CONTRADICTION", "a password is set, and SQLite has none");
    }
  }

  void CheckSocket() {
    const absl::Status status = CheckSocketPath(config().admin.socket);
    if (!status.ok()) {
      Error("admin.socket", ErrorCode(status), std::string(status.message()));
    }
  }

  void CheckHandlers() {
    const std::vector<HandlerConfig>& handlers = config().handlers;
    if (handlers.size() <= kHandlersMax) return;
    result_.findings.push_back(
        {FindingLevel::kError, "CONFIG_OUT_OF_RANGE", handlers[kHandlersMax].origin,
         absl::StrCat("handler: ", handlers.size(), " of them, want at most ", kHandlersMax), ""});
  }

  // As TOML; what may be a secret in the wrong place is not repeated.
  std::string ShownValue(const KeySpec& spec) {
    if (spec.key == "store.url") return QuoteToml(RedactStoreUrl(config().store.url));
    const std::string& kek = config().encryption.kek;
    const std::string& password = config().store.password;
    const bool is_hidden =
        (spec.key == "encryption.kek" && !kek.empty() && !ParseKekSource(kek).ok()) ||
        (spec.key == "store.password" && !password.empty() && !CheckSecretSource(password).ok());
    return is_hidden ? QuoteToml("…") : ToToml(spec.get(config()));
  }

  void Show() {
    for (const KeySpec& spec : ConfigSchema()) {
      ConfigValue shown;
      shown.key = std::string(spec.key);
      shown.value = ShownValue(spec);
      shown.reloadable = spec.reloadable;
      shown.origin = Where(spec.key);
      if (shown.origin == "default" && spec.from_profile) {
        shown.origin = absl::StrCat("profile ", config().gossip.profile);
      }
      result_.values.push_back(std::move(shown));
    }
    const std::vector<HandlerConfig>& handlers = config().handlers;
    result_.values.push_back({std::string(kHandlerKey), ToToml(handlers),
                              handlers.empty() ? "default" : handlers.front().origin,
                              /*reloadable=*/true});
  }

  ConfigResult result_;
  std::map<const KeySpec*, Setting> chosen_;
  bool is_unread_ = false;  // a file is missing, unreadable, or no TOML
};

}  // namespace

std::string_view ToString(FindingLevel level) {
  switch (level) {
    case FindingLevel::kNote:
      return "note";
    case FindingLevel::kWarning:
      return "warning";
    case FindingLevel::kError:
      return "error";
  }
  return "error";
}

std::string ToString(const ConfigFinding& finding) {
  return absl::StrCat(finding.where, ": ", finding.message);
}

bool ConfigResult::ok() const {
  return std::none_of(findings.begin(), findings.end(),
                      [](const ConfigFinding& f) { return f.level == FindingLevel::kError; });
}

absl::Status ConfigResult::status() const {
  if (ok()) return absl::OkStatus();
  std::vector<std::string> lines;
  for (const ConfigFinding& finding : findings) {
    if (finding.level == FindingLevel::kError) lines.push_back(ToString(finding));
  }
  return CodedError(absl::StatusCode::kFailedPrecondition, "CONFIG_INVALID",
                    absl::StrJoin(lines, "\n"));
}

std::string ConfigResult::OriginOf(std::string_view key) const {
  for (const ConfigValue& value : values) {
    if (value.key == key) return value.origin;
  }
  return "default";
}

Environment SottoEnvironment() {
  Environment env;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (!text.starts_with("SOTTO_") || equals == std::string_view::npos) continue;
    if (text.substr(0, equals).find("__") == std::string_view::npos) continue;
    env[std::string(text.substr(0, equals))] = std::string(text.substr(equals + 1));
  }
  return env;
}

ConfigResult LoadConfig(const ConfigSources& sources) {
  Loader loader;
  const std::string path = sources.path.empty() ? std::string(kDefaultConfigPath) : sources.path;
  if (!sources.path.empty() || access(path.c_str(), F_OK) == 0) loader.ApplyFile(path);
  for (const std::string& file : DropIns(path)) loader.ApplyFile(file);
  loader.Apply(ReadEnvironment(sources.env));
  loader.Apply(ReadOverrides(sources.overrides));
  return loader.Finish();
}

ConfigResult LoadConfigText(std::string_view text, std::string_view name,
                            const ConfigSources& sources) {
  Loader loader;
  loader.Apply(ReadToml(text, std::string(name)));
  loader.Apply(ReadEnvironment(sources.env));
  loader.Apply(ReadOverrides(sources.overrides));
  return loader.Finish();
}

absl::Status ParseOverride(std::string_view text, ConfigSources* sources) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return CodedError(absl::StatusCode::kInvalidArgument, "CONFIG_SYNTAX",
                      "--set wants section.key=value");
  }
  sources->overrides.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  return absl::OkStatus();
}

std::vector<ConfigChange> ConfigDiff(const ConfigResult& before, const ConfigResult& after) {
  std::vector<ConfigChange> changes;
  for (size_t i = 0; i < before.values.size() && i < after.values.size(); ++i) {
    if (before.values[i].value == after.values[i].value) continue;
    changes.push_back({before.values[i].key, before.values[i].reloadable});
  }
  std::stable_partition(changes.begin(), changes.end(),
                        [](const ConfigChange& change) { return change.reloadable; });
  return changes;
}

std::string DefaultSocketPath(const Environment& process_env) {
  if (geteuid() == 0 || access("/run/sotto", W_OK) == 0) return "/run/sotto/admin.sock";
  const std::string runtime = Variable(process_env, "XDG_RUNTIME_DIR");
  if (runtime.starts_with('/')) return absl::StrCat(runtime, "/sotto/admin.sock");
  return absl::StrCat("/tmp/sotto-", geteuid(), "/admin.sock");
}

std::string DefaultSocketPath() {
  Environment env;
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR")) env["XDG_RUNTIME_DIR"] = runtime;
  return DefaultSocketPath(env);
}

absl::Status CheckSocketPath(std::string_view path) {
  if (path.size() <= kSocketPathBytesMax) return absl::OkStatus();
  return CodedError(absl::StatusCode::kFailedPrecondition, "SOCKET_PATH_TOO_LONG",
                    absl::StrCat("the socket's path has ", path.size(),
                                 " bytes, and a Unix socket holds ", kSocketPathBytesMax));
}

}  // namespace sotto
