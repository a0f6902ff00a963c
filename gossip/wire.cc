#include "gossip/wire.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "gossip/wire.pb.h"

namespace sotto {
namespace {

using google::protobuf::io::CodedInputStream;

constexpr uint32_t kPreambleMagic = 0x534f5431;  // "SOT1"
constexpr uint32_t kStreamKindLast = wire::StreamMessage::kEventRowsFieldNumber;
constexpr int kRecursionMax = 4;
// The envelope of a statement: a signature and some body.
constexpr size_t kStatementBytesMin = 65;

template <size_t kSize>
void Put(const std::array<uint8_t, kSize>& bytes, std::string* out) {
  out->assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

template <size_t kSize>
bool Get(const std::string& bytes, std::array<uint8_t, kSize>* out) {
  if (bytes.size() != kSize) return false;
  std::memcpy(out->data(), bytes.data(), kSize);
  return true;
}

bool IsStatementSize(size_t size) {
  return size >= kStatementBytesMin && size <= kStatementBytesMax;
}

bool IsCertificateSize(size_t size) { return size > 0 && size <= kWireCertificateBytesMax; }

// Parses under a recursion limit; the caller has bounded the length.
template <typename T>
bool Parse(const void* data, size_t size, T* message) {
  CodedInputStream in(static_cast<const uint8_t*>(data), static_cast<int>(size));
  in.SetTotalBytesLimit(static_cast<int>(size));
  in.SetRecursionLimit(kRecursionMax);
  return message->ParseFromCodedStream(&in) && in.ConsumedEntireMessage();
}

// Counts the fields one and two levels down without building them: an empty string takes 2 bytes on
// the wire and forty in memory.
bool HasFieldsAtMost(CodedInputStream* in, size_t max, int levels, size_t* count) {
  constexpr uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;
  while (const uint32_t tag = in->ReadTag()) {
    if (++*count > max) return false;
    uint64_t number = 0;
    uint32_t size = 0;
    switch (tag & 7) {
      case kVarint:
        if (!in->ReadVarint64(&number)) return false;
        break;
      case kFixed64:
        if (!in->Skip(8)) return false;
        break;
      case kFixed32:
        if (!in->Skip(4)) return false;
        break;
      case kBytes: {
        if (!in->ReadVarint32(&size) || size > kStreamMessageBytesMax) return false;
        // A field that only a newer node knows is passed over by the parser too.
        if (levels == 0 || (tag >> 3) > kStreamKindLast) {
          if (!in->Skip(static_cast<int>(size))) return false;
          break;
        }
        const CodedInputStream::Limit limit = in->PushLimit(static_cast<int>(size));
        const bool inner = HasFieldsAtMost(in, max, levels - 1, count);
        const bool whole = in->BytesUntilLimit() == 0;
        in->PopLimit(limit);
        if (!inner || !whole) return false;
        break;
      }
      default:
        return false;
    }
  }
  return true;
}

absl::Status Malformed(std::string_view what) {
  return CodedError(absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED", what);
}

absl::Status TooLong(std::string_view what) {
  return CodedError(absl::StatusCode::kResourceExhausted, "MESSAGE_TOO_LONG", what);
}

// ---- datagrams ----------------------------------------------------------------------------------

struct MessageEncoder {
  wire::Message* out;

  void operator()(const Ping& m) const { out->mutable_ping()->set_nonce(m.nonce); }
  void operator()(const Ack& m) const {
    out->mutable_ack()->set_nonce(m.nonce);
    out->mutable_ack()->set_set_hash(m.set_hash);
    out->mutable_ack()->set_events(m.events);
  }
  void operator()(const IndirectPing& m) const {
    out->mutable_indirect_ping()->set_nonce(m.nonce);
    out->mutable_indirect_ping()->set_target(m.target);
  }
  void operator()(const Nack& m) const { out->mutable_nack()->set_nonce(m.nonce); }
  void operator()(const WantOwner& m) const { out->mutable_want_owner()->set_name(m.name); }
  void operator()(const AnswerReceipt& m) const {
    out->mutable_answer_receipt()->set_answer(m.answer);
  }
};

// False for a value that cannot be. A kind that we do not know gives no message.
bool DecodeMessage(const wire::Message& in, std::vector<Message>* out) {
  switch (in.kind_case()) {
    case wire::Message::kPing:
      out->push_back(Ping{in.ping().nonce()});
      return true;
    case wire::Message::kAck:
      out->push_back(Ack{in.ack().nonce(), in.ack().set_hash(), in.ack().events()});
      return true;
    case wire::Message::kIndirectPing:
      out->push_back(IndirectPing{in.indirect_ping().nonce(), in.indirect_ping().target()});
      return IsValidMemberName(in.indirect_ping().target());
    case wire::Message::kNack:
      out->push_back(Nack{in.nack().nonce()});
      return true;
    case wire::Message::kWantOwner:
      out->push_back(WantOwner{in.want_owner().name()});
      return IsValidMemberName(in.want_owner().name());
    case wire::Message::kAnswerReceipt:
      out->push_back(AnswerReceipt{in.answer_receipt().answer()});
      return true;
    case wire::Message::KIND_NOT_SET:
      return true;
  }
  return true;
}

bool IsWithinLimits(const wire::Packet& packet) {
  return packet.messages_size() <= static_cast<int>(kPacketMessagesMax) &&
         packet.statements_size() <= static_cast<int>(kPacketStatementsMax) &&
         packet.want_certificates_size() <= static_cast<int>(kPacketWantsMax) &&
         packet.certificates_size() <= static_cast<int>(kPacketCertificatesMax) &&
         packet.coordinate().size() <= kCoordinateFieldBytesMax &&
         std::all_of(packet.statements().begin(), packet.statements().end(),
                     [](const std::string& s) { return IsStatementSize(s.size()); }) &&
         std::all_of(packet.certificates().begin(), packet.certificates().end(),
                     [](const std::string& s) { return IsCertificateSize(s.size()); });
}

}  // namespace

std::string EncodePacket(const Packet& packet, std::span<const Hash256> want_certificates,
                         std::span<const std::string> certificates, std::string_view coordinate) {
  wire::Packet out;
  for (const Message& message : packet.messages) {
    std::visit(MessageEncoder{out.add_messages()}, message);
  }
  for (const StatementRef& statement : packet.statements) out.add_statements(statement->bytes);
  for (const Hash256& hash : want_certificates) Put(hash.bytes, out.add_want_certificates());
  for (const std::string& der : certificates) out.add_certificates(der);
  out.set_coordinate(coordinate.data(), coordinate.size());
  SOTTO_CHECK(IsWithinLimits(out));
  return out.SerializeAsString();
}

size_t CertificateWireSizeMax(size_t der_bytes) { return der_bytes + 4; }

DropReason DecodePacket(std::span<const uint8_t> bytes, WirePacket* packet) {
  *packet = WirePacket();
  wire::Packet in;
  if (bytes.size() > kDatagramBytesMax || !Parse(bytes.data(), bytes.size(), &in)) {
    return DropReason::kDecode;
  }
  if (!IsWithinLimits(in)) return DropReason::kSemantic;
  for (const wire::Message& message : in.messages()) {
    if (!DecodeMessage(message, &packet->messages)) return DropReason::kSemantic;
  }
  for (const std::string& hash : in.want_certificates()) {
    if (!Get(hash, &packet->want_certificates.emplace_back().bytes)) return DropReason::kSemantic;
  }
  for (std::string& statement : *in.mutable_statements()) {
    packet->statements.push_back(std::move(statement));
  }
  for (std::string& der : *in.mutable_certificates()) {
    packet->certificates.push_back(std::move(der));
  }
  packet->coordinate = std::move(*in.mutable_coordinate());
  return DropReason::kNone;
}

std::string EncodeHello(std::string_view alive, std::string_view certificate_der, size_t budget) {
  wire::Hello out;
  out.set_alive(alive.data(), alive.size());
  if (!certificate_der.empty()) {
    out.set_certificate(certificate_der.data(), certificate_der.size());
    if (out.ByteSizeLong() > budget) out.clear_certificate();
  }
  return out.SerializeAsString();
}

DropReason DecodeHello(std::span<const uint8_t> bytes, WireHello* hello) {
  *hello = WireHello();
  wire::Hello in;
  if (bytes.size() > kDatagramBytesMax || !Parse(bytes.data(), bytes.size(), &in)) {
    return DropReason::kDecode;
  }
  if (!IsStatementSize(in.alive().size()) || in.certificate().size() > kWireCertificateBytesMax) {
    return DropReason::kSemantic;
  }
  hello->alive = std::move(*in.mutable_alive());
  hello->certificate = std::move(*in.mutable_certificate());
  return DropReason::kNone;
}

// ---- the preamble -------------------------------------------------------------------------------

std::string EncodePreamble(const Preamble& preamble) {
  SOTTO_CHECK(preamble.keys.size() <= kPreambleKeysMax);
  wire::Preamble out;
  out.set_magic(kPreambleMagic);
  out.set_version_min(preamble.version_min);
  out.set_version_max(preamble.version_max);
  out.set_cluster(preamble.cluster);
  out.set_name(preamble.name);
  Put(preamble.boot_nonce, out.mutable_boot_nonce());
  for (const KeyId id : preamble.keys) out.add_keys(id.value);
  if (preamble.sealing_key) {
    out.set_has_sealing(true);
    out.set_sealing_key(preamble.sealing_key->value);
  }
  SOTTO_CHECK(preamble.can_offer.size() <= kPreambleKeysMax);
  SOTTO_CHECK(preamble.offers.size() <= kPreambleOffersMax);
  for (const KeyId id : preamble.can_offer) out.add_can_offer(id.value);
  for (const std::string& offer : preamble.offers) out.add_offers(offer);
  out.set_wants_keys(preamble.wants_keys);
  return out.SerializeAsString();
}

absl::StatusOr<Preamble> DecodePreamble(std::string_view bytes) {
  const auto invalid = [](std::string_view what) {
    return CodedError(absl::StatusCode::kInvalidArgument, "PREAMBLE_INVALID", what);
  };
  wire::Preamble in;
  if (bytes.size() > kPreambleBytesMax || !Parse(bytes.data(), bytes.size(), &in) ||
      in.magic() != kPreambleMagic) {
    return invalid("the other end's first words are not a preamble");
  }
  Preamble out;
  if (in.version_min() < 1 || in.version_max() > 255 || in.version_min() > in.version_max()) {
    return invalid("the preamble states versions that cannot be");
  }
  out.version_min = static_cast<uint8_t>(in.version_min());
  out.version_max = static_cast<uint8_t>(in.version_max());
  out.cluster = std::move(*in.mutable_cluster());
  out.name = std::move(*in.mutable_name());
  if (!IsValidClusterName(out.cluster) || !IsValidMemberName(out.name)) {
    return invalid("the preamble states names that cannot be");
  }
  if (!Get(in.boot_nonce(), &out.boot_nonce)) return invalid("the preamble has no boot nonce");
  if (in.keys_size() > static_cast<int>(kPreambleKeysMax)) {
    return invalid("the preamble lists too many keys");
  }
  for (const uint32_t id : in.keys()) out.keys.push_back(KeyId{id});
  if (in.can_offer_size() > static_cast<int>(kPreambleKeysMax) ||
      in.offers_size() > static_cast<int>(kPreambleOffersMax)) {
    return invalid("the preamble offers too many keys");
  }
  for (const uint32_t id : in.can_offer()) out.can_offer.push_back(KeyId{id});
  for (std::string& offer : *in.mutable_offers()) {
    if (offer.empty() || offer.size() > kPreambleOfferBytesMax) {
      return invalid("the preamble offers a key of a length that cannot be");
    }
    out.offers.push_back(std::move(offer));
  }
  out.wants_keys = in.wants_keys();
  if (in.has_sealing()) {
    out.sealing_key = KeyId{in.sealing_key()};
    if (std::find(out.keys.begin(), out.keys.end(), *out.sealing_key) == out.keys.end()) {
      return invalid("the preamble seals with a key that it does not hold");
    }
  }
  return out;
}

absl::StatusOr<BootId> CheckPreamble(const Preamble& preamble, std::string_view cluster,
                                     std::string_view certificate_name) {
  if (preamble.cluster != cluster) {
    return CodedError(absl::StatusCode::kPermissionDenied, "CLUSTER_MISMATCH",
                      absl::StrCat("the other end is of cluster ", preamble.cluster, ", ours is ",
                                   std::string(cluster)));
  }
  if (preamble.name != certificate_name) {
    return CodedError(absl::StatusCode::kPermissionDenied, "CERT_WRONG_NAME",
                      absl::StrCat("the other end claims to be ", preamble.name,
                                   ", its certificate names ", std::string(certificate_name)));
  }
  if (preamble.version_min > kFrameVersion || preamble.version_max < kFrameVersion) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "VERSION_MISMATCH",
                      absl::StrCat("the other end opens frames of version ", preamble.version_min,
                                   " to ", preamble.version_max, ", ours have ", kFrameVersion));
  }
  return MakeBootId(preamble.cluster, preamble.name, preamble.boot_nonce);
}

// ---- messages of a stream -----------------------------------------------------------------------

namespace {

absl::Status CheckStatements(const std::vector<std::string>& statements) {
  if (statements.size() > kSyncStatementsMax) {
    return TooLong(absl::StrCat(statements.size(), " statements, at most ", kSyncStatementsMax));
  }
  for (const std::string& statement : statements) {
    if (!IsStatementSize(statement.size())) {
      return Malformed(absl::StrCat("a statement of ", statement.size(), " bytes"));
    }
  }
  return absl::OkStatus();
}

// One rule for what is sent and for what is taken.
struct StreamChecker {
  absl::Status operator()(const SyncRequest& m) const {
    return static_cast<uint8_t>(m.reason) <= static_cast<uint8_t>(SyncReason::kEvents)
               ? absl::OkStatus()
               : Malformed("a reason for a sync that is not known");
  }
  absl::Status operator()(const SyncRows& m) const {
    if (m.dead_names.size() > kSyncDeadNamesMax) {
      return TooLong(absl::StrCat(m.dead_names.size(), " names, at most ", kSyncDeadNamesMax));
    }
    for (const std::string& name : m.dead_names) {
      if (!IsValidMemberName(name)) return Malformed("a name that cannot be");
    }
    return CheckStatements(m.statements);
  }
  absl::Status operator()(const SyncTombstones& m) const { return CheckStatements(m.statements); }
  absl::Status operator()(const StreamStatements& m) const { return CheckStatements(m.statements); }
  absl::Status operator()(const WantCertificates& m) const {
    return m.hashes.size() <= kStreamCertificatesMax ? absl::OkStatus()
                                                     : TooLong("too many certificates asked for");
  }
  absl::Status operator()(const CertificateBundle& m) const {
    if (m.ders.size() > kStreamCertificatesMax) return TooLong("too many certificates");
    for (const std::string& der : m.ders) {
      if (!IsCertificateSize(der.size())) {
        return Malformed(absl::StrCat("a certificate of ", der.size(), " bytes"));
      }
    }
    return absl::OkStatus();
  }
  absl::Status operator()(const WantStatement& m) const {
    return IsValidMemberName(m.name) ? absl::OkStatus() : Malformed("a name that cannot be");
  }
  absl::Status operator()(const AppMessage& m) const {
    if (m.size > kMessageBytesMax || m.payload.size() > kMessageBytesMax) {
      return TooLong("a message of an application that is too long");
    }
    const bool announced = m.payload.empty() && m.size > kMessageDirectBytesMax;
    return announced || m.payload.size() == m.size ? absl::OkStatus()
                                                   : Malformed("a message of another size");
  }
  absl::Status operator()(const AppReceipt& m) const {
    return m.verdict >= AppReceipt::Verdict::kGoOn && m.verdict <= AppReceipt::Verdict::kFailed
               ? absl::OkStatus()
               : Malformed("a receipt that is none");
  }
  absl::Status operator()(const EventIds& m) const {
    return m.ids.size() <= kSyncEventsMax ? absl::OkStatus() : TooLong("too many user events");
  }
  absl::Status operator()(const EventRows& m) const {
    if (m.statements.size() > kSyncEventsMax || m.wanted.size() > kSyncEventsMax) {
      return TooLong("too many user events");
    }
    return CheckStatements(m.statements);
  }
  template <typename T>
  absl::Status operator()(const T&) const {
    return absl::OkStatus();
  }
};

struct StreamEncoder {
  wire::StreamMessage* out;

