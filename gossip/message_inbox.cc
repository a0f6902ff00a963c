#include "gossip/message_inbox.h"

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <mutex>
#include <utility>

namespace sotto {

namespace asio = boost::asio;

struct MessageInbox::Counts {
  struct Load {
    size_t waiting = 0;
    size_t bytes = 0;
    bool HasRoom(size_t more, size_t waiting_max, size_t bytes_max) const {
      return waiting < waiting_max && bytes + more <= bytes_max;
    }
    void Add(size_t more) { ++waiting, bytes += more; }
    void Remove(size_t less) { --waiting, bytes -= less; }
  };
  std::mutex mutex;
  Load all;
  std::map<std::string, Load> by_sender;
};

MessageInbox::MessageInbox(std::shared_ptr<CallbackRunner> runner, Callback callback)
    : runner_(std::move(runner)),
      callback_(callback ? std::make_shared<const Callback>(std::move(callback)) : nullptr),
      counts_(std::make_shared<Counts>()) {}

MessageInbox::Place MessageInbox::Admit(const std::string& from, size_t bytes) {
  const std::lock_guard lock(counts_->mutex);
  const auto known = counts_->by_sender.find(from);
  const Counts::Load theirs = known != counts_->by_sender.end() ? known->second : Counts::Load();
  if (!counts_->all.HasRoom(bytes, kWaitingMax, kBytesMax) ||
      !theirs.HasRoom(bytes, kWaitingPerSenderMax, kBytesPerSenderMax)) {
    return nullptr;
  }
  counts_->all.Add(bytes);
  counts_->by_sender[from].Add(bytes);
  return Place(counts_.get(), [counts = counts_, from, bytes](void*) {
    const std::lock_guard held(counts->mutex);
    counts->all.Remove(bytes);
    const auto it = counts->by_sender.find(from);
    it->second.Remove(bytes);
    if (it->second.waiting == 0) counts->by_sender.erase(it);
  });
}

// Shared by the stream that waits and the callback's thread.
struct MessageInbox::Delivery {
  enum Phase : int { kWaiting, kRunning, kOver };
  explicit Delivery(asio::any_io_executor e) : executor(e), timer(e) {}
  asio::any_io_executor executor;
  asio::steady_timer timer;  // on `executor`
  std::atomic<int> phase{kWaiting};
  std::optional<AppReceipt::Verdict> verdict;  // on `executor`
};

namespace {

using Delivery = MessageInbox::Delivery;

// The node may end before its callback begins, and a callback may end the node: then its loop,
// which a delivery must not outlive, may be gone as well. So neither is held here.
void Call(const std::weak_ptr<Delivery>& weak, const MessageInbox::Callback& callback,
          const ReceivedMessage& message) {
  const auto advance = [&weak](int from, int to) {
    const std::shared_ptr<Delivery> delivery = weak.lock();
    return delivery && delivery->phase.compare_exchange_strong(from, to) ? delivery : nullptr;
  };
  if (!advance(Delivery::kWaiting, Delivery::kRunning)) return;
  const auto finish = [&](AppReceipt::Verdict verdict) {
    const std::shared_ptr<Delivery> delivery = advance(Delivery::kRunning, Delivery::kOver);
    if (!delivery) return;
    asio::post(delivery->executor, [delivery, verdict] {
      delivery->verdict = verdict;
      delivery->timer.cancel();
    });
  };
  try {
    callback(message);
  } catch (...) {
    finish(AppReceipt::Verdict::kFailed);
    throw;  // counted by the runner
  }
  finish(AppReceipt::Verdict::kDelivered);
}

}  // namespace

void MessageInbox::Stop() {
  for (const auto& delivery : deliveries_) {
    int running = Delivery::kRunning;
    delivery->phase.compare_exchange_strong(running, Delivery::kOver);
    delivery->timer.cancel();
  }
}

asio::awaitable<std::optional<AppReceipt::Verdict>> MessageInbox::Deliver(
    asio::any_io_executor executor, ReceivedMessage message, Place place) {
  const auto delivery = std::make_shared<Delivery>(executor);
  delivery->timer.expires_after(kCallbackTimeout);
  runner_->PostCall([weak = std::weak_ptr<Delivery>(delivery), callback = callback_,
                     message = std::move(message),
                     place = std::move(place)] { Call(weak, *callback, message); });
  boost::system::error_code ec;
  deliveries_.insert(delivery);
  if (!delivery->verdict) {
    co_await delivery->timer.async_wait(asio::redirect_error(asio::use_awaitable, ec));
  }
  deliveries_.erase(delivery);
  if (!delivery->verdict) {
    // It has not begun: then it will not, and the sender may be told so.
    int waiting = Delivery::kWaiting;
    if (delivery->phase.compare_exchange_strong(waiting, Delivery::kOver)) {
      co_return AppReceipt::Verdict::kBusy;
    }
  }
  co_return delivery->verdict;
}

}  // namespace sotto
