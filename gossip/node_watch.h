// Subscriptions to a node: numbered items through a bounded queue for each, and a snapshot first
// and after a loss.
//
// Threads: WatchHub belongs to the node's turn; WatchQueue is called from there, from the
// callbacks' thread, and from whoever ends the subscription. Its mutex is held for a few lines and
// never while the application is called.
#ifndef SOTTO_GOSSIP_NODE_WATCH_H_
#define SOTTO_GOSSIP_NODE_WATCH_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "gossip/node.h"
#include "gossip/node_callbacks.h"

namespace sotto {

class WatchQueue : public std::enable_shared_from_this<WatchQueue> {
 public:
  // `view` becomes the first snapshot.
  WatchQueue(std::shared_ptr<CallbackRunner> runner, WatchCallback callback, WatchOptions options,
             std::shared_ptr<const NodeView> view);

  // Queues `items`, the newest of which is the last that `view` includes.
  void Push(std::span<const WatchItem> items, const std::shared_ptr<const NodeView>& view);
  // Nothing is called after this; what runs is waited for, unless this is called from it.
  void Close();
  bool closed() const;
  bool answers_queries() const { return answers_queries_; }

 private:
  void Schedule();
  void Drain();
  // False if there is nothing to tell.
  bool Next(WatchItem* item);

  const std::shared_ptr<CallbackRunner> runner_;
  const size_t queue_max_;
  const bool answers_queries_;
  mutable std::mutex mutex_;
  WatchCallback callback_;
  std::deque<WatchItem> items_;
  std::shared_ptr<const NodeView> first_;  // until the first snapshot was taken
  std::shared_ptr<const NodeView> latest_;
  uint64_t delivered_;   // sequence of the last item given out
  bool resync_ = false;  // items were lost; a snapshot makes up for them
  bool scheduled_ = false;
  bool closed_ = false;
};

class WatchHub {
 public:
  explicit WatchHub(std::shared_ptr<CallbackRunner> runner) : runner_(std::move(runner)) {}

  std::shared_ptr<WatchQueue> Add(WatchCallback callback, WatchOptions options,
                                  std::shared_ptr<const NodeView> view);
  // Whether anybody listens.
  bool empty();
  // Whether anybody answers queries.
  bool AnswersQueries();
  void Publish(std::span<const WatchItem> items, const std::shared_ptr<const NodeView>& view);
  void Clear() { queues_.clear(); }

 private:
  std::shared_ptr<CallbackRunner> runner_;
  std::vector<std::weak_ptr<WatchQueue>> queues_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_NODE_WATCH_H_
