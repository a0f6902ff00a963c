#include "gossip/node_watch.h"

#include <algorithm>
#include <utility>

namespace sotto {
namespace {

// Items of one subscription in a row, before others have their turn.
constexpr int kItemsPerTurn = 64;

}  // namespace

WatchQueue::WatchQueue(std::shared_ptr<CallbackRunner> runner, WatchCallback callback,
                       WatchOptions options, std::shared_ptr<const NodeView> view)
    : runner_(std::move(runner)),
      queue_max_(std::max<size_t>(options.queue_max, 1)),
      answers_queries_(options.answers_queries),
      callback_(std::move(callback)),
      first_(view),
      latest_(std::move(view)),
      delivered_(latest_->last_item) {}

void WatchQueue::Push(std::span<const WatchItem> items,
                      const std::shared_ptr<const NodeView>& view) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    latest_ = view;
    // Whoever must start over from a snapshot needs nothing of what came before it.
    if (!resync_ && items_.size() + items.size() > queue_max_) {
      resync_ = true;
      items_.clear();
      first_.reset();
    }
    if (!resync_) items_.insert(items_.end(), items.begin(), items.end());
  }
  Schedule();
}

void WatchQueue::Schedule() {
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || scheduled_) return;
    scheduled_ = true;
  }
  runner_->Post([self = shared_from_this()] { self->Drain(); });
}

bool WatchQueue::Next(WatchItem* item) {
  const std::lock_guard lock(mutex_);
  if (!closed_ && (first_ || resync_)) {
    const std::shared_ptr<const NodeView> view = resync_ ? latest_ : first_;
    const uint64_t missed = view->last_item - delivered_;
    *item = WatchItem{view->epoch, view->last_item, WatchSnapshot{view, missed}, view};
    first_.reset();
    resync_ = false;
  } else if (!closed_ && !items_.empty()) {
    *item = std::move(items_.front());
    items_.pop_front();
    item->view = latest_;
  } else {
    latest_.reset();  // a table is large, and the next item brings a newer one
    scheduled_ = false;
    return false;
  }
  delivered_ = item->sequence;
  return true;
}

void WatchQueue::Drain() {
  bool more = true;
  for (int i = 0; i < kItemsPerTurn; ++i) {
    // Looks for the item while it already counts as running: Close() either waits for it or is
    // seen.
    const bool ran = runner_->Run(this, [&] {
      WatchItem item;
      more = Next(&item);
      if (more) callback_(item);
    });
    if (!ran || !more) return;
  }
  runner_->Post([self = shared_from_this()] { self->Drain(); });
}

void WatchQueue::Close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    items_.clear();
    first_.reset();
    latest_.reset();
  }
  if (runner_->AwaitIdle(this)) callback_ = nullptr;
}

bool WatchQueue::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

std::shared_ptr<WatchQueue> WatchHub::Add(WatchCallback callback, WatchOptions options,
                                          std::shared_ptr<const NodeView> view) {
  auto queue = std::make_shared<WatchQueue>(runner_, std::move(callback), options, view);
  queues_.push_back(queue);
  queue->Push({}, view);  // the snapshot
  return queue;
}

bool WatchHub::empty() {
  std::erase_if(queues_, [](const auto& weak) {
    const auto queue = weak.lock();
    return !queue || queue->closed();
  });
  return queues_.empty();
}

bool WatchHub::AnswersQueries() {
  return std::any_of(queues_.begin(), queues_.end(), [](const auto& weak) {
    const auto queue = weak.lock();
    return queue && !queue->closed() && queue->answers_queries();
  });
}

void WatchHub::Publish(std::span<const WatchItem> items,
                       const std::shared_ptr<const NodeView>& view) {
  for (const auto& weak : queues_) {
    if (const auto queue = weak.lock()) queue->Push(items, view);
  }
}

}  // namespace sotto
