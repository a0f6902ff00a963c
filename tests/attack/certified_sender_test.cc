// A client with the key and a certificate of the cluster that abuses messages of applications: it
// makes no node hold memory, calls no callback, and keeps nobody else from being heard.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_future.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "crypto/frame_codec.h"
#include "crypto/tls_context.h"
#include "gossip/stream_channel.h"
#include "gossip/user_events.h"
#include "gossip/wire.h"
#include "tests/gossip/node_fixture.h"

namespace sotto {
namespace {

namespace asio = boost::asio;
using Verdict = AppReceipt::Verdict;

// One stream of the attacker's, opened as an honest node would.
class Stream {
 public:
  Stream(const NodeOptions& who, const Endpoint& to) : who_(who), to_(to) {}
  ~Stream() { Close(); }

  bool Open() { return Run(DoOpen()); }
  bool Say(const StreamMessage& message) {
    const absl::StatusOr<std::string> bytes = EncodeStreamMessage(message);
    return bytes.ok() && SayBytes(*bytes);
  }
  bool SayBytes(std::string bytes) { return Run(DoWrite(std::move(bytes))); }
  // The next message; nothing once the node has ended the stream.
  std::optional<StreamMessage> Hear() { return Run(DoRead()); }
  std::optional<Verdict> HearReceipt() {
    const std::optional<StreamMessage> message = Hear();
    const auto* receipt = message ? std::get_if<AppReceipt>(&*message) : nullptr;
    return receipt != nullptr ? std::optional<Verdict>(receipt->verdict) : std::nullopt;
  }
  void Close() {
    if (channel_) channel_->Close();
    channel_.reset();
    io_.restart();
    io_.run();
  }

 private:
  template <typename T>
  T Run(asio::awaitable<T> work) {
    auto future = asio::co_spawn(io_, std::move(work), asio::use_future);
    io_.restart();
    while (future.wait_for(milliseconds(0)) != std::future_status::ready) io_.run_one();
    return future.get();
  }

  asio::awaitable<bool> DoOpen() {
    const int64_t now = std::time(nullptr);
    auto credentials = Credentials::FromPem(who_.tls.cert_pem, who_.tls.key_pem);
    auto trust = TrustStore::Create(who_.tls.ca_pem, "", who_.cluster, 1);
    auto tls = TlsContext::Create(*credentials, *trust, kAlpnSync, now);
    auto identity = ProcessIdentity::Create(who_.cluster, who_.name);
    if (!tls.ok() || !identity.ok() || !ring_.Install(who_.keys[0]).ok()) co_return false;
    asio::ip::tcp::socket socket(io_);
    const asio::ip::tcp::endpoint target(asio::ip::make_address("127.0.0.1"), to_.port);
    co_await socket.async_connect(target, asio::use_awaitable);
    channel_ = StreamChannel::Create(std::move(socket), *tls, false, "");
    if (!(co_await channel_->Handshake()).ok()) co_return false;
    const absl::StatusOr<std::string> theirs = co_await channel_->ReadPreamble();
    if (!theirs.ok()) co_return false;
    const absl::StatusOr<Preamble> preamble = DecodePreamble(*theirs);
    Preamble ours;
    ours.cluster = who_.cluster;
    ours.name = who_.name;
    ours.boot_nonce = (*identity)->nonce();
    ours.keys = {who_.keys[0]->id()};
    ours.sealing_key = who_.keys[0]->id();
    if (!(co_await channel_->WritePreamble(EncodePreamble(ours))).ok()) co_return false;
    const BootId peer = MakeBootId(preamble->cluster, preamble->name, preamble->boot_nonce);
    auto sealer =
        StreamSealer::Create(who_.keys[0], (*identity)->boot_id(), peer, kStreamSequenceBit | 1);
    channel_->BeginSealed(*std::move(sealer),
                          std::make_unique<StreamOpener>(&ring_, (*identity)->boot_id(), peer));
    co_return true;
  }
  asio::awaitable<bool> DoWrite(std::string bytes) {
    co_return (co_await channel_->Write(std::move(bytes))).ok();
  }
  asio::awaitable<std::optional<StreamMessage>> DoRead() {
    const absl::StatusOr<std::string> bytes = co_await channel_->Read();
    if (!bytes.ok()) co_return std::nullopt;
    absl::StatusOr<StreamMessage> message = DecodeStreamMessage(*bytes);
    if (!message.ok()) co_return std::nullopt;
    co_return *std::move(message);
  }

