// What an ear on the wire hears: no name, no tag, no address, in no handshake.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <thread>

#include "tests/support/daemon_cluster.h"

namespace sotto {
namespace {

// Everything that passes on loopback to or from our addresses, as long as this lives. Needs the
// right to capture; `works()` says whether it is there, and the relay's own record serves where it
// is not.
class LoopbackCapture {
 public:
  // `net`: the first three bytes of our addresses.
  explicit LoopbackCapture(std::string net) : net_(std::move(net)) {
    fd_ = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
    if (fd_ < 0) return;
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_IP);
    address.sll_ifindex = static_cast<int>(if_nametoindex("lo"));
    const int room = 32 << 20;
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    const timeval wait{0, 100'000};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      close(fd_);
      fd_ = -1;
      return;
    }
    thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  }
  bool works() const { return fd_ >= 0; }
  // Ends the capture; payloads of IP packets, their headers cut off, one behind the other.
  std::string Take() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    return std::move(payloads_);
  }
  ~LoopbackCapture() {
    Take();
    if (fd_ >= 0) close(fd_);
  }
  LoopbackCapture(const LoopbackCapture&) = delete;
  LoopbackCapture& operator=(const LoopbackCapture&) = delete;

 private:
  void Run(const std::stop_token& stop) {
    std::string buffer(1 << 17, '\0');
    while (!stop.stop_requested()) {
      const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
      if (got < 28 || buffer.compare(12, 3, net_) != 0) continue;
      // ICMP tells a sender that a port is closed, and quotes addresses to do so; no daemon says
      // that.
      if (buffer[9] != IPPROTO_TCP && buffer[9] != IPPROTO_UDP) continue;
      const size_t ip_bytes = static_cast<size_t>(buffer[0] & 15) * 4;
      const bool is_tcp = buffer[9] == IPPROTO_TCP;
      const size_t head =
          ip_bytes + (is_tcp ? static_cast<size_t>((buffer[ip_bytes + 12] >> 4) & 15) * 4 : 8);
      if (static_cast<size_t>(got) > head) {
        payloads_.append(buffer, head, static_cast<size_t>(got) - head);
        payloads_ += "|";
      }
    }
  }

  std::string net_;
  int fd_ = -1;
  std::string payloads_;
  std::jthread thread_;
};

std::string IpBytes(const std::string& address) {
  in_addr ip{};
  inet_pton(AF_INET, address.substr(0, address.rfind(':')).c_str(), &ip);
  return std::string(reinterpret_cast<const char*>(&ip), 4);
}

class Secrecy : public DaemonTest {
 protected:
  void SetUp() override {
    LabOptions options;
    options.cluster = "MarkedClusterName";
    MakeLab(options);
  }

  void Search(std::string_view where, const std::string& bytes) {
    std::vector<std::string> marks = {"MarkedClusterName", "MarkedMember", "MarkedKey",
                                      "MarkedValue",       "MarkedLater",  "sotto://"};
    for (const int node : All()) {
      for (const std::string& address : {lab_->bind(node), lab_->advertised(node)}) {
        marks.push_back(address.substr(0, address.rfind(':')));
        marks.push_back(IpBytes(address));
      }
    }
    for (const std::string& mark : marks) {
      EXPECT_EQ(bytes.find(mark), std::string::npos)
          << where << " shows " << testing::PrintToString(mark);
    }
  }
};

TEST_F(Secrecy, NothingMarkedPassesInClear) {
  lab_->relay()->Record();
  std::unique_ptr<LoopbackCapture> capture;
  for (int i = 0; i < 3; i++) {
    LabNodeSpec spec;
    spec.name = absl::StrCat("MarkedMember-", i);
    spec.tags = {{"MarkedKey", absl::StrCat("MarkedValue-", i)}};
    ASSERT_TRUE(lab_->AddNode(spec).ok());
    if (i == 0) capture = std::make_unique<LoopbackCapture>(IpBytes(lab_->bind(0)).substr(0, 3));
    ASSERT_TRUE(lab_->Start(i).ok());
  }
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
  // Tags change, a death, a return, a leave: every kind of statement passes.
  ASSERT_TRUE(
      lab_->Post(1, "/v1/tags",
                 boost::json::object{{"set", boost::json::object{{"MarkedLater", "MarkedLater"}}}})
          .ok());
  lab_->Kill(2);
  ASSERT_TRUE(lab_->WaitUntil(Seconds(20), [&] {
    return lab_->StatesAt(0)["MarkedMember-2"] == "dead";
  })) << Views();
  ASSERT_TRUE(lab_->Start(2).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(10))) << Views();
  ASSERT_TRUE(lab_->Post(2, "/v1/leave", boost::json::object{{"timeout_s", 5}}).ok());
  lab_->process(2)->Wait(Seconds(8));

  std::string datagrams, streams;
  size_t count = 0, handshakes = 0;
  for (const RelayRecord& record : lab_->relay()->TakeRecords()) {
    (record.stream ? streams : datagrams) += record.bytes + "|";
    count += record.stream ? 0 : 1;
    if (record.stream && record.bytes.starts_with("\x16\x03")) handshakes++;
  }
  EXPECT_GT(count, 50u);
  EXPECT_GE(handshakes, 4u) << "TLS handshakes must be among what was searched";
  Search("a datagram", datagrams);
  Search("a stream", streams);
  if (capture->works()) {
    const std::string heard = capture->Take();
    EXPECT_GT(heard.size(), datagrams.size()) << "the capture holds what the relay handed on, too";
    Search("the capture", heard);
  }
}

TEST_F(Secrecy, TheSearchFindsWhatIsInClear) {
  lab_->relay()->Record();
  ASSERT_TRUE(lab_->AddNode({}).ok());
  LoopbackCapture capture(IpBytes(lab_->bind(0)).substr(0, 3));
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  const std::string to = lab_->advertised(0);
  sockaddr_in own{}, address{};
  own.sin_family = address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(to.substr(to.rfind(':') + 1))));
  inet_pton(AF_INET, to.substr(0, to.rfind(':')).c_str(), &address.sin_addr);
  own.sin_addr.s_addr = htonl(ntohl(address.sin_addr.s_addr) + 100);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&own), sizeof(own)), 0);
  const std::string text = "hello MarkedMember-1";
  ASSERT_EQ(sendto(fd, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&address),
                   sizeof(address)),
            static_cast<ssize_t>(text.size()));
  std::string recorded;
  EXPECT_TRUE(lab_->WaitUntil(Seconds(5), [&] {
    for (const RelayRecord& record : lab_->relay()->TakeRecords()) recorded += record.bytes;
    return recorded.find("MarkedMember") != std::string::npos;
  }));
  close(fd);
  if (capture.works()) {
    lab_->WaitUntil(Millis(300), [] { return false; });
    EXPECT_NE(capture.Take().find("MarkedMember"), std::string::npos);
  }
}

}  // namespace
}  // namespace sotto
