#include "gossip/wire.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <string>

#include "gossip/base/coded_error.h"
#include "gossip/wire.pb.h"
#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

StatementRef StatementOf(size_t size) {
  auto statement = std::make_shared<Statement>();
  statement->bytes = std::string(size, 's');
  return statement;
}

Hash256 HashOf(uint8_t fill) {
  Hash256 hash;
  hash.bytes.fill(fill);
  return hash;
}

// ---- datagrams ----------------------------------------------------------------------------------

TEST(WirePacketTest, GoesThereAndBack) {
  Packet packet;
  packet.messages = {Ping{0},  Ping{~0ull},      Ack{7, 8}, IndirectPing{9, "gw-2"},
                     Nack{10}, WantOwner{"gw-3"}};
  packet.statements = {StatementOf(65), StatementOf(250)};
  const Hash256 wants[] = {HashOf(1), HashOf(2)};
  const std::string certificates[] = {std::string(464, 'c')};
  const std::string bytes = EncodePacket(packet, wants, certificates);
  WirePacket back;
  ASSERT_EQ(DecodePacket(Bytes(bytes), &back), DropReason::kNone);
  EXPECT_EQ(back.messages, packet.messages);
  ASSERT_EQ(back.statements.size(), 2u);
  EXPECT_EQ(back.statements[1], packet.statements[1]->bytes);
  EXPECT_EQ(back.want_certificates, std::vector<Hash256>(std::begin(wants), std::end(wants)));
  ASSERT_EQ(back.certificates.size(), 1u);
  EXPECT_EQ(back.certificates[0], certificates[0]);
}

// The core fills its byte budget by these bounds and knows nothing of the encoding.
TEST(WirePacketTest, BoundsOfTheCoreHold) {
  const auto size = [](const Packet& packet) { return EncodePacket(packet).size(); };
  const std::string longest(kMemberNameBytesMax, 'n');
  const std::vector<Message> all = {
      Ping{~0ull},          Ack{~0ull, ~0ull},        Ack{~0ull, ~0ull, ~0ull},
      AnswerReceipt{~0ull}, IndirectPing{~0ull, "a"}, IndirectPing{~0ull, longest},
      Nack{~0ull},          WantOwner{"a"},           WantOwner{longest}};
  for (const Message& message : all) {
    Packet packet;
    packet.messages = {message};
    EXPECT_LE(size(packet), WireSizeMax(message)) << message.index();
  }
  EXPECT_LE(WireSizeMax(Message(Ack{})), 24u);
  EXPECT_LE(WireSizeMax(Message(IndirectPing{1, "gw-2"})), 28u);
  for (const size_t bytes : {65u, 127u, 128u, 250u, 2'000u, 2'560u}) {
    Packet packet;
    packet.statements = {StatementOf(bytes)};
    EXPECT_LE(size(packet), WireSizeMax(*packet.statements[0]));
    EXPECT_LE(size(packet), bytes + 4);
  }
  Packet everything;
  everything.messages = all;
  everything.statements = {StatementOf(250), StatementOf(150)};
  size_t bound = kPacketOverheadBytes;
  for (const Message& message : all) bound += WireSizeMax(message);
  for (const StatementRef& statement : everything.statements) bound += WireSizeMax(*statement);
  EXPECT_LE(size(everything), bound);
}

