// Runs the application's callbacks, one at a time, with no lock of the node held.
//
// Ownership: shared; works that wait hold it. Errors: what a callback throws is caught and counted.
// Threads: any. After Stop() nothing begins any more.
#ifndef SOTTO_GOSSIP_NODE_CALLBACKS_H_
#define SOTTO_GOSSIP_NODE_CALLBACKS_H_

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace sotto {

class CallbackRunner : public std::enable_shared_from_this<CallbackRunner> {
 public:
  explicit CallbackRunner(boost::asio::io_context& io);

  // Has `work` run after all that was posted before. It calls the application by Run().
  void Post(std::function<void()> work);
  // Posts a call of the application itself. Whoever posts bounds how many.
  void PostCall(std::function<void()> callback);
  // Calls `callback` at once; false if nothing is called any more. Only from a posted work.
  bool Run(const void* owner, const std::function<void()>& callback);
  // Waits until no callback of `owner` (null: of anybody) runs; false, at once, from inside of one.
  bool AwaitIdle(const void* owner);
  // Waits for the callback that runs, too, unless this is it.
  void Stop();

  bool InCallback() const;
  uint64_t exceptions() const { return exceptions_.load(std::memory_order_relaxed); }

 private:
  using Strand = boost::asio::strand<boost::asio::io_context::executor_type>;

  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::optional<Strand> strand_;  // none after Stop: it must not outlive its io_context
  bool running_ = false;
  const void* owner_ = nullptr;
  std::thread::id runner_;
  std::atomic<uint64_t> exceptions_{0};
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_NODE_CALLBACKS_H_
