// Keys on their way between real nodes (design K2): what is offered, asked for, taken and refused,
// and what a node tells its courier.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "crypto/frame_codec.h"
#include "crypto/tls_context.h"
#include "gossip/key_courier.h"
#include "gossip/said.h"
#include "gossip/stream_channel.h"
#include "gossip/wire.h"
#include "gossip/wire.pb.h"
#include "tests/gossip/node_fixture.h"

namespace sotto {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Texts = std::vector<std::string>;

ClusterKeyRef KeyOf(uint64_t generation) {
  auto key =
      ClusterKey::Create(KeyBytes(static_cast<uint8_t>(generation), 32), kCluster, generation);
  EXPECT_TRUE(key.ok()) << Describe(key.status());
  return key.ok() ? *key : nullptr;
}

std::string Wrapped(uint64_t generation) { return absl::StrCat("wrapped-", generation); }

// What it was told to do, and what the node has asked of it. Its rules are the real one's: keys
// pass that are not older than the sealing one, and are taken if they are newer.
class FakeCourier : public KeyCourier {
 public:
  // Of generations; the first one seals.
  explicit FakeCourier(const std::vector<uint64_t>& ring) : sealing_(KeyOf(ring.front())) {
    for (const uint64_t generation : ring) keys_.push_back(KeyOf(generation));
  }

  KeySet Keys() override {
    const std::lock_guard lock(mutex_);
    return {keys_, sealing_->id()};
  }
  std::string Offer(KeyId id) override {
    const std::lock_guard lock(mutex_);
    const ClusterKeyRef key = Find(id);
    if (!key || key->generation() < sealing_->generation()) return {};
    return offer_bytes == 0 ? Wrapped(key->generation()) : std::string(offer_bytes, 'w');
  }
  absl::Status Take(std::string_view wrapped) override {
    const std::lock_guard lock(mutex_);
    taken_.emplace_back(wrapped);
    for (uint64_t generation = sealing_->generation() + 1; !refuses && generation < 10;
         ++generation) {
      if (Wrapped(generation) != wrapped) continue;
      const ClusterKeyRef key = KeyOf(generation);
      if (!Find(key->id())) keys_.push_back(key);
      return absl::OkStatus();
    }
    return CodedError(absl::StatusCode::kFailedPrecondition, "KEY_ROLLBACK", "not this one");
  }
  bool UseNewer(KeyId id) override {
    const std::lock_guard lock(mutex_);
    used_.push_back(id);
    if (follows) sealing_ = Find(id);
    return follows;
  }
  bool OnUnknownKey(KeyId id) override {
    const std::lock_guard lock(mutex_);
    unknown_.emplace_back(id, steady_clock::now());
    return seeks;
  }
  bool OnKeysAsked(uint64_t generation) override {
    const std::lock_guard lock(mutex_);
    asked_.push_back(generation);
    return seeks;
  }
  std::string Claim(KeyId sealing, uint64_t key_drops) override {
    return absl::StrCat(ToString(sealing), " ", key_drops);
  }

  void Add(uint64_t generation) {
    const std::lock_guard lock(mutex_);
    keys_.push_back(KeyOf(generation));
  }
  void SealWith(uint64_t generation) {
    const std::lock_guard lock(mutex_);
    sealing_ = KeyOf(generation);
  }
  Texts taken() const { return Copy(taken_); }
  std::vector<KeyId> used() const { return Copy(used_); }
  std::vector<std::pair<KeyId, steady_clock::time_point>> unknown() const { return Copy(unknown_); }
  std::vector<uint64_t> asked() const { return Copy(asked_); }

  std::atomic<bool> refuses{false}, follows{true}, seeks{false};
  std::atomic<size_t> offer_bytes{0};  // 0: a true one

 private:
  template <typename T>
  T Copy(const T& list) const {
    const std::lock_guard lock(mutex_);
    return list;
  }
  ClusterKeyRef Find(KeyId id) const {
    for (const ClusterKeyRef& key : keys_) {
      if (key->id() == id) return key;
    }
    return nullptr;
  }

  mutable std::mutex mutex_;
  std::vector<ClusterKeyRef> keys_;
  ClusterKeyRef sealing_;
  Texts taken_;
  std::vector<KeyId> used_;
  std::vector<std::pair<KeyId, steady_clock::time_point>> unknown_;
  std::vector<uint64_t> asked_;
};

// A node with its courier.
struct Keeper {
  std::shared_ptr<FakeCourier> courier;
  std::unique_ptr<Node> node;

