// The settings of sottod, typed; and how they come together (design S4).
//
// Layers, later ones win: defaults < the file < conf.d/*.toml beside it < SOTTO_SECTION__KEY in the
// environment < --set section.key=value. One table (schema.h) drives all of them, `config show`,
// the text of `config init`, and the suggestions for misspelt keys. Relative paths in a file are
// taken from that file's folder; elsewhere from the working folder.
#ifndef SOTTO_CMD_CONFIG_CONFIG_H_
#define SOTTO_CMD_CONFIG_CONFIG_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cmd/config/handlers.h"
#include "gossip/log.h"
#include "gossip/options.h"
#include "gossip/statement.h"
#include "gossip/time.h"

namespace sotto {

inline constexpr uint16_t kDefaultPort = 7950;
inline constexpr std::string_view kDefaultConfigPath = "/etc/sotto/sottod.toml";
// sockaddr_un holds 108 bytes, the final NUL included.
inline constexpr size_t kSocketPathBytesMax = 107;

enum class LogFormat : uint8_t { kAuto, kText, kJson };

struct Config {
  struct Node {
    std::string cluster;
    std::string name;       // default: the host's name
    std::vector<Tag> tags;  // sorted by key
    std::string state_dir;
  };
  struct Gossip {
    std::vector<std::string> bind;       // "host:port", the port always given
    std::vector<std::string> advertise;  // empty: what is bound
    std::vector<std::string> join;
    bool rejoin_after_leave = false;
    std::string profile = "lan";
    ProtocolOptions protocol;  // the profile with the single overrides applied
  };
  struct Encryption {
    bool allow_weak_key = false;
    bool allow_hex_looking_key = false;
    std::string kek;         // a source as store/kek_source.h has them; empty: none
    std::string kek_active;  // a file's name; empty: the only one
    bool accept_plain_update = false;
  };
  struct Store {
    std::string url;
    std::string password;       // where it lies: "env:NAME", "credential:NAME", "file:/path"
    std::string password_file;  // the same as "file:…"
    bool create = false;
    Duration poll = Duration::Seconds(10);
    std::string when_down = "cached";  // or "refuse"
  };
  struct Discovery {
    bool enabled = false;  // default: whether the store is on a server
    Duration interval = Duration::Seconds(60);
  };
  struct Rotation {
    Duration interval = Duration::Hours(24 * 30);  // 0: no schedule
    Duration retire_after = Duration::Hours(24);
    int64_t frames_max = int64_t{1} << 40;  // of one node under one key; 0: no limit
  };
  struct Tls {  // paths; crl may be empty
    std::string ca;
    std::string cert;
    std::string key;
    std::string crl;
  };
  struct Admin {
    std::string socket;
    std::string group;  // empty: this user alone
  };
  struct Log {
    LogLevel level = LogLevel::kInfo;
    LogFormat format = LogFormat::kAuto;
    std::string file;  // empty: standard error
  };

  Node node;
  Gossip gossip;
  Encryption encryption;
  Store store;
  Discovery discovery;
  Rotation rotation;
  Tls tls;  // [sync.tls]
  Admin admin;
  Log log;
  std::vector<HandlerConfig> handlers;  // [[handler]], in the order of the files
};

enum class FindingLevel : uint8_t { kNote, kWarning, kError };

// "note", "warning", "error".
std::string_view ToString(FindingLevel level);

// One thing that is wrong, or worth saying.
struct ConfigFinding {
  FindingLevel level = FindingLevel::kError;
  std::string code;     // CONFIG_UNKNOWN_KEY, SECRET_READABLE, …
  std::string where;    // "/etc/sotto/sottod.toml:14:1", "SOTTO_NODE__NAME", "--set node.name"
  std::string message;  // lower case, without `where`
  std::string fix;      // a line to paste, or empty
};

// "/etc/sotto/sottod.toml:14:1: unknown key "encription"; did you mean "encryption"?"
std::string ToString(const ConfigFinding& finding);

// One setting as it came out, for `config show --origin` and for reload.
struct ConfigValue {
  std::string key;     // "gossip.bind"
  std::string value;   // as TOML
  std::string origin;  // "default", "profile lan", or as ConfigFinding::where
  bool reloadable = false;
};

struct ConfigResult {
  Config config;                        // meaningful only if ok()
  std::vector<ConfigValue> values;      // every key of the schema, in its order; then "handler"
  std::vector<ConfigFinding> findings;  // in the order of the files and lines
  std::vector<std::string> files;       // that were read
  bool ok() const;                      // no finding of level kError
  // OK, or FAILED_PRECONDITION CONFIG_INVALID with every error, one a line.
  absl::Status status() const;
  // Where `key` came from; "default" for a key that nobody set.
  std::string OriginOf(std::string_view key) const;
};

using Environment = std::map<std::string, std::string>;
// The variables of this process that are settings: SOTTO_SECTION__KEY. Others that begin with
// SOTTO_ are not copied: one of them may be a secret.
Environment SottoEnvironment();

struct ConfigSources {
  // Empty: kDefaultConfigPath if it is there, else no file. A path that is given must exist.
  std::string path;
  Environment env;
  std::vector<std::pair<std::string, std::string>> overrides;  // "section.key", text
};

// Reads and checks everything that can be checked without a look at the world. All errors at once.
ConfigResult LoadConfig(const ConfigSources& sources);
// The same for a text in hand, as if it lay at `name`; conf.d is not read.
ConfigResult LoadConfigText(std::string_view text, std::string_view name,
                            const ConfigSources& sources = {});

// "section.key=value" as --set takes it; INVALID_ARGUMENT CONFIG_SYNTAX without "=".
absl::Status ParseOverride(std::string_view text, ConfigSources* sources);

// The keys in which two results differ, those first that need no restart.
struct ConfigChange {
  std::string key;
  bool reloadable = false;
};
std::vector<ConfigChange> ConfigDiff(const ConfigResult& before, const ConfigResult& after);

// "/run/sotto/admin.sock" for root or where /run/sotto is writable, else below XDG_RUNTIME_DIR (or
// /tmp/sotto-<uid> where there is none).
std::string DefaultSocketPath(const Environment& process_env);
std::string DefaultSocketPath();
// FAILED_PRECONDITION SOCKET_PATH_TOO_LONG.
absl::Status CheckSocketPath(std::string_view path);

struct DefaultConfigParams {
  std::string cluster = "edge-prod";
  std::string name;  // empty: left to the host's name
  std::string bind = "10.0.3.11:7950";
  std::vector<std::string> join = {"10.0.3.12:7950", "10.0.3.13:7950"};
  std::string folder = "/etc/sotto";  // certificates lie in folder/pki
  std::string state_dir = "/var/lib/sotto";
  std::string store_url;  // empty: sqlite in state_dir
  std::string password_file;
  std::string socket;  // empty: the default, as a comment
  std::string profile = "lan";
};
// A commented file for `sotto config init`; LoadConfigText takes it without a finding.
std::string DefaultConfigText(const DefaultConfigParams& params);

}  // namespace sotto

#endif  // SOTTO_CMD_CONFIG_CONFIG_H_
