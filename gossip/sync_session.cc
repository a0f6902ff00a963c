#include "gossip/sync_session.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <deque>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "crypto/secure_random.h"
#include "gossip/base/coded_error.h"
#include "gossip/stream_channel.h"
#include "gossip/udp_transport.h"
#include "gossip/wire.h"

namespace sotto {

namespace asio = boost::asio;
using asio::awaitable;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::chrono::seconds kConnectTimeout{3};
// Statements checked before other work of the strand has its turn.
constexpr size_t kStatementsPerTurn = 32;
constexpr uint32_t kBusyRetryMs = 1'000;
// Messages of one stream, far above what a conversation needs.
constexpr int kMessagesMax = 1'024;
// The parts of a table, and the tombstones behind it, that may come while certificates are awaited.
constexpr size_t kAsideMax = 8;

std::string AddressText(const tcp::endpoint& endpoint) {
  return ToString(FromAsio(endpoint.address(), endpoint.port()));
}

// Connects to the first endpoint that answers.
awaitable<absl::StatusOr<tcp::socket>> Connect(asio::any_io_executor executor,
                                               StreamTarget target) {
  absl::Status last = CodedError(absl::StatusCode::kUnavailable, "DIAL_NO_ADDRESS",
                                 absl::StrCat(target.text, " has no address that can be dialed"));
  for (const StreamTarget::Route& route : target.routes) {
    // Shared with the timer's handler, which may still be queued when this coroutine has gone on.
    struct Attempt {
      explicit Attempt(asio::any_io_executor e) : socket(e), timer(e, kConnectTimeout) {}
      tcp::socket socket;
      asio::steady_timer timer;
      bool late = false;
    };
    const auto attempt = std::make_shared<Attempt>(executor);
    error_code ec;
    attempt->socket.open(route.to.protocol(), ec);
    if (!ec) attempt->socket.bind(route.from, ec);
    if (!ec) {
      attempt->timer.async_wait([attempt](const error_code& cancelled) {
        if (cancelled) return;
        attempt->late = true;
        error_code ignored;
        attempt->socket.close(ignored);
      });
      co_await attempt->socket.async_connect(route.to, redirect_error(use_awaitable, ec));
      attempt->timer.cancel();
      if (!ec && !attempt->late && attempt->socket.is_open()) co_return std::move(attempt->socket);
      if (attempt->late) ec = asio::error::timed_out;
    }
    last =
        CodedError(absl::StatusCode::kUnavailable,
                   ec == asio::error::timed_out ? "DIAL_TIMEOUT" : "DIAL_FAILED",
                   absl::StrCat("cannot connect to ", AddressText(route.to), ": ", ec.message()));
  }
  co_return last;
}

// One authenticated conversation, either side.
class Conversation {
 public:
  Conversation(std::shared_ptr<SyncHost> host, std::shared_ptr<StreamChannel> channel,
               bool is_server)
      : host_(std::move(host)),
        identity_(host_->identity()),
        channel_(std::move(channel)),
        is_server_(is_server) {}

  // Handshake, preambles, keys. Afterwards peer() is who the certificate says it is.
  awaitable<absl::Status> Open();

  awaitable<absl::Status> Send(StreamMessage message);
  // The next message; requests for certificates are answered on the way.
  awaitable<absl::StatusOr<StreamMessage>> Next();
  // The answer to a request for certificates. What comes before it was sent before the other end
  // had read the request: it is kept, in order, for Next().
  awaitable<absl::StatusOr<CertificateBundle>> NextBundle();

  awaitable<absl::Status> SendTable(std::vector<StatementRef> statements,
                                    std::vector<std::string> dead_names);
  // The rest of a table whose first part is `first`, verified.
  awaitable<absl::StatusOr<SyncTable>> ReceiveTable(SyncRows first);
  // Verifies raw statements, fetching certificates from the other end as needed.
  awaitable<absl::StatusOr<std::vector<StatementRef>>> Resolve(std::vector<std::string> raw);
  awaitable<absl::Status> FetchCertificates(std::vector<Hash256> hashes);

  const Source& peer() const { return peer_; }
  bool is_self() const { return peer_.boot_id == identity_->boot_id(); }
  SyncHost& host() { return *host_; }
  StreamChannel& channel() { return *channel_; }

 private:
  awaitable<absl::StatusOr<StreamMessage>> ReadMessage();
  Preamble MakePreamble() const;
  absl::Status AcceptPreamble(const Preamble& preamble);
  CertificateBundle Bundle(const WantCertificates& want);

