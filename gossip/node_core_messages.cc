// What members say to each other beside the protocol: messages, pings, and where they lie.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/message_session.h"
#include "gossip/node_core.h"

namespace sotto {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;
using std::chrono::steady_clock;

namespace {

// Streams for messages at one time, and what may wait for them.
constexpr size_t kOutboxesRunningMax = 16;
constexpr size_t kOutgoingMax = 256;
constexpr size_t kOutgoingBytesMax = 16 * kMessageBytesMax;
// A stream lives for 30 s; after this long another one is opened for the next message.
constexpr std::chrono::seconds kStreamLeftMin{20};
// And after so many parts of messages: the other end reads four times as many from one stream.
constexpr int kStreamSendsMax = Conversation::kMessagesMax / 4;
constexpr size_t kPingWaitsMax = 64;
constexpr Duration kCoordinateEvery = Duration::Seconds(10);

absl::Status Unknown(std::string_view member) {
  return CodedError(absl::StatusCode::kNotFound, "MEMBER_UNKNOWN",
                    absl::StrCat("no member is called \"", std::string(member), "\""));
}

absl::Status IsSelf(std::string_view what) {
  return CodedError(absl::StatusCode::kFailedPrecondition, "MEMBER_IS_SELF",
                    absl::StrCat("a node cannot ", std::string(what), " itself"));
}

absl::Status Unreachable(std::string_view why) {
  return CodedError(absl::StatusCode::kUnavailable, "MEMBER_UNREACHABLE",
                    absl::StrCat("the message was not delivered: ", std::string(why)));
}

}  // namespace

StatementRef NodeCore::AliveOf(const MemberInfo& member) const {
  if (StatementRef alive = protocol_->FindBoot(member.claims->boot_id)) return alive;
  return member.owner && member.owner->alive ? member.owner : nullptr;
}

// ---- messages -----------------------------------------------------------------------------------

void NodeCore::Send(std::string_view member, std::string payload, std::chrono::milliseconds timeout,
                    std::function<void(absl::Status)> done) {
  if (member == options_.name) return done(IsSelf("send a message to"));
  const std::optional<MemberInfo> info = protocol_->Find(member);
  if (!info) return done(Unknown(member));
  if (payload.size() > kMessageBytesMax) {
    return done(CodedError(
        absl::StatusCode::kInvalidArgument, "MESSAGE_TOO_LARGE",
        absl::StrCat("a message of ", payload.size(), " bytes, at most ", kMessageBytesMax)));
  }
  if (outgoing_ >= kOutgoingMax || outgoing_bytes_ + payload.size() > kOutgoingBytesMax) {
    return done(CodedError(absl::StatusCode::kResourceExhausted, "MESSAGES_EXHAUSTED",
                           absl::StrCat(outgoing_, " messages of ", outgoing_bytes_,
                                        " bytes wait to be sent already")));
  }
  const auto deadline = steady_clock::now() + timeout;
  auto message = std::make_shared<Outgoing>(Outgoing{
      std::move(payload), deadline, asio::steady_timer(executor_, deadline), std::move(done)});
  ++outgoing_;
  outgoing_bytes_ += message->payload.size();
  message->timer.async_wait(
      [weak = weak_from_this(), name = std::string(member), message](const error_code& ec) {
        const auto self = weak.lock();
        if (!ec && self) self->OnSendTimeout(name, message);
      });
  outboxes_[std::string(member)].waiting.push_back(std::move(message));
  StartOutboxes();
}

void NodeCore::FinishSend(const std::shared_ptr<Outgoing>& message, absl::Status status) {
  auto done = std::exchange(message->done, nullptr);
  if (!done) return;
  --outgoing_;
  outgoing_bytes_ -= message->payload.size();
  message->payload.clear();
  message->timer.cancel();
  stats_.messages_delivered += status.ok();
  done(std::move(status));
}

void NodeCore::OnSendTimeout(const std::string& member, const std::shared_ptr<Outgoing>& message) {
  const auto it = outboxes_.find(member);
  const bool sending = it != outboxes_.end() && it->second.sending == message;
  if (sending) {
    // Half a message may be on the stream: it ends here.
    if (const auto channel = it->second.channel.lock()) channel->Close();
  } else if (it != outboxes_.end()) {
    std::erase(it->second.waiting, message);
  }
  FinishSend(message,
             CodedError(absl::StatusCode::kDeadlineExceeded, "MESSAGE_TIMEOUT",
                        sending ? "no receipt came in time; it may have been delivered all the same"
                                : "it was not sent in time: others were before it"));
}

void NodeCore::StartOutboxes() {
  for (auto& [member, box] : outboxes_) {
    if (outboxes_running_ >= kOutboxesRunningMax || stopped_) return;
    if (box.running || box.waiting.empty()) continue;
    box.running = true;
    ++outboxes_running_;
    asio::co_spawn(executor_, DriveOutbox(member),
                   [weak = weak_from_this(), name = member](const std::exception_ptr& error) {
                     const auto self = weak.lock();
                     if (!self || self->stopped_) return;
                     --self->outboxes_running_;
                     const auto it = self->outboxes_.find(name);
                     it->second.running = false;
                     if (error) self->FailOutbox(&it->second, Unreachable("out of resources"));
                     if (it->second.waiting.empty()) self->outboxes_.erase(it);
                     self->StartOutboxes();
                   });
  }
}

void NodeCore::FailOutbox(Outbox* box, const absl::Status& status) {
  auto failed = std::exchange(box->waiting, {});
  if (box->sending) failed.push_front(std::exchange(box->sending, nullptr));
  for (const auto& message : failed) FinishSend(message, status);
}

awaitable<void> NodeCore::DriveOutbox(std::string member) {
  const auto self = shared_from_this();
  std::shared_ptr<Conversation> talk;
  Outbox& box = outboxes_.at(member);  // not erased while this runs
  while (!stopped_ && !box.waiting.empty()) {
    box.sending = box.waiting.front();
    box.waiting.pop_front();
    absl::Status status = co_await SendNext(member, &box, &talk);
    if (stopped_) co_return;
    const std::shared_ptr<Outgoing> message = std::exchange(box.sending, nullptr);
    if (!message) continue;
    FinishSend(message, std::move(status));
  }
  if (talk) co_await Finish(talk);
}

awaitable<absl::Status> NodeCore::SendNext(std::string member, Outbox* box,
                                           std::shared_ptr<Conversation>* talk) {
  const std::shared_ptr<Outgoing> message = box->sending;
  const bool aged =
      *talk && ((*talk)->sent() >= kStreamSendsMax ||
                (*talk)->channel().whole_end() - steady_clock::now() < kStreamLeftMin);
  if (aged) {
    co_await Finish(*talk);
    talk->reset();
  }
  if (!*talk) {
    const std::optional<MemberInfo> info = protocol_->Find(member);
    const StatementRef alive = info ? AliveOf(*info) : nullptr;
    absl::Status status;
    if (!alive || info->state > MemberState::kSuspect) {
      status = Unreachable("it is not alive");
    } else {
      *talk = co_await Dial(shared_from_this(), executor_, TargetOf(*alive), &status);
      if (*talk && (*talk)->is_self()) {
        talk->reset();
        status = absl::UnavailableError("its address leads back to this node");
      }
      if (!*talk) status = Unreachable(Describe(status));
    }
    if (!*talk) {
      // Who waits behind it would only wait for the same.
      FailOutbox(box, status);
      co_return status;
    }
  }
  if (!message->done) co_return absl::OkStatus();  // its time was up while we dialed
  box->channel = (*talk)->channel().weak_from_this();
  absl::Status status = co_await SendMessage(*talk, message->payload, message->deadline);
  box->channel.reset();
  const std::string code = ErrorCode(status);
  const bool answered =
      status.ok() || code == "MESSAGE_REFUSED" || code == "MEMBER_BUSY" || code == "MESSAGE_FAILED";
  if (!answered) {
    (*talk)->channel().Close();
    talk->reset();
  }
  co_return status;
}

// ---- pings --------------------------------------------------------------------------------------

void NodeCore::Ping(std::string_view member, std::chrono::milliseconds timeout,
                    std::function<void(absl::StatusOr<PingResult>)> done) {
  if (member == options_.name) return done(IsSelf("ping"));
  const std::optional<MemberInfo> info = protocol_->Find(member);
  if (!info) return done(Unknown(member));
  if (pings_.size() >= kPingWaitsMax) {
    return done(CodedError(absl::StatusCode::kResourceExhausted, "PINGS_EXHAUSTED",
                           absl::StrCat(pings_.size(), " pings are under way already")));
  }
  const auto wait = std::make_shared<PingWait>(
      PingWait{{}, false, 0, asio::steady_timer(executor_, timeout), std::move(done)});
  pings_[next_ping_++] = wait;
  wait->timer.async_wait([weak = weak_from_this(), wait](const error_code& ec) {
    const auto self = weak.lock();
    if (!ec && self) self->FinishPing(wait, true);
  });
  wait->nonce = protocol_->PingMember(Now(), member);
  const StatementRef alive = AliveOf(*info);
  if (!alive) {
    wait->tcp_over = true;
  } else {
    asio::co_spawn(executor_, RunStreamPing(shared_from_this(), executor_, TargetOf(*alive), 1),
                   [weak = weak_from_this(), wait](const std::exception_ptr& error,
                                                   const StreamPingResult& result) {
                     const auto self = weak.lock();
                     if (!self) return;
                     wait->tcp_over = true;
                     if (!error) wait->result.tcp = result.rtt;
                     self->FinishPing(wait, false);
                   });
  }
  Pump();
  FinishPing(wait, false);
}

// Over when both have come to an end, or none is waited for any longer.
void NodeCore::FinishPing(const std::shared_ptr<PingWait>& wait, bool late) {
  const bool udp_over = wait->result.udp.has_value() || wait->nonce == 0;
  if (!wait->done || (!late && !(udp_over && wait->tcp_over))) return;
  wait->timer.cancel();
  std::erase_if(pings_, [&](const auto& entry) { return entry.second == wait; });
  std::exchange(wait->done, nullptr)(wait->result);
}

void NodeCore::Perform(const PingAnswered& action) {
  for (const auto& [number, wait] : pings_) {
    if (wait->nonce != action.nonce) continue;
    wait->result.udp = action.rtt;
    const std::shared_ptr<PingWait> held = wait;
    return FinishPing(held, false);
  }
}

// ---- coordinates --------------------------------------------------------------------------------

void NodeCore::Perform(const MeasuredRtt& action) {
  stats_.coordinates_rejected += !coordinates_->Observe(Now(), action.member, action.rtt);
}

std::string NodeCore::TakeCoordinate(const Packet& packet, size_t bytes) {
  const Instant now = Now();
  const bool due = !coordinate_ever_told_ || now - coordinate_told_ >= kCoordinateEvery;
  const bool answers = std::any_of(packet.messages.begin(), packet.messages.end(),
                                   [](const auto& m) { return std::holds_alternative<Ack>(m); });
  if (!due || !answers || bytes + kCoordinateWireSizeMax > options_.protocol.packet_bytes_max) {
    return {};
  }
  coordinate_ever_told_ = true;
  coordinate_told_ = now;
  return EncodeCoordinate(coordinates_->own());
}

absl::StatusOr<Duration> NodeCore::Rtt(std::string_view a, std::string_view b) const {
  for (const std::string_view name : {a, b}) {
    if (name != options_.name && !protocol_->Find(name)) return Unknown(name);
  }
  if (a == b) return Duration();
  const auto find = [this](std::string_view name) {
    return name == options_.name ? &coordinates_->own() : coordinates_->Find(name);
  };
  const Coordinate* of_a = find(a);
  const Coordinate* of_b = find(b);
  if (of_a != nullptr && of_b != nullptr) return EstimateRtt(*of_a, *of_b);
  const bool mine = a == options_.name || b == options_.name;
  if (mine) {
    const std::optional<MemberInfo> other = protocol_->Find(a == options_.name ? b : a);
    if (other && other->rtt) return *other->rtt;
  }
  return CodedError(absl::StatusCode::kUnavailable, "RTT_UNKNOWN",
                    absl::StrCat(std::string(of_a == nullptr ? a : b),
                                 " has not told its coordinate yet; nodes do so every ten seconds, "
                                 "one at a time"));
}

}  // namespace sotto
