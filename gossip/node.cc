#include "gossip/node.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/node_callbacks.h"
#include "gossip/node_core.h"
#include "gossip/node_watch.h"
#include "gossip/verified_store.h"

namespace sotto {

namespace asio = boost::asio;

namespace {

// What a call waits beyond its timeout for the loop to say that it has passed.
constexpr std::chrono::seconds kLoopGrace{1};

// For ever means a year: no clock overflows by it.
std::chrono::milliseconds Bounded(std::chrono::milliseconds timeout) {
  return std::clamp(timeout, std::chrono::milliseconds(0),
                    std::chrono::milliseconds(std::chrono::hours(365 * 24)));
}

// An io_context with one thread that runs it until Stop().
class LoopThread {
 public:
  LoopThread() : loop_(std::make_shared<Loop>()) {
    thread_ = std::thread([loop = loop_] { loop->io.run(); });
  }
  ~LoopThread() { Stop(); }
  asio::io_context& io() { return loop_->io; }
  // From the thread itself it only ends after what it runs now.
  void Stop() {
    if (!thread_.joinable()) return;
    loop_->io.stop();
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();  // it holds the loop
    } else {
      thread_.join();
    }
  }

 private:
  struct Loop {
    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(io);
  };
  std::shared_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace

// Owns the node's threads, where it has its own, and takes its turn.
class Node::Impl {
 public:
  ~Impl() {
    Stop();
    core_.reset();  // before the loops that its sockets belong to
  }

  absl::Status Start(NodeOptions options) {
    SOTTO_RETURN_IF_ERROR(options.Validate());
    embedder_io_ = options.io;
    if (options.io == nullptr) protocol_loop_.emplace();
    asio::io_context& io = options.io != nullptr ? *options.io : protocol_loop_->io();
    asio::io_context* callbacks_io = options.callbacks_io;
    if (callbacks_io == nullptr) callbacks_io = options.io;
    if (callbacks_io == nullptr) callbacks_io = &callbacks_loop_.emplace().io();
    runner_ = std::make_shared<CallbackRunner>(*callbacks_io);
    SOTTO_ASSIGN_OR_RETURN(core_, NodeCore::Create(std::move(options), io, runner_));
    asio::post(core_->executor(), [core = core_] { core->Begin(); });
    return absl::OkStatus();
  }

  void Stop() {
    if (core_) Run([](NodeCore& core) { core.Stop(); });
    if (runner_) runner_->Stop();
    if (protocol_loop_) protocol_loop_->Stop();
    if (callbacks_loop_) callbacks_loop_->Stop();
  }

  // Does `work` now, in the calling thread: nothing else touches the node meanwhile.
  template <typename Work>
  auto Run(Work work) -> decltype(work(std::declval<NodeCore&>())) {
    const std::lock_guard turn(*core_->turn());
    return work(*core_);
  }

  // Begins `work`, which calls back once, and waits for it; `begun` where nobody may wait.
  template <typename Result, typename Work>
  Result Wait(std::chrono::milliseconds timeout, Result begun, Work work) {
    const auto promise = std::make_shared<std::promise<Result>>();
    std::future<Result> future = promise->get_future();
    const absl::Status state = Run([&](NodeCore& core) -> absl::Status {
      if (core.stopped()) return absl::CancelledError("the node has stopped");
      work(core, [promise](Result result) { promise->set_value(std::move(result)); });
      return absl::OkStatus();
    });
    if (!state.ok()) return state;
    if (MustNotBlock()) return begun;
    if (future.wait_for(timeout + kLoopGrace) == std::future_status::ready) return future.get();
    return CodedError(absl::StatusCode::kDeadlineExceeded, "NODE_UNRESPONSIVE",
                      "the call was begun, but no thread runs the node's io_context");
  }

  // This thread runs the embedder's loop, and may be the only one that does.
  bool MustNotBlock() const {
    return embedder_io_ != nullptr && embedder_io_->get_executor().running_in_this_thread();
  }

  const std::shared_ptr<NodeCore>& core() const { return core_; }

 private:
  asio::io_context* embedder_io_ = nullptr;
  std::optional<LoopThread> protocol_loop_;
  std::optional<LoopThread> callbacks_loop_;
  std::shared_ptr<CallbackRunner> runner_;
  std::shared_ptr<NodeCore> core_;
};

std::shared_ptr<SharedCache> MakeSharedCache() { return std::make_shared<SharedCache>(); }

Node::Node() = default;
Node::~Node() {
  if (impl_) impl_->Stop();  // callbacks may use the node until this returns
}

absl::StatusOr<std::unique_ptr<Node>> Node::Start(NodeOptions options) {
  auto node = std::unique_ptr<Node>(new Node());
  node->impl_ = std::make_shared<Impl>();
  SOTTO_RETURN_IF_ERROR(node->impl_->Start(std::move(options)));
  return node;
}

std::shared_ptr<const NodeView> Node::View() const { return impl_->core()->View(); }

NodeStats Node::Stats() const {
  return impl_->Run([](NodeCore& core) { return core.CurrentStats(); });
}

std::vector<Refusal> Node::Refusals() const {
  return impl_->Run([](NodeCore& core) { return core.Refusals(); });
}

class Node::Subscription::Impl {
 public:
  explicit Impl(std::shared_ptr<WatchQueue> queue) : queue_(std::move(queue)) {}
  ~Impl() { queue_->Close(); }

