// What applications say to each other through their nodes: messages, pings, estimates.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gossip/conversation.h"
#include "gossip/wire.h"
#include "tests/gossip/node_fixture.h"

namespace sotto {
namespace {

namespace asio = boost::asio;

// What an application was told. It may be told to hold its callbacks, or to throw.
class Application {
 public:
  void Take(const ReceivedMessage& message) {
    std::unique_lock lock(mutex_);
    ++running_;
    EXPECT_EQ(1, running_) << "callbacks come one at a time";
    messages_.push_back(message);
    changed_.notify_all();
    changed_.wait(lock, [this] { return !hold_; });
    --running_;
    if (message.payload == "throw") throw std::runtime_error("on_message");
  }
  void Hold(bool hold) {
    const std::lock_guard lock(mutex_);
    hold_ = hold;
    changed_.notify_all();
  }
  std::vector<ReceivedMessage> Messages() const {
    const std::lock_guard lock(mutex_);
    return messages_;
  }
  std::function<void(const ReceivedMessage&)> Callback() {
    return [this](const ReceivedMessage& message) { Take(message); };
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ReceivedMessage> messages_;
  int running_ = 0;
  bool hold_ = false;
};

class NodeMessageTest : public NodeTest {
 protected:
  // a and b know each other; b's application is `application_`.
  void StartPair() {
    a_ = Start(Options("a"));
    NodeOptions options = Options("b");
    options.join = {Address(*a_)};
    options.on_message = application_.Callback();
    b_ = Start(std::move(options));
    ASSERT_TRUE(Eventually([&] { return Alive(*a_) == 2 && Alive(*b_) == 2; }));
  }

