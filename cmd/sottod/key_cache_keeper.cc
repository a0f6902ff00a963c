#include "cmd/sottod/key_cache_keeper.h"

#include <string>
#include <utility>

#include "gossip/base/coded_error.h"

namespace sotto {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::hours kRewriteAfter{1};

int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

KeyCacheKeeper::KeyCacheKeeper(KeyCachePlace place, LogSink log)
    : place_(std::move(place)), log_(std::move(log)) {}

void KeyCacheKeeper::SetKeks(KekRingRef keks) {
  const std::lock_guard<std::mutex> lock(mutex_);
  keks_ = std::move(keks);
}

void KeyCacheKeeper::Note(const ClusterKeyRef& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (keks_ == nullptr) return;
  const KekId kek = keks_->active()->id();
  const bool is_fresh = written_ != Clock::time_point() && Clock::now() - written_ < kRewriteAfter;
  if (is_fresh && written_key_ == key->id() && written_kek_ == kek) return;
  const absl::Status status =
      WriteKeyCache(place_, *keks_, {UnixSeconds(), {{key, CachedState::kActive}}});
  if (!status.ok()) {
    log_({LogLevel::kWarn,
          "key_cache_not_kept",
          {{"code", ErrorCode(status)}, {"message", std::string(status.message())}}});
    return;
  }
  written_ = Clock::now();
  written_key_ = key->id();
  written_kek_ = kek;
}

}  // namespace sotto