  std::shared_ptr<SyncHost> host_;
  const ProcessIdentityRef identity_;  // one life from end to end, should the node take a new one
  std::shared_ptr<StreamChannel> channel_;
  const bool is_server_;
  Source peer_;
  int messages_ = 0;
  std::deque<StreamMessage> aside_;
};

Preamble Conversation::MakePreamble() const {
  Preamble preamble;
  preamble.cluster = identity_->cluster();
  preamble.name = identity_->name();
  preamble.boot_nonce = identity_->nonce();
  for (const ClusterKeyRef& key : host_->keyring().keys()) preamble.keys.push_back(key->id());
  if (host_->keyring().sealing()) preamble.sealing_key = host_->keyring().sealing()->id();
  return preamble;
}

absl::Status Conversation::AcceptPreamble(const Preamble& preamble) {
  const absl::StatusOr<BootId> boot_id =
      CheckPreamble(preamble, identity_->cluster(), channel_->peer().identity.name);
  if (!boot_id.ok()) return boot_id.status();
  peer_ = Source{preamble.name, *boot_id};
  if (peer_.boot_id == identity_->boot_id()) return absl::OkStatus();

  const Keyring& ring = host_->keyring();
  const ClusterKeyRef own = ring.sealing();
  const bool we_hold = preamble.sealing_key.has_value() && ring.Find(*preamble.sealing_key);
  const bool they_hold = own && std::find(preamble.keys.begin(), preamble.keys.end(), own->id()) !=
                                    preamble.keys.end();
  if (!we_hold || !they_hold) {
    return CodedError(absl::StatusCode::kUnauthenticated, "KEY_MISMATCH",
                      absl::StrCat(peer_.name, " seals with key ",
                                   preamble.sealing_key ? ToString(*preamble.sealing_key) : "none",
                                   ", we with ", own ? ToString(own->id()) : "none", "; ",
                                   we_hold ? "it does not hold ours" : "we do not hold its"));
  }
  absl::StatusOr<std::unique_ptr<StreamSealer>> sealer =
      StreamSealer::Create(own, identity_->boot_id(), peer_.boot_id, host_->NextStreamSequence());
  if (!sealer.ok()) return sealer.status();
  channel_->BeginSealed(*std::move(sealer),
                        std::make_unique<StreamOpener>(&ring, identity_->boot_id(), peer_.boot_id));
  return absl::OkStatus();
}

awaitable<absl::Status> Conversation::Open() {
  absl::Status status = co_await channel_->Handshake();
  if (!status.ok()) co_return status;
  // What the handshake has proven is worth keeping: statements of this node will name it.
  const auto released =
      host_->cache().AddCertificate(channel_->peer().certificate, host_->UnixSeconds());
  if (is_server_) {
    status = co_await channel_->WritePreamble(EncodePreamble(MakePreamble()));
    if (!status.ok()) co_return status;
  }
  const absl::StatusOr<std::string> bytes = co_await channel_->ReadPreamble();
  if (!bytes.ok()) co_return bytes.status();
  if (!is_server_) {
    status = co_await channel_->WritePreamble(EncodePreamble(MakePreamble()));
    if (!status.ok()) co_return status;
  }
  const absl::StatusOr<Preamble> preamble = DecodePreamble(*bytes);
  if (!preamble.ok()) co_return preamble.status();
  status = AcceptPreamble(*preamble);
  if (status.ok() && released.ok()) host_->Release(*released);
  co_return status;
}

awaitable<absl::Status> Conversation::Send(StreamMessage message) {
  absl::StatusOr<std::string> bytes = EncodeStreamMessage(message);
  if (!bytes.ok()) co_return bytes.status();
  co_return co_await channel_->Write(*std::move(bytes));
}

CertificateBundle Conversation::Bundle(const WantCertificates& want) {
  CertificateBundle bundle;
  for (const Hash256& hash : want.hashes) {
    const CertificateRef certificate = host_->cache().FindCertificate(hash);
    if (certificate) bundle.ders.push_back(certificate->der());
  }
  return bundle;
}

awaitable<absl::StatusOr<StreamMessage>> Conversation::ReadMessage() {
  while (true) {
    if (++messages_ > kMessagesMax) {
      co_return CodedError(absl::StatusCode::kResourceExhausted, "STREAM_MALFORMED",
                           absl::StrCat(peer_.name, " sent too many messages in one stream"));
    }
    const absl::StatusOr<std::string> bytes = co_await channel_->Read();
    if (!bytes.ok()) co_return bytes.status();
    absl::StatusOr<StreamMessage> message = DecodeStreamMessage(*bytes);
    if (!message.ok()) {
      if (message.status().code() == absl::StatusCode::kUnimplemented) continue;
      co_return message.status();
    }
    const auto* want = std::get_if<WantCertificates>(&*message);
    if (want == nullptr) co_return message;
    StreamMessage bundle = Bundle(*want);
    const absl::Status sent = co_await Send(std::move(bundle));
    if (!sent.ok()) co_return sent;
  }
}

awaitable<absl::StatusOr<StreamMessage>> Conversation::Next() {
  if (!aside_.empty()) {
    StreamMessage message = std::move(aside_.front());
    aside_.pop_front();
    co_return message;
  }
  co_return co_await ReadMessage();
}

awaitable<absl::StatusOr<CertificateBundle>> Conversation::NextBundle() {
  while (true) {
    absl::StatusOr<StreamMessage> message = co_await ReadMessage();
    if (!message.ok()) co_return message.status();
    if (auto* bundle = std::get_if<CertificateBundle>(&*message)) co_return std::move(*bundle);
    if (aside_.size() >= kAsideMax) {
      co_return CodedError(absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED",
                           absl::StrCat(peer_.name, " does not answer a request for certificates"));
    }
    aside_.push_back(*std::move(message));
  }
}

awaitable<absl::Status> Conversation::SendTable(std::vector<StatementRef> statements,
                                                std::vector<std::string> dead_names) {
  SyncRows rows;
  rows.statements.reserve(statements.size());
  for (const StatementRef& statement : statements) rows.statements.push_back(statement->bytes);
  rows.dead_names = std::move(dead_names);
  std::vector<SyncRows> parts = SplitSyncRows(std::move(rows));
  for (SyncRows& part : parts) {
    StreamMessage message = std::move(part);
    const absl::Status status = co_await Send(std::move(message));
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

awaitable<absl::Status> Conversation::FetchCertificates(std::vector<Hash256> hashes) {
  for (size_t at = 0; at < hashes.size(); at += kStreamCertificatesMax) {
    const size_t end = std::min(hashes.size(), at + kStreamCertificatesMax);
    StreamMessage want =
        WantCertificates{std::vector<Hash256>(hashes.begin() + static_cast<std::ptrdiff_t>(at),
                                              hashes.begin() + static_cast<std::ptrdiff_t>(end))};
    const absl::Status sent = co_await Send(std::move(want));
    if (!sent.ok()) co_return sent;
    const absl::StatusOr<CertificateBundle> bundle = co_await NextBundle();
    if (!bundle.ok()) co_return bundle.status();
    size_t turn = 0;
    for (const std::string& der : bundle->ders) {
      const auto released = host_->cache().AddCertificate(der, host_->UnixSeconds());
      if (released.ok()) host_->Release(*released);
      if (++turn % kStatementsPerTurn == 0) {
        co_await asio::post(co_await asio::this_coro::executor, use_awaitable);
      }
    }
  }
  co_return absl::OkStatus();
}

awaitable<absl::StatusOr<std::vector<StatementRef>>> Conversation::Resolve(
    std::vector<std::string> raw) {
  std::vector<StatementRef> verified;
  for (const bool again : {false, true}) {
    std::vector<std::string> waiting;
    std::set<Hash256> wanted;
    size_t turn = 0;
    for (std::string& bytes : raw) {
      const StatementResult result = host_->cache().Resolve(bytes, host_->UnixSeconds());
      if (const auto* ok = std::get_if<StatementVerified>(&result)) {
        verified.push_back(ok->statement);
      } else if (const auto* needs = std::get_if<StatementNeedsCertificate>(&result)) {
        wanted.insert(needs->certificate);
        waiting.push_back(std::move(bytes));
      } else {
        const auto& dropped = std::get<StatementDropped>(result);
        ++host_->stats().drops[static_cast<size_t>(dropped.reason)];
        if (!dropped.why.ok()) host_->Refuse(dropped.why, peer_.name);
        // Nobody honest passes on what it has not verified.
        if (dropped.reason == DropReason::kBadSignature) {
          co_return CodedError(absl::StatusCode::kUnauthenticated, "STATEMENT_FORGED",
                               absl::StrCat(peer_.name, " sent a statement with a bad signature"));
        }
      }
      if (++turn % kStatementsPerTurn == 0) {
        co_await asio::post(co_await asio::this_coro::executor, use_awaitable);
      }
    }
    if (wanted.empty()) break;
    if (again) {
      host_->stats().drops[static_cast<size_t>(DropReason::kUnknownCertificate)] += waiting.size();
      break;
    }
    std::vector<Hash256> hashes(wanted.begin(), wanted.end());
    const absl::Status fetched = co_await FetchCertificates(std::move(hashes));
    if (!fetched.ok()) co_return fetched;
    raw = std::move(waiting);
  }
  co_return verified;
}

awaitable<absl::StatusOr<SyncTable>> Conversation::ReceiveTable(SyncRows first) {
  SyncTable table;
  SyncRows part = std::move(first);
  size_t rows = 0;
  while (true) {
    rows += part.statements.size() + part.dead_names.size();
    if (rows > kSyncStatementsMax + kSyncDeadNamesMax) {
      co_return CodedError(
          absl::StatusCode::kResourceExhausted, "STREAM_MALFORMED",
          absl::StrCat(peer_.name, " sent a table of more than ", kSyncStatementsMax, " rows"));
    }
    table.dead_names.insert(table.dead_names.end(), part.dead_names.begin(), part.dead_names.end());
    absl::StatusOr<std::vector<StatementRef>> verified =
        co_await Resolve(std::move(part.statements));
    if (!verified.ok()) co_return verified.status();
    table.statements.insert(table.statements.end(), verified->begin(), verified->end());
    if (part.last) co_return table;
    absl::StatusOr<StreamMessage> next = co_await Next();
    if (!next.ok()) co_return next.status();
    auto* more = std::get_if<SyncRows>(&*next);
    if (more == nullptr) {
      co_return CodedError(absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED",
                           absl::StrCat(peer_.name, " broke off its table"));
    }
    part = std::move(*more);
  }
}

std::vector<std::string> RawOf(const std::vector<StatementRef>& statements) {
  std::vector<std::string> raw;
  raw.reserve(statements.size());
  for (const StatementRef& statement : statements) raw.push_back(statement->bytes);
  return raw;
}

// The client's half after SyncRequest. OK: tables passed both ways.
awaitable<absl::Status> ExchangeTables(std::shared_ptr<Conversation> talk, SyncRows first) {
  SyncHost& host = talk->host();
  absl::StatusOr<SyncTable> theirs = co_await talk->ReceiveTable(std::move(first));
  if (!theirs.ok()) co_return theirs.status();
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
  StreamMessage done = SyncDone{};
  co_return co_await talk->Send(std::move(done));
}

awaitable<bool> AnswersPing(std::shared_ptr<Conversation> talk, uint64_t nonce) {
  StreamMessage ping = StreamPing{nonce};
  const absl::Status status = co_await talk->Send(std::move(ping));
  if (!status.ok()) co_return false;
  const absl::StatusOr<StreamMessage> answer = co_await talk->Next();
  const StreamAck* ack = answer.ok() ? std::get_if<StreamAck>(&*answer) : nullptr;
  co_return ack != nullptr && ack->nonce == nonce;
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
    result.answered = co_await AnswersPing(talk, RandomSeed64().value_or(1));
    if (result.answered) result.outcome = SyncOutcome::kEqual;
    co_return result;
  }
  result.outcome = SyncOutcome::kUnreachable;
  SyncRequest request;
  request.set_hash = host.protocol().set_hash();
  request.reason = reason;
  request.announce = host.protocol().standing().announced;
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
  } else if (std::holds_alternative<SyncEqual>(*answer)) {
    result.outcome = SyncOutcome::kEqual;
  } else if (auto* rows = std::get_if<SyncRows>(&*answer)) {
    result.status = co_await ExchangeTables(talk, std::move(*rows));
    if (result.status.ok()) result.outcome = SyncOutcome::kMerged;
  } else {
    result.status = CodedError(absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED",
                               absl::StrCat(talk->peer().name, " answered a sync with nonsense"));
  }
  co_return result;
}

// Whether a failed conversation was a "no" that this node should be told of, and not just a bad
// line.
bool IsRefusal(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnauthenticated ||
         status.code() == absl::StatusCode::kPermissionDenied ||
         status.code() == absl::StatusCode::kFailedPrecondition;
}

// Dials and opens; null with `*status` set if that failed.
awaitable<std::shared_ptr<Conversation>> Dial(std::shared_ptr<SyncHost> host,
                                              asio::any_io_executor executor, StreamTarget target,
                                              absl::Status* status) {
  absl::StatusOr<tcp::socket> socket = co_await Connect(executor, target);
  if (!socket.ok()) {
    *status = socket.status();
    co_return nullptr;
  }
  ++host->stats().tls_dialed;
  auto channel =
      StreamChannel::Create(*std::move(socket), host->tls(), false, target.expected_name);
  host->Track(channel);
  auto talk = std::make_shared<Conversation>(host, channel, false);
  *status = co_await talk->Open();
  if (status->ok()) co_return talk;
  channel->Close();
  if (IsRefusal(*status)) host->Refuse(*status, target.text);
  co_return nullptr;
}

awaitable<void> Finish(std::shared_ptr<Conversation> talk) {
  NodeStats& stats = talk->host().stats();
  stats.sync_bytes_sent += talk->channel().payload_sent();
  stats.sync_bytes_received += talk->channel().payload_received();
  const DropReason drop = talk->channel().last_drop();
  if (drop != DropReason::kNone) ++stats.drops[static_cast<size_t>(drop)];
  co_await talk->channel().Shutdown();
}

}  // namespace

