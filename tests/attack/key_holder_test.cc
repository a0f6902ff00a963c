// A client that speaks the frame format and holds the cluster key, but no certificate: it opens no
// recording, changes no state, mutes nobody, and nothing is ever sent to its address.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <random>

#include "crypto/authority.h"
#include "crypto/certificate.h"
#include "crypto/frame_codec.h"
#include "crypto/keyring.h"
#include "gossip/statement_codec.h"
#include "gossip/wire.h"
#include "store/cluster_key.h"
#include "store/open_store.h"
#include "tests/support/daemon_cluster.h"

namespace sotto {
namespace {

using Bytes = std::vector<uint8_t>;

sockaddr_in AddressOf(const std::string& text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(text.substr(text.rfind(':') + 1))));
  inet_pton(AF_INET, text.substr(0, text.rfind(':')).c_str(), &address.sin_addr);
  return address;
}

// The attacker's machine: one address, a UDP socket and a listening TCP one, on which all that ever
// comes is kept.
class Ear {
 public:
  explicit Ear(const std::string& ip) {
    sockaddr_in address = AddressOf(ip + ":7950");
    udp_ = socket(AF_INET, SOCK_DGRAM, 0);
    tcp_ = socket(AF_INET, SOCK_STREAM, 0);
    const int yes = 1;
    setsockopt(tcp_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    EXPECT_EQ(bind(udp_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(bind(tcp_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(tcp_, 16), 0);
  }
  ~Ear() {
    close(udp_);
    close(tcp_);
  }
  Ear(const Ear&) = delete;
  Ear& operator=(const Ear&) = delete;

  void Send(const std::string& to, const Bytes& bytes) const {
    sockaddr_in address = AddressOf(to);
    sendto(udp_, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&address),
           sizeof(address));
  }
  // Whether a datagram or a dial has come.
  bool Heard() const {
    std::array<pollfd, 2> waiting{pollfd{udp_, POLLIN, 0}, pollfd{tcp_, POLLIN, 0}};
    return poll(waiting.data(), waiting.size(), 0) > 0;
  }

 private:
  int udp_, tcp_;
};

class KeyHolder : public DaemonTest {
 protected:
  void SetUp() override {
    MakeLab();
    lab_->relay()->Record();
    StartNodes(3);
    auto table = OpenSystemsTable("sqlite:" + lab_->store_path());
    ASSERT_TRUE(table.ok()) << table.status();
    const auto stored = LoadClusterKey(**table, lab_->options().cluster, KeyPolicy{});
    ASSERT_TRUE(stored.ok()) << stored.status();
    key_ = stored->key;
    ASSERT_TRUE(ring_.Install(key_).ok());
    const std::string bind = lab_->bind(0);
    ip_ = bind.substr(0, bind.rfind('.')) + ".200";
    ear_ = std::make_unique<Ear>(ip_);
    before_ = Tables();
  }

  void TearDown() override {
    if (ear_ != nullptr) {
      EXPECT_FALSE(ear_->Heard()) << "something was sent to the attacker";
    }
    DaemonTest::TearDown();
  }

  std::vector<std::string> Tables() const {
    std::vector<std::string> out;
    for (const int node : {0, 1, 2}) {
      const auto members = lab_->Get(node, "/v1/members?all=1");
      std::string text;
      if (members.ok()) {
        for (const auto& member : members->at("data").as_array()) {
          absl::StrAppend(&text, member.at("name").as_string().c_str(), "=",
                          member.at("state").as_string().c_str(), "@",
                          member.at("incarnation").at("counter").to_number<int64_t>(), " ");
        }
      }
      out.push_back(text);
    }
    return out;
  }

  // The boot id that a node's frames bear in clear.
  BootId BootOf(int node) const {
    BootId id;
    const auto members = lab_->Get(0, "/v1/members");
    if (!members.ok()) return id;
    for (const auto& member : members->at("data").as_array()) {
      if (member.at("name").as_string() != lab_->name(node)) continue;
      const std::string hex = member.at("boot_id").as_string().c_str();
      for (size_t i = 0; i < id.bytes.size() && 2 * i + 1 < hex.size(); i++) {
        id.bytes[i] = static_cast<uint8_t>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
      }
    }
    return id;
  }

  // The sum of one drop counter over the three.
  int64_t Dropped(const std::string& reason) const {
    int64_t sum = 0;
    for (const int node : {0, 1, 2}) sum += lab_->StatusNumber(node, "frames.dropped." + reason);
    return sum;
  }

  // After an attack: nothing has moved, and the three still hear each other.
  void ExpectUnmoved() {
    std::array<int64_t, 3> received{};
    for (const size_t node : {0u, 1u, 2u}) {
      received[node] = lab_->StatusNumber(static_cast<int>(node), "frames.received");
    }
    EXPECT_TRUE(Holds(Seconds(4), [&] { return Tables() == before_; }))
        << testing::PrintToString(Tables()) << " was " << testing::PrintToString(before_);
    for (const size_t node : {0u, 1u, 2u}) {
      EXPECT_GT(lab_->StatusNumber(static_cast<int>(node), "frames.received"), received[node] + 4)
          << "n" << node + 1 << " is muted";
    }
  }

  // A whole attacker: its own life, and a codec under the real key.
  struct Attacker {
    ProcessIdentityRef identity;
    std::unique_ptr<FrameCodec> codec;
  };
  Attacker MakeAttacker(const std::string& name) {
    Attacker out;
    auto identity = ProcessIdentity::Create(lab_->options().cluster, name);
    EXPECT_TRUE(identity.ok());
    out.identity = *identity;
    out.codec = std::make_unique<FrameCodec>(
        out.identity, &ring_, [](const BootId&) -> const FramePeer* { return nullptr; });
    return out;
  }

  // An Alive that says the attacker is `name`, signed with a certificate of another CA.
  StatementRef ForgedAlive(const Attacker& attacker, const std::string& name,
                           Incarnation incarnation, std::string* certificate_der) {
    const int64_t now = std::time(nullptr);
    const auto ca = CreateAuthority(lab_->options().cluster, SigningKeyKind::kP256, now - 300);
    EXPECT_TRUE(ca.ok());
    IssueRequest request;
    request.identity = {lab_->options().cluster, CertificateRole::kNode, name};
    request.not_before_unix_s = now - 300;
    request.not_after_unix_s = now + 86'400;
    const auto leaf = IssueCertificate(*ca, request);
    EXPECT_TRUE(leaf.ok());
    const auto credentials = Credentials::FromPem(leaf->certificate_pem, leaf->key_pem);
    EXPECT_TRUE(credentials.ok());
    *certificate_der = (*credentials)->certificate()->der();
    StatementContext context;
    context.cluster = lab_->options().cluster;
    context.name = name;
    context.identity = attacker.identity;
    Endpoint own;
    own.ip[10] = own.ip[11] = 0xff;
    const in_addr_t ip = AddressOf(ip_ + ":1").sin_addr.s_addr;
    std::copy_n(reinterpret_cast<const uint8_t*>(&ip), 4, own.ip.begin() + 12);
    own.port = 7950;
    context.addresses = {own};
    context.credentials = *credentials;
    StatementDraft draft;
    draft.subject = name;
    draft.incarnation = incarnation;
    const auto statement = SignDraft(draft, context);
    EXPECT_TRUE(statement.ok()) << statement.status();
    return *statement;
  }

  // A frame's header as the attacker likes it, with `body` behind.
  Bytes RawFrame(const BootId& sender, uint32_t sequence, uint32_t counter,
                 const Bytes& body) const {
    Bytes frame;
    const auto put32 = [&](uint32_t value) {
      for (const int shift : {24, 16, 8, 0}) frame.push_back(static_cast<uint8_t>(value >> shift));
    };
    frame.push_back(
        static_cast<uint8_t>(kFrameVersion << 3 | static_cast<uint8_t>(key_->algorithm()) << 1));
    put32(key_->id().value);
    frame.insert(frame.end(), sender.bytes.begin(), sender.bytes.end());
    put32(sequence);
    put32(counter);
    frame.insert(frame.end(), body.begin(), body.end());
    return frame;
  }

  ClusterKeyRef key_;
  Keyring ring_;
  std::string ip_;
  std::unique_ptr<Ear> ear_;
  std::vector<std::string> before_;
};

Bytes Sealed(const absl::StatusOr<size_t>& size, Bytes buffer) {
  EXPECT_TRUE(size.ok()) << size.status();
  buffer.resize(size.value_or(0));
  return buffer;
}

TEST_F(KeyHolder, ForgedHellosMoveNothing) {
  // A stranger, and a rival for n2's name with an incarnation beyond all.
  for (const std::string name : {"stranger", "n2"}) {
    Attacker attacker = MakeAttacker(name);
    std::string der;
    const StatementRef alive = ForgedAlive(attacker, name, Incarnation::Of(0x7fffffff, 1), &der);
    for (const bool with_certificate : {true, false}) {
      const std::string hello =
          EncodeHello(alive->bytes, with_certificate ? der : std::string(), 1195);
      for (const int node : {0, 1, 2}) {
        Bytes out(2048);
        const auto size = attacker.codec->SealHello(
            Instant(), BootOf(node), {reinterpret_cast<const uint8_t*>(hello.data()), hello.size()},
            out);
        ear_->Send(lab_->bind(node), Sealed(size, out));
        ear_->Send(lab_->advertised(node), Sealed(size, out));
      }
    }
  }
  EXPECT_TRUE(lab_->WaitUntil(
      Seconds(5), [&] { return Dropped("unknown_certificate") + Dropped("bad_signature") > 0; }));
  ExpectUnmoved();
  for (const int node : {0, 1, 2}) EXPECT_FALSE(lab_->StatesAt(node).contains("stranger"));
}

TEST_F(KeyHolder, SequencesAndCountersAtTheirTopMuteNobody) {
  std::mt19937 random(5);
  const Bytes garbage = [&] {
    Bytes out(64);
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random());
    return out;
  }();
  const int64_t tags = Dropped("bad_tag"), counters = Dropped("bad_counter");
  for (const int claimed : {0, 1, 2}) {
    for (const int to : {0, 1, 2}) {
      if (claimed == to) continue;
      for (const uint32_t sequence :
           {1u, 2u, 0x3fffffffu, 0x40000001u, 0x7fffffffu, 0x80000001u, 0xffffffffu}) {
        for (const uint32_t counter : {0u, 1u, kCounterMax, kCounterMax + 1, 0xffffffffu}) {
          ear_->Send(lab_->bind(to), RawFrame(BootOf(claimed), sequence, counter, garbage));
        }
      }
    }
  }
  EXPECT_TRUE(lab_->WaitUntil(
      Seconds(5), [&] { return Dropped("bad_tag") > tags && Dropped("bad_counter") > counters; }));
  ExpectUnmoved();
}

// Bytes of every length, and frames of a life that nobody knows.
TEST_F(KeyHolder, GarbageOfEveryKindIsCounted) {
  std::mt19937 random(11);
  const int64_t before = Dropped("too_short") + Dropped("bad_version") + Dropped("unknown_key") +
                         Dropped("unknown_boot");
  for (const int node : {0, 1, 2}) {
    for (size_t size : {size_t{0}, size_t{1}, size_t{20}, size_t{36}, size_t{37}, size_t{38},
                        size_t{1232}, size_t{2048}, size_t{2049}, size_t{9000}}) {
      Bytes bytes(size);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
      ear_->Send(lab_->bind(node), bytes);
    }
    // Sealed by a holder of the key, from a life that nobody knows.
    Attacker attacker = MakeAttacker("n9");
    FramePeer peer;
    peer.boot_id = BootOf(node);
    peer.x25519_public = attacker.identity->x25519_public();  // the true one is not to be had
    Packet packet;
    packet.messages.push_back(Ping{.nonce = 7});
    const std::string text = EncodePacket(packet);
    Bytes out(2048);
    const auto size = attacker.codec->Seal(
        Instant(), peer, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, out);
    ear_->Send(lab_->bind(node), Sealed(size, out));
  }
  EXPECT_TRUE(lab_->WaitUntil(Seconds(5), [&] {
    return Dropped("too_short") + Dropped("bad_version") + Dropped("unknown_key") +
               Dropped("unknown_boot") >
           before;
  }));
  EXPECT_TRUE(lab_->WaitUntil(Seconds(5), [&] { return Dropped("unknown_boot") > 0; }));
  ExpectUnmoved();
}

TEST_F(KeyHolder, RecordingsDoNotOpenAndDoNotPlayAgain) {
  (void)lab_->relay()->TakeRecords();
  std::vector<RelayRecord> datagrams;
  ASSERT_TRUE(lab_->WaitUntil(Seconds(10), [&] {
    for (RelayRecord& record : lab_->relay()->TakeRecords()) {
      if (!record.stream && record.from >= 0) datagrams.push_back(std::move(record));
    }
    return datagrams.size() >= 60;
  }));
  // With the key and every public number of the conversation, but no private half.
  Attacker attacker = MakeAttacker("n3");
  for (const RelayRecord& record : datagrams) {
    Bytes out(record.bytes.size());
    const OpenedFrame opened = attacker.codec->Open(
        Instant(), {reinterpret_cast<const uint8_t*>(record.bytes.data()), record.bytes.size()},
        out);
    EXPECT_NE(opened.drop, DropReason::kNone);
    EXPECT_TRUE(opened.plaintext.empty());
  }
  const int64_t replays = Dropped("replay_duplicate") + Dropped("replay_old");
  const int64_t tags = Dropped("bad_tag");
  for (const RelayRecord& record : datagrams) {
    for (int i = 0; i < 3; i++) lab_->relay()->Inject(record.from, record.to, record.bytes);
    // A frame for another node is worthless here.
    const int other = 3 - record.from - record.to;
    lab_->relay()->Inject(record.from, other, record.bytes);
    // And from the attacker's own address.
    ear_->Send(lab_->bind(record.to), Bytes(record.bytes.begin(), record.bytes.end()));
  }
  EXPECT_TRUE(lab_->WaitUntil(Seconds(5), [&] {
    return Dropped("replay_duplicate") + Dropped("replay_old") >=
           replays + static_cast<int64_t>(datagrams.size());
  }));
  EXPECT_TRUE(lab_->WaitUntil(Seconds(5), [&] { return Dropped("bad_tag") > tags; }));
  ExpectUnmoved();
}

TEST_F(KeyHolder, RecordingsOfAFormerLifeAreWorthless) {
  (void)lab_->relay()->TakeRecords();
  std::vector<RelayRecord> datagrams;
  ASSERT_TRUE(lab_->WaitUntil(Seconds(10), [&] {
    for (RelayRecord& record : lab_->relay()->TakeRecords()) {
      if (!record.stream && record.to == 1) datagrams.push_back(std::move(record));
    }
    return datagrams.size() >= 20;
  }));
  lab_->Kill(1);
  ASSERT_TRUE(lab_->Start(1).ok());
  ASSERT_TRUE(lab_->WaitUntil(Seconds(15), [&] {
    return lab_->StatusNumber(1, "incarnation.boot_number") >= 2 && lab_->AllAgree(All(), All());
  })) << Views();
  before_ = Tables();
  const int64_t tags = lab_->StatusNumber(1, "frames.dropped.bad_tag");
  for (const RelayRecord& record : datagrams) lab_->relay()->Inject(record.from, 1, record.bytes);
  EXPECT_TRUE(lab_->WaitUntil(
      Seconds(5), [&] { return lab_->StatusNumber(1, "frames.dropped.bad_tag") > tags; }));
  EXPECT_TRUE(Holds(Seconds(3), [&] { return Tables() == before_; })) << Views();
}

}  // namespace
}  // namespace sotto
