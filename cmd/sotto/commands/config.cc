// sotto config: write a first one, check one, show what counts. Works without a daemon.
#include "cmd/config/config.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <filesystem>
#include <memory>
#include <ostream>
#include <string>
#include <system_error>
#include <vector>

#include "cmd/config/check_config.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/local_files.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"
#include "store/open_store.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

struct Flags {
  DefaultConfigParams params;
  std::string cluster;
  std::string bind;
  std::string state_dir;
  std::vector<std::string> join;
  bool create_store = false;
  bool origin = false;
  bool shallow = false;
  std::vector<std::string> keys;
};

json::string Text(std::string_view text) { return json::string(text.data(), text.size()); }

ConfigResult Load(const Context& context) {
  ConfigSources sources;
  sources.path = context.flags().config;
  sources.env = SottoEnvironment();
  return LoadConfig(sources);
}

json::array FindingsJson(const std::vector<ConfigFinding>& findings) {
  json::array out;
  for (const ConfigFinding& finding : findings) {
    out.push_back({{"level", Text(ToString(finding.level))},
                   {"code", finding.code},
                   {"where", finding.where},
                   {"message", finding.message},
                   {"fix", finding.fix.empty() ? json::value(nullptr) : json::value(finding.fix)}});
  }
  return out;
}

size_t Count(const std::vector<ConfigFinding>& findings, FindingLevel level) {
  size_t count = 0;
  for (const ConfigFinding& finding : findings) count += finding.level == level ? 1 : 0;
  return count;
}

int CheckFile(Context& context, const Flags& flags) {
  const ConfigResult loaded = Load(context);
  std::vector<ConfigFinding> findings = loaded.findings;
  if (!flags.shallow && loaded.ok()) findings = CheckConfig(loaded);
  const json::value envelope = LocalEnvelope("sotto.findings/1", FindingsJson(findings));
  const size_t errors = Count(findings, FindingLevel::kError);
  if (context.format() == Format::kTable || context.format() == Format::kWide) {
    for (const ConfigFinding& finding : findings) {
      context.out() << Escape(ToString(finding)) << '\n';
      const bool shown =
          !finding.fix.empty() && finding.message.find(finding.fix) == std::string::npos;
      if (shown) context.out() << "  do      " << Escape(finding.fix) << '\n';
    }
    const size_t notes = Count(findings, FindingLevel::kNote);
    context.out() << Plural(errors, "error") << ", "
                  << Plural(Count(findings, FindingLevel::kWarning), "warning")
                  << (notes > 0 ? ", " + Plural(notes, "note") : "") << ". Nothing was started.\n";
  } else {
    ListView view;
    for (const char* key : {"level", "code", "where", "message", "fix"}) {
      view.fields.push_back({.name = key, .text = [key](const json::value& row) {
                               return PlainOf(Member(row, key));
                             }});
    }
    PrintList(context, envelope, view);
  }
  return errors > 0 ? kExitBadConfig : kExitOk;
}

// Values that may hold a password.
std::string Shown(const ConfigValue& value) {
  if (value.key != "store.url" || value.value.size() < 2) return value.value;
  return "\"" + RedactStoreUrl(value.value.substr(1, value.value.size() - 2)) + "\"";
}

int ShowSettings(Context& context, const Flags& flags) {
  const ConfigResult loaded = Load(context);
  std::vector<std::string> known;
  for (const ConfigValue& value : loaded.values) known.push_back(value.key);
  for (const std::string& key : flags.keys) {
    const auto fits = [&](const std::string& other) {
      return other == key || other.rfind(key + ".", 0) == 0;
    };
    if (std::any_of(known.begin(), known.end(), fits)) continue;
    const std::string near = Nearest(key, known);
    Complaint complaint{kExitUsage, "USAGE", "there is no setting \"" + key + "\"", {}};
    if (!near.empty()) complaint.message += "; did you mean \"" + near + "\"?";
    return context.Fail(complaint.Add("do", "sotto config show"));
  }
  json::array rows;
  for (const ConfigValue& value : loaded.values) {
    bool wanted = flags.keys.empty();
    for (const std::string& key : flags.keys) {
      wanted = wanted || value.key == key || value.key.rfind(key + ".", 0) == 0;
    }
    if (!wanted) continue;
    rows.push_back({{"key", value.key},
                    {"value", Shown(value)},
                    {"origin", value.origin},
                    {"reloadable", value.reloadable}});
  }
  ListView view;
  for (const char* key : {"key", "value", "origin", "reloadable"}) {
    std::string name = key;
    for (char& c : name) c = static_cast<char>(c - 'a' + 'A');
    view.fields.push_back({.name = name, .text = [key](const json::value& row) {
                             return PlainOf(Member(row, key));
                           }});
  }
  view.fields[2].wide = !flags.origin;
  view.fields[3].wide = true;
  const int exit = PrintList(context, LocalEnvelope("sotto.settings/1", std::move(rows)), view);
  if (loaded.ok()) return exit;
  return context.Fail(WithLine(loaded.status(), "do", "sotto config check"));
}