  bool Holds(uint64_t generation) const {
    const auto view = node->View();
    return std::count(view->keys.begin(), view->keys.end(), KeyOf(generation)->id()) == 1;
  }
  bool Seals(uint64_t generation) const {
    return node->View()->sealing_key == KeyOf(generation)->id();
  }
  uint64_t Refused(std::string_view code) const {
    const NodeStats stats = node->Stats();
    for (const auto& [refused, count] : stats.refusals) {
      if (refused == code) return count;
    }
    return 0;
  }
};

class NodeCourierTest : public NodeTest {
 protected:
  NodeOptions OptionsOf(const std::string& name, const std::vector<uint64_t>& ring) const {
    NodeOptions options = Options(name);
    options.keys.clear();
    for (const uint64_t generation : ring) options.keys.push_back(KeyOf(generation));
    return options;
  }
  // Joins `contact`, "host:port", if there is one.
  Keeper Begin(const std::string& name, const std::vector<uint64_t>& ring,
               const std::string& contact = {}, bool refuses = false) const {
    Keeper keeper{std::make_shared<FakeCourier>(ring), nullptr};
    keeper.courier->refuses = refuses;
    NodeOptions options = OptionsOf(name, ring);
    options.courier = keeper.courier;
    if (!contact.empty()) options.join = {contact};
    keeper.node = Start(std::move(options));
    return keeper;
  }
  static bool Meet(const Keeper& a, const Keeper& b) {
    return Eventually([&] { return Alive(*a.node) == 2 && Alive(*b.node) == 2; });
  }
};

// ---- what passes in a stream --------------------------------------------------------------------

TEST_F(NodeCourierTest, AServerTakesTheKeyThatItLacks) {
  const Keeper a = Begin("a", {1});
  const Keeper b = Begin("b", {2, 1}, Address(*a.node));
  ASSERT_TRUE(Meet(a, b));
  EXPECT_EQ(a.courier->taken(), Texts{Wrapped(2)});
  EXPECT_EQ(a.courier->used(), std::vector<KeyId>{KeyOf(2)->id()});
  EXPECT_TRUE(a.Holds(1) && a.Seals(2));
  EXPECT_EQ(b.courier->taken(), Texts());
  EXPECT_EQ(b.node->Stats().syncs_failed, 0u);
}

TEST_F(NodeCourierTest, AClientAsksForTheKeyThatItLacks) {
  const Keeper a = Begin("a", {2, 1});
  const Keeper b = Begin("b", {1}, Address(*a.node));
  ASSERT_TRUE(Meet(a, b));
  EXPECT_EQ(b.courier->taken(), Texts{Wrapped(2)});
  EXPECT_EQ(b.courier->used(), std::vector<KeyId>{KeyOf(2)->id()});
  EXPECT_TRUE(b.Holds(1) && b.Seals(2));
  EXPECT_EQ(a.courier->taken(), Texts());
  EXPECT_EQ(b.node->Stats().syncs_failed, 0u);
}

TEST_F(NodeCourierTest, WhoSharesNoKeyMeetsUnderTheNewerOne) {
  const Keeper a = Begin("a", {2});
  const Keeper b = Begin("b", {1}, Address(*a.node));
  ASSERT_TRUE(Meet(a, b));
  EXPECT_EQ(b.courier->taken(), Texts{Wrapped(2)});
  EXPECT_TRUE(b.Seals(2));
  // The older one was offered as well.
  EXPECT_EQ(a.courier->taken(), Texts{Wrapped(1)});
  EXPECT_EQ(a.Refused("KEY_ROLLBACK"), 1u);
  EXPECT_FALSE(a.Holds(1));
  EXPECT_EQ(b.node->Stats().syncs_failed, 0u);
}

TEST_F(NodeCourierTest, EqualRingsOfferNothing) {
  const Keeper a = Begin("a", {1, 2});
  const Keeper b = Begin("b", {1, 2}, Address(*a.node));
  ASSERT_TRUE(Meet(a, b));
  EXPECT_EQ(a.courier->taken(), Texts());
  EXPECT_EQ(b.courier->taken(), Texts());
  EXPECT_TRUE(a.courier->unknown().empty() && b.courier->unknown().empty());
}

TEST_F(NodeCourierTest, WithoutACourierNothingPasses) {
  const Keeper a = Begin("a", {1, 2});
  NodeOptions options = OptionsOf("b", {1, 3});
  options.join = {Address(*a.node)};
  const Keeper b{nullptr, Start(std::move(options))};
  ASSERT_TRUE(Meet(a, b));
  EXPECT_EQ(a.courier->taken(), Texts());
  EXPECT_FALSE(b.Holds(2));
}

TEST_F(NodeCourierTest, ARefusedKeyChangesNothingWhereBothSealWithAnother) {
  const Keeper a = Begin("a", {1, 2});
  const Keeper b = Begin("b", {1}, Address(*a.node), true);
  ASSERT_TRUE(Meet(a, b));
  EXPECT_EQ(b.courier->taken(), Texts{Wrapped(2)});
  EXPECT_GE(b.Refused("KEY_ROLLBACK"), 1u);
  EXPECT_TRUE(b.Seals(1) && !b.Holds(2));
  EXPECT_EQ(b.node->Stats().syncs_failed, 0u);
}

TEST_F(NodeCourierTest, ARefusedKeyThatSealsEndsTheStreamUntilItIsTaken) {
  const Keeper a = Begin("a", {2, 1});
  const Keeper b = Begin("b", {1}, Address(*a.node), true);
  ASSERT_TRUE(Eventually([&] { return b.Refused("KEY_MISMATCH") > 0; }));
  EXPECT_GE(b.Refused("KEY_ROLLBACK"), 1u);
  ASSERT_FALSE(b.courier->unknown().empty());
  EXPECT_EQ(b.courier->unknown()[0].first, KeyOf(2)->id());
  EXPECT_EQ(Alive(*a.node), 1u);
  EXPECT_FALSE(b.Holds(2));
  b.courier->refuses = false;
  EXPECT_TRUE(Meet(a, b));
  EXPECT_TRUE(b.Seals(2));
}

// A text that no preamble may hold is as none: neither promised nor sent.
TEST_F(NodeCourierTest, AnOfferTooLongForThePreambleIsNotMade) {
  const Keeper a = Begin("a", {1, 2});
  a.courier->offer_bytes = kPreambleOfferBytesMax + 1;
  const Keeper b = Begin("b", {1}, Address(*a.node));
  ASSERT_TRUE(Meet(a, b));
  EXPECT_EQ(b.courier->taken(), Texts());
  a.courier->offer_bytes = kPreambleOfferBytesMax;
  const Keeper c = Begin("c", {1}, Address(*a.node));
  ASSERT_TRUE(Eventually([&] { return !c.courier->taken().empty(); }));
  EXPECT_EQ(c.courier->taken()[0], std::string(kPreambleOfferBytesMax, 'w'));
}

// ---- what is heard in datagrams -----------------------------------------------------------------

TEST_F(NodeCourierTest, AFrameUnderANewerKeyMakesANodeSealWithIt) {
  const Keeper a = Begin("a", {1, 2});
  const Keeper b = Begin("b", {1, 2}, Address(*a.node));
  ASSERT_TRUE(Meet(a, b));
  EXPECT_TRUE(a.courier->used().empty());
  a.courier->follows = false;
  b.courier->SealWith(2);
  ASSERT_TRUE(b.node->RefreshKeys().ok());
  ASSERT_TRUE(Eventually([&] { return !a.courier->used().empty(); }));
  EXPECT_EQ(a.courier->used()[0], KeyOf(2)->id());
  EXPECT_TRUE(a.Seals(1)) << "the courier has said no";
  a.courier->follows = true;
  EXPECT_TRUE(Eventually([&] { return a.Seals(2); }));
}

TEST_F(NodeCourierTest, AFrameUnderAnOlderKeyDoesNot) {
  const Keeper a = Begin("a", {2, 1});
  const Keeper b = Begin("b", {2, 1}, Address(*a.node));
  ASSERT_TRUE(Meet(a, b));
  b.courier->follows = false;
  b.courier->SealWith(1);
  ASSERT_TRUE(b.node->RefreshKeys().ok());
  const uint64_t before = a.node->Stats().frames_received;
  ASSERT_TRUE(Eventually([&] { return a.node->Stats().frames_received > before + 10; }));
  EXPECT_TRUE(a.courier->used().empty());
  EXPECT_TRUE(a.Seals(2));
  EXPECT_TRUE(Eventually([&] { return !b.courier->used().empty(); })) << "it hears the newer one";
}

// Sends hellos that nobody of the cluster has sealed.
class Noise {
 public:
  explicit Noise(const Node& to, uint64_t generation)
      : to_(asio::ip::make_address("127.0.0.1"), to.View()->bound.front().port) {
    EXPECT_TRUE(ring_.Install(KeyOf(generation)).ok());
    codec_ = std::make_unique<FrameCodec>(*ProcessIdentity::Create(kCluster, "noise"), &ring_,
                                          [](const BootId&) { return nullptr; });
    boot_id_ = to.View()->boot_id;
  }
  void Send() {
    const std::array<uint8_t, 4> words{};
    std::array<uint8_t, kDatagramBytesMax> frame;
    const auto size = codec_->SealHello(
        Instant::FromNanos(steady_clock::now().time_since_epoch().count()), boot_id_, words, frame);
    ASSERT_TRUE(size.ok()) << Describe(size.status());
    socket_.send_to(asio::buffer(frame.data(), *size), to_);
  }

