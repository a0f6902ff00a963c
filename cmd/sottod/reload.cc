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
constexpr std::string_view kKek = "encryption.kek";
constexpr std::string_view kKekActive = "encryption.kek_active";
constexpr std::string_view kAcceptPlain = "encryption.accept_plain_update";

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
  return key == kLevel || key == kTags || key == kHandlers || key == kKek || key == kKekActive ||
         key == kAcceptPlain ||
         std::any_of(std::begin(kTlsParts), std::end(kTlsParts),
                     [&](const TlsPart& part) { return part.key == key; });
}

// A key that was renewed lies under the old name: the keys count, not the paths.
bool AreSameKeks(const KekRingRef& a, const KekRingRef& b) {
  if (a == nullptr || b == nullptr) return a == b;
  return std::equal(a->keks().begin(), a->keks().end(), b->keks().begin(), b->keks().end(),
                    [](const KekRef& x, const KekRef& y) { return x->id() == y->id(); });
}

}  // namespace

Reloader::Reloader(ConfigSources sources, ConfigResult started, TlsFiles files, KekRingRef keks,
                   ReloadTarget* target)
    : sources_(std::move(sources)),
      started_(started),
      current_(std::move(started)),
      files_(std::move(files)),
      keks_(std::move(keks)),
      target_(target) {}

Reloader::~Reloader() { WipeText(&files_.key_pem); }

absl::StatusOr<ReloadSummary> Reloader::Run() {
  ConfigResult next = LoadConfig(sources_);
  if (!next.ok()) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "RELOAD_FAILED",
                      std::string(next.status().message()));
  }
  SOTTO_ASSIGN_OR_RETURN(TlsFiles files, ReadTlsFiles(next.config));
  absl::StatusOr<KekRingRef> keks = target_->ReadKeks(next.config);
  if (!keks.ok()) return WithContext(keks.status(), kKek);
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
  const bool kek =
      note(kKek, changed.contains(std::string(kKek)) || changed.contains(std::string(kKekActive)) ||
                     changed.contains(std::string(kAcceptPlain)) || !AreSameKeks(keks_, *keks));
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
  if (kek) target_->ApplyKeks(next.config, *keks);
  keks_ = *std::move(keks);
  if (handlers) target_->ApplyHandlers(next.config.handlers);
  if (level) target_->ApplyLogLevel(next.config.log.level);
  WipeText(&files_.key_pem);
  files_ = std::move(files);
  current_ = std::move(next);
  return summary;
}

}  // namespace sotto