// The file, and with --create-store the folder and the database it names.
absl::Status WriteFirst(const Flags& flags, const std::string& path, const std::string& text) {
  const std::string folder = FolderOf(path);
  SOTTO_RETURN_IF_ERROR(MakeFolders(folder, 0755));
  if (flags.create_store) {
    const std::string url = flags.params.store_url.empty()
                                ? "sqlite:" + flags.params.state_dir + "/sotto.db"
                                : flags.params.store_url;
    SOTTO_ASSIGN_OR_RETURN(const StoreUrl parsed, ParseStoreUrl(url));
    SOTTO_RETURN_IF_ERROR(MakeFolders(flags.params.state_dir, 0700));
    StoreOptions options;
    options.create = true;
    std::string holder = flags.params.password_file;  // of what may belong to the service's user
    if (!holder.empty()) options.password = "file:" + holder;
    if (parsed.dialect == SqlDialect::kSqlite) {
      holder = parsed.path;
      SOTTO_RETURN_IF_ERROR(MakeFolders(FolderOf(holder), 0700));
    }
    options.also_owner = FolderOwner(FolderOf(holder));
    SOTTO_RETURN_IF_ERROR(OpenSystemsTable(url, options).status());
  }
  return AtomicCreate(path, text, 0644);
}

std::string Absolute(const std::string& path) {
  if (path.empty()) return path;
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

int InitFile(Context& context, Flags flags) {
  if (flags.cluster.empty() || flags.bind.empty()) {
    Complaint complaint{kExitUsage,
                        "USAGE",
                        std::string("\"sotto config init\" needs ") +
                            (flags.cluster.empty() ? "--cluster NAME" : "--bind ADDR"),
                        {}};
    return context.Fail(
        complaint.Add("do", "sotto config init --cluster edge-prod --bind 10.0.3.11:7950"));
  }
  flags.params.cluster = flags.cluster;
  flags.params.bind = flags.bind;
  const std::string path = context.ConfigPath();
  if (FileExists(path)) {
    Complaint complaint{kExitRefused, "FILE_EXISTS", path + " is there already, and stays", {}};
    return context.Fail(complaint.Add("do", "sotto --config OTHER config init"));
  }
  const bool is_default = path == kDefaultConfigPath;
  // Paths in the file count from the file's folder, those of flags from where we stand.
  flags.params.folder = FolderOf(Absolute(path));
  flags.params.socket = Absolute(flags.params.socket);
  flags.params.password_file = Absolute(flags.params.password_file);
  flags.params.state_dir = !flags.state_dir.empty() ? Absolute(flags.state_dir)
                           : is_default             ? flags.params.state_dir
                                                    : flags.params.folder + "/state";
  // Without contacts given there are none: made-up ones would be tried for ever.
  flags.params.join = flags.join;
  const std::string text = DefaultConfigText(flags.params);
  const ConfigResult checked = LoadConfigText(text, path);
  if (!checked.ok()) {
    Complaint complaint = ComplaintOf(checked.status());
    complaint.exit = kExitUsage;
    return context.Fail(complaint);
  }
  const absl::Status written = WriteFirst(flags, path, text);
  if (!written.ok()) return context.Fail(written);
  const json::value envelope =
      LocalEnvelope("sotto.config/1", {{"file", path}, {"store_created", flags.create_store}});
  const int exit = PrintDone(context, envelope, "wrote " + path);
  context.Note("next: `sotto --config " + ShellQuote(path) + " config check`");
  return exit;
}

}  // namespace

void AddConfig(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<Flags>();
  Verb verb = root.Sub("config", "sottod's configuration: write one, check one, show what counts");
  verb.Example("sotto config init --cluster edge-prod --bind 10.0.3.11:7950", "a commented file")
      .Example("sotto config check", "file:line:column of all that is wrong; exit 78")
      .Example("sotto config show --origin", "every setting, and which layer set it");
  DefaultConfigParams& params = flags->params;
  verb.Sub("init", "write a commented first file; never over another one")
      .Text("--cluster", &flags->cluster, "NAME", "the cluster's name")
      .Text("--name", &params.name, "NAME", "this node's name (the host's)")
      .Text("--bind", &flags->bind, "ADDR", "this host's address and port, UDP and TCP")
      .List("--join", &flags->join, "ADDR", "a contact; may be repeated")
      .Text("--store", &params.store_url, "URL",
            "sqlite:/path (below the state folder), "
            "postgres://… or mysql://…")
      .Text("--password-file", &params.password_file, "FILE",
            "the password for a server's user, mode 0600")
      .Text("--socket", &params.socket, "PATH", "the admin socket")
      .Text("--state-dir", &flags->state_dir, "PATH", "where the node keeps its state")
      .Choice("--profile", &params.profile, {"local", "lan", "wan"}, "sets every timer (lan)")
      .Switch("--create-store", &flags->create_store,
              "also make the SQLite file and its folder, or the server's table")
      .Example("sotto --config a/sottod.toml config init --cluster c --bind 127.0.0.1:7950",
               "elsewhere; certificates are looked for in ./a/pki")
      .Run([&context, flags] { return InitFile(context, *flags); });
  verb.Sub("check", "all that is wrong, before a start; creates nothing")
      .Switch("--shallow", &flags->shallow, "the text alone: no certificate, folder or database")
      .Run([&context, flags] { return CheckFile(context, *flags); });
  verb.Sub("show", "the settings that count")
      .Switch("--origin", &flags->origin, "and which layer set them")
      .Words("KEY", &flags->keys, 0, 64, "only these, \"gossip\" or \"gossip.bind\"")
      .Run([&context, flags] { return ShowSettings(context, *flags); });
}

}  // namespace sotto::cli
