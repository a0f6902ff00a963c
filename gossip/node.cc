#include "gossip/node.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <thread>
#include <utility>

#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/node_core.h"

namespace sotto {

namespace asio = boost::asio;

// Owns the node's thread and io_context, where it has its own, and posts to the strand.
class Node::Impl {
 public:
  ~Impl() { Stop(); }

  absl::Status Start(NodeOptions options) {
    if (options.io == nullptr) own_io_ = std::make_unique<asio::io_context>(1);
    asio::io_context& io = own_io_ ? *own_io_ : *options.io;
    SOTTO_ASSIGN_OR_RETURN(core_, NodeCore::Create(std::move(options), io));
    asio::post(core_->strand(), [core = core_] { core->Begin(); });
    if (own_io_) {
      guard_.emplace(asio::make_work_guard(*own_io_));
      thread_ = std::thread([io = own_io_.get()] { io->run(); });
    }
    return absl::OkStatus();
  }

  void Stop() {
    if (!core_) return;
    if (!own_io_) {
      asio::dispatch(core_->strand(), [core = core_] { core->Stop(); });
      core_.reset();
      return;
    }
    asio::post(core_->strand(), [core = core_, io = own_io_.get()] {
      core->Stop();
      io->stop();
    });
    guard_.reset();
    thread_.join();
    core_.reset();
    own_io_.reset();
  }

  // Runs `work` on the strand and returns its result; at once where this is the strand.
  template <typename Work>
  auto Run(Work work) -> decltype(work(std::declval<NodeCore&>())) {
    using Result = decltype(work(std::declval<NodeCore&>()));
    if (core_->strand().running_in_this_thread()) return work(*core_);
    std::promise<Result> promise;
    std::future<Result> future = promise.get_future();
    asio::post(core_->strand(), [&] { promise.set_value(work(*core_)); });
    return future.get();
  }

  // Begins `work`, which calls back once, and waits for it; from the strand itself it is only
  // begun.
  template <typename Result, typename Work>
  Result Wait(Result begun, Work work) {
    if (core_->strand().running_in_this_thread()) {
      work(*core_, [](Result) {});
      return begun;
    }
    auto promise = std::make_shared<std::promise<Result>>();
    std::future<Result> future = promise->get_future();
    asio::post(core_->strand(), [core = core_, promise, work] {
      work(*core, [promise](Result result) { promise->set_value(std::move(result)); });
    });
    return future.get();
  }

  const std::shared_ptr<NodeCore>& core() const { return core_; }

 private:
  std::unique_ptr<asio::io_context> own_io_;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> guard_;
  std::shared_ptr<NodeCore> core_;
  std::thread thread_;
};

Node::Node() = default;
Node::~Node() = default;

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
  Impl(std::weak_ptr<NodeCore> core, uint64_t id) : core_(std::move(core)), id_(id) {}
  ~Impl() {
    const std::shared_ptr<NodeCore> core = core_.lock();
    if (!core) return;
    // On the strand: at once, so that no callback follows. Elsewhere a callback may be under way,
    // but none begins once the strand has run this.
    asio::dispatch(core->strand(), [core, id = id_] { core->RemoveWatcher(id); });
  }

 private:
  std::weak_ptr<NodeCore> core_;
  uint64_t id_;
};

Node::Subscription::Subscription() = default;
Node::Subscription::~Subscription() = default;

std::unique_ptr<Node::Subscription> Node::Watch(EventCallback callback) {
  const uint64_t id =
      impl_->Run([&](NodeCore& core) { return core.AddWatcher(std::move(callback)); });
  auto subscription = std::unique_ptr<Subscription>(new Subscription());
  subscription->impl_ = std::make_unique<Subscription::Impl>(impl_->core(), id);
  return subscription;
}

absl::StatusOr<int> Node::Join(const std::vector<std::string>& contacts,
                               std::chrono::milliseconds timeout) {
  return impl_->Wait(absl::StatusOr<int>(0), [contacts, timeout](NodeCore& core, auto done) {
    core.Join(contacts, timeout, std::move(done));
  });
}

absl::Status Node::Leave(std::chrono::milliseconds timeout) {
  return impl_->Wait(absl::OkStatus(), [timeout](NodeCore& core, auto done) {
    core.Leave(timeout, std::move(done));
  });
}

absl::Status Node::Forget(std::string_view name) {
  return impl_->Run([&](NodeCore& core) { return core.Forget(name); });
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

bool Node::Ping(std::chrono::milliseconds timeout) {
  if (impl_->core()->strand().running_in_this_thread()) return true;
  auto promise = std::make_shared<std::promise<void>>();
  std::future<void> future = promise->get_future();
  asio::post(impl_->core()->strand(), [promise] { promise->set_value(); });
  return future.wait_for(timeout) == std::future_status::ready;
}

}  // namespace sotto