TEST(WirePacketTest, BoundsOfCertificatesHold) {
  for (const size_t bytes : {1u, 127u, 464u, 4'096u}) {
    const std::string certificates[] = {std::string(bytes, 'c')};
    EXPECT_LE(EncodePacket({}, {}, certificates).size(), CertificateWireSizeMax(bytes));
  }
  const Hash256 wants[] = {HashOf(0xff)};
  EXPECT_EQ(EncodePacket({}, wants).size(), kWantCertificateWireSize);
}

TEST(WirePacketTest, LimitsHoldAndOneOverFails) {
  const auto decode = [](const wire::Packet& packet) {
    WirePacket out;
    return DecodePacket(Bytes(packet.SerializeAsString()), &out);
  };
  const auto with = [](int messages, int statements, int wants, int certificates) {
    wire::Packet packet;
    for (int i = 0; i < messages; ++i) packet.add_messages()->mutable_ping();
    for (int i = 0; i < statements; ++i) packet.add_statements(i == 0 ? std::string(65, 's') : "");
    for (int i = 0; i < wants; ++i) packet.add_want_certificates(std::string(32, 'w'));
    for (int i = 0; i < certificates; ++i) packet.add_certificates("c");
    return packet;
  };
  EXPECT_EQ(decode(with(kPacketMessagesMax, 1, kPacketWantsMax, kPacketCertificatesMax)),
            DropReason::kNone);
  EXPECT_EQ(decode(with(kPacketMessagesMax + 1, 0, 0, 0)), DropReason::kSemantic);
  EXPECT_EQ(decode(with(0, kPacketStatementsMax + 1, 0, 0)), DropReason::kSemantic);
  EXPECT_EQ(decode(with(0, 0, kPacketWantsMax + 1, 0)), DropReason::kSemantic);
  EXPECT_EQ(decode(with(0, 0, 0, kPacketCertificatesMax + 1)), DropReason::kSemantic);

  wire::Packet packet;
  packet.add_statements(std::string(64, 's'));
  EXPECT_EQ(decode(packet), DropReason::kSemantic);
  packet.Clear();
  packet.add_certificates("");
  EXPECT_EQ(decode(packet), DropReason::kSemantic);
  for (const size_t size : {0u, 31u, 33u}) {
    packet.Clear();
    packet.add_want_certificates(std::string(size, 'w'));
    EXPECT_EQ(decode(packet), DropReason::kSemantic) << size;
  }
}

TEST(WirePacketTest, NamesThatCannotBe) {
  using namespace std::string_literals;
  const auto decode = [](const std::string& name) {
    wire::Packet packet;
    packet.add_messages()->mutable_want_owner()->set_name(name);
    wire::Packet indirect;
    indirect.add_messages()->mutable_indirect_ping()->set_target(name);
    WirePacket out;
    const DropReason reason = DecodePacket(Bytes(packet.SerializeAsString()), &out);
    EXPECT_EQ(DecodePacket(Bytes(indirect.SerializeAsString()), &out), reason);
    return reason;
  };
  EXPECT_EQ(decode(std::string(128, 'n')), DropReason::kNone);
  for (const std::string& name :
       {""s, std::string(129, 'n'), "a b"s, "a\n"s, "a\0"s, "\x1b[2J"s, "-a"s, "\xff\xfe"s}) {
    EXPECT_EQ(decode(name), DropReason::kSemantic) << name;
  }
}

TEST(WirePacketTest, WhatANewerNodeAddsIsPassedOver) {
  wire::Packet packet;
  packet.add_messages()->mutable_ping()->set_nonce(5);
  std::string bytes = packet.SerializeAsString();
  bytes += std::string("\x7a\x03xyz", 5);        // field 15, bytes
  bytes += std::string("\x0a\x03\x7a\x01q", 5);  // a message of an unknown kind
  WirePacket out;
  ASSERT_EQ(DecodePacket(Bytes(bytes), &out), DropReason::kNone);
  EXPECT_EQ(out.messages, std::vector<Message>{Ping{5}});
}

TEST(WirePacketTest, AnyBytesGiveAnAnswer) {
  Packet packet;
  packet.messages = {Ping{1}, IndirectPing{9, "gw-2"}};
  packet.statements = {StatementOf(100)};
  const std::string bytes = EncodePacket(packet);
  WirePacket out;
  int refused = 0;
  for (size_t size = 0; size < bytes.size(); ++size) {
    refused += DecodePacket(Bytes(bytes.substr(0, size)), &out) != DropReason::kNone;
  }
  EXPECT_GT(refused, 100);  // all but the ends of fields
  std::mt19937_64 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string junk(random() % 200, '\0');
    for (char& c : junk) c = static_cast<char>(random());
    (void)DecodePacket(Bytes(junk), &out);
    std::string flipped = bytes;
    flipped[random() % flipped.size()] = static_cast<char>(random());
    (void)DecodePacket(Bytes(flipped), &out);
  }
  EXPECT_EQ(DecodePacket(Bytes(std::string(kDatagramBytesMax + 1, '\0')), &out),
            DropReason::kDecode);
}

