// Subscriptions and callbacks of the public library: order, numbers, slow consumers, threads.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/gossip/node_fixture.h"

namespace sotto {
namespace {

namespace asio = boost::asio;

// Opened once; everybody who waits goes on.
class Gate {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  bool Wait(milliseconds limit = seconds(20)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

// What a subscription told, for the test's own thread.
class Record {
 public:
  void Add(const WatchItem& item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(item);
  }
  std::vector<WatchItem> Items() const {
    const std::lock_guard lock(mutex_);
    return items_;
  }
  size_t size() const { return Items().size(); }
  bool Has(EventKind kind, const std::string& member) const {
    for (const WatchItem& item : Items()) {
      const auto* event = std::get_if<Event>(&item.body);
      if (event != nullptr && event->kind == kind && event->member == member) return true;
    }
    return false;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<WatchItem> items_;
};

// Who is alive by what a subscription told, from its snapshots and events alone. Fails on a gap.
std::set<std::string> Replay(const std::vector<WatchItem>& items) {
  std::set<std::string> alive;
  uint64_t last = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const WatchItem& item = items[i];
    EXPECT_EQ(items.front().epoch, item.epoch);
    EXPECT_TRUE(item.view != nullptr && item.view->last_item >= item.sequence);
    if (const auto* snapshot = std::get_if<WatchSnapshot>(&item.body)) {
      EXPECT_TRUE(i == 0 || last + snapshot->missed == item.sequence) << "a gap before " << i;
      alive.clear();
      for (const MemberInfo& member : snapshot->view->members) {
        if (member.state <= MemberState::kSuspect) alive.insert(member.name);
      }
    } else {
      EXPECT_EQ(last + 1, item.sequence) << "a gap before item " << i;
      const Event& event = std::get<Event>(item.body);
      switch (event.kind) {
        case EventKind::kJoined:
        case EventKind::kReturned:
          alive.insert(event.member);
          break;
        case EventKind::kDied:
        case EventKind::kLeft:
          alive.erase(event.member);
          break;
        default:
          break;
      }
    }
    last = item.sequence;
  }
  return alive;
}

class NodeWatchTest : public NodeTest {
 protected:
  std::unique_ptr<Node> StartJoined(const std::string& name, const Node& to) {
    NodeOptions options = Options(name);
    options.join = {Address(to)};
    return Start(std::move(options));
  }
};

TEST_F(NodeWatchTest, ASnapshotComesFirstAndNothingIsLostAfterIt) {
  auto a = Start(Options("a"));
  Record early;
  const auto first = a->Watch([&](const WatchItem& item) { early.Add(item); });
  auto b = StartJoined("b", *a);
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  // Everything before this subscription stands in its snapshot.
  Record late;
  const auto second = a->Watch([&](const WatchItem& item) { late.Add(item); });
  ASSERT_TRUE(Eventually([&] { return late.size() > 0; }));
  const std::vector<WatchItem> begun = late.Items();
  ASSERT_TRUE(std::holds_alternative<WatchSnapshot>(begun.front().body));
  EXPECT_EQ(0u, std::get<WatchSnapshot>(begun.front().body).missed);
  EXPECT_EQ(2u, std::get<WatchSnapshot>(begun.front().body).view->members.size());
  EXPECT_EQ("a", begun.front().view->leader);

  auto c = StartJoined("c", *a);
  ASSERT_TRUE(Eventually([&] { return late.Has(EventKind::kJoined, "c"); }));
  ASSERT_TRUE(b->Leave(seconds(5)).ok());
  ASSERT_TRUE(Eventually([&] { return late.Has(EventKind::kLeft, "b"); }));
  ASSERT_TRUE(Eventually([&] { return early.Has(EventKind::kLeft, "b"); }));
  const std::set<std::string> expected = {"a", "c"};
  EXPECT_EQ(expected, Replay(early.Items()));
  EXPECT_EQ(expected, Replay(late.Items()));
  // Both subscriptions give one event one number.
  for (const WatchItem& item : late.Items()) {
    for (const WatchItem& other : early.Items()) {
      const auto* event = std::get_if<Event>(&item.body);
      const auto* same = std::get_if<Event>(&other.body);
      if (event == nullptr || same == nullptr || item.sequence != other.sequence) continue;
      EXPECT_EQ(event->kind, same->kind);
      EXPECT_EQ(event->member, same->member);
    }
  }
}

TEST_F(NodeWatchTest, ASlowConsumerIsGivenASnapshotInsteadOfAnEndlessQueue) {
  auto a = Start(Options("a"));
  Record record;
  Gate gate, entered;
  const auto watch = a->Watch(
      [&](const WatchItem& item) {
        record.Add(item);
        entered.Open();
        EXPECT_TRUE(gate.Wait());
      },
      {.queue_max = 3});
  ASSERT_TRUE(entered.Wait());
  const uint64_t before = a->View()->last_item;
  auto b = StartJoined("b", *a);
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2; }));
  int tag = 0;
  ASSERT_TRUE(Eventually([&] {
    EXPECT_TRUE(b->SetTags({{"turn", std::to_string(++tag)}}).ok());
    return a->View()->last_item > before + 8;
  }));
  EXPECT_TRUE(a->IsResponsive(seconds(5)));
  EXPECT_EQ(1u, record.size());
  gate.Open();
  ASSERT_TRUE(Eventually([&] { return record.size() >= 2; }));
  const WatchItem resync = record.Items()[1];
  ASSERT_TRUE(std::holds_alternative<WatchSnapshot>(resync.body));
  EXPECT_GT(std::get<WatchSnapshot>(resync.body).missed, 3u);
  b.reset();
  ASSERT_TRUE(Eventually([&] { return record.Has(EventKind::kDied, "b"); }));
  EXPECT_EQ(std::set<std::string>{"a"}, Replay(record.Items()));
}

TEST_F(NodeWatchTest, ACallbackMayCallEverythingAlsoWhatBlocks) {
  auto a = Start(Options("a"));
  auto b = Start(Options("b"));
  std::unique_ptr<Node::Subscription> watch;
  Gate assigned;
  std::atomic<int> calls{0};
  std::atomic<bool> done{false};
  watch = a->Watch([&](const WatchItem&) {
    ASSERT_TRUE(assigned.Wait());
    ++calls;
    EXPECT_TRUE(a->IsResponsive(seconds(5)));
    EXPECT_TRUE(a->SetTags({{"seen", "yes"}}).ok());
    EXPECT_EQ(0u, a->Stats().callback_exceptions);
    EXPECT_TRUE(a->Refusals().empty());
    EXPECT_EQ("MEMBER_UNKNOWN", ErrorCode(a->Forget("nobody")));
    // These wait for the network, and this thread for them.
    const absl::StatusOr<int> joined = a->Join({Address(*b)}, seconds(10));
    EXPECT_TRUE(joined.ok() && *joined == 1) << Describe(joined.status());
    EXPECT_EQ(2u, Alive(*a));
    const auto another = a->Watch([](const WatchItem&) {});
    const absl::Status left = a->Leave(seconds(10));
    EXPECT_TRUE(left.ok()) << Describe(left);
    EXPECT_TRUE(a->View()->standing.left);
    watch.reset();
    done = true;
  });
  assigned.Open();
  ASSERT_TRUE(Eventually([&] { return done.load(); }, seconds(30)));
  EXPECT_TRUE(Eventually([&] { return StateOf(*b, "a") == MemberState::kLeft; }));
  EXPECT_TRUE(a->IsResponsive(seconds(5)));
  EXPECT_EQ(1, calls);
}

TEST_F(NodeWatchTest, ACallbackThatHangsDelaysNothingElse) {
  auto a = Start(Options("a"));
  Gate gate, entered;
  const auto watch = a->Watch([&](const WatchItem&) {
    entered.Open();
    EXPECT_TRUE(gate.Wait(seconds(60)));
  });
  ASSERT_TRUE(entered.Wait());
  Record of_b;
  auto b = StartJoined("b", *a);
  const auto other = b->Watch([&](const WatchItem& item) { of_b.Add(item); });
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  // b probes a twice a second: three rounds answered, and nobody suspects a.
  const uint64_t probes = b->Stats().protocol.probes;
  ASSERT_TRUE(Eventually([&] { return b->Stats().protocol.probes > probes + 3; }));
  EXPECT_TRUE(a->IsResponsive(seconds(5)));
  EXPECT_FALSE(of_b.Has(EventKind::kSuspected, "a"));
  gate.Open();
}

TEST_F(NodeWatchTest, WhatACallbackThrowsIsCountedAndTheNextItemComes) {
  auto a = Start(Options("a"));
  std::atomic<int> calls{0};
  const auto watch = a->Watch([&](const WatchItem&) {
    ++calls;
    throw std::runtime_error("from a callback");
  });
  auto b = StartJoined("b", *a);
  ASSERT_TRUE(Eventually([&] { return calls >= 2; }));
  EXPECT_TRUE(Eventually([&] { return a->Stats().callback_exceptions >= 2; }));
  NodeOptions options = Options("c");
  options.log = [](const LogRecord&) { throw std::runtime_error("from a log sink"); };
  options.join = {Address(*a)};
  auto c = Start(std::move(options));
  EXPECT_TRUE(Eventually([&] { return Alive(*c) == 3 && c->Stats().callback_exceptions > 0; }));
}

TEST_F(NodeWatchTest, NoCallFollowsTheEndOfASubscription) {
  auto a = Start(Options("a"));
  auto b = StartJoined("b", *a);
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2; }));
  for (int round = 0; round < 50; ++round) {
    auto running = std::make_shared<std::atomic<int>>(0);
    auto ended = std::make_shared<std::atomic<bool>>(false);
    auto watch = a->Watch([running, ended](const WatchItem&) {
      EXPECT_FALSE(*ended);
      ++*running;
      std::this_thread::yield();
      --*running;
      EXPECT_FALSE(*ended);
    });
    ASSERT_TRUE(b->SetTags({{"round", std::to_string(round)}}).ok());
    if (round % 2 == 0) std::this_thread::yield();
    watch.reset();  // waits for a call under way
    EXPECT_EQ(0, *running);
    *ended = true;
    // What the callback owned is gone with it.
    EXPECT_EQ(1, running.use_count());
  }
}

