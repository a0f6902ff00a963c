#include "gossip/node_callbacks.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace sotto {

namespace asio = boost::asio;

CallbackRunner::CallbackRunner(asio::io_context& io) : strand_(asio::make_strand(io)) {}

void CallbackRunner::Post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (strand_) asio::post(*strand_, std::move(work));
}

void CallbackRunner::PostCall(std::function<void()> callback) {
  Post([self = shared_from_this(), callback = std::move(callback)] {
    self->Run(nullptr, callback);
  });
}

bool CallbackRunner::Run(const void* owner, const std::function<void()>& callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!strand_) return false;
    running_ = true;
    owner_ = owner;
    runner_ = std::this_thread::get_id();
  }
  try {
    callback();
  } catch (...) {
    exceptions_.fetch_add(1, std::memory_order_relaxed);
  }
  const std::lock_guard lock(mutex_);
  running_ = false;
  idle_.notify_all();
  return true;
}

bool CallbackRunner::AwaitIdle(const void* owner) {
  std::unique_lock lock(mutex_);
  const auto mine = [&] { return running_ && (owner == nullptr || owner == owner_); };
  idle_.wait(lock, [&] { return !mine() || runner_ == std::this_thread::get_id(); });
  return !mine();
}

void CallbackRunner::Stop() {
  {
    const std::lock_guard lock(mutex_);
    strand_.reset();
  }
  AwaitIdle(nullptr);
}

bool CallbackRunner::InCallback() const {
  const std::lock_guard lock(mutex_);
  return running_ && runner_ == std::this_thread::get_id();
}

}  // namespace sotto
