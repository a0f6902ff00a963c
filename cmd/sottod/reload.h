// Taking over a changed configuration and changed certificates without a restart, all or nothing.
//
// Level, tags, handlers, the files of [sync.tls] and the key-encryption keys are applied; every
// other difference to what the daemon was started with is named as needing a restart. Tags set at
// run time stay unless the file's tags changed. Threads: none; the caller serialises calls. Blocks
// on disk and on the node.
#ifndef SOTTO_CMD_SOTTOD_RELOAD_H_
#define SOTTO_CMD_SOTTOD_RELOAD_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/config/check_config.h"
#include "cmd/config/config.h"
#include "cmd/sottod/admin_backend.h"

namespace sotto {

// What a reload acts on: the running parts. A failed call has changed nothing.
class ReloadTarget {
 public:
  virtual ~ReloadTarget() = default;
  virtual absl::Status ApplyTls(const TlsFiles& files) = 0;
  virtual absl::Status ApplyTags(const std::vector<Tag>& tags) = 0;
  virtual void ApplyLogLevel(LogLevel level) = 0;
  virtual void ApplyHandlers(const std::vector<HandlerConfig>& handlers) = 0;
  // The key-encryption keys that `config` names; null for none. Changes nothing that runs.
  virtual absl::StatusOr<KekRingRef> ReadKeks(const Config& config) = 0;
  virtual void ApplyKeks(const Config& config, const KekRingRef& keks) = 0;
};

class Reloader {
 public:
  // `started`, `files`, `keks`: what the daemon runs with. `target` is borrowed.
  Reloader(ConfigSources sources, ConfigResult started, TlsFiles files, KekRingRef keks,
           ReloadTarget* target);
  ~Reloader();
  Reloader(const Reloader&) = delete;
  Reloader& operator=(const Reloader&) = delete;

  // FAILED_PRECONDITION RELOAD_FAILED, or the code of the file or certificate that is wrong:
  // nothing has changed.
  absl::StatusOr<ReloadSummary> Run();

 private:
  ConfigSources sources_;
  const ConfigResult started_;
  ConfigResult current_;
  TlsFiles files_;
  KekRingRef keks_;
  ReloadTarget* target_;
};

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_RELOAD_H_