TEST_F(NodeWatchTest, ASubscriptionMayOutliveItsNode) {
  auto a = Start(Options("a"));
  std::atomic<int> calls{0};
  auto watch = a->Watch([&](const WatchItem&) { ++calls; });
  a.reset();
  const int before = calls;
  watch.reset();
  EXPECT_EQ(before, calls);
}

TEST_F(NodeWatchTest, ANodeMayBeDestroyedInItsOwnCallback) {
  auto a = Start(Options("a"));
  Gate ready, gone;
  std::unique_ptr<Node::Subscription> watch;
  watch = a->Watch([&](const WatchItem&) {
    ASSERT_TRUE(ready.Wait());
    watch.reset();
    a.reset();
    gone.Open();
  });
  ready.Open();
  EXPECT_TRUE(gone.Wait());
}

TEST_F(NodeWatchTest, DestroyingANodeEndsTheCallsThatWaitInItsCallbacks) {
  // A contact that takes connections and never says a word.
  asio::io_context io(1);
  asio::ip::tcp::acceptor mute(io, {asio::ip::address_v4::loopback(), 0});
  const std::string contact = "127.0.0.1:" + std::to_string(mute.local_endpoint().port());
  auto a = Start(Options("a"));
  Node* const node = a.get();
  Gate waiting;
  std::atomic<bool> failed{false};
  const auto watch = a->Watch([&, node](const WatchItem&) {
    waiting.Open();
    failed = absl::IsCancelled(node->Join({contact}, seconds(600)).status());
  });
  ASSERT_TRUE(waiting.Wait());
  const auto begun = steady_clock::now();
  a.reset();
  EXPECT_LT(steady_clock::now() - begun, seconds(2));
  EXPECT_TRUE(failed);
}

