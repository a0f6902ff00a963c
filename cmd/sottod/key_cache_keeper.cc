#include "cmd/sottod/key_cache_keeper.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "store/unix_time.h"

namespace sotto {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::hours kRewriteAfter{1};

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
  // What no table has confirmed is not kept.
  if (const RingKey* sealing = ring.Find(ring.sealing); sealing->provisional) return;
  KeyCache cache{UnixSeconds(), {}};
  std::string what;
  for (const RingKey& key : ring.keys) {
    if (key.provisional) continue;
    const KeyState state = ring.StateOf(key);
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