 private:
  asio::io_context io_{1};
  const asio::ip::udp::endpoint to_;
  asio::ip::udp::socket socket_{io_, asio::ip::udp::v4()};
  Keyring ring_;
  std::unique_ptr<FrameCodec> codec_;
  BootId boot_id_;
};

TEST_F(NodeCourierTest, AnUnknownKeyIsToldOnceASecondAndMayBeSought) {
  const Keeper a = Begin("a", {1});
  const Keeper b = Begin("b", {1}, Address(*a.node));
  ASSERT_TRUE(Meet(a, b));
  Noise noise(*b.node, 7);
  ASSERT_TRUE(Eventually([&] {
    noise.Send();
    return b.courier->unknown().size() >= 3;
  }));
  const auto told = b.courier->unknown();
  EXPECT_EQ(told[0].first, KeyOf(7)->id());
  EXPECT_GE(told[2].second - told[0].second, milliseconds(1'900));
  EXPECT_GT(b.node->Stats().drops[static_cast<size_t>(DropReason::kUnknownKey)], 3u);
  EXPECT_TRUE(a.courier->unknown().empty());

  a.courier->Add(2);
  ASSERT_TRUE(a.node->RefreshKeys().ok());
  EXPECT_FALSE(b.Holds(2));
  b.courier->seeks = true;
  EXPECT_TRUE(Eventually([&] {
    noise.Send();
    return b.Holds(2);
  }));
}

TEST_F(NodeCourierTest, SeekingDialsAndBringsTheKey) {
  const Keeper a = Begin("a", {1});
  const Keeper b = Begin("b", {1}, Address(*a.node));
  ASSERT_TRUE(Meet(a, b));
  a.courier->Add(2);
  ASSERT_TRUE(a.node->RefreshKeys().ok());
  EXPECT_FALSE(b.Holds(2));
  const uint64_t dialed = b.node->Stats().tls_dialed;
  b.node->SeekKeys();
  ASSERT_TRUE(Eventually([&] { return b.Holds(2); }));
  EXPECT_EQ(b.courier->taken(), Texts{Wrapped(2)});
  EXPECT_GT(b.node->Stats().tls_dialed, dialed);
  EXPECT_TRUE(b.Seals(1));
}

// ---- the query ----------------------------------------------------------------------------------

struct Gathering {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::string> answers;
  bool over = false;
};

std::map<std::string, std::string> AskKeys(Node& node, const std::string& payload) {
  const auto gathering = std::make_shared<Gathering>();
  QueryParams params;
  params.name = std::string(kKeysQueryName);
  params.payload = payload;
  params.timeout = seconds(3);
  const auto begun = node.Query(
      std::move(params),
      [gathering](const QueryReply& reply) {
        const std::lock_guard lock(gathering->mutex);
        if (!reply.is_ack) gathering->answers[reply.from] = reply.payload;
      },
      [gathering](const QuerySummary&) {
        const std::lock_guard lock(gathering->mutex);
        gathering->over = true;
        gathering->changed.notify_all();
      });
  EXPECT_TRUE(begun.ok()) << Describe(begun.status());
  std::unique_lock lock(gathering->mutex);
  EXPECT_TRUE(gathering->changed.wait_for(lock, seconds(20), [&] { return gathering->over; }));
  return gathering->answers;
}

TEST_F(NodeCourierTest, AMemberAnswersWhatItHolds) {
  const Keeper a = Begin("a", {1});
  const Keeper b = Begin("b", {1}, Address(*a.node));
  ASSERT_TRUE(Meet(a, b));
  NodeOptions options = OptionsOf("plain", {1});
  options.join = {Address(*a.node)};
  const auto plain = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*a.node) == 3 && Alive(*b.node) == 3; }));
  Noise noise(*b.node, 7);
  noise.Send();
  ASSERT_TRUE(Eventually([&] { return !b.courier->unknown().empty(); }));
  // Behind the courier's back: what the node seals with is what counts.
  b.courier->Add(2);
  b.courier->SealWith(2);
  const auto answers = AskKeys(*a.node, "7");
  const std::map<std::string, std::string> expected = {
      {"a", absl::StrCat(ToString(KeyOf(1)->id()), " 0")},
      {"b", absl::StrCat(ToString(KeyOf(1)->id()), " 1")},
      {"plain", ""}};
  EXPECT_EQ(answers, expected);
  EXPECT_EQ(b.courier->asked(), std::vector<uint64_t>{7});
  static_cast<void>(AskKeys(*a.node, "-7 or so"));
  EXPECT_EQ(b.courier->asked(), (std::vector<uint64_t>{7, 0}));
}