  Application application_;
  std::unique_ptr<Node> a_, b_;
};

TEST_F(NodeMessageTest, AMessageArrivesWholeAndOnce) {
  StartPair();
  std::string payload;
  for (const size_t size : {size_t{0}, size_t{1}, kMessageDirectBytesMax,
                            kMessageDirectBytesMax + 1, size_t{300'000}, kMessageBytesMax}) {
    payload.clear();
    for (size_t i = 0; i < size; ++i) payload.push_back(static_cast<char>(i * 131 + i / 251));
    const absl::Status sent = a_->Send("b", payload, seconds(20));
    ASSERT_TRUE(sent.ok()) << size << ": " << Describe(sent);
    const std::vector<ReceivedMessage> messages = application_.Messages();
    ASSERT_FALSE(messages.empty());
    EXPECT_EQ("a", messages.back().from);
    EXPECT_TRUE(messages.back().payload == payload) << size;
  }
  EXPECT_EQ(6u, application_.Messages().size());
  EXPECT_EQ(6u, b_->Stats().messages_received);
  EXPECT_EQ(6u, a_->Stats().messages_delivered);
}

// More than one stream may carry, without a pause in which it would grow old.
TEST_F(NodeMessageTest, ABusyStreamIsRenewedInTime) {
  StartPair();
  const int count = Conversation::kMessagesMax + 100;
  for (int i = 0; i < count; ++i) {
    const absl::Status sent = a_->Send("b", std::to_string(i), seconds(20));
    ASSERT_TRUE(sent.ok()) << i << ": " << Describe(sent);
  }
  const std::vector<ReceivedMessage> messages = application_.Messages();
  ASSERT_EQ(static_cast<size_t>(count), messages.size());
  for (int i = 0; i < count; ++i) {
    ASSERT_EQ(std::to_string(i), messages[static_cast<size_t>(i)].payload);
  }
}

TEST_F(NodeMessageTest, ATimeoutMayBeForEver) {
  StartPair();
  const absl::Status sent = a_->Send("b", "x", milliseconds::max());
  EXPECT_TRUE(sent.ok()) << Describe(sent);
  const absl::StatusOr<int> joined = a_->Join({Address(*b_)}, milliseconds::max());
  ASSERT_TRUE(joined.ok()) << Describe(joined.status());
  EXPECT_EQ(1, *joined);
  EXPECT_TRUE(a_->IsResponsive(milliseconds::max()));
}

TEST_F(NodeMessageTest, WhatCannotBeSentIsRefusedByName) {
  StartPair();
  EXPECT_EQ("MEMBER_UNKNOWN", ErrorCode(a_->Send("nobody", "x", seconds(5))));
  EXPECT_EQ("MEMBER_IS_SELF", ErrorCode(a_->Send("a", "x", seconds(5))));
  EXPECT_EQ("MESSAGE_TOO_LARGE",
            ErrorCode(a_->Send("b", std::string(kMessageBytesMax + 1, 'x'), seconds(5))));
  EXPECT_EQ("MESSAGE_REFUSED", ErrorCode(b_->Send("a", "x", seconds(5))));  // no handler there
  EXPECT_EQ("MESSAGE_REFUSED",
            ErrorCode(b_->Send("a", std::string(kMessageBytesMax, 'x'), seconds(5))));
  EXPECT_EQ(2u, a_->Stats().messages_refused);
  EXPECT_TRUE(application_.Messages().empty());
  b_.reset();
  const absl::Status gone = a_->Send("b", "x", seconds(5));
  EXPECT_EQ("MEMBER_UNREACHABLE", ErrorCode(gone)) << Describe(gone);
  ASSERT_TRUE(Eventually([&] { return StateOf(*a_, "b") == MemberState::kDead; }));
  EXPECT_EQ("MEMBER_UNREACHABLE", ErrorCode(a_->Send("b", "x", seconds(5))));
}

TEST_F(NodeMessageTest, TheReceiptComesAfterTheCallback) {
  StartPair();
  application_.Hold(true);
  std::atomic<bool> returned{false};
  std::thread sender([&] {
    const absl::Status sent = a_->Send("b", "held", seconds(20));
    EXPECT_TRUE(sent.ok()) << Describe(sent);
    returned = true;
  });
  ASSERT_TRUE(Eventually([&] { return application_.Messages().size() == 1; }));
  EXPECT_TRUE(a_->IsResponsive(seconds(5)));
  EXPECT_TRUE(b_->IsResponsive(seconds(5)));
  EXPECT_FALSE(returned);
  application_.Hold(false);
  sender.join();
  EXPECT_TRUE(returned);
}

TEST_F(NodeMessageTest, ADeadlineEndsTheWaitAndTheNextMessageGoesThrough) {
  StartPair();
  application_.Hold(true);
  const auto begun = steady_clock::now();
  EXPECT_EQ("MESSAGE_TIMEOUT", ErrorCode(a_->Send("b", "held", milliseconds(700))));
  EXPECT_LT(steady_clock::now() - begun, seconds(5));
  application_.Hold(false);
  const absl::Status sent = a_->Send("b", "next", seconds(20));
  EXPECT_TRUE(sent.ok()) << Describe(sent);
  const std::vector<ReceivedMessage> messages = application_.Messages();
  ASSERT_EQ(2u, messages.size());  // the first was delivered, and not again
  EXPECT_EQ("next", messages[1].payload);
}

TEST_F(NodeMessageTest, AnApplicationThatThrowsIsToldToTheSenderOnce) {
  StartPair();
  EXPECT_EQ("MESSAGE_FAILED", ErrorCode(a_->Send("b", "throw", seconds(10))));
  EXPECT_TRUE(a_->Send("b", "fine", seconds(10)).ok());
  EXPECT_EQ(2u, application_.Messages().size());
  EXPECT_EQ(1u, b_->Stats().callback_exceptions);
}

TEST_F(NodeMessageTest, ManySendersKeepTheOrderOfEach) {
  StartPair();
  constexpr int kThreads = 4, kEach = 12;
  std::vector<std::thread> senders;
  std::atomic<int> failed{0};
  for (int t = 0; t < kThreads; ++t) {
    senders.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string payload = std::to_string(t) + ":" + std::to_string(i);
        failed += !a_->Send("b", payload, seconds(30)).ok();
      }
    });
  }
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(0, failed);
  std::vector<int> next(kThreads, 0);
  const std::vector<ReceivedMessage> messages = application_.Messages();
  EXPECT_EQ(static_cast<size_t>(kThreads * kEach), messages.size());
  for (const ReceivedMessage& message : messages) {
    const size_t colon = message.payload.find(':');
    const auto thread = static_cast<size_t>(std::stoi(message.payload.substr(0, colon)));
    EXPECT_EQ(next[thread]++, std::stoi(message.payload.substr(colon + 1)));
  }
  // One stream carried them all, or nearly.
  EXPECT_LT(a_->Stats().tls_dialed, static_cast<uint64_t>(kThreads * kEach));
}

TEST_F(NodeMessageTest, TwoApplicationsMayAnswerEachOther) {
  Application of_a;
  NodeOptions options = Options("a");
  options.on_message = of_a.Callback();
  a_ = Start(std::move(options));
  options = Options("b");
  options.join = {Address(*a_)};
  options.on_message = [this](const ReceivedMessage& message) {
    // Blocks the callbacks' thread of b, and nothing else.
    const absl::Status sent = b_->Send(message.from, "re: " + message.payload, seconds(10));
    EXPECT_TRUE(sent.ok()) << Describe(sent);
  };
  b_ = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*a_) == 2 && Alive(*b_) == 2; }));
  const absl::Status sent = a_->Send("b", "question", seconds(15));
  ASSERT_TRUE(sent.ok()) << Describe(sent);
  ASSERT_EQ(1u, of_a.Messages().size());
  EXPECT_EQ("re: question", of_a.Messages()[0].payload);
}