TEST(WireHelloTest, CertificateGoesAlongIfItFits) {
  const std::string alive(250, 'a');
  const std::string certificate(464, 'c');
  WireHello hello;
  const std::string both = EncodeHello(alive, certificate, 1'195);
  ASSERT_EQ(DecodeHello(Bytes(both), &hello), DropReason::kNone);
  EXPECT_EQ(hello.alive, alive);
  EXPECT_EQ(hello.certificate, certificate);
  EXPECT_EQ(EncodeHello(alive, certificate, both.size()), both);
  const std::string alone = EncodeHello(alive, certificate, both.size() - 1);
  ASSERT_EQ(DecodeHello(Bytes(alone), &hello), DropReason::kNone);
  EXPECT_EQ(hello.alive, alive);
  EXPECT_EQ(hello.certificate, "");
  EXPECT_EQ(DecodeHello({}, &hello), DropReason::kSemantic);
  EXPECT_EQ(DecodeHello(Bytes("junk"), &hello), DropReason::kDecode);
}

// ---- the preamble -------------------------------------------------------------------------------

Preamble GoodPreamble() {
  Preamble preamble;
  preamble.cluster = "edge-prod";
  preamble.name = "gw-1";
  preamble.boot_nonce.fill(7);
  preamble.keys = {KeyId{0}, KeyId{0xffffffff}};
  preamble.sealing_key = KeyId{0};
  preamble.can_offer = {KeyId{0xffffffff}, KeyId{0}};
  preamble.offers = {"wrapped", std::string("a\0b", 3)};
  preamble.wants_keys = true;
  return preamble;
}

TEST(PreambleTest, GoesThereAndBack) {
  const Preamble preamble = GoodPreamble();
  EXPECT_THAT(DecodePreamble(EncodePreamble(preamble)), IsOkAndHolds(preamble));
  Preamble keyless = preamble;
  keyless.keys.clear();
  keyless.sealing_key.reset();
  keyless.can_offer.clear();
  keyless.offers.clear();
  keyless.wants_keys = false;
  EXPECT_THAT(DecodePreamble(EncodePreamble(keyless)), IsOkAndHolds(keyless));
}

TEST(PreambleTest, TheFullestOneFits) {
  Preamble preamble = GoodPreamble();
  preamble.cluster = std::string(kClusterNameBytesMax, 'c');
  preamble.name = std::string(kMemberNameBytesMax, 'n');
  preamble.keys.assign(kPreambleKeysMax, KeyId{0});
  preamble.can_offer.assign(kPreambleKeysMax, KeyId{0xffffffff});
  preamble.offers.assign(kPreambleOffersMax, std::string(kPreambleOfferBytesMax, 'w'));
  const std::string bytes = EncodePreamble(preamble);
  EXPECT_LE(bytes.size(), kPreambleBytesMax);
  EXPECT_THAT(DecodePreamble(bytes), IsOkAndHolds(preamble));
}

TEST(PreambleTest, WhatCannotBeIsInvalid) {
  const auto spoil = [](auto change) {
    wire::Preamble preamble;
    EXPECT_TRUE(preamble.ParseFromString(EncodePreamble(GoodPreamble())));
    change(preamble);
    return DecodePreamble(preamble.SerializeAsString());
  };
  SOTTO_EXPECT_OK(spoil([](wire::Preamble&) {}));
  const auto invalid = HasCode("PREAMBLE_INVALID");
  EXPECT_THAT(spoil([](wire::Preamble& p) { p.set_magic(1); }), invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) { p.set_version_min(0); }), invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) { p.set_version_min(2); }), invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) { p.set_version_max(256); }), invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) { p.set_cluster(""); }), invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) { p.set_cluster(std::string(41, 'c')); }), invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) { p.set_name("a b"); }), invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) { p.set_boot_nonce(std::string(15, 'b')); }), invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) { p.set_boot_nonce(std::string(17, 'b')); }), invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) { p.set_sealing_key(5); }), invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) {
                while (p.keys_size() <= static_cast<int>(kPreambleKeysMax)) p.add_keys(1);
              }),
              invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) {
                while (p.can_offer_size() <= static_cast<int>(kPreambleKeysMax)) p.add_can_offer(1);
              }),
              invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) {
                while (p.offers_size() <= static_cast<int>(kPreambleOffersMax)) p.add_offers("w");
              }),
              invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) { p.set_offers(1, ""); }), invalid);
  EXPECT_THAT(spoil([](wire::Preamble& p) {
                p.set_offers(1, std::string(kPreambleOfferBytesMax + 1, 'w'));
              }),
              invalid);
  EXPECT_THAT(DecodePreamble(""), invalid);
  EXPECT_THAT(DecodePreamble("GET / HTTP/1.1\r\n"), invalid);
  EXPECT_THAT(DecodePreamble(std::string(kPreambleBytesMax + 1, '\0')), invalid);
}

