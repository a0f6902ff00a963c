#include "gossip/sync_session.h"

#include <chrono>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "crypto/secure_random.h"
#include "gossip/base/coded_error.h"
#include "gossip/message_session.h"
#include "gossip/sync_events.h"
#include "gossip/wire.h"

namespace sotto {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;

namespace {

constexpr uint32_t kBusyRetryMs = 1'000;

// The client's half after SyncRequest. OK: tables passed both ways.
awaitable<absl::Status> ExchangeTables(std::shared_ptr<Conversation> talk, SyncRows first) {
  SyncHost& host = talk->host();
  absl::StatusOr<Conversation::Table> whole = co_await talk->ReceiveTable(std::move(first));
  if (!whole.ok()) co_return whole.status();
  const SyncTable* theirs = &whole->rows;
  host.protocol().HandleSyncTable(host.Now(), talk->peer(), *theirs);
  host.Pump();
  SyncTable ours = host.protocol().MakeSyncTable();
  absl::Status status =
      co_await talk->SendTable(std::move(ours.statements), std::move(ours.dead_names));
  if (!status.ok()) co_return status;
  StreamMessage tombstones = SyncTombstones{RawOf(host.protocol().TombstonesFor(*theirs))};
  status = co_await talk->Send(std::move(tombstones));
  if (!status.ok()) co_return status;
  absl::StatusOr<StreamMessage> answer = co_await talk->Next();
  if (!answer.ok()) co_return answer.status();
  auto* last = std::get_if<SyncTombstones>(&*answer);
  if (last == nullptr) {
    co_return CodedError(absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED",
                         absl::StrCat(talk->peer().name, " did not end its side of the sync"));
  }
  absl::StatusOr<std::vector<StatementRef>> verified =
      co_await talk->Resolve(std::move(last->statements));
  if (!verified.ok()) co_return verified.status();
  SyncTable rest;
  rest.statements = *std::move(verified);
  host.protocol().HandleSyncTable(host.Now(), talk->peer(), rest);
  host.Pump();
  status = co_await CompareEvents(talk, whole->events);
  if (!status.ok()) co_return status;
  StreamMessage done = SyncDone{};
  co_return co_await talk->Send(std::move(done));
}

awaitable<std::optional<Duration>> TimePing(std::shared_ptr<Conversation> talk, uint64_t nonce) {
  const Instant sent_at = talk->host().Now();
  StreamMessage ping = StreamPing{nonce};
  const absl::Status status = co_await talk->Send(std::move(ping));
  if (!status.ok()) co_return std::nullopt;
  const absl::StatusOr<StreamMessage> answer = co_await talk->Next();
  const StreamAck* ack = answer.ok() ? std::get_if<StreamAck>(&*answer) : nullptr;
  if (ack == nullptr || ack->nonce != nonce) co_return std::nullopt;
  co_return talk->host().Now() - sent_at;
}

awaitable<SyncResult> SyncAsClient(std::shared_ptr<Conversation> talk, SyncReason reason) {
  SyncHost& host = talk->host();
  SyncResult result;
  result.answered = true;
  result.peer = talk->peer();
  if (talk->is_self()) {
    result.outcome = SyncOutcome::kSelf;
    co_return result;
  }
  // Who runs under our own name is told to the core, once it has shown that it holds the key as
  // well: a stolen certificate must not silence a node. Nothing more is said to it.
  if (reason == SyncReason::kTwin || talk->peer().name == host.identity()->name()) {
    const std::optional<Duration> rtt = co_await TimePing(talk, RandomSeed64().value_or(1));
    result.answered = rtt.has_value();
    if (result.answered) result.outcome = SyncOutcome::kEqual;
    co_return result;
  }
  result.outcome = SyncOutcome::kUnreachable;
  if (reason == SyncReason::kEvents) {
    result.status = co_await ExchangeEvents(talk);
    if (result.status.ok()) result.outcome = SyncOutcome::kEqual;
    co_return result;
  }
  SyncRequest request;
  request.set_hash = host.protocol().set_hash();
  request.reason = reason;
  StreamMessage message = request;
  result.status = co_await talk->Send(std::move(message));
  if (!result.status.ok()) co_return result;
  absl::StatusOr<StreamMessage> answer = co_await talk->Next();
  if (!answer.ok()) {
    result.status = answer.status();
    co_return result;
  }
  if (const auto* busy = std::get_if<StreamBusy>(&*answer)) {
    result.outcome = SyncOutcome::kBusy;
    result.retry_after_ms = busy->retry_after_ms;
    result.status = CodedError(
        absl::StatusCode::kUnavailable, "SYNC_BUSY",
        absl::StrCat(talk->peer().name, " is busy; try again in ", busy->retry_after_ms, " ms"));
  } else if (const auto* equal = std::get_if<SyncEqual>(&*answer)) {
    result.status = co_await CompareEvents(talk, *equal);
    if (result.status.ok()) result.outcome = SyncOutcome::kEqual;
  } else if (auto* rows = std::get_if<SyncRows>(&*answer)) {
    result.status = co_await ExchangeTables(talk, std::move(*rows));
    if (result.status.ok()) result.outcome = SyncOutcome::kMerged;
  } else {
    result.status = CodedError(absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED",
                               absl::StrCat(talk->peer().name, " answered a sync with nonsense"));
  }
  co_return result;
}

}  // namespace

// ---- the client's side --------------------------------------------------------------------------

awaitable<SyncResult> RunSync(std::shared_ptr<SyncHost> host, asio::any_io_executor executor,
                              StreamTarget target, SyncReason reason) {
  const auto begun = std::chrono::steady_clock::now();
  SyncResult result;
  std::shared_ptr<Conversation> talk = co_await Dial(host, executor, target, &result.status);
  std::string tls;
  if (talk) {
    tls = talk->channel().tls_description();
    result = co_await SyncAsClient(talk, reason);
    co_await Finish(talk);
  } else if (IsRefusal(result.status)) {
    result.outcome = SyncOutcome::kRefused;
  }
  NodeStats& stats = host->stats();
  const bool merged = result.outcome == SyncOutcome::kMerged;
  const bool equal = result.outcome == SyncOutcome::kEqual;
  stats.syncs_merged += merged;
  stats.syncs_equal += equal;
  stats.syncs_busy += result.outcome == SyncOutcome::kBusy;
  stats.syncs_failed += !merged && !equal && result.outcome != SyncOutcome::kBusy &&
                        result.outcome != SyncOutcome::kSelf;
  std::vector<std::pair<std::string, std::string>> fields = {
      {"peer", result.answered ? result.peer.name : target.text},
      {"reason", std::string(ToString(reason))}};
  if (!tls.empty()) fields.emplace_back("tls", tls);
  if (merged || equal) {
    const auto took = std::chrono::steady_clock::now() - begun;
    fields.emplace_back("result", merged ? "merged" : "equal");
    fields.emplace_back(
        "ms", absl::StrCat(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
    host->Log(LogLevel::kInfo, "sync", std::move(fields));
  } else if (result.outcome != SyncOutcome::kSelf) {
    fields.emplace_back("code", ErrorCode(result.status));
    fields.emplace_back("error", std::string(result.status.message()));
    const bool no = result.outcome == SyncOutcome::kRefused;
    host->Log(no ? LogLevel::kWarn : LogLevel::kInfo, no ? "sync_refused" : "sync_failed",
              std::move(fields));
  }
  co_return result;
}

awaitable<StreamPingResult> RunStreamPing(std::shared_ptr<SyncHost> host,
                                          asio::any_io_executor executor, StreamTarget target,
                                          uint64_t nonce) {
  absl::Status status;
  StreamPingResult result;
  std::shared_ptr<Conversation> talk = co_await Dial(host, executor, target, &status);
  if (!talk) {
    const std::string code = ErrorCode(status);
    result.unsent = code == "DIAL_UNSENT" || code == "DIAL_NO_ADDRESS";
    co_return result;
  }
  if (!talk->is_self()) result.rtt = co_await TimePing(talk, nonce);
  co_await Finish(talk);
  co_return result;
}

awaitable<void> RunCertificateFetch(std::shared_ptr<SyncHost> host, asio::any_io_executor executor,
                                    StreamTarget target, std::vector<Hash256> hashes) {
  absl::Status status;
  std::shared_ptr<Conversation> talk = co_await Dial(host, executor, target, &status);
  if (!talk) co_return;
  if (!talk->is_self()) {
    status = co_await talk->FetchCertificates(std::move(hashes));
    host->Pump();
  }
  co_await Finish(talk);
}

// ---- the server's side --------------------------------------------------------------------------

namespace {

// Answers one request. OK to go on; CANCELLED when the client is done.
awaitable<absl::Status> Answer(std::shared_ptr<Conversation> talk, StreamMessage message,
                               StreamAdmission* admission, StreamAdmission::Place* sync_place) {
  SyncHost& host = talk->host();
  Protocol& protocol = host.protocol();
  if (const auto* request = std::get_if<SyncRequest>(&message)) {
    if (!*sync_place) *sync_place = admission->AdmitSync();
    if (!*sync_place) {
      StreamMessage busy = StreamBusy{kBusyRetryMs};
      co_return co_await talk->Send(std::move(busy));
    }
    talk->channel().LimitMessages(kStreamMessageBytesMax);
    if (request->set_hash == protocol.set_hash()) {
      StreamMessage equal = SyncEqual{protocol.event_digest(), protocol.event_clock()};
      co_return co_await talk->Send(std::move(equal));
    }
    SyncTable table = protocol.MakeSyncTable();
    co_return co_await talk->SendTable(std::move(table.statements), std::move(table.dead_names));
  }
  if (auto* rows = std::get_if<SyncRows>(&message)) {
    if (!*sync_place) co_return absl::CancelledError();
    absl::StatusOr<Conversation::Table> whole = co_await talk->ReceiveTable(std::move(*rows));
    if (!whole.ok()) co_return whole.status();
    protocol.HandleSyncTable(host.Now(), talk->peer(), whole->rows);
    host.Pump();
    StreamMessage tombstones = SyncTombstones{RawOf(protocol.TombstonesFor(whole->rows))};
    co_return co_await talk->Send(std::move(tombstones));
  }
  if (const auto* ids = std::get_if<EventIds>(&message)) {
    if (!*sync_place) *sync_place = admission->AdmitSync();
    if (!*sync_place) {
      StreamMessage busy = StreamBusy{kBusyRetryMs};
      co_return co_await talk->Send(std::move(busy));
    }
    co_return co_await AnswerEventIds(talk, *ids);
  }
  if (auto* events = std::get_if<EventRows>(&message)) {
    if (!*sync_place) co_return absl::CancelledError();
    co_return co_await AnswerEventRows(talk, std::move(*events));
  }
  std::vector<std::string>* raw = nullptr;
  if (auto* dead = std::get_if<SyncTombstones>(&message)) raw = &dead->statements;
  if (auto* told = std::get_if<StreamStatements>(&message)) raw = &told->statements;
  if (raw != nullptr) {
    absl::StatusOr<std::vector<StatementRef>> verified = co_await talk->Resolve(std::move(*raw));
    if (!verified.ok()) co_return verified.status();
    SyncTable table;
    table.statements = *std::move(verified);
    protocol.HandleSyncTable(host.Now(), talk->peer(), table);
    host.Pump();
    co_return absl::OkStatus();
  }
  if (const auto* ping = std::get_if<StreamPing>(&message)) {
    StreamMessage ack = StreamAck{ping->nonce, protocol.set_hash().low};
    co_return co_await talk->Send(std::move(ack));
  }
  if (auto* told = std::get_if<AppMessage>(&message)) {
    co_return co_await ReceiveMessage(talk, std::move(*told));
  }
  if (const auto* want = std::get_if<WantStatement>(&message)) {
    StreamStatements statements;
    const std::optional<MemberInfo> member = protocol.Find(want->name);
    if (member && member->owner) statements.statements.push_back(member->owner->bytes);
    StreamMessage answer = std::move(statements);
    co_return co_await talk->Send(std::move(answer));
  }
  co_return absl::CancelledError();  // SyncDone, or something out of place: the stream has ended
}

}  // namespace

awaitable<void> ServeStream(std::shared_ptr<SyncHost> host, tcp::socket socket,
                            std::shared_ptr<StreamAdmission> admission,
                            std::shared_ptr<StreamAdmission::Place> place) {
  ++host->stats().tls_accepted;
  auto channel = StreamChannel::Create(std::move(socket), host->tls(), true, std::string());
  host->Track(channel);
  const std::string remote = AddressText(channel->remote());
  auto talk = std::make_shared<Conversation>(host, channel, true);
  absl::Status status = co_await talk->Open();
  if (!status.ok()) {
    channel->Close();
    // A peer that went away is no refusal.
    if (IsRefusal(status) || ErrorCode(status).rfind("TLS_REFUSED", 0) == 0) {
      host->Refuse(status, talk->peer().name.empty() ? remote : talk->peer().name);
    }
    host->Log(
        IsRefusal(status) ? LogLevel::kWarn : LogLevel::kInfo, "stream_refused",
        {{"peer", remote}, {"code", ErrorCode(status)}, {"error", std::string(status.message())}});
    co_return;
  }
  if (talk->is_self()) {
    // We have dialed ourselves: the client's side knows as well, and there is nothing to say.
    co_await Finish(talk);
    co_return;
  }
  *place = StreamAdmission::Place();  // from here on it counts by name
  channel->LimitMessages(kStreamRequestBytesMax);
  StreamAdmission::Place by_name = admission->AdmitName(talk->peer().name);
  StreamAdmission::Place sync_place;
  if (!by_name) {
    StreamMessage busy = StreamBusy{kBusyRetryMs};
    status = co_await talk->Send(std::move(busy));
  } else {
    host->Log(
        LogLevel::kInfo, "stream_accepted",
        {{"peer", talk->peer().name}, {"address", remote}, {"tls", channel->tls_description()}});
    while (status.ok()) {
      absl::StatusOr<StreamMessage> message = co_await talk->Next();
      if (!message.ok()) break;
      status = co_await Answer(talk, *std::move(message), admission.get(), &sync_place);
    }
  }
  co_await Finish(talk);
}

}  // namespace sotto
