// Nodes that come and go while several threads use them: on shared loops and on their own, in the
// middle of joins, of messages and of their own callbacks. What the sanitizers look at; without
// them it shows that nothing crashes or waits for ever.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/gossip/node_fixture.h"

namespace sotto {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr int kWorkers = 3;
constexpr int kRounds = 8;
constexpr size_t kThreads = 3;
constexpr int kCalls = 20;

// A loop of the embedder's with several threads.
class Loop {
 public:
  Loop() : io(static_cast<int>(kThreads)), guard_(asio::make_work_guard(io)) {}
  ~Loop() { Stop(); }
  void Run() {
    for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { io.run(); });
  }
  void Stop() {
    io.stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  asio::io_context io;

 private:
  asio::executor_work_guard<asio::io_context::executor_type> guard_;
  std::vector<std::thread> threads_;
};

// A node that either its owner or one of its own callbacks destroys, whoever comes first.
struct Guest {
  std::unique_ptr<Node> node;
  std::unique_ptr<Node::Subscription> watch;
  std::atomic<bool> ending{false}, by_message{false}, ended{false};
  std::atomic<int> heard{0};

  void End(bool in_message) {
    if (ending.exchange(true)) return;
    by_message = in_message;
    node.reset();
    ended = true;
  }
};

class NodeStressTest : public NodeTest {
 protected:
  NodeOptions GuestOptions(const std::string& name, int round) {
    NodeOptions options = Options(name);
    options.join = {Address(*hub_)};
    options.shared_cache = cache_;
    if (round % 3 == 0) options.io = &loop_.io;
    if (round % 3 == 1) options.callbacks_io = &loop_.io;
    return options;
  }

  // Everything that a thread may ask of a node, whatever comes of it.
  static int CallAll(Node& node, int seed) {
    int done = 0;
    for (int i = 0; i < kCalls; ++i) {
      const std::string text = std::to_string(seed + i);
      (void)node.SetTags({{"k", text}}).ok();
      (void)node.SendEvent("e-" + text, text).ok();
      (void)node
          .Query(
              {.name = "q", .payload = text}, [](const QueryReply&) {}, [](const QuerySummary&) {})
          .ok();
      (void)node.Rtt("hub", node.View()->leader).ok();
      done += node.Stats().frames_sent + node.Refusals().size() + node.CasesOf("hub").size() < 1e9;
    }
    return done;
  }

  void Round(int worker, int round) {
    const std::string name = "guest-" + std::to_string(worker) + "-" + std::to_string(round);
    const auto guest = std::make_shared<Guest>();
    NodeOptions options = GuestOptions(name, round);
    options.on_message = [weak = std::weak_ptr<Guest>(guest)](const ReceivedMessage&) {
      if (const auto held = weak.lock()) held->End(true);
    };
    guest->node = Start(std::move(options));
    ASSERT_NE(nullptr, guest->node);
    Node& node = *guest->node;
    guest->watch = node.Watch([&node, weak = std::weak_ptr<Guest>(guest)](const WatchItem& item) {
      const auto held = weak.lock();
      if (held && node.View()->epoch == item.epoch) ++held->heard;
    });
    asio::io_context io;
    tcp::socket mute(io);  // says nothing for as long as the round lasts
    mute.connect({asio::ip::address_v4::loopback(), node.View()->bound.front().port});

    std::thread caller([&] { calls_ += CallAll(node, round * 1'000); });
    if (round % 2 == 0) joined_ += node.Join({Address(*hub_)}, seconds(5)).ok();
    (void)node.Ping("hub", milliseconds(50)).ok();
    (void)node.Send("hub", name, milliseconds(200)).ok();
    caller.join();
    EXPECT_TRUE(Eventually([&] { return guest->heard > 0; }));
    if (round % 4 == 3) (void)node.Leave(milliseconds(500)).ok();
    // Ended by its own callback, if the message reaches it.
    if (round % 2 == 0) (void)hub_->Send(name, "end", seconds(5)).ok();
    if (round % 8 == 5) guest->watch.reset();
    guest->End(false);
    EXPECT_TRUE(Eventually([&] { return guest->ended.load(); }));
    ended_in_callback_ += guest->by_message;
    ++rounds_;
  }

  Loop loop_;
  std::shared_ptr<SharedCache> cache_ = MakeSharedCache();
  std::unique_ptr<Node> hub_;
  std::atomic<int> rounds_{0}, calls_{0}, joined_{0}, ended_in_callback_{0}, messages_{0};
};

TEST_F(NodeStressTest, GuestsComeAndGoUnderManyHands) {
  NodeOptions options = Options("hub");
  options.io = &loop_.io;
  options.shared_cache = cache_;
  options.on_message = [this](const ReceivedMessage&) { ++messages_; };
  hub_ = Start(std::move(options));
  ASSERT_NE(nullptr, hub_);
  loop_.Run();
  std::atomic<int> items{0};
  const auto watch = hub_->Watch([&](const WatchItem&) { ++items; });
  std::vector<std::thread> workers;
  for (int worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([this, worker] {
      for (int round = 0; round < kRounds; ++round) Round(worker, round);
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(kWorkers * kRounds, rounds_);
  EXPECT_EQ(kWorkers * kRounds * kCalls, calls_);
  EXPECT_GT(joined_, 0);
  EXPECT_GT(messages_, 0);
  EXPECT_GT(ended_in_callback_, 0);
  EXPECT_GT(items, 0);
  EXPECT_TRUE(hub_->IsResponsive(seconds(10)));
  // And it still does its work.
  auto last = Start(GuestOptions("last", 0));
  EXPECT_TRUE(Eventually([&] { return last->Send("hub", "x", seconds(5)).ok(); }, seconds(30)));
  last.reset();
  hub_.reset();
}

// As a cluster in one process ends: the loop first, in the middle of everything, then the nodes,
// then what the loop still holds.
TEST_F(NodeStressTest, ALoopThatStopsInTheMiddleOfAJoinHoldsNothingBroken) {
  for (uint64_t turn = 0; turn < 8; ++turn) {
    auto loop = std::make_unique<Loop>();
    std::vector<std::unique_ptr<Node>> nodes;
    std::vector<std::unique_ptr<Node::Subscription>> watches;
    for (int i = 0; i < 5; ++i) {
      NodeOptions options = Options("n-" + std::to_string(i));
      options.io = &loop->io;
      options.shared_cache = cache_;
      if (i > 0) options.join = {Address(*nodes.front())};
      nodes.push_back(Start(std::move(options)));
      ASSERT_NE(nullptr, nodes.back());
      watches.push_back(nodes.back()->Watch([](const WatchItem&) {}));
    }
    loop->Run();
    EXPECT_TRUE(Eventually([&] { return nodes.front()->Stats().tls_accepted > turn / 2; }));
    nodes.back().reset();  // one while it runs
    loop->Stop();
    watches.clear();
    nodes.clear();
    loop.reset();
  }
}

}  // namespace
}  // namespace sotto
