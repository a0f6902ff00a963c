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
      : interval_(options.interval),
        open_(std::move(options.open)),
        callback_(std::move(callback)),
        table_(std::move(table)) {
    SOTTO_CHECK((table_ != nullptr || open_) && current != nullptr);
    SetPolicy(options.policy);
    report_.key = std::move(current);
    report_.kek = options.kek;
    report_.status = std::move(options.table_status);
    report_.from_cache = !report_.status.ok();
    if (!report_.from_cache) report_.last_read = std::chrono::system_clock::now();
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

  void SetPolicy(const KeyPolicy& policy) {
    const std::lock_guard<std::mutex> lock(mutex_);
    policy_ = policy;
    policy_.may_create = false;
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
        wake_.wait_for(lock, interval_, [this] { return is_stopping_ || is_asked_; });
        if (is_stopping_) return;
        is_asked_ = false;
      }
      const KeyReport report = Look();
      if (callback_) callback_(report);
    }
  }

  KeyReport Look() {
    ClusterKeyRef current;
    KeyPolicy policy;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      current = report_.key;
      policy = policy_;
    }
    const auto start = std::chrono::steady_clock::now();
    const absl::StatusOr<StoredKey> stored = Load(*current, policy);
    absl::Status status = Compare(stored, *current);
    const auto end = std::chrono::steady_clock::now();

    const std::lock_guard<std::mutex> lock(mutex_);
    report_.changed = ErrorCode(status) != ErrorCode(report_.status);
    report_.read_time = std::chrono::duration_cast<std::chrono::microseconds>(end - start);
    ++report_.polls;
    if (status.ok()) {
      report_.last_read = std::chrono::system_clock::now();
      report_.kek = stored->kek;
      report_.from_cache = false;
    } else {
      ++report_.errors;
    }
    report_.status = std::move(status);
    return report_;
  }

  // Only on the watcher's thread, which alone uses the table.
  absl::StatusOr<StoredKey> Load(const ClusterKey& current, const KeyPolicy& policy) {
    if (table_ == nullptr) {
      absl::StatusOr<std::shared_ptr<SystemsTable>> opened = open_();
      if (!opened.ok()) return opened.status();
      table_ = *std::move(opened);
    }
    return LoadClusterKey(*table_, current.cluster(), policy);
  }

  // OK if the row holds `current`.
  static absl::Status Compare(const absl::StatusOr<StoredKey>& stored, const ClusterKey& current) {
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

  const std::chrono::milliseconds interval_;
  const std::function<absl::StatusOr<std::shared_ptr<SystemsTable>>()> open_;
  const Callback callback_;
  std::shared_ptr<SystemsTable> table_;
  mutable std::mutex mutex_;  // guards what follows
  KeyPolicy policy_;
  std::condition_variable wake_;
  bool is_stopping_ = false;
  bool is_asked_ = false;
  KeyReport report_;
  std::thread thread_;
};

KeyWatcher::KeyWatcher(std::shared_ptr<SystemsTable> table, ClusterKeyRef current, Options options,
                       Callback callback)
    : impl_(std::make_unique<Impl>(std::move(table), std::move(current), std::move(options),
                                   std::move(callback))) {}

KeyWatcher::~KeyWatcher() = default;

KeyReport KeyWatcher::Latest() const { return impl_->Latest(); }

void KeyWatcher::PollNow() { impl_->PollNow(); }

void KeyWatcher::SetPolicy(const KeyPolicy& policy) { impl_->SetPolicy(policy); }

}  // namespace sotto