TEST(PreambleTest, ClaimsAreHeldAgainstTheCertificate) {
  const Preamble preamble = GoodPreamble();
  EXPECT_THAT(CheckPreamble(preamble, "edge-prod", "gw-1"),
              IsOkAndHolds(MakeBootId("edge-prod", "gw-1", preamble.boot_nonce)));
  EXPECT_THAT(CheckPreamble(preamble, "edge-test", "gw-1"), HasCode("CLUSTER_MISMATCH"));
  EXPECT_THAT(CheckPreamble(preamble, "edge-prod", "gw-2"), HasCode("CERT_WRONG_NAME"));
  Preamble newer = preamble;
  newer.version_min = kFrameVersion + 1;
  newer.version_max = kFrameVersion + 2;
  EXPECT_THAT(CheckPreamble(newer, "edge-prod", "gw-1"), HasCode("VERSION_MISMATCH"));
  newer.version_min = kFrameVersion;
  SOTTO_EXPECT_OK(CheckPreamble(newer, "edge-prod", "gw-1"));
}

TEST(PacketTest, ACoordinateGoesThereAndBackAndHasALimit) {
  const std::string coordinate(kCoordinateFieldBytesMax, '\x80');
  const std::string bytes = EncodePacket({{Ack{1, 2}}, {}}, {}, {}, coordinate);
  EXPECT_EQ(EncodePacket({{Ack{1, 2}}, {}}).size() + kCoordinateWireSizeMax, bytes.size());
  WirePacket packet;
  const auto span = [](const std::string& text) {
    return std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  };
  ASSERT_EQ(DropReason::kNone, DecodePacket(span(bytes), &packet));
  EXPECT_EQ(coordinate, packet.coordinate);
  ASSERT_EQ(DropReason::kNone, DecodePacket(span(EncodePacket({{Ack{1, 2}}, {}})), &packet));
  EXPECT_EQ("", packet.coordinate);
  wire::Packet raw;
  raw.set_coordinate(coordinate + "x");
  EXPECT_EQ(DropReason::kSemantic, DecodePacket(span(raw.SerializeAsString()), &packet));
}

// ---- streams ------------------------------------------------------------------------------------

