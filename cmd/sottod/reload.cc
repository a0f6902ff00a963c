#include "cmd/sottod/reload.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

constexpr std::string_view kLevel = "log.level";
constexpr std::string_view kTags = "node.tags";
constexpr std::string_view kHandlers = "handler";

struct TlsPart {
  std::string_view key;
  std::string TlsFiles::*text;
};
constexpr TlsPart kTlsParts[] = {{"sync.tls.ca", &TlsFiles::ca_pem},
                                 {"sync.tls.cert", &TlsFiles::cert_pem},
                                 {"sync.tls.key", &TlsFiles::key_pem},
                                 {"sync.tls.crl", &TlsFiles::crl_pem}};

std::set<std::string> ChangedKeys(const ConfigResult& before, const ConfigResult& after) {
  std::set<std::string> keys;
  for (const ConfigChange& change : ConfigDiff(before, after)) keys.insert(change.key);
  return keys;
}

bool IsApplied(std::string_view key) {
  return key == kLevel || key == kTags || key == kHandlers ||
         std::any_of(std::begin(kTlsParts), std::end(kTlsParts),
                     [&](const TlsPart& part) { return part.key == key; });
}

}  // namespace

Reloader::Reloader(ConfigSources sources, ConfigResult started, TlsFiles files,
                   ReloadTarget* target)
    : sources_(std::move(sources)),
      started_(started),
      current_(std::move(started)),
      files_(std::move(files)),
      target_(target) {}

Reloader::~Reloader() { WipeText(&files_.key_pem); }

absl::StatusOr<ReloadSummary> Reloader::Run() {
  ConfigResult next = LoadConfig(sources_);
  if (!next.ok()) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "RELOAD_FAILED",
                      std::string(next.status().message()));
  }
  SOTTO_ASSIGN_OR_RETURN(TlsFiles files, ReadTlsFiles(next.config));
  for (const HandlerConfig& handler : next.config.handlers) {
    const absl::Status program = CheckProgram(handler.run.front());
    if (!program.ok()) return WithContext(program, handler.origin);
  }

  ReloadSummary summary;
  const std::set<std::string> changed = ChangedKeys(current_, next);
  const auto note = [&](std::string_view key, bool is_changed) {
    (is_changed ? summary.applied : summary.unchanged).emplace_back(key);
    return is_changed;
  };
  const bool level = note(kLevel, changed.contains(std::string(kLevel)));
  const bool tags = note(kTags, changed.contains(std::string(kTags)));
  const bool handlers = note(kHandlers, changed.contains(std::string(kHandlers)));
  bool tls = false;
  for (const TlsPart& part : kTlsParts) {
    // A renewed certificate lies under the old name: the bytes count, not the path.
    const bool differs = files.*part.text != files_.*part.text;
    tls = note(part.key, differs || changed.contains(std::string(part.key))) || tls;
  }
  for (const std::string& key : ChangedKeys(started_, next)) {
    if (!IsApplied(key)) summary.needs_restart.push_back(key);
  }

  // What can fail goes first, and is taken back if what follows fails.
  if (tls) SOTTO_RETURN_IF_ERROR(target_->ApplyTls(files));
  if (tags) {
    if (absl::Status status = target_->ApplyTags(next.config.node.tags); !status.ok()) {
      if (tls) SOTTO_RETURN_IF_ERROR(target_->ApplyTls(files_));
      return status;
    }
  }
  if (handlers) target_->ApplyHandlers(next.config.handlers);
  if (level) target_->ApplyLogLevel(next.config.log.level);
  WipeText(&files_.key_pem);
  files_ = std::move(files);
  current_ = std::move(next);
  return summary;
}

}  // namespace sotto
