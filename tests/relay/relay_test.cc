// The relay with plain sockets: each fault does what its name says, for its pair and direction
// alone.
#include "tools/relay/relay.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <set>
#include <string>

namespace sotto {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

sockaddr_in AddressOf(const std::string& text) {
  const size_t colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(text.substr(colon + 1))));
  inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr);
  return address;
}

bool WaitReadable(int fd, milliseconds limit) {
  pollfd waiting{fd, POLLIN, 0};
  return poll(&waiting, 1, static_cast<int>(limit.count())) == 1;
}

// One node's socket: UDP, or a listening TCP, on an IP of its own and a free port.
class Socket {
 public:
  Socket(int type, const std::string& ip) : fd_(socket(AF_INET, type, 0)) {
    sockaddr_in address = AddressOf(ip + ":0");
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return fd_; }
  void CloseNow() {
    close(fd_);
    fd_ = -1;
  }
  std::string Address() const {
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
    return std::string(text) + ":" + std::to_string(ntohs(address.sin_port));
  }
  void SendTo(const std::string& to, const std::string& bytes) const {
    sockaddr_in address = AddressOf(to);
    EXPECT_EQ(sendto(fd_, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&address),
                     sizeof(address)),
              static_cast<ssize_t>(bytes.size()));
  }
  // The next datagram, or piece of a stream; empty at its end, nothing if none came in time.
  std::optional<std::string> Receive(milliseconds limit, std::string* from = nullptr) const {
    if (!WaitReadable(fd_, limit)) return std::nullopt;
    char buffer[65536];
    sockaddr_in sender{};
    socklen_t size = sizeof(sender);
    const ssize_t count =
        recvfrom(fd_, buffer, sizeof(buffer), 0, reinterpret_cast<sockaddr*>(&sender), &size);
    if (count < 0) return "";
    if (from != nullptr && size >= sizeof(sender)) {
      char text[INET_ADDRSTRLEN];
      inet_ntop(AF_INET, &sender.sin_addr, text, sizeof(text));
      *from = std::string(text) + ":" + std::to_string(ntohs(sender.sin_port));
    }
    return std::string(buffer, static_cast<size_t>(count));
  }

 private:
  int fd_;
};

constexpr milliseconds kSoon{5000};
constexpr milliseconds kNever{200};

class RelayDatagrams : public testing::Test {
 protected:
  RelayDatagrams() : relay_(7), a_(SOCK_DGRAM, "127.9.1.1"), b_(SOCK_DGRAM, "127.9.1.2") {
    at_a_ = *relay_.AddNode("127.9.1.101:0", a_.Address());
    at_b_ = *relay_.AddNode("127.9.1.102:0", b_.Address());
  }

  RelayNetwork relay_;
  Socket a_, b_;
  std::string at_a_, at_b_;
};

TEST_F(RelayDatagrams, PassBothWaysFromTheAdvertisedAddress) {
  std::string from;
  a_.SendTo(at_b_, "to b");
  EXPECT_EQ(b_.Receive(kSoon, &from), "to b");
  EXPECT_EQ(from, at_a_);
  b_.SendTo(from, "to a");
  EXPECT_EQ(a_.Receive(kSoon, &from), "to a");
  EXPECT_EQ(from, at_b_);
  EXPECT_EQ(relay_.Counters(0, 1).datagrams_out, 1u);
}

TEST_F(RelayDatagrams, ACutOfOneDirectionLeavesTheOther) {
  relay_.CutOneWay(0, 1);
  a_.SendTo(at_b_, "lost");
  b_.SendTo(at_a_, "passes");
  EXPECT_EQ(a_.Receive(kSoon), "passes");
  EXPECT_EQ(b_.Receive(kNever), std::nullopt);
  EXPECT_EQ(relay_.Counters(0, 1).dropped, 1u);
  relay_.Heal();
  a_.SendTo(at_b_, "again");
  EXPECT_EQ(b_.Receive(kSoon), "again");
}

TEST_F(RelayDatagrams, APartitionCutsBetweenGroupsAlone) {
  Socket c(SOCK_DGRAM, "127.9.1.3");
  const std::string at_c = *relay_.AddNode("127.9.1.103:0", c.Address());
  relay_.Partition({{0, 1}, {2}});
  a_.SendTo(at_c, "lost");
  c.SendTo(at_a_, "lost");
  a_.SendTo(at_b_, "passes");
  EXPECT_EQ(b_.Receive(kSoon), "passes");
  EXPECT_EQ(c.Receive(kNever), std::nullopt);
  EXPECT_EQ(a_.Receive(milliseconds(0)), std::nullopt);
}

