#include "cmd/sottod/key_cache_keeper.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
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

void KeyCacheKeeper::Note(const KeyRing& ring) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (keks_ == nullptr || ring.keys.empty()) return;
  KeyCache cache{UnixSeconds(), {}};
  std::string what;
  for (const RingKey& key : ring.keys) {
    const bool seals = key.key->id() == ring.sealing;
    const bool newer = key.key->generation() > ring.sealing_generation();
    const CachedState state = seals   ? CachedState::kActive
                              : newer ? CachedState::kPrepared
                                      : CachedState::kRetired;
    cache.keys.push_back({key.key, state});
    absl::StrAppend(&what, ToString(key.key->id()), " ", static_cast<int>(state), " ");
  }
  const KekId kek = keks_->active()->id();
  const bool is_fresh =
      written_at_ != Clock::time_point() && Clock::now() - written_at_ < kRewriteAfter;
  if (is_fresh && written_ == what && written_kek_ == kek) return;
  const absl::Status status = WriteKeyCache(place_, *keks_, cache);
  if (!status.ok()) {
    log_({LogLevel::kWarn,
          "key_cache_not_kept",
          {{"code", ErrorCode(status)}, {"message", std::string(status.message())}}});
    return;
  }
  written_at_ = Clock::now();
  written_ = std::move(what);
  written_kek_ = kek;
}

}  // namespace sotto