  void operator()(const SyncRequest& m) const {
    wire::SyncRequest* request = out->mutable_sync_request();
    request->set_hash_low(m.set_hash.low);
    request->set_hash_high(m.set_hash.high);
    request->set_reason(static_cast<uint32_t>(m.reason));
  }
  void operator()(const SyncEqual& m) const {
    out->mutable_sync_equal()->set_events(m.events);
    out->mutable_sync_equal()->set_clock(m.clock);
  }
  void operator()(const SyncRows& m) const {
    wire::SyncRows* rows = out->mutable_sync_rows();
    for (const std::string& statement : m.statements) rows->add_statements(statement);
    for (const std::string& name : m.dead_names) rows->add_dead_names(name);
    rows->set_last(m.last);
    rows->set_events(m.events);
    rows->set_clock(m.clock);
  }
  void operator()(const SyncTombstones& m) const { Fill(m.statements, out->mutable_tombstones()); }
  void operator()(const SyncDone&) const { out->mutable_sync_done(); }
  void operator()(const WantCertificates& m) const {
    wire::ByteList* list = out->mutable_want_certificates();
    for (const Hash256& hash : m.hashes) Put(hash.bytes, list->add_items());
  }
  void operator()(const CertificateBundle& m) const { Fill(m.ders, out->mutable_certificates()); }
  void operator()(const StreamPing& m) const { out->mutable_ping()->set_nonce(m.nonce); }
  void operator()(const StreamAck& m) const {
    out->mutable_ack()->set_nonce(m.nonce);
    out->mutable_ack()->set_set_hash(m.set_hash);
  }
  void operator()(const StreamBusy& m) const {
    out->mutable_busy()->set_retry_after_ms(m.retry_after_ms);
  }
  void operator()(const WantStatement& m) const { out->mutable_want_statement()->set_name(m.name); }
  void operator()(const StreamStatements& m) const {
    Fill(m.statements, out->mutable_statements());
  }
  void operator()(const AppMessage& m) const {
    out->mutable_app_message()->set_size(m.size);
    out->mutable_app_message()->set_payload(m.payload);
  }
  void operator()(const AppReceipt& m) const {
    out->mutable_app_receipt()->set_verdict(static_cast<uint32_t>(m.verdict));
  }
  void operator()(const EventIds& m) const {
    out->mutable_event_ids()->mutable_ids()->Add(m.ids.begin(), m.ids.end());
  }
  void operator()(const EventRows& m) const {
    wire::EventRows* rows = out->mutable_event_rows();
    for (const std::string& statement : m.statements) rows->add_statements(statement);
    rows->mutable_wanted()->Add(m.wanted.begin(), m.wanted.end());
    rows->set_clock(m.clock);
  }

