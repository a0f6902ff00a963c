// What is under way when a node ends: streams in every state, and loops that have stopped before.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tests/gossip/node_fixture.h"

namespace sotto {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

class NodeEndTest : public NodeTest {
 protected:
  // A node on `io`, towards which `count` connections are open that say nothing.
  std::unique_ptr<Node> StartWithMuteStreams(asio::io_context* io, uint64_t count) {
    NodeOptions options = Options("a");
    options.io = io;
    auto node = Start(std::move(options));
    const auto port = node->View()->bound.front().port;
    for (uint64_t i = 0; i < count; ++i) {
      callers_.emplace_back(callers_io_);
      callers_.back().connect({asio::ip::address_v4::loopback(), port});
    }
    const bool accepted = Eventually([&] {
      io->restart();
      io->poll();
      return node->Stats().tls_accepted == count;
    });
    EXPECT_TRUE(accepted);
    return node;
  }

  // Whether the other end has closed all of them.
  bool AllClosed() {
    for (tcp::socket& caller : callers_) {
      char byte = 0;
      boost::system::error_code ec;
      while (!ec) caller.read_some(asio::buffer(&byte, 1), ec);
      if (ec != asio::error::eof && ec != asio::error::connection_reset) return false;
    }
    return true;
  }

  asio::io_context callers_io_;
  std::vector<tcp::socket> callers_;
};

TEST_F(NodeEndTest, StreamsThatHaveNotShakenHandsEndInTheLoopThatGoesOn) {
  asio::io_context io(1);
  auto node = StartWithMuteStreams(&io, 3);
  node.reset();
  io.restart();
  io.run_for(seconds(5));
  EXPECT_TRUE(io.stopped());  // nothing of the node keeps it busy
  EXPECT_TRUE(AllClosed());
}

TEST_F(NodeEndTest, StreamsThatHaveNotShakenHandsEndWithTheLoop) {
  auto io = std::make_unique<asio::io_context>(1);
  auto node = StartWithMuteStreams(io.get(), 3);
  node.reset();
  io.reset();
  EXPECT_TRUE(AllClosed());
}

TEST_F(NodeEndTest, AMessageThatNobodyTookOutlivesItsNodeAndItsLoop) {
  asio::io_context callbacks(1);  // of the embedder, who runs it late
  std::atomic<int> taken{0};
  NodeOptions options = Options("a");
  options.callbacks_io = &callbacks;
  options.on_message = [&](const ReceivedMessage&) { ++taken; };
  auto a = Start(std::move(options));
  options = Options("b");
  options.join = {Address(*a)};
  auto b = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  std::thread sender(
      [&] { EXPECT_EQ("MESSAGE_UNCONFIRMED", ErrorCode(b->Send("a", "x", seconds(20)))); });
  EXPECT_TRUE(Eventually([&] { return a->Stats().messages_received == 1; }));
  a.reset();  // and with it the loop that the message came by
  sender.join();
  EXPECT_GT(callbacks.poll(), 0u);
  EXPECT_EQ(0, taken);
}

TEST_F(NodeEndTest, ANodeMayBeDestroyedByTheMessageThatItDelivers) {
  std::unique_ptr<Node> a;
  std::atomic<bool> gone{false};
  NodeOptions options = Options("a");
  options.on_message = [&](const ReceivedMessage&) {
    a.reset();
    gone = true;
  };
  a = Start(std::move(options));
  options = Options("b");
  options.join = {Address(*a)};
  auto b = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  EXPECT_EQ("MESSAGE_UNCONFIRMED", ErrorCode(b->Send("a", "x", seconds(20))));
  EXPECT_TRUE(Eventually([&] { return gone.load(); }));
  EXPECT_EQ("MEMBER_UNREACHABLE", ErrorCode(b->Send("a", "x", seconds(20))));
}

}  // namespace
}  // namespace sotto
