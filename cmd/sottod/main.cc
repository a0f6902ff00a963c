// sottod: one member of a sotto cluster.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cmd/config/check_config.h"
#include "cmd/config/config.h"
#include "cmd/sottod/daemon.h"
#include "cmd/sottod/log.h"
#include "cmd/sottod/process.h"
#include "cmd/version.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/codes.h"

namespace sotto {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  sottod --config /etc/sotto/sottod.toml\n"
    "  sottod --config gw-1.toml --set log.level=debug\n"
    "  sottod --config gw-1.toml --check\n"
    "  SOTTO_NODE__NAME=gw-2 sottod\n"
    "\n"
    "sottod: one member of an encrypted cluster. `sotto config init` writes its configuration.\n"
    "\n";

constexpr char kFooter[] =
    "\n"
    "Signals: SIGTERM and SIGINT leave the cluster (at most 5 s) and end; a second one ends at "
    "once.\n"
    "  SIGHUP reloads level, tags, handlers, certificates and key-encryption keys, all or "
    "nothing.\n"
    "Exit codes: 0 ended as asked - 1 failed, or ended before the goodbye - 2 usage -\n"
    "  75 busy, try again later (port, folder or socket in use, database away) - 78 bad "
    "configuration\n";

struct Flags {
  std::string config;
  std::vector<std::string> set;
  bool check = false;
  bool accept_rollback = false;
};

// The form of every error that a person reads first: what, why, what to do.
void PrintError(std::string_view code, const std::string& message) {
  std::fprintf(stderr, "error %.*s: %s\n", static_cast<int>(code.size()), code.data(),
               message.c_str());
  const CodeInfo* info = FindCode(code);
  if (info == nullptr) return;
  const std::string why(info->why);
  const std::string fix(info->fix);
  std::fprintf(stderr, "  why     %s\n  do      %s\n", why.c_str(), fix.c_str());
}

// All findings, one a line, each with the code that `sotto explain` knows; then how many there are.
int PrintFindings(const std::vector<ConfigFinding>& findings) {
  int errors = 0;
  int warnings = 0;
  for (const ConfigFinding& finding : findings) {
    std::fprintf(stderr, "%s [%s]\n", ToString(finding).c_str(), finding.code.c_str());
    errors += finding.level == FindingLevel::kError ? 1 : 0;
    warnings += finding.level == FindingLevel::kWarning ? 1 : 0;
  }
  std::fprintf(stderr, "%d error%s, %d warning%s.%s\n", errors, errors == 1 ? "" : "s", warnings,
               warnings == 1 ? "" : "s", errors > 0 ? " Nothing was started." : "");
  return errors;
}

bool HasErrors(const std::vector<ConfigFinding>& findings) {
  for (const ConfigFinding& finding : findings) {
    if (finding.level == FindingLevel::kError) return true;
  }
  return false;
}

// Loads and checks. The store is opened by `--check` alone: a start opens it anyway, and knows
// more.
DaemonExit LoadChecked(const ConfigSources& sources, bool check_only, ConfigResult* loaded,
                       std::vector<ConfigFinding>* findings) {
  *loaded = LoadConfig(sources);
  *findings = loaded->findings;
  if (loaded->ok()) {
    CheckOptions options;
    options.open_store = check_only;
    *findings = CheckConfig(*loaded, options);  // begins with those of loading
  }
  return HasErrors(*findings) ? kExitBadConfig : kExitOk;
}

DaemonExit Start(const ConfigSources& sources, const Flags& flags, bool secrets_locked) {
  ConfigResult loaded;
  std::vector<ConfigFinding> findings;
  const DaemonExit verdict = LoadChecked(sources, flags.check, &loaded, &findings);
  if (verdict != kExitOk || flags.check) {
    PrintFindings(findings);
    return verdict;
  }
  DaemonLog::Options options;
  options.level = loaded.config.log.level;
  options.file = loaded.config.log.file;
  options.shape = ChooseShape(loaded.config.log.format, !options.file.empty());
  absl::StatusOr<std::unique_ptr<DaemonLog>> log = DaemonLog::Open(std::move(options));
  if (!log.ok()) {
    PrintError(ErrorCode(log.status()), std::string(log.status().message()));
    return kExitBadConfig;
  }
  for (const ConfigFinding& finding : findings) {
    (*log)->Write(
        {finding.level == FindingLevel::kNote ? LogLevel::kInfo : LogLevel::kWarn,
         "config_note",
         {{"code", finding.code}, {"where", finding.where}, {"message", finding.message}}});
  }
  return RunDaemon(sources, loaded, log->get(), secrets_locked, flags.accept_rollback);
}

int Main(int argc, char** argv) {
  const bool secrets_locked = HardenProcess();
  CLI::App app{kExamples, "sottod"};
  app.footer(kFooter);
  Flags flags;
  app.add_option(
         "--config", flags.config,
         absl::StrCat("configuration file (default: ", std::string(kDefaultConfigPath), ")"))
      ->type_name("PATH");
  app.add_option("--set", flags.set, "one setting, above file and environment; may be repeated")
      ->type_name("SECTION.KEY=VALUE")
      ->allow_extra_args(false);
  app.add_flag("--check", flags.check, "check the configuration and what it points to, then end");
  app.add_flag("--accept-rollback", flags.accept_rollback,
               "believe a database that was set back to an old backup; every node of the cluster "
               "has to be started so, once");
  app.set_version_flag("--version", absl::StrCat("sottod ", std::string(kVersion)));
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {
    return app.exit(wanted);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "error USAGE: %s\n  do      sottod --help\n", error.what());
    return kExitUsage;
  }
  ConfigSources sources;
  sources.path = flags.config;
  sources.env = SottoEnvironment();
  for (const std::string& text : flags.set) {
    if (const absl::Status status = ParseOverride(text, &sources); !status.ok()) {
      PrintError(ErrorCode(status), absl::StrCat("--set ", text, ": ", status.message()));
      return kExitUsage;
    }
  }
  return Start(sources, flags, secrets_locked);
}

}  // namespace
}  // namespace sotto

int main(int argc, char** argv) { return sotto::Main(argc, argv); }
