// Datagrams of a node: in through codec, wire and statements, and out again.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <span>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gossip/base/coded_error.h"
#include "gossip/node_core.h"

namespace sotto {

namespace asio = boost::asio;

namespace {

constexpr size_t kWantedMax = 1'024;
constexpr std::ptrdiff_t kWantedPerMemberMax = 16;
constexpr size_t kFetchesMax = 8;
constexpr size_t kCertificatesPerPacketMax = 4;
constexpr Duration kDistrust = Duration::Seconds(60);
constexpr Duration kWantAgain = Duration::Millis(500);
constexpr int kWantByDatagramMax = 2;  // then over a stream
constexpr Duration kDropLogEvery = Duration::Seconds(1);

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

// ---- datagrams in -------------------------------------------------------------------------------

void NodeCore::HandleDatagram(const Endpoint& from, std::span<const uint8_t> datagram) {
  if (stopped_) return;
  stats_.udp_bytes_received += datagram.size();
  const Instant now = Now();
  const OpenedFrame frame = codec_->Open(now, datagram, plain_buffer_);
  if (frame.drop != DropReason::kNone) {
    CountDrop(frame.drop, from, frame.key_id);
    const bool key_reason =
        frame.drop == DropReason::kUnknownKey || frame.drop == DropReason::kBadTag;
    if (key_reason && frame.known_boot) {
      Heard& heard = heard_[frame.boot_id];
      heard.key_drop = now;
      heard.any_key_drop = true;
      last_key_drop_ = now;
    }
    if (frame.drop == DropReason::kUnknownKey) NoteUnknownKey(frame.key_id);
    return;
  }
  if (frame.kind == FrameKind::kHello) {
    ++stats_.hellos_received;
    HandleHelloFrame(from, frame.boot_id, frame.plaintext);
  } else {
    ++stats_.frames_received;
    const StatementRef sender = protocol_->FindBoot(frame.boot_id);
    if (!sender) return CountDrop(DropReason::kUnknownBoot, from, frame.key_id);
    heard_[frame.boot_id].valid = now;
    ConsiderSealing(frame.key_id);
    HandlePacketFrame(from, sender, frame.plaintext);
  }
  Pump();
}

void NodeCore::HandleHelloFrame(const Endpoint& from, const BootId& boot_id,
                                std::span<const uint8_t> plaintext) {
  WireHello hello;
  const DropReason reason = DecodeHello(plaintext, &hello);
  if (reason != DropReason::kNone) return CountDrop(reason, from, KeyId{});
  if (!hello.certificate.empty()) {
    const auto released = cache_->AddCertificate(hello.certificate, UnixSeconds());
    if (!released.ok()) {
      Refuse(released.status(), ToString(from));
      return CountDrop(DropReason::kUnknownCertificate, from, KeyId{});
    }
    Release(*released);
  }
  const StatementResult result = cache_->Resolve(hello.alive, UnixSeconds());
  if (const auto* verified = std::get_if<StatementVerified>(&result)) {
    // A hello carries its sender's own Alive and nothing else.
    const Statement& statement = *verified->statement;
    if (!statement.alive || statement.alive->boot_id != boot_id) {
      return CountDrop(DropReason::kSemantic, from, KeyId{});
    }
    protocol_->HandleStatement(Now(), verified->statement);
  } else if (const auto* dropped = std::get_if<StatementDropped>(&result)) {
    if (!dropped->why.ok()) Refuse(dropped->why, ToString(from));
    CountDrop(dropped->reason, from, KeyId{});
  }
}

void NodeCore::HandlePacketFrame(const Endpoint& from, const StatementRef& sender,
                                 std::span<const uint8_t> plaintext) {
  WirePacket wire;
  const DropReason reason = DecodePacket(plaintext, &wire);
  if (reason != DropReason::kNone) return CountDrop(reason, from, KeyId{});
  for (const std::string& der : wire.certificates) {
    const auto released = cache_->AddCertificate(der, UnixSeconds());
    if (released.ok()) {
      Release(*released);
    } else {
      Refuse(released.status(), sender->subject);
      CountDrop(DropReason::kUnknownCertificate, from, KeyId{});
    }
  }
  // Before the ack in the same packet, whose round trip moves us by it.
  if (!wire.coordinate.empty()) {
    stats_.coordinates_rejected += !coordinates_->Learn(Now(), sender->subject, wire.coordinate);
  }
  Packet packet;
  packet.messages = std::move(wire.messages);
  std::vector<Hash256> missing;
  const auto distrusted = distrusted_.find(sender->subject);
  if (distrusted != distrusted_.end() && Now() < distrusted->second) wire.statements.clear();
  for (const std::string& bytes : wire.statements) {
    StatementResult result = cache_->Resolve(bytes, UnixSeconds());
    if (auto* verified = std::get_if<StatementVerified>(&result)) {
      packet.statements.push_back(std::move(verified->statement));
    } else if (const auto* needs = std::get_if<StatementNeedsCertificate>(&result)) {
      missing.push_back(needs->certificate);
    } else {
      const auto& dropped = std::get<StatementDropped>(result);
      if (!dropped.why.ok()) Refuse(dropped.why, sender->subject);
      CountDrop(dropped.reason, from, KeyId{});
      // Nobody honest passes on what it has not verified; each check costs us a signature.
      if (dropped.reason == DropReason::kBadSignature) {
        distrusted_[sender->subject] = Now() + kDistrust;
        break;
      }
    }
  }
  protocol_->HandlePacket(Now(), Source{sender->subject, sender->alive->boot_id}, packet);
  if (!wire.want_certificates.empty()) AnswerWants(sender, wire.want_certificates);
  if (!missing.empty()) AskForCertificates(sender, missing);
}

void NodeCore::AnswerWants(const StatementRef& sender, const std::vector<Hash256>& wants) {
  size_t answered = 0;
  for (const Hash256& hash : wants) {
    // The rest is asked for again: one datagram must not be answered by many.
    if (answered == kCertificatesPerPacketMax) break;
    const CertificateRef certificate = cache_->FindCertificate(hash);
    if (!certificate) continue;
    // One that fits no datagram is fetched over a stream by who wants it.
    if (CertificateWireSizeMax(certificate->der().size()) > options_.protocol.packet_bytes_max) {
      continue;
    }
    ++answered;
    const std::string ders[] = {certificate->der()};
    SendPlain(sender, EncodePacket(Packet{}, {}, ders), false);
  }
}

void NodeCore::AskForCertificates(const StatementRef& sender, const std::vector<Hash256>& hashes) {
  const Instant now = Now();
  std::vector<Hash256> by_datagram;
  std::vector<Hash256> by_stream;
  for (const Hash256& hash : hashes) {
    auto it = wanted_.find(hash);
    if (it == wanted_.end()) {
      const auto of_sender = std::count_if(wanted_.begin(), wanted_.end(), [&](const auto& entry) {
        return entry.second.from == sender->subject;
      });
      if (wanted_.size() >= kWantedMax || of_sender >= kWantedPerMemberMax) continue;
      it = wanted_.emplace(hash, Wanted{sender->subject, now, now, 0}).first;
    } else if (now - it->second.last < kWantAgain) {
      continue;
    }
    it->second.last = now;
    if (it->second.tries++ < kWantByDatagramMax) {
      if (by_datagram.size() < kPacketWantsMax) by_datagram.push_back(hash);
    } else {
      by_stream.push_back(hash);
    }
  }
  if (!by_datagram.empty()) SendPlain(sender, EncodePacket(Packet{}, by_datagram), false);
  if (!by_stream.empty()) FetchCertificates(sender, std::move(by_stream));
}

// One dial at a time for each member and few in all: a member that names certificates which do not
// exist must not make us knock without end.
void NodeCore::FetchCertificates(const StatementRef& sender, std::vector<Hash256> hashes) {
  if (fetching_.size() >= kFetchesMax || !fetching_.insert(sender->subject).second) return;
  asio::co_spawn(
      executor_,
      RunCertificateFetch(shared_from_this(), executor_, TargetOf(*sender), std::move(hashes)),
      [weak = weak_from_this(), name = sender->subject](const std::exception_ptr&) {
        if (const auto self = weak.lock()) self->fetching_.erase(name);
      });
}

void NodeCore::CountDrop(DropReason reason, const Endpoint& from, KeyId key_id) {
  ++stats_.drops[static_cast<size_t>(reason)];
  DropLog& log = drop_logs_[static_cast<size_t>(reason)];
  ++log.since;
  const Instant now = Now();
  if (log.any && now - log.last < kDropLogEvery) return;
  std::vector<std::pair<std::string, std::string>> fields = {
      {"peer", ToString(from)}, {"reason", std::string(ToString(reason))}};
  if (reason == DropReason::kUnknownKey) {
    fields.emplace_back("key", ToString(key_id));
    fields.emplace_back(
        "held", absl::StrJoin(keyring_.keys(), ",", [](std::string* out, const ClusterKeyRef& key) {
          out->append(ToString(key->id()));
        }));
  }
  fields.emplace_back("count", absl::StrCat(log.since));
  // Frames for a former life, and of senders whose hello is still under way, are everyday.
  const bool everyday = reason == DropReason::kUnknownBoot || reason == DropReason::kSessionOld ||
                        reason == DropReason::kReplayDuplicate;
  Log(everyday ? LogLevel::kDebug : LogLevel::kWarn, "frame_rejected", std::move(fields));
  log.any = true;
  log.last = now;
  log.since = 0;
}

// ---- datagrams out ------------------------------------------------------------------------------

const Endpoint* NodeCore::Reachable(const Statement& alive) const {
  for (const Endpoint& endpoint : alive.alive->addresses) {
    if (transport_->CanReach(endpoint)) return &endpoint;
  }
  return nullptr;
}

bool NodeCore::SendPlain(const StatementRef& to, std::string_view plaintext, bool hello) {
  const Endpoint* endpoint = Reachable(*to);
  if (endpoint == nullptr) {
    ++stats_.send_errors;
    return false;
  }
  if (getpid() != pid_) Reboot("fork");
  const Instant now = Now();
  const FramePeer peer{to->alive->boot_id, to->alive->x25519_public};
  heard_.try_emplace(peer.boot_id);  // so that its sessions go when its process does
  const absl::StatusOr<size_t> size =
      hello ? codec_->SealHello(now, peer.boot_id, AsBytes(plaintext), seal_buffer_)
            : codec_->Seal(now, peer, AsBytes(plaintext), seal_buffer_);
  if (!size.ok()) {
    Log(LogLevel::kError, "seal_failed",
        {{"peer", to->subject}, {"error", std::string(size.status().message())}});
    return false;
  }
  ++(hello ? stats_.hellos_sent : stats_.frames_sent);
  stats_.udp_bytes_sent += *size;
  if (transport_->Send(*endpoint, std::span<const uint8_t>(seal_buffer_.data(), *size))) {
    return true;
  }
  ++stats_.send_errors;
  return false;
}

void NodeCore::Perform(const SendPacket& action) {
  if (action.hello && protocol_->own_alive()) {
    SendPlain(action.to,
              EncodeHello(protocol_->own_alive()->bytes, credentials_->certificate()->der(),
                          options_.protocol.packet_bytes_max),
              true);
  }
  if (action.packet.messages.empty() && action.packet.statements.empty()) return;
  std::string plaintext = EncodePacket(action.packet);
  const std::string coordinate = TakeCoordinate(action.packet, plaintext.size());
  if (!coordinate.empty()) plaintext = EncodePacket(action.packet, {}, {}, coordinate);
  if (!SendPlain(action.to, plaintext, false)) {
    protocol_->HandleSendFailed(Now(), action.to->subject);
  }
}

}  // namespace sotto