// More than one member may hold there is not taken from it, and others still get through.
TEST_F(NodeMessageTest, OneSenderCannotFillAReceiver) {
  StartPair();
  NodeOptions options = Options("c");
  options.join = {Address(*a_)};
  auto c = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*b_) == 3 && Alive(*c) == 3; }));
  application_.Hold(true);
  // Each of these times out here and stays in b's queue, with its memory.
  const std::string large(kMessageBytesMax, 'x');
  EXPECT_EQ("MESSAGE_TIMEOUT", ErrorCode(a_->Send("b", large, seconds(2))));
  EXPECT_EQ("MESSAGE_TIMEOUT", ErrorCode(a_->Send("b", large, seconds(2))));
  const absl::Status full = a_->Send("b", large, seconds(5));
  EXPECT_EQ("MEMBER_BUSY", ErrorCode(full)) << Describe(full);
  std::thread other([&] {
    const absl::Status sent = c->Send("b", "small", seconds(20));
    EXPECT_TRUE(sent.ok()) << Describe(sent);
  });
  ASSERT_TRUE(Eventually([&] { return b_->Stats().messages_received == 3; }));
  application_.Hold(false);
  other.join();
  EXPECT_EQ(3u, application_.Messages().size());
  // What was taken is free again.
  EXPECT_TRUE(a_->Send("b", large, seconds(20)).ok());
}

TEST_F(NodeMessageTest, WhatWaitsToBeSentHasABoundToo) {
  StartPair();
  application_.Hold(true);
  const std::string large(kMessageBytesMax, 'x');
  std::vector<std::thread> senders;
  std::atomic<int> exhausted{0}, other{0};
  for (int i = 0; i < 20; ++i) {
    senders.emplace_back([&] {
      const std::string code = ErrorCode(a_->Send("b", large, seconds(3)));
      ++(code == "MESSAGES_EXHAUSTED" ? exhausted : other);
    });
  }
  EXPECT_TRUE(Eventually([&] { return exhausted == 4; }));
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(16, other);
  application_.Hold(false);
  EXPECT_TRUE(a_->Send("b", "after", seconds(20)).ok());
}

TEST_F(NodeMessageTest, AReceiverThatStopsLeavesTheSenderInNoDoubtThatItDoesNotKnow) {
  StartPair();
  application_.Hold(true);
  std::string code;
  std::thread sender([&] { code = ErrorCode(a_->Send("b", "x", seconds(60))); });
  ASSERT_TRUE(Eventually([&] { return application_.Messages().size() == 1; }));
  std::thread stopper([&] { b_.reset(); });  // waits for its callback
  sender.join();
  EXPECT_EQ("MESSAGE_UNCONFIRMED", code);
  application_.Hold(false);
  stopper.join();
}