TEST_F(NodeCourierTest, AQuestionMayMakeAMemberSeek) {
  const Keeper a = Begin("a", {1});
  const Keeper b = Begin("b", {1}, Address(*a.node));
  ASSERT_TRUE(Meet(a, b));
  a.courier->Add(2);
  ASSERT_TRUE(a.node->RefreshKeys().ok());
  EXPECT_FALSE(b.Holds(2));
  b.courier->seeks = true;
  static_cast<void>(AskKeys(*a.node, "2"));
  EXPECT_TRUE(Eventually([&] { return b.Holds(2); }));
}

// ---- attacks ------------------------------------------------------------------------------------

// A certified member that says in its preambles what it likes.
class Liar {
 public:
  explicit Liar(NodeOptions who) : who_(std::move(who)) {
    preamble_.cluster = who_.cluster;
    preamble_.name = who_.name;
    for (const ClusterKeyRef& key : who_.keys) preamble_.keys.push_back(key->id());
    preamble_.sealing_key = who_.keys[0]->id();
    preamble_.boot_nonce.fill(9);
  }
  ~Liar() {
    if (channel_) channel_->Close();
    io_.restart();
    io_.run();
  }

  std::string address() const {
    return absl::StrCat("127.0.0.1:", acceptor_.local_endpoint().port());
  }
  // What no encoder of ours writes.
  std::string With(const Texts& offers, const std::vector<KeyId>& can_offer = {}) const {
    wire::Preamble raw;
    EXPECT_TRUE(raw.ParseFromString(EncodePreamble(preamble_)));
    for (const std::string& offer : offers) raw.add_offers(offer);
    for (const KeyId id : can_offer) raw.add_can_offer(id.value);
    return raw.SerializeAsString();
  }