TEST_F(RelayDatagrams, DropsItsShare) {
  relay_.SetFaults(0, 1, {.drop_percent = 30});
  // In small pieces, so that no socket buffer of the kernel loses any.
  const auto deadline = steady_clock::now() + kSoon;
  RelayCounters seen;
  for (uint64_t sent = 50; sent <= 1000; sent += 50) {
    for (int i = 0; i < 50; i++) a_.SendTo(at_b_, "x");
    while (seen.datagrams_in < sent && steady_clock::now() < deadline) {
      (void)b_.Receive(milliseconds(0));
      seen = relay_.Counters(0, 1);
    }
  }
  ASSERT_EQ(seen.datagrams_in, 1000u);
  EXPECT_NEAR(static_cast<double>(seen.dropped) / static_cast<double>(seen.datagrams_in), 0.3,
              0.08);
  EXPECT_EQ(seen.dropped + seen.datagrams_out, seen.datagrams_in);
}

TEST_F(RelayDatagrams, Duplicates) {
  relay_.SetFaults(0, 1, {.duplicate_percent = 100});
  a_.SendTo(at_b_, "twice");
  EXPECT_EQ(b_.Receive(kSoon), "twice");
  EXPECT_EQ(b_.Receive(kSoon), "twice");
  EXPECT_EQ(b_.Receive(kNever), std::nullopt);
}

TEST_F(RelayDatagrams, CorruptsExactlyOneBit) {
  relay_.SetFaults(0, 1, {.corrupt_percent = 100});
  const std::string sent(32, '\0');
  a_.SendTo(at_b_, sent);
  const auto got = b_.Receive(kSoon);
  ASSERT_TRUE(got.has_value());
  int bits = 0;
  for (const char byte : *got) bits += __builtin_popcount(static_cast<unsigned char>(byte));
  EXPECT_EQ(bits, 1);
  EXPECT_EQ(got->size(), sent.size());
}

TEST_F(RelayDatagrams, DelaysWithinItsBounds) {
  relay_.SetFaults(0, 1, {.delay_min = milliseconds(80), .delay_max = milliseconds(120)});
  const auto begin = steady_clock::now();
  a_.SendTo(at_b_, "late");
  EXPECT_EQ(b_.Receive(kSoon), "late");
  EXPECT_GE(steady_clock::now() - begin, milliseconds(80));
}

TEST_F(RelayDatagrams, ReordersWithoutLosing) {
  relay_.SetFaults(0, 1, {.reorder_percent = 50});
  std::multiset<std::string> sent, got;
  std::string order_sent, order_got;
  for (int i = 0; i < 40; i++) {
    const std::string text(1, static_cast<char>('0' + i));
    sent.insert(text);
    order_sent += text;
    a_.SendTo(at_b_, text);
  }
  while (got.size() < sent.size()) {
    const auto text = b_.Receive(kSoon);
    ASSERT_TRUE(text.has_value());
    got.insert(*text);
    order_got += *text;
  }
  EXPECT_EQ(got, sent);
  EXPECT_NE(order_got, order_sent);
}

TEST_F(RelayDatagrams, ACutSwallowsWhatIsOnItsWay) {
  relay_.SetFaults(0, 1, {.delay_min = milliseconds(100), .delay_max = milliseconds(100)});
  a_.SendTo(at_b_, "under way");
  const auto deadline = steady_clock::now() + kSoon;
  while (relay_.Counters(0, 1).datagrams_in == 0 && steady_clock::now() < deadline) {
    poll(nullptr, 0, 1);
  }
  relay_.CutOneWay(0, 1);
  EXPECT_EQ(b_.Receive(milliseconds(300)), std::nullopt);
}

TEST_F(RelayDatagrams, RecordsAndInjectsAgain) {
  relay_.Record();
  a_.SendTo(at_b_, "record me");
  EXPECT_EQ(b_.Receive(kSoon), "record me");
  const auto records = relay_.TakeRecords();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].from, 0);
  EXPECT_EQ(records[0].to, 1);
  EXPECT_FALSE(records[0].stream);
  std::string from;
  relay_.Inject(0, 1, records[0].bytes);
  EXPECT_EQ(b_.Receive(kSoon, &from), "record me");
  EXPECT_EQ(from, at_a_);
  EXPECT_TRUE(relay_.TakeRecords().empty());
}

TEST_F(RelayDatagrams, AStrangerIsAnOutsider) {
  Socket stranger(SOCK_DGRAM, "127.9.1.77");
  relay_.Partition({{0}, {1}});
  stranger.SendTo(at_b_, "hello");
  EXPECT_EQ(b_.Receive(kSoon), "hello");
  EXPECT_EQ(relay_.Counters(RelayNetwork::kOutsider, 1).datagrams_in, 1u);
}

TEST_F(RelayDatagrams, BadAddressesAreRefused) {
  EXPECT_FALSE(relay_.AddNode("127.9.1.104", b_.Address()).ok());
  EXPECT_FALSE(relay_.AddNode("nowhere:1", b_.Address()).ok());
  EXPECT_FALSE(relay_.AddNode("127.9.1.104:70000", b_.Address()).ok());
  EXPECT_FALSE(relay_.AddNode(at_a_, b_.Address()).ok()) << "taken";
}

