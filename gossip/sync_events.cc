#include "gossip/sync_events.h"

#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"

namespace sotto {

using boost::asio::awaitable;

namespace {

// Events of the other end, verified, into the core. `side` is ours.
awaitable<absl::Status> TakeEvents(std::shared_ptr<Conversation> talk, SyncSide side,
                                   EventRows rows) {
  SyncHost& host = talk->host();
  absl::StatusOr<std::vector<StatementRef>> events =
      co_await talk->Resolve(std::move(rows.statements));
  if (!events.ok()) co_return events.status();
  host.protocol().HandleSyncEvents(host.Now(), talk->peer(), side, *events, rows.clock);
  host.Pump();
  co_return absl::OkStatus();
}

}  // namespace

awaitable<absl::Status> AnswerEventIds(std::shared_ptr<Conversation> talk, EventIds ids) {
  Protocol& protocol = talk->host().protocol();
  EventDifference difference = protocol.CompareEvents(ids.ids);
  // What is wished for comes back in one message.
  talk->channel().LimitMessages(kStreamMessageBytesMax);
  StreamMessage told =
      EventRows{RawOf(difference.lacking), std::move(difference.wanted), protocol.event_clock()};
  co_return co_await talk->Send(std::move(told));
}

awaitable<absl::Status> AnswerEventRows(std::shared_ptr<Conversation> talk, EventRows rows) {
  const absl::Status taken = co_await TakeEvents(talk, SyncSide::kServer, std::move(rows));
  if (!taken.ok()) co_return taken;
  StreamMessage done = SyncDone{};
  co_return co_await talk->Send(std::move(done));
}

awaitable<absl::Status> ExchangeEvents(std::shared_ptr<Conversation> talk) {
  Protocol& protocol = talk->host().protocol();
  StreamMessage ids = EventIds{protocol.EventIds()};
  absl::Status status = co_await talk->Send(std::move(ids));
  if (!status.ok()) co_return status;
  absl::StatusOr<StreamMessage> answer = co_await talk->Next();
  if (!answer.ok()) co_return answer.status();
  if (const auto* busy = std::get_if<StreamBusy>(&*answer)) {
    co_return CodedError(
        absl::StatusCode::kUnavailable, "SYNC_BUSY",
        absl::StrCat(talk->peer().name, " is busy; try again in ", busy->retry_after_ms, " ms"));
  }
  auto* rows = std::get_if<EventRows>(&*answer);
  if (rows == nullptr) {
    co_return CodedError(absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED",
                         absl::StrCat(talk->peer().name, " did not tell its user events"));
  }
  const std::vector<uint64_t> wanted = std::move(rows->wanted);
  status = co_await TakeEvents(talk, SyncSide::kClient, std::move(*rows));
  if (!status.ok() || wanted.empty()) co_return status;
  StreamMessage told = EventRows{RawOf(protocol.FindEvents(wanted)), {}, protocol.event_clock()};
  status = co_await talk->Send(std::move(told));
  if (!status.ok()) co_return status;
  const absl::StatusOr<StreamMessage> taken = co_await talk->Next();
  if (!taken.ok()) co_return taken.status();
  if (std::holds_alternative<SyncDone>(*taken)) co_return absl::OkStatus();
  co_return CodedError(absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED",
                       absl::StrCat(talk->peer().name, " did not confirm our user events"));
}

awaitable<absl::Status> CompareEvents(std::shared_ptr<Conversation> talk, SyncEqual theirs) {
  SyncHost& host = talk->host();
  if (theirs.events != host.protocol().event_digest()) co_return co_await ExchangeEvents(talk);
  host.protocol().HandleSyncEvents(host.Now(), talk->peer(), SyncSide::kClient, {}, theirs.clock);
  host.Pump();
  co_return absl::OkStatus();
}

}  // namespace sotto