 private:
  std::shared_ptr<WatchQueue> queue_;
};

Node::Subscription::Subscription() = default;
Node::Subscription::~Subscription() = default;

std::unique_ptr<Node::Subscription> Node::Watch(WatchCallback callback, WatchOptions options) {
  auto subscription = std::unique_ptr<Subscription>(new Subscription());
  subscription->impl_ = std::make_unique<Subscription::Impl>(
      impl_->Run([&](NodeCore& core) { return core.Watch(std::move(callback), options); }));
  return subscription;
}

absl::StatusOr<int> Node::Join(const std::vector<std::string>& contacts,
                               std::chrono::milliseconds timeout) {
  timeout = Bounded(timeout);
  return impl_->Wait(timeout, absl::StatusOr<int>(0),
                     [contacts, timeout](NodeCore& core, auto done) {
                       core.Join(contacts, timeout, std::move(done));
                     });
}

KnockAnswer Node::Knock(std::string_view address) {
  return impl_->Run([&](NodeCore& core) { return core.Knock(address); });
}

absl::Status Node::Leave(std::chrono::milliseconds timeout) {
  timeout = Bounded(timeout);
  return impl_->Wait(timeout, absl::OkStatus(), [timeout](NodeCore& core, auto done) {
    core.Leave(timeout, std::move(done));
  });
}

absl::Status Node::SendEvent(std::string_view name, std::string_view payload, bool coalesce) {
  return impl_->Run([&](NodeCore& core) { return core.SendEvent(name, payload, coalesce); });
}

absl::StatusOr<QueryId> Node::Query(QueryParams params, QueryReplyCallback on_reply,
                                    QueryEndCallback on_end) {
  return impl_->Run([&](NodeCore& core) {
    return core.Query(std::move(params), std::move(on_reply), std::move(on_end));
  });
}

absl::Status Node::Answer(const QueryId& query, std::string_view payload) {
  return impl_->Run([&](NodeCore& core) { return core.Answer(query, payload); });
}

absl::Status Node::Forget(std::string_view name) {
  return impl_->Run([&](NodeCore& core) { return core.Forget(name); });
}

std::vector<SuspicionCase> Node::CasesOf(std::string_view member) const {
  return impl_->Run([&](NodeCore& core) { return core.protocol().CasesOf(member); });
}

absl::Status Node::SetTags(std::vector<Tag> tags) {
  return impl_->Run([&](NodeCore& core) { return core.SetTags(std::move(tags)); });
}

absl::Status Node::ReloadTls(const TlsMaterial& tls) {
  return impl_->Run([&](NodeCore& core) { return core.ReloadTls(tls); });
}

absl::Status Node::SetKeys(std::vector<ClusterKeyRef> keys, KeyId sealing) {
  return impl_->Run([&](NodeCore& core) { return core.SetKeys(std::move(keys), sealing); });
}

absl::Status Node::RefreshKeys() {
  return impl_->Run([](NodeCore& core) { return core.RefreshKeys(); });
}

void Node::SeekKeys() {
  impl_->Run([](NodeCore& core) { core.SeekKeys(); });
}

absl::Status Node::Send(std::string_view member, std::string_view payload,
                        std::chrono::milliseconds timeout) {
  timeout = Bounded(timeout);
  return impl_->Wait(timeout, absl::OkStatus(),
                     [member = std::string(member), payload, timeout](NodeCore& core, auto done) {
                       core.Send(member, std::string(payload), timeout, std::move(done));
                     });
}

absl::StatusOr<PingResult> Node::Ping(std::string_view member, std::chrono::milliseconds timeout) {
  timeout = Bounded(timeout);
  const absl::Status begun =
      CodedError(absl::StatusCode::kFailedPrecondition, "MUST_NOT_BLOCK",
                 "the round trip cannot be waited for in a thread that runs the node's io_context");
  return impl_->Wait(timeout, absl::StatusOr<PingResult>(begun),
                     [member = std::string(member), timeout](NodeCore& core, auto done) {
                       core.Ping(member, timeout, std::move(done));
                     });
}

absl::StatusOr<Duration> Node::Rtt(std::string_view a, std::string_view b) const {
  return impl_->Run([&](NodeCore& core) { return core.Rtt(a, b); });
}

bool Node::IsResponsive(std::chrono::milliseconds timeout) {
  if (impl_->MustNotBlock()) return true;  // this thread is the loop
  const auto promise = std::make_shared<std::promise<void>>();
  std::future<void> future = promise->get_future();
  asio::post(impl_->core()->executor(), [promise] { promise->set_value(); });
  return future.wait_for(Bounded(timeout)) == std::future_status::ready;
}

}  // namespace sotto