  static void Fill(const std::vector<std::string>& from, wire::ByteList* to) {
    for (const std::string& item : from) to->add_items(item);
  }
};

template <typename Repeated>
std::vector<std::string> Take(Repeated* from) {
  std::vector<std::string> out;
  out.reserve(static_cast<size_t>(from->size()));
  for (std::string& item : *from) out.push_back(std::move(item));
  return out;
}

absl::StatusOr<StreamMessage> TakeMessage(wire::StreamMessage& in) {
  switch (in.kind_case()) {
    case wire::StreamMessage::kSyncRequest: {
      const wire::SyncRequest& m = in.sync_request();
      if (m.reason() > 255) return Malformed("a reason for a sync that is not known");
      return SyncRequest{{m.hash_low(), m.hash_high()}, static_cast<SyncReason>(m.reason())};
    }
    case wire::StreamMessage::kSyncEqual:
      return SyncEqual{in.sync_equal().events(), in.sync_equal().clock()};
    case wire::StreamMessage::kSyncRows: {
      wire::SyncRows* m = in.mutable_sync_rows();
      return SyncRows{Take(m->mutable_statements()), Take(m->mutable_dead_names()), m->last(),
                      m->events(), m->clock()};
    }
    case wire::StreamMessage::kTombstones:
      return SyncTombstones{Take(in.mutable_tombstones()->mutable_items())};
    case wire::StreamMessage::kSyncDone:
      return SyncDone{};
    case wire::StreamMessage::kWantCertificates: {
      WantCertificates out;
      for (const std::string& hash : in.want_certificates().items()) {
        if (!Get(hash, &out.hashes.emplace_back().bytes)) {
          return Malformed("a certificate's hash that is none");
        }
      }
      return out;
    }
    case wire::StreamMessage::kCertificates:
      return CertificateBundle{Take(in.mutable_certificates()->mutable_items())};
    case wire::StreamMessage::kPing:
      return StreamPing{in.ping().nonce()};
    case wire::StreamMessage::kAck:
      return StreamAck{in.ack().nonce(), in.ack().set_hash()};
    case wire::StreamMessage::kBusy:
      return StreamBusy{in.busy().retry_after_ms()};
    case wire::StreamMessage::kWantStatement:
      return WantStatement{in.want_statement().name()};
    case wire::StreamMessage::kStatements:
      return StreamStatements{Take(in.mutable_statements()->mutable_items())};
    case wire::StreamMessage::kAppMessage:
      return AppMessage{in.app_message().size(),
                        std::move(*in.mutable_app_message()->mutable_payload())};
    case wire::StreamMessage::kAppReceipt:
      if (in.app_receipt().verdict() > 255) return Malformed("a receipt that is none");
      return AppReceipt{static_cast<AppReceipt::Verdict>(in.app_receipt().verdict())};
    case wire::StreamMessage::kEventIds: {
      const auto& ids = in.event_ids().ids();
      return EventIds{{ids.begin(), ids.end()}};
    }
    case wire::StreamMessage::kEventRows: {
      wire::EventRows* m = in.mutable_event_rows();
      return EventRows{
          Take(m->mutable_statements()), {m->wanted().begin(), m->wanted().end()}, m->clock()};
    }
    case wire::StreamMessage::KIND_NOT_SET:
      break;
  }
  return CodedError(absl::StatusCode::kUnimplemented, "MESSAGE_UNKNOWN",
                    "a message of a kind that this version does not know");
}

}  // namespace

absl::StatusOr<std::string> EncodeStreamMessage(const StreamMessage& message) {
  const absl::Status sound = std::visit(StreamChecker{}, message);
  if (!sound.ok()) return sound;
  wire::StreamMessage out;
  std::visit(StreamEncoder{&out}, message);
  if (out.ByteSizeLong() > kStreamMessageBytesMax) {
    return TooLong(absl::StrCat("a message of ", out.ByteSizeLong(), " bytes, at most ",
                                kStreamMessageBytesMax));
  }
  return out.SerializeAsString();
}

absl::StatusOr<StreamMessage> DecodeStreamMessage(std::string_view bytes) {
  if (bytes.size() > kStreamMessageBytesMax) {
    return TooLong(
        absl::StrCat("a message of ", bytes.size(), " bytes, at most ", kStreamMessageBytesMax));
  }
  CodedInputStream scan(reinterpret_cast<const uint8_t*>(bytes.data()),
                        static_cast<int>(bytes.size()));
  size_t fields = 0;
  constexpr size_t kFieldsMax = kSyncStatementsMax + kSyncDeadNamesMax + 16;
  if (!HasFieldsAtMost(&scan, kFieldsMax, 1, &fields)) {
    return fields > kFieldsMax ? TooLong("a message of too many parts")
                               : Malformed("not a message of ours");
  }
  wire::StreamMessage in;
  if (!Parse(bytes.data(), bytes.size(), &in)) return Malformed("not a message of ours");
  absl::StatusOr<StreamMessage> out = TakeMessage(in);
  if (!out.ok()) return out;
  const absl::Status sound = std::visit(StreamChecker{}, *out);
  if (!sound.ok()) return sound;
  return out;
}

std::vector<SyncRows> SplitSyncRows(SyncRows rows, size_t bytes_max) {
  std::vector<SyncRows> parts(1);
  size_t used = 0;
  const auto room_for = [&](const std::string& item, size_t count_max, auto list) {
    const size_t size = item.size() + 8;
    if (used + size > bytes_max || (parts.back().*list).size() >= count_max) {
      parts.back().last = false;
      parts.emplace_back();
      used = 0;
    }
    used += size;
  };
  for (std::string& statement : rows.statements) {
    room_for(statement, kSyncStatementsMax, &SyncRows::statements);
    parts.back().statements.push_back(std::move(statement));
  }
  for (std::string& name : rows.dead_names) {
    room_for(name, kSyncDeadNamesMax, &SyncRows::dead_names);
    parts.back().dead_names.push_back(std::move(name));
  }
  parts.back().events = rows.events;
  parts.back().clock = rows.clock;
  return parts;
}

}  // namespace sotto