// ---- admission ----------------------------------------------------------------------------------

StreamAdmission::Place::Place(size_t* total, std::map<std::string, size_t>* by_key, std::string key)
    : total_(total), by_key_(by_key), key_(std::move(key)) {
  ++*total_;
  if (by_key_ != nullptr) ++(*by_key_)[key_];
}

StreamAdmission::Place::~Place() {
  if (total_ == nullptr) return;
  --*total_;
  if (by_key_ == nullptr) return;
  const auto it = by_key_->find(key_);
  if (--it->second == 0) by_key_->erase(it);
}

StreamAdmission::Place::Place(Place&& other) noexcept
    : total_(std::exchange(other.total_, nullptr)),
      by_key_(other.by_key_),
      key_(std::move(other.key_)) {}

StreamAdmission::Place& StreamAdmission::Place::operator=(Place&& other) noexcept {
  std::swap(total_, other.total_);
  std::swap(by_key_, other.by_key_);
  std::swap(key_, other.key_);
  return *this;
}

StreamAdmission::Place StreamAdmission::AdmitAddress(const std::string& address) {
  const auto it = by_address_.find(address);
  if (unknown_ >= kUnknownMax || (it != by_address_.end() && it->second >= kUnknownPerAddressMax)) {
    return {};
  }
  return Place(&unknown_, &by_address_, address);
}

