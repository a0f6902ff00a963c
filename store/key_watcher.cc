#include "store/key_watcher.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"

namespace sotto {

class KeyWatcher::Impl {
 public:
  Impl(std::shared_ptr<SystemsTable> table, ClusterKeyRef current, Options options,
       Callback callback)
      : table_(std::move(table)), options_(options), callback_(std::move(callback)) {
    SOTTO_CHECK(table_ != nullptr && current != nullptr);
    options_.policy.may_create = false;
    report_.key = std::move(current);
    report_.last_read = std::chrono::system_clock::now();
    thread_ = std::thread([this] { Run(); });
  }

  ~Impl() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  KeyReport Latest() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return report_;
  }

  void PollNow() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_asked_ = true;
    }
    wake_.notify_all();
  }

 private:
  void Run() {
    while (true) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait_for(lock, options_.interval, [this] { return is_stopping_ || is_asked_; });
        if (is_stopping_) return;
        is_asked_ = false;
      }
      const KeyReport report = Look();
      if (callback_) callback_(report);
    }
  }

  KeyReport Look() {
    const ClusterKeyRef current = Latest().key;
    const auto start = std::chrono::steady_clock::now();
    absl::Status status = Compare(*current);
    const auto end = std::chrono::steady_clock::now();

    const std::lock_guard<std::mutex> lock(mutex_);
    report_.changed = ErrorCode(status) != ErrorCode(report_.status);
    report_.read_time = std::chrono::duration_cast<std::chrono::microseconds>(end - start);
    ++report_.polls;
    if (status.ok()) {
      report_.last_read = std::chrono::system_clock::now();
    } else {
      ++report_.errors;
    }
    report_.status = std::move(status);
    return report_;
  }

  // OK if the row holds `current`.
  absl::Status Compare(const ClusterKey& current) {
    const absl::StatusOr<StoredKey> stored =
        LoadClusterKey(*table_, current.cluster(), options_.policy);
    if (!stored.ok()) return stored.status();
    if (stored->key->secret() == current.secret()) return absl::OkStatus();
    if (stored->key->id() == current.id()) {
      return CodedError(absl::StatusCode::kFailedPrecondition, "KEY_ID_COLLISION",
                        absl::StrCat("the row ", stored->row, " holds another key with the id ",
                                     ToString(current.id()), " of the key in use"));
    }
    return CodedError(
        absl::StatusCode::kFailedPrecondition, "KEY_CHANGED",
        absl::StrCat("the row ", stored->row, " holds the key ", ToString(stored->key->id()),
                     ", this node uses ", ToString(current.id()),
                     "; this version takes a changed key only when all nodes are "
                     "restarted"));
  }

  const std::shared_ptr<SystemsTable> table_;
  Options options_;
  const Callback callback_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  bool is_stopping_ = false;
  bool is_asked_ = false;
  KeyReport report_;
  std::thread thread_;
};

KeyWatcher::KeyWatcher(std::shared_ptr<SystemsTable> table, ClusterKeyRef current, Options options,
                       Callback callback)
    : impl_(std::make_unique<Impl>(std::move(table), std::move(current), options,
                                   std::move(callback))) {}

KeyWatcher::~KeyWatcher() = default;

KeyReport KeyWatcher::Latest() const { return impl_->Latest(); }

void KeyWatcher::PollNow() { impl_->PollNow(); }

}  // namespace sotto