TEST_F(NodeWatchTest, OneLoopOfTheEmbeddersRunsSeveralNodes) {
  asio::io_context io(1);
  NodeOptions options = Options("a");
  options.io = &io;
  auto a = Start(std::move(options));
  // Nobody runs the loop yet: nothing of this may wait for it.
  ASSERT_TRUE(a->SetTags({{"k", "v"}}).ok());
  EXPECT_EQ(0u, a->Stats().frames_sent);
  Record record;
  const std::thread::id here = std::this_thread::get_id();
  const auto watch = a->Watch([&](const WatchItem& item) {
    EXPECT_EQ(here, std::this_thread::get_id());
    EXPECT_TRUE(a->SetTags({{"k", "w"}}).ok());
    record.Add(item);
  });
  options = Options("b");
  options.io = &io;
  options.join = {Address(*a)};
  auto b = Start(std::move(options));
  const auto run_until = [&](const std::function<bool()>& condition) {
    const auto end = steady_clock::now() + seconds(20);
    while (!condition() && steady_clock::now() < end) io.run_one_for(milliseconds(20));
    return condition();
  };
  ASSERT_TRUE(run_until([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  ASSERT_TRUE(run_until([&] { return record.Has(EventKind::kJoined, "b"); }));
  EXPECT_EQ((std::set<std::string>{"a", "b"}), Replay(record.Items()));
  // From a handler of the one thread: begun, and done while the loop goes on.
  bool asked = false;
  asio::post(io, [&] {
    EXPECT_TRUE(b->IsResponsive(seconds(5)));
    EXPECT_TRUE(b->SetTags({{"k", "b"}}).ok());
    EXPECT_TRUE(b->Leave(seconds(10)).ok());
    EXPECT_FALSE(b->View()->standing.left);
    asked = true;
  });
  ASSERT_TRUE(run_until([&] { return asked && StateOf(*a, "b") == MemberState::kLeft; }));
  b.reset();
  a.reset();
  io.run_for(milliseconds(50));
}

TEST_F(NodeWatchTest, CallbacksRunWhereTheEmbedderSays) {
  asio::io_context callbacks(1);
  NodeOptions options = Options("a");
  options.callbacks_io = &callbacks;
  auto a = Start(std::move(options));
  int calls = 0;
  const auto watch = a->Watch([&](const WatchItem&) { ++calls; });
  auto b = StartJoined("b", *a);
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2; }));
  EXPECT_EQ(0, calls);
  EXPECT_TRUE(Eventually([&] {
    callbacks.poll();
    return calls >= 2;
  }));
}