  const NodeOptions who_;
  const Endpoint to_;
  asio::io_context io_{1};
  Keyring ring_;
  std::shared_ptr<StreamChannel> channel_;
};

class CertifiedSender : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    NodeOptions options = Options("victim");
    options.on_message = [this](const ReceivedMessage& message) {
      ++(message.from == "honest" ? from_honest_ : from_others_);
    };
    victim_ = Start(std::move(options));
    options = Options("honest");
    options.join = {Address(*victim_)};
    honest_ = Start(std::move(options));
    ASSERT_TRUE(Eventually([&] { return Alive(*victim_) == 2 && Alive(*honest_) == 2; }));
  }
  void TearDown() override {
    const std::string large(kMessageBytesMax, 'h');
    const absl::Status sent = honest_->Send("victim", large, seconds(20));
    EXPECT_TRUE(sent.ok()) << Describe(sent);
    EXPECT_EQ(1, from_honest_);
  }
  std::unique_ptr<Stream> OpenStream(const std::string& name = "liar") {
    auto stream = std::make_unique<Stream>(Options(name), victim_->View()->bound.front());
    EXPECT_TRUE(stream->Open());
    return stream;
  }

  std::atomic<int> from_honest_{0}, from_others_{0};
  std::unique_ptr<Node> victim_, honest_;
};

TEST_F(CertifiedSender, IsHeardUnderTheNameOfItsCertificate) {
  auto stream = OpenStream();
  ASSERT_TRUE(stream->Say(AppMessage{2, "hi"}));
  EXPECT_EQ(Verdict::kDelivered, stream->HearReceipt());
  EXPECT_EQ(1, from_others_);
  EXPECT_EQ(0, from_honest_);
}

TEST_F(CertifiedSender, PromisesOfBytesHoldNoMoreThanItsShare) {
  std::vector<std::unique_ptr<Stream>> streams;
  for (const Verdict verdict : {Verdict::kGoOn, Verdict::kGoOn, Verdict::kBusy, Verdict::kBusy}) {
    streams.push_back(OpenStream());
    ASSERT_TRUE(streams.back()->Say(AppMessage{kMessageBytesMax, ""}));
    EXPECT_EQ(verdict, streams.back()->HearReceipt());
  }
  // While it is silent others are served; once its streams are gone, so are its places.
  ASSERT_TRUE(honest_->Send("victim", "between", seconds(10)).ok());
  from_honest_ = 0;
  streams.clear();
  auto stream = OpenStream();
  EXPECT_TRUE(Eventually([&] {
    EXPECT_TRUE(stream->Say(AppMessage{kMessageBytesMax, ""}));
    const auto verdict = stream->HearReceipt();
    EXPECT_TRUE(verdict.has_value());
    return verdict == Verdict::kGoOn;
  }));
  EXPECT_EQ(0, from_others_);
}