  // Each gives the node's preamble and ends with the stream. Whatever of `words` the node does not
  // read as a preamble is no sealed frame to it.
  absl::StatusOr<Preamble> Dial(const Node& node, Texts words) {
    tcp::socket socket(io_);
    socket.connect({asio::ip::make_address("127.0.0.1"), node.View()->bound.front().port});
    return Run(Talk(std::move(socket), false, std::move(words)));
  }
  absl::StatusOr<Preamble> Accept(Texts words) {
    return Run(Talk(acceptor_.accept(), true, std::move(words)));
  }
  // Why the stream ended: STREAM_TIMEOUT if the node did not end it.
  const std::string& end() const { return end_; }

 private:
  template <typename T>
  T Run(asio::awaitable<T> work) {
    auto future = asio::co_spawn(io_, std::move(work), asio::use_future);
    io_.restart();
    while (future.wait_for(milliseconds(0)) != std::future_status::ready) io_.run_one();
    return future.get();
  }

  asio::awaitable<absl::StatusOr<Preamble>> Talk(tcp::socket socket, bool is_server, Texts words) {
    auto credentials = Credentials::FromPem(who_.tls.cert_pem, who_.tls.key_pem);
    auto trust = TrustStore::Create(who_.tls.ca_pem, "", who_.cluster, 1);
    auto tls = TlsContext::Create(*credentials, *trust, kAlpnSync, std::time(nullptr));
    channel_ = StreamChannel::Create(std::move(socket), *tls, is_server, "");
    absl::Status status = co_await channel_->Handshake();
    if (!status.ok()) co_return status;
    size_t said = 0;
    if (is_server) status = co_await channel_->WritePreamble(words[said++]);
    if (!status.ok()) co_return status;
    const absl::StatusOr<std::string> theirs = co_await channel_->ReadPreamble();
    if (!theirs.ok()) co_return theirs.status();
    while (status.ok() && said < words.size()) {
      status = co_await channel_->WritePreamble(words[said++]);
    }
    if (!status.ok()) co_return status;
    const absl::StatusOr<std::string> rest = co_await channel_->ReadPreamble();
    end_ = rest.ok() ? std::string() : ErrorCode(rest.status());
    channel_->Close();
    co_return DecodePreamble(*theirs);
  }

