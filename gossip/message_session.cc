#include "gossip/message_session.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/message_inbox.h"

namespace sotto {

using boost::asio::awaitable;

namespace {

using Verdict = AppReceipt::Verdict;

// What stands around a payload in its message.
constexpr size_t kEnvelopeBytesMax = 64;

absl::Status Unreachable(const absl::Status& why) {
  return CodedError(absl::StatusCode::kUnavailable, "MEMBER_UNREACHABLE",
                    absl::StrCat("the message was not delivered: ", Describe(why)));
}

absl::Status Unconfirmed(const absl::Status& why) {
  return CodedError(
      absl::StatusCode::kUnavailable, "MESSAGE_UNCONFIRMED",
      absl::StrCat("it is not known whether the message was delivered: ", Describe(why)));
}

absl::Status Malformed(const std::string& peer) {
  return CodedError(absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED",
                    absl::StrCat(peer, " answered a message with nonsense"));
}

absl::Status StatusOf(Verdict verdict, const std::string& peer) {
  switch (verdict) {
    case Verdict::kDelivered:
      return absl::OkStatus();
    case Verdict::kRefused:
      return CodedError(
          absl::StatusCode::kFailedPrecondition, "MESSAGE_REFUSED",
          absl::StrCat(peer, " takes no messages: it was started without on_message"));
    case Verdict::kBusy:
      return CodedError(absl::StatusCode::kUnavailable, "MEMBER_BUSY",
                        absl::StrCat(peer,
                                     " has as many messages waiting as it may; it was not "
                                     "delivered"));
    case Verdict::kFailed:
      return CodedError(absl::StatusCode::kAborted, "MESSAGE_FAILED",
                        absl::StrCat("the application on ", peer, " failed on the message"));
    case Verdict::kGoOn:
      break;
  }
  return Malformed(peer);
}

// The next receipt.
awaitable<absl::StatusOr<Verdict>> NextReceipt(std::shared_ptr<Conversation> talk) {
  const absl::StatusOr<StreamMessage> answer = co_await talk->Next();
  if (!answer.ok()) co_return answer.status();
  if (std::holds_alternative<StreamBusy>(*answer)) co_return Verdict::kBusy;
  const auto* receipt = std::get_if<AppReceipt>(&*answer);
  if (receipt == nullptr) co_return Malformed(talk->peer().name);
  co_return receipt->verdict;
}

awaitable<absl::Status> SendReceipt(std::shared_ptr<Conversation> talk, Verdict verdict) {
  StreamMessage receipt = AppReceipt{verdict};
  co_return co_await talk->Send(std::move(receipt));
}

}  // namespace

awaitable<absl::Status> SendMessage(std::shared_ptr<Conversation> talk, std::string payload,
                                    std::chrono::steady_clock::time_point deadline) {
  const std::string peer = talk->peer().name;
  AppMessage message;
  message.size = static_cast<uint32_t>(payload.size());
  if (payload.size() > kMessageDirectBytesMax) {
    StreamMessage announced = message;
    const absl::Status sent = co_await talk->Send(std::move(announced));
    if (!sent.ok()) co_return Unreachable(sent);
    const absl::StatusOr<Verdict> verdict = co_await NextReceipt(talk);
    if (!verdict.ok()) co_return Unreachable(verdict.status());
    if (*verdict != Verdict::kGoOn) co_return StatusOf(*verdict, peer);
  }
  message.payload = std::move(payload);
  StreamMessage whole = std::move(message);
  const absl::Status sent = co_await talk->Send(std::move(whole));
  if (!sent.ok()) co_return Unconfirmed(sent);
  // The application over there may take its time.
  talk->channel().AllowSteps(std::max<std::chrono::steady_clock::duration>(
      deadline - std::chrono::steady_clock::now(), StreamChannel::kStepTimeout));
  const absl::StatusOr<Verdict> verdict = co_await NextReceipt(talk);
  talk->channel().AllowSteps(StreamChannel::kStepTimeout);
  if (!verdict.ok()) co_return Unconfirmed(verdict.status());
  co_return StatusOf(*verdict, peer);
}

awaitable<absl::Status> ReceiveMessage(std::shared_ptr<Conversation> talk, AppMessage message) {
  SyncHost& host = talk->host();
  MessageInbox& inbox = host.inbox();
  // Who has stolen our own certificate is no member that speaks to us.
  if (!inbox.is_open() || talk->peer().name == host.identity()->name()) {
    ++host.stats().messages_refused;
    co_return co_await SendReceipt(talk, Verdict::kRefused);
  }
  MessageInbox::Place place = inbox.Admit(talk->peer().name, message.size);
  if (!place) {
    ++host.stats().messages_refused;
    co_return co_await SendReceipt(talk, Verdict::kBusy);
  }
  if (message.payload.size() != message.size) {
    StreamChannel& channel = talk->channel();
    const size_t limit = channel.message_limit();
    channel.LimitMessages(std::max(limit, message.size + kEnvelopeBytesMax));
    const absl::Status sent = co_await SendReceipt(talk, Verdict::kGoOn);
    if (!sent.ok()) co_return sent;
    absl::StatusOr<StreamMessage> next = co_await talk->Next();
    if (!next.ok()) co_return next.status();
    channel.LimitMessages(limit);
    auto* whole = std::get_if<AppMessage>(&*next);
    if (whole == nullptr || whole->payload.size() != message.size) {
      co_return Malformed(talk->peer().name);
    }
    message = std::move(*whole);
  }
  talk->channel().AllowSteps(MessageInbox::kCallbackTimeout + StreamChannel::kStepTimeout);
  ++host.stats().messages_received;
  ReceivedMessage received{talk->peer().name, std::move(message.payload)};
  const auto executor = co_await boost::asio::this_coro::executor;
  const std::optional<Verdict> verdict =
      co_await inbox.Deliver(executor, std::move(received), std::move(place));
  talk->channel().AllowSteps(StreamChannel::kStepTimeout);
  if (!verdict) {
    co_return CodedError(absl::StatusCode::kDeadlineExceeded, "STREAM_TIMEOUT",
                         "the application has not taken a message in time");
  }
  co_return co_await SendReceipt(talk, *verdict);
}

}  // namespace sotto