TEST_F(NodeWatchTest, ACallWaitsNoLongerThanItsTimeoutForALoopThatNobodyRuns) {
  asio::io_context io(1);
  NodeOptions options = Options("a");
  options.io = &io;
  auto a = Start(std::move(options));
  EXPECT_EQ("NODE_UNRESPONSIVE", ErrorCode(a->Join({"127.0.0.1:1"}, milliseconds(1)).status()));
  EXPECT_FALSE(a->IsResponsive(milliseconds(1)));
}

TEST_F(NodeWatchTest, OptionsNameTheFieldThatIsWrong) {
  const auto wrong = [this](const std::function<void(NodeOptions&)>& change) {
    NodeOptions options = Options("a");
    EXPECT_TRUE(options.Validate().ok()) << Describe(options.Validate());
    change(options);
    const absl::Status status = options.Validate();
    EXPECT_EQ(absl::StatusCode::kInvalidArgument, status.code());
    const std::string text = Describe(status);
    const size_t field = text.find(": ");
    EXPECT_EQ(Describe(status), Describe(Node::Start(std::move(options)).status()));
    return text.substr(0, text.find(": ", field + 1));
  };
  EXPECT_EQ("CLUSTER_NAME_INVALID: cluster", wrong([](NodeOptions& o) { o.cluster = "a b"; }));
  EXPECT_EQ("MEMBER_NAME_INVALID: name", wrong([](NodeOptions& o) { o.name = ""; }));
  EXPECT_EQ("OPTIONS_INVALID: protocol.gossip_fanout",
            wrong([](NodeOptions& o) { o.protocol.gossip_fanout = 0; }));
  EXPECT_EQ("ADDRESS_INVALID: bind", wrong([](NodeOptions& o) { o.bind.clear(); }));
  EXPECT_EQ("ADDRESS_INVALID: bind", wrong([](NodeOptions& o) { o.bind = {"localhost"}; }));
  EXPECT_EQ("ADDRESS_INVALID: advertise", wrong([](NodeOptions& o) { o.advertise = {"x"}; }));
  EXPECT_EQ("ADDRESS_INVALID: join", wrong([](NodeOptions& o) { o.join = {"10.0.0.1"}; }));
  EXPECT_EQ("TAGS_INVALID: tags", wrong([](NodeOptions& o) { o.tags = {{"k", ""}, {"k", ""}}; }));
  EXPECT_EQ("OPTIONS_INVALID: tls.cert_pem", wrong([](NodeOptions& o) { o.tls.cert_pem = ""; }));
  EXPECT_EQ("KEY_MISSING: keys", wrong([](NodeOptions& o) { o.keys.clear(); }));
  EXPECT_EQ("KEY_MISSING: keys", wrong([](NodeOptions& o) { o.keys = {nullptr}; }));
  EXPECT_EQ("OPTIONS_INVALID: boot_number", wrong([](NodeOptions& o) { o.boot_number = 0; }));
  EXPECT_EQ(ProtocolOptions::Wan().probe_interval, NodeOptions::Wan().protocol.probe_interval);
  EXPECT_EQ(ProtocolOptions::Local().probe_interval, NodeOptions::Local().protocol.probe_interval);
  EXPECT_EQ(ProtocolOptions::Lan().probe_interval, NodeOptions::Lan().protocol.probe_interval);
}

TEST_F(NodeWatchTest, TheLeaderIsTheLowestNameAlive) {
  auto b = Start(Options("b"));
  EXPECT_TRUE(Eventually([&] { return b->View()->leader == "b"; }));
  auto a = StartJoined("a", *b);
  EXPECT_TRUE(Eventually([&] { return b->View()->leader == "a" && a->View()->leader == "a"; }));
  EXPECT_TRUE(a->Leave(seconds(5)).ok());
  EXPECT_TRUE(Eventually([&] { return b->View()->leader == "b"; }));
}

}  // namespace
}  // namespace sotto