  const NodeOptions who_;
  Preamble preamble_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_, {asio::ip::make_address("127.0.0.1"), 0}};
  std::shared_ptr<StreamChannel> channel_;
  std::string end_;
};

TEST_F(NodeCourierTest, MoreOrLongerOffersThanAPreambleMayHoldAreNotTaken) {
  const Keeper a = Begin("a", {1});
  const Texts bad[] = {{Wrapped(2), Wrapped(3), Wrapped(4), Wrapped(5)},
                       {Wrapped(2), std::string(kPreambleOfferBytesMax + 1, 'w')},
                       {Wrapped(2), ""}};
  for (const Texts& offers : bad) {
    Liar liar(OptionsOf("liar", {1}));
    const auto heard = liar.Dial(*a.node, {liar.With(offers)});
    ASSERT_TRUE(heard.ok()) << Describe(heard.status());
    EXPECT_NE(liar.end(), "STREAM_TIMEOUT") << offers.size();
    EXPECT_EQ(a.courier->taken(), Texts());
  }
  // As many as may be: each is judged by itself.
  Liar liar(OptionsOf("liar", {1}));
  const Texts offers = {Wrapped(2), "junk", Wrapped(3)};
  const auto heard = liar.Dial(*a.node, {liar.With(offers), "no frame"});
  ASSERT_TRUE(heard.ok()) << Describe(heard.status());
  EXPECT_EQ(a.courier->taken(), offers);
  EXPECT_EQ(a.Refused("KEY_ROLLBACK"), 1u);
  EXPECT_TRUE(a.Holds(2) && a.Holds(3) && a.Seals(1));
}

TEST_F(NodeCourierTest, AClientTakesNothingThatItHasNotAskedFor) {
  Liar liar(OptionsOf("liar", {1}));
  const std::string unasked = liar.With({Wrapped(2)});
  const Keeper b = Begin("b", {1}, liar.address());
  const auto heard = liar.Accept({unasked, unasked, unasked});
  ASSERT_TRUE(heard.ok()) << Describe(heard.status());
  EXPECT_FALSE(heard->wants_keys);
  EXPECT_NE(liar.end(), "STREAM_TIMEOUT");
  EXPECT_EQ(b.courier->taken(), Texts());
}

TEST_F(NodeCourierTest, AClientThatAsksTakesNoMoreThanAPreambleMayHold) {
  const Texts good = {Wrapped(2)};
  for (const Texts& offers : {Texts{Wrapped(2), Wrapped(3), Wrapped(4), Wrapped(5)},
                              Texts{std::string(kPreambleOfferBytesMax + 1, 'w')}, good}) {
    Liar liar(OptionsOf("liar", {1}));
    const Keeper b = Begin("b", {1}, liar.address());
    // In the first preamble they are too early even now.
    const auto heard =
        liar.Accept({liar.With({Wrapped(6)}, {KeyOf(2)->id()}), liar.With(offers), "no frame"});
    ASSERT_TRUE(heard.ok()) << Describe(heard.status());
    EXPECT_TRUE(heard->wants_keys);
    EXPECT_NE(liar.end(), "STREAM_TIMEOUT");
    EXPECT_EQ(b.courier->taken(), offers == good ? good : Texts());
    EXPECT_EQ(b.Holds(2), offers == good);
  }
}

}  // namespace
}  // namespace sotto