// Nothing of a node that is gone keeps the embedder's loop from ending.
TEST_F(NodeMessageTest, ANodeThatIsDestroyedLeavesNoWorkInTheEmbeddersLoop) {
  asio::io_context io(1), callbacks(1);  // nobody runs the callbacks: the message stays undelivered
  NodeOptions options = Options("a");
  options.io = &io;
  options.callbacks_io = &callbacks;
  options.on_message = application_.Callback();
  a_ = Start(std::move(options));
  std::thread loop([&] { io.run(); });
  options = Options("b");
  options.join = {Address(*a_)};
  b_ = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*a_) == 2 && Alive(*b_) == 2; }));
  std::thread sender(
      [&] { EXPECT_EQ("MESSAGE_UNCONFIRMED", ErrorCode(b_->Send("a", "x", seconds(20)))); });
  ASSERT_TRUE(Eventually([&] { return a_->Stats().messages_received == 1; }));
  const auto begun = steady_clock::now();
  a_.reset();
  loop.join();
  EXPECT_LT(steady_clock::now() - begun, seconds(5));
  sender.join();
  EXPECT_TRUE(application_.Messages().empty());
}

TEST_F(NodeMessageTest, PingsAreTimedByDatagramAndStream) {
  StartPair();
  const absl::StatusOr<PingResult> both = a_->Ping("b", seconds(10));
  ASSERT_TRUE(both.ok()) << Describe(both.status());
  ASSERT_TRUE(both->udp.has_value() && both->tcp.has_value());
  EXPECT_GT(both->udp->nanos(), 0);
  EXPECT_LT(both->udp->millis(), 5'000);
  EXPECT_GT(both->tcp->nanos(), 0);
  EXPECT_EQ("MEMBER_UNKNOWN", ErrorCode(a_->Ping("nobody", seconds(1)).status()));
  EXPECT_EQ("MEMBER_IS_SELF", ErrorCode(a_->Ping("a", seconds(1)).status()));
  b_.reset();
  const absl::StatusOr<PingResult> none = a_->Ping("b", milliseconds(500));
  ASSERT_TRUE(none.ok()) << Describe(none.status());
  EXPECT_FALSE(none->udp.has_value());
  EXPECT_FALSE(none->tcp.has_value());
}

TEST_F(NodeMessageTest, RoundTripsAreEstimatedFromCoordinates) {
  StartPair();
  EXPECT_EQ("MEMBER_UNKNOWN", ErrorCode(a_->Rtt("a", "nobody").status()));
  EXPECT_EQ(Duration(), *a_->Rtt("a", "a"));
  // The first ack of each carries a coordinate, so both know it within a few probes.
  ASSERT_TRUE(Eventually([&] { return a_->Rtt("a", "b").ok() && b_->Rtt("a", "b").ok(); }));
  EXPECT_LT(a_->Rtt("b", "a")->millis(), 5'000);
  EXPECT_GT(a_->Rtt("b", "a")->nanos(), 0);
  // Between two others the estimate needs the coordinates of both.
  NodeOptions options = Options("c");
  options.join = {Address(*a_)};
  auto c = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*c) == 3 && Alive(*a_) == 3; }));
  const absl::StatusOr<Duration> early = c->Rtt("a", "b");
  EXPECT_TRUE(early.ok() || ErrorCode(early.status()) == "RTT_UNKNOWN");
  EXPECT_TRUE(Eventually(
      [&] {
        // Each tells its coordinate to whom it answers first, once in ten seconds.
        EXPECT_TRUE(c->Ping("a", milliseconds(50)).ok() && c->Ping("b", milliseconds(50)).ok());
        return c->Rtt("a", "b").ok();
      },
      seconds(60)));
  for (const Node* node : {a_.get(), b_.get(), c.get()}) {
    EXPECT_EQ(0u, node->Stats().coordinates_rejected);
  }
}

}  // namespace
}  // namespace sotto