TEST(StreamMessageTest, EachKindGoesThereAndBack) {
  const std::vector<StreamMessage> all = {
      SyncRequest{{1, 2}, SyncReason::kEvents},
      SyncRequest{{0, 0}, SyncReason::kJoin},
      SyncEqual{},
      SyncRows{{std::string(250, 'a'), std::string(150, 'b')}, {"gw-4", "gw-5"}, true},
      SyncRows{{}, {}, false},
      SyncTombstones{{std::string(150, 't')}},
      SyncDone{},
      WantCertificates{{HashOf(1), HashOf(2)}},
      CertificateBundle{{std::string(464, 'c')}},
      StreamPing{~0ull},
      StreamAck{3, 4},
      StreamBusy{2'000},
      WantStatement{"gw-1"},
      StreamStatements{{}},
      StreamStatements{{std::string(2'000, 's')}},
      AppMessage{0, ""},
      AppMessage{3, std::string("a\0b", 3)},
      AppMessage{kMessageBytesMax, ""},
      AppMessage{kMessageBytesMax, std::string(kMessageBytesMax, 'm')},
      AppReceipt{AppReceipt::Verdict::kGoOn},
      AppReceipt{AppReceipt::Verdict::kFailed},
      SyncEqual{7, 300},
      SyncRows{{}, {}, true, 8, 9},
      EventIds{},
      EventIds{{1, ~uint64_t{0}}},
      EventRows{},
      EventRows{{std::string(300, 'e')}, {5, 6}, uint64_t{1} << 61}};
  for (const StreamMessage& message : all) {
    const auto bytes = EncodeStreamMessage(message);
    SOTTO_ASSERT_OK(bytes);
    EXPECT_FALSE(bytes->empty()) << message.index();
    const auto back = DecodeStreamMessage(*bytes);
    SOTTO_ASSERT_OK(back);
    EXPECT_TRUE(*back == message) << message.index();
  }
}

// Equal hashes end a sync in under 100 bytes of payload.
TEST(StreamMessageTest, EqualTablesCostLittle) {
  const auto request = EncodeStreamMessage(SyncRequest{{~0ull, ~0ull}, SyncReason::kTwin});
  const auto equal = EncodeStreamMessage(SyncEqual{});
  EXPECT_LE(request->size() + equal->size(), 32u);
}

TEST(StreamMessageTest, LimitsHoldBothWays) {
  SyncRows rows;
  rows.statements.assign(kSyncStatementsMax, std::string(65, 's'));
  const auto most = EncodeStreamMessage(rows);
  SOTTO_ASSERT_OK(most);
  SOTTO_EXPECT_OK(DecodeStreamMessage(*most));
  rows.statements.push_back(std::string(65, 's'));
  EXPECT_THAT(EncodeStreamMessage(rows), HasCode("MESSAGE_TOO_LONG"));
  rows.statements.assign(1, std::string(kStatementBytesMax, 's'));
  SOTTO_EXPECT_OK(EncodeStreamMessage(rows));
  rows.statements.assign(1, std::string(kStatementBytesMax + 1, 's'));
  EXPECT_THAT(EncodeStreamMessage(rows), HasCode("STREAM_MALFORMED"));
  rows.statements.assign(4'000, std::string(kStatementBytesMax, 's'));
  EXPECT_THAT(EncodeStreamMessage(rows), HasCode("MESSAGE_TOO_LONG"));
  EXPECT_THAT(EncodeStreamMessage(SyncRows{{}, {"a b"}, true}), HasCode("STREAM_MALFORMED"));
  EXPECT_THAT(
      EncodeStreamMessage(WantCertificates{std::vector<Hash256>(kStreamCertificatesMax + 1)}),
      HasCode("MESSAGE_TOO_LONG"));
  SOTTO_EXPECT_OK(
      EncodeStreamMessage(WantCertificates{std::vector<Hash256>(kStreamCertificatesMax)}));
  EventIds ids{std::vector<uint64_t>(kSyncEventsMax)};
  SOTTO_EXPECT_OK(EncodeStreamMessage(ids));
  ids.ids.push_back(1);
  EXPECT_THAT(EncodeStreamMessage(ids), HasCode("MESSAGE_TOO_LONG"));
  EventRows events{std::vector<std::string>(kSyncEventsMax, std::string(200, 's')), {}, 1};
  SOTTO_EXPECT_OK(EncodeStreamMessage(events));
  events.wanted.resize(kSyncEventsMax + 1);
  EXPECT_THAT(EncodeStreamMessage(events), HasCode("MESSAGE_TOO_LONG"));
  events.wanted.clear();
  events.statements.emplace_back(200, 's');
  EXPECT_THAT(EncodeStreamMessage(events), HasCode("MESSAGE_TOO_LONG"));
  EXPECT_THAT(EncodeStreamMessage(EventRows{{"short"}, {}, 1}), HasCode("STREAM_MALFORMED"));
  wire::StreamMessage crowd;
  for (size_t i = 0; i <= kSyncEventsMax; ++i) crowd.mutable_event_ids()->add_ids(i);
  EXPECT_THAT(DecodeStreamMessage(crowd.SerializeAsString()), HasCode("MESSAGE_TOO_LONG"));
  EXPECT_THAT(EncodeStreamMessage(CertificateBundle{{""}}), HasCode("STREAM_MALFORMED"));
  EXPECT_THAT(EncodeStreamMessage(CertificateBundle{{std::string(4'097, 'c')}}),
              HasCode("STREAM_MALFORMED"));
  EXPECT_THAT(DecodeStreamMessage(std::string(kStreamMessageBytesMax + 1, '\0')),
              HasCode("MESSAGE_TOO_LONG"));

  wire::StreamMessage raw;
  raw.mutable_sync_request()->set_reason(7);
  EXPECT_THAT(DecodeStreamMessage(raw.SerializeAsString()), HasCode("STREAM_MALFORMED"));
  raw.mutable_sync_request()->set_reason(256);  // must not wrap round to a known one
  EXPECT_THAT(DecodeStreamMessage(raw.SerializeAsString()), HasCode("STREAM_MALFORMED"));
  raw.mutable_want_certificates()->add_items(std::string(31, 'h'));
  EXPECT_THAT(DecodeStreamMessage(raw.SerializeAsString()), HasCode("STREAM_MALFORMED"));
  raw.mutable_want_statement()->set_name("\n");
  EXPECT_THAT(DecodeStreamMessage(raw.SerializeAsString()), HasCode("STREAM_MALFORMED"));
}

TEST(StreamMessageTest, MessagesOfApplicationsHaveTheSizeTheyClaim) {
  const std::string most(kMessageBytesMax, 'm');
  EXPECT_THAT(EncodeStreamMessage(AppMessage{kMessageBytesMax + 1, most + "m"}),
              HasCode("MESSAGE_TOO_LONG"));
  EXPECT_THAT(EncodeStreamMessage(AppMessage{kMessageBytesMax + 1, ""}),
              HasCode("MESSAGE_TOO_LONG"));
  wire::StreamMessage raw;
  for (const uint32_t size : {0u, 1u, 3u, ~0u}) {
    raw.mutable_app_message()->set_size(size);
    raw.mutable_app_message()->set_payload("ab");
    EXPECT_FALSE(DecodeStreamMessage(raw.SerializeAsString()).ok()) << size;
  }
  // What fits one message is not announced.
  raw.mutable_app_message()->set_size(kMessageDirectBytesMax);
  raw.mutable_app_message()->clear_payload();
  EXPECT_THAT(DecodeStreamMessage(raw.SerializeAsString()), HasCode("STREAM_MALFORMED"));
  for (const uint32_t verdict : {0u, 6u, 255u, 257u}) {
    raw.mutable_app_receipt()->set_verdict(verdict);
    EXPECT_THAT(DecodeStreamMessage(raw.SerializeAsString()), HasCode("STREAM_MALFORMED"))
        << verdict;
  }
  // Every request of a client fits what a server reads at first.
  const auto wants =
      EncodeStreamMessage(WantCertificates{std::vector<Hash256>(kStreamCertificatesMax)});
  EXPECT_LE(wants->size(), kStreamRequestBytesMax);
  EXPECT_LE(kMessageDirectBytesMax + 64, kStreamRequestBytesMax);
}

// Four million empty strings fit into 8 MiB of wire and would take 160 MB of memory.
TEST(StreamMessageTest, ManySmallPartsAreCountedBeforeTheyAreBuilt) {
  const auto message_of = [](size_t parts, std::string_view part) {
    std::string inner;
    for (size_t i = 0; i < parts; ++i) inner += part;
    wire::StreamMessage shell;
    shell.mutable_sync_rows();
    std::string bytes = shell.SerializeAsString();  // tag, length 0
    bytes.pop_back();
    for (size_t size = inner.size();; size >>= 7) {
      bytes.push_back(static_cast<char>((size & 0x7f) | (size >= 0x80 ? 0x80 : 0)));
      if (size < 0x80) break;
    }
    return bytes + inner;
  };
  EXPECT_THAT(DecodeStreamMessage(message_of(4'000'000, std::string_view("\x0a\x00", 2))),
              HasCode("MESSAGE_TOO_LONG"));
  EXPECT_THAT(DecodeStreamMessage(message_of(4'000'000, std::string_view("\x12\x00", 2))),
              HasCode("MESSAGE_TOO_LONG"));
  SOTTO_EXPECT_OK(DecodeStreamMessage(message_of(1'000, std::string_view("\x12\x01z", 3))));
}

TEST(StreamMessageTest, KindsOfANewerNodeAreTold) {
  EXPECT_THAT(DecodeStreamMessage(std::string_view("\x92\x01\x03xyz", 6)),
              HasCode("MESSAGE_UNKNOWN"));
  EXPECT_THAT(DecodeStreamMessage(""), HasCode("MESSAGE_UNKNOWN"));
  std::string ping = *EncodeStreamMessage(StreamPing{5});
  ping += std::string_view("\x92\x01\x03xyz", 6);
  EXPECT_THAT(DecodeStreamMessage(ping), IsOkAndHolds(StreamMessage(StreamPing{5})));
}

TEST(StreamMessageTest, AnyBytesGiveAnAnswer) {
  const std::string bytes =
      *EncodeStreamMessage(SyncRows{{std::string(100, 'a')}, {"gw-4", "gw-5"}, true});
  for (size_t size = 1; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeStreamMessage(bytes.substr(0, size)).ok()) << size;
  }
  std::mt19937_64 random(2);
  for (int round = 0; round < 20'000; ++round) {
    std::string flipped = bytes;
    for (int i = 0; i < 3; ++i) flipped[random() % flipped.size()] = static_cast<char>(random());
    (void)DecodeStreamMessage(flipped);
  }
}

TEST(SplitSyncRowsTest, NothingIsLostAndTheLastIsLast) {
  SyncRows rows;
  for (int i = 0; i < 1'000; ++i) {
    rows.statements.push_back(std::string(65 + i % 300, static_cast<char>('a' + i % 26)));
    rows.dead_names.push_back("gw-" + std::to_string(i));
  }
  const std::vector<SyncRows> parts = SplitSyncRows(rows, 10'000);
  EXPECT_GT(parts.size(), 10u);
  SyncRows joined;
  for (size_t i = 0; i < parts.size(); ++i) {
    EXPECT_EQ(parts[i].last, i + 1 == parts.size());
    EXPECT_LE(EncodeStreamMessage(parts[i])->size(), 10'000u + 16);
    joined.statements.insert(joined.statements.end(), parts[i].statements.begin(),
                             parts[i].statements.end());
    joined.dead_names.insert(joined.dead_names.end(), parts[i].dead_names.begin(),
                             parts[i].dead_names.end());
  }
  EXPECT_TRUE(joined == rows);
  EXPECT_EQ(SplitSyncRows(SyncRows{}).size(), 1u);
  EXPECT_TRUE(SplitSyncRows(SyncRows{})[0].last);
}

// The greatest table there may be passes in messages of legal size.
TEST(SplitSyncRowsTest, GreatestTablePasses) {
  SyncRows rows;
  rows.statements.assign(kSyncStatementsMax, std::string(300, 's'));
  for (const SyncRows& part : SplitSyncRows(std::move(rows))) {
    SOTTO_EXPECT_OK(EncodeStreamMessage(part));
  }
}

}  // namespace
}  // namespace sotto