StreamAdmission::Place StreamAdmission::AdmitName(const std::string& name) {
  const auto it = by_name_.find(name);
  if (known_ >= kKnownMax || (it != by_name_.end() && it->second >= kKnownPerNameMax)) return {};
  return Place(&known_, &by_name_, name);
}

StreamAdmission::Place StreamAdmission::AdmitSync() {
  if (syncs_ >= kSyncsMax) return {};
  return Place(&syncs_, nullptr, std::string());
}

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

awaitable<bool> RunStreamPing(std::shared_ptr<SyncHost> host, asio::any_io_executor executor,
                              StreamTarget target, uint64_t nonce) {
  absl::Status status;
  std::shared_ptr<Conversation> talk = co_await Dial(host, executor, target, &status);
  if (!talk) co_return false;
  bool answered = false;
  if (!talk->is_self()) answered = co_await AnswersPing(talk, nonce);
  co_await Finish(talk);
  co_return answered;
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
    if (request->set_hash == protocol.set_hash()) {
      StreamMessage equal = SyncEqual{};
      co_return co_await talk->Send(std::move(equal));
    }
    SyncTable table = protocol.MakeSyncTable();
    co_return co_await talk->SendTable(std::move(table.statements), std::move(table.dead_names));
  }
  if (auto* rows = std::get_if<SyncRows>(&message)) {
    if (!*sync_place) co_return absl::CancelledError();
    absl::StatusOr<SyncTable> table = co_await talk->ReceiveTable(std::move(*rows));
    if (!table.ok()) co_return table.status();
    protocol.HandleSyncTable(host.Now(), talk->peer(), *table);
    host.Pump();
    StreamMessage tombstones = SyncTombstones{RawOf(protocol.TombstonesFor(*table))};
    co_return co_await talk->Send(std::move(tombstones));
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
  StreamAdmission::Place by_name = admission->AdmitName(talk->peer().name);
  StreamAdmission::Place sync_place;
  if (!by_name) {
    StreamMessage busy = StreamBusy{kBusyRetryMs};
    status = co_await talk->Send(std::move(busy));
  } else if (!talk->is_self()) {
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