TEST_F(CertifiedSender, APayloadOfAnotherSizeEndsTheStreamAndCallsNobody) {
  for (const size_t size : {size_t{20'000}, size_t{999'999}}) {
    auto stream = OpenStream();
    ASSERT_TRUE(stream->Say(AppMessage{1'000'000, ""}));
    ASSERT_EQ(Verdict::kGoOn, stream->HearReceipt());
    ASSERT_TRUE(stream->Say(AppMessage{static_cast<uint32_t>(size), std::string(size, 'x')}));
    EXPECT_FALSE(stream->Hear().has_value());
  }
  // More than was announced is not even read.
  auto stream = OpenStream();
  ASSERT_TRUE(stream->Say(AppMessage{20'000, ""}));
  ASSERT_EQ(Verdict::kGoOn, stream->HearReceipt());
  (void)stream->Say(AppMessage{kMessageBytesMax, std::string(kMessageBytesMax, 'x')});
  EXPECT_FALSE(stream->Hear().has_value());
  EXPECT_EQ(0, from_others_);
}

TEST_F(CertifiedSender, ALongMessageWithoutAPlaceIsNotRead) {
  const uint64_t received = victim_->Stats().sync_bytes_received;
  auto stream = OpenStream();
  (void)stream->SayBytes(std::string(kStreamRequestBytesMax + 1, '\x6a'));
  EXPECT_FALSE(stream->Hear().has_value());
  auto direct = OpenStream();
  (void)direct->Say(AppMessage{kMessageBytesMax, std::string(kMessageBytesMax, 'x')});
  EXPECT_FALSE(direct->Hear().has_value());
  EXPECT_EQ(0, from_others_);
  EXPECT_TRUE(Eventually([&] { return victim_->Stats().sync_bytes_received == received; }));
}

// As many as a store holds, and each as long as may be: the node takes them in one message, judges
// them one by one, and says that it has. Nobody else gets to send as much.
TEST_F(CertifiedSender, AStoreOfUserEventsIsTakenWhole) {
  EventRows rows;
  for (uint64_t i = 0; i < UserEventStore::kEventsMax; ++i) {
    rows.statements.emplace_back(1'200, 'x');
  }
  auto unasked = OpenStream();
  (void)unasked->Say(rows);
  EXPECT_FALSE(unasked->Hear().has_value());

  auto stream = OpenStream();
  EventIds ids;
  for (uint64_t i = 1; i <= UserEventStore::kEventsMax; ++i) ids.ids.push_back(i);
  ASSERT_TRUE(stream->Say(ids));
  const std::optional<StreamMessage> wanted = stream->Hear();
  ASSERT_TRUE(wanted.has_value() && std::holds_alternative<EventRows>(*wanted));
  EXPECT_EQ(std::get<EventRows>(*wanted).wanted, ids.ids);
  ASSERT_TRUE(stream->Say(rows));
  const std::optional<StreamMessage> done = stream->Hear();
  ASSERT_TRUE(done.has_value());
  EXPECT_TRUE(std::holds_alternative<SyncDone>(*done));
}

// It dials a node that starts, before a contact of that one has answered, and claims a clock near
// the end.
TEST_F(CertifiedSender, AClockThatItClaimsMovesNoStarter) {
  NodeOptions options = Options("starter");
  options.join = {"127.0.0.1:1"};
  const std::unique_ptr<Node> starter = Start(std::move(options));
  Stream stream(Options("liar"), starter->View()->bound.front());
  ASSERT_TRUE(stream.Open());
  ASSERT_TRUE(stream.Say(EventIds{{1}}));
  ASSERT_TRUE(stream.Hear().has_value());
  ASSERT_TRUE(stream.Say(EventRows{{}, {}, kLamportEnd - 2}));
  ASSERT_TRUE(stream.Hear().has_value());
  ASSERT_TRUE(stream.Say(EventIds{{1}}));
  const std::optional<StreamMessage> rows = stream.Hear();
  ASSERT_TRUE(rows.has_value() && std::holds_alternative<EventRows>(*rows));
  EXPECT_EQ(std::get<EventRows>(*rows).clock, 0u);
}

TEST_F(CertifiedSender, AReceiptThatNobodyWaitsForEndsTheStream) {
  auto stream = OpenStream();
  ASSERT_TRUE(stream->Say(AppReceipt{Verdict::kDelivered}));
  EXPECT_FALSE(stream->Hear().has_value());
}

TEST_F(CertifiedSender, WithTheVictimsOwnNameIsRefused) {
  auto stream = OpenStream("victim");
  ASSERT_TRUE(stream->Say(AppMessage{2, "hi"}));
  EXPECT_EQ(Verdict::kRefused, stream->HearReceipt());
  EXPECT_EQ(0, from_others_);
}

}  // namespace
}  // namespace sotto