class RelayStreamsTest : public testing::Test {
 protected:
  RelayStreamsTest() : relay_(7), listener_(SOCK_STREAM, "127.9.2.2") {
    listen(listener_.fd(), 8);
    at_a_ = *relay_.AddNode("127.9.2.101:0", "127.9.2.1:1");
    at_b_ = *relay_.AddNode("127.9.2.102:0", listener_.Address());
  }

  // Node 0 dials node 1.
  static std::unique_ptr<Socket> Dial(const std::string& to) {
    auto dialer = std::make_unique<Socket>(SOCK_STREAM, "127.9.2.1");
    sockaddr_in address = AddressOf(to);
    EXPECT_EQ(connect(dialer->fd(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return dialer;
  }
  std::unique_ptr<Socket> Accept(milliseconds limit, std::string* from = nullptr) const {
    if (!WaitReadable(listener_.fd(), limit)) return nullptr;
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    auto accepted =
        std::make_unique<Socket>(accept(listener_.fd(), reinterpret_cast<sockaddr*>(&peer), &size));
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &peer.sin_addr, text, sizeof(text));
    if (from != nullptr) *from = text;
    return accepted;
  }
  static void Send(const Socket& socket, const std::string& bytes) {
    EXPECT_EQ(send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  RelayNetwork relay_;
  Socket listener_;
  std::string at_a_, at_b_;
};

TEST_F(RelayStreamsTest, PassBothWaysAndEndTogether) {
  auto dialer = Dial(at_b_);
  std::string from;
  auto accepted = Accept(kSoon, &from);
  ASSERT_NE(accepted, nullptr);
  EXPECT_EQ(from, "127.9.2.101");
  Send(*dialer, "question");
  EXPECT_EQ(accepted->Receive(kSoon), "question");
  Send(*accepted, "answer");
  EXPECT_EQ(dialer->Receive(kSoon), "answer");
  dialer->CloseNow();
  EXPECT_EQ(accepted->Receive(kSoon), "");
}

TEST_F(RelayStreamsTest, HalfAClosePassesAndTheOtherHalfLives) {
  auto dialer = Dial(at_b_);
  auto accepted = Accept(kSoon);
  ASSERT_NE(accepted, nullptr);
  Send(*dialer, "all I have");
  shutdown(dialer->fd(), SHUT_WR);
  EXPECT_EQ(accepted->Receive(kSoon), "all I have");
  EXPECT_EQ(accepted->Receive(kSoon), "");
  Send(*accepted, "still here");
  EXPECT_EQ(dialer->Receive(kSoon), "still here");
}

TEST_F(RelayStreamsTest, AStallHoldsBytesUntilTheCutEnds) {
  auto dialer = Dial(at_b_);
  auto accepted = Accept(kSoon);
  ASSERT_NE(accepted, nullptr);
  relay_.Partition({{0}, {1}});
  Send(*dialer, "held");
  EXPECT_EQ(accepted->Receive(kNever), std::nullopt);
  relay_.Heal();
  EXPECT_EQ(accepted->Receive(kSoon), "held");
}

TEST_F(RelayStreamsTest, ANewStreamWaitsBehindACut) {
  relay_.CutOneWay(1, 0);
  auto dialer = Dial(at_b_);
  EXPECT_EQ(Accept(kNever), nullptr);
  relay_.Heal();
  EXPECT_NE(Accept(kSoon), nullptr);
}

TEST_F(RelayStreamsTest, AClosingCutResetsStreamsAndRefusesNewOnes) {
  auto dialer = Dial(at_b_);
  auto accepted = Accept(kSoon);
  ASSERT_NE(accepted, nullptr);
  relay_.Partition({{0}, {1}}, RelayStreams::kClose);
  EXPECT_EQ(accepted->Receive(kSoon), "");
  EXPECT_EQ(dialer->Receive(kSoon), "");
  auto late = Dial(at_b_);
  EXPECT_EQ(late->Receive(kSoon), "");
}

TEST_F(RelayStreamsTest, RecordsAndCorruptsPieces) {
  relay_.Record();
  relay_.SetFaults(0, 1, {.corrupt_percent = 100});
  auto dialer = Dial(at_b_);
  auto accepted = Accept(kSoon);
  ASSERT_NE(accepted, nullptr);
  Send(*dialer, "exact");
  const auto got = accepted->Receive(kSoon);
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->size(), 5u);
  EXPECT_NE(*got, "exact");
  const auto records = relay_.TakeRecords();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_TRUE(records[0].stream);
  EXPECT_EQ(records[0].bytes, "exact");
}

TEST_F(RelayStreamsTest, ADeadTargetEndsTheStream) {
  listener_.CloseNow();
  auto dialer = Dial(at_b_);
  EXPECT_EQ(dialer->Receive(kSoon), "");
}

}  // namespace
}  // namespace sotto
