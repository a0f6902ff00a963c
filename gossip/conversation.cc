#include "gossip/conversation.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <set>
#include <variant>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/udp_transport.h"

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
// The parts of a table, and the tombstones behind it, that may come while certificates are awaited.
constexpr size_t kAsideMax = 8;

// Connects to the first endpoint that answers.
awaitable<absl::StatusOr<tcp::socket>> Connect(asio::any_io_executor executor,
                                               StreamTarget target) {
  absl::Status last = CodedError(absl::StatusCode::kUnavailable, "DIAL_NO_ADDRESS",
                                 absl::StrCat(target.text, " has no address that can be dialed"));
  bool unsent = true;
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
    unsent = unsent && IsOwnRefusal(ec);
    last = CodedError(
        absl::StatusCode::kUnavailable,
        unsent ? "DIAL_UNSENT" : (ec == asio::error::timed_out ? "DIAL_TIMEOUT" : "DIAL_FAILED"),
        absl::StrCat("cannot connect to ", AddressText(route.to), ": ", ec.message()));
  }
  co_return last;
}

}  // namespace

std::string AddressText(const tcp::endpoint& endpoint) {
  return ToString(FromAsio(endpoint.address(), endpoint.port()));
}

Preamble Conversation::MakePreamble() const {
  Preamble preamble;
  preamble.cluster = identity_->cluster();
  preamble.name = identity_->name();
  preamble.boot_nonce = identity_->nonce();
  for (const ClusterKeyRef& key : host_->keyring().keys()) {
    preamble.keys.push_back(key->id());
    if (!host_->OfferKey(key->id()).empty()) preamble.can_offer.push_back(key->id());
  }
  if (host_->keyring().sealing()) preamble.sealing_key = host_->keyring().sealing()->id();
  return preamble;
}

absl::Status Conversation::AcceptPreamble(const Preamble& preamble) {
  const absl::StatusOr<BootId> boot_id =
      CheckPreamble(preamble, identity_->cluster(), channel_->peer().identity.name);
  if (!boot_id.ok()) return boot_id.status();
  peer_ = Source{preamble.name, *boot_id};
  return absl::OkStatus();
}

bool Conversation::LacksKeyOf(const Preamble& theirs) const {
  return std::any_of(theirs.can_offer.begin(), theirs.can_offer.end(),
                     [this](KeyId id) { return host_->keyring().Find(id) == nullptr; });
}

std::vector<std::string> Conversation::OffersTo(const Preamble& theirs) const {
  std::vector<std::string> offers;
  for (const ClusterKeyRef& key : host_->keyring().keys()) {
    const bool held =
        std::find(theirs.keys.begin(), theirs.keys.end(), key->id()) != theirs.keys.end();
    if (held || offers.size() == kPreambleOffersMax) continue;
    std::string wrapped = host_->OfferKey(key->id());
    if (!wrapped.empty()) offers.push_back(std::move(wrapped));
  }
  return offers;
}

// Each is judged by itself: one that cannot be used leaves the stream as it is.
void Conversation::TakeOffers(const Preamble& theirs) {
  for (const std::string& wrapped : theirs.offers) host_->TakeKey(peer_.name, wrapped);
}

absl::Status Conversation::BeginSealed(const Preamble& preamble) {
  if (is_self()) return absl::OkStatus();
  const Keyring& ring = host_->keyring();
  if (preamble.sealing_key) host_->ConsiderSealing(*preamble.sealing_key);
  const ClusterKeyRef own = ring.sealing();
  const bool we_hold = preamble.sealing_key.has_value() && ring.Find(*preamble.sealing_key);
  const bool they_hold = own && std::find(preamble.keys.begin(), preamble.keys.end(), own->id()) !=
                                    preamble.keys.end();
  if (!we_hold && preamble.sealing_key) host_->NoteUnknownKey(*preamble.sealing_key);
  // Who was offered our key seals with it by now, if it could take it; else the first frame tells.
  const bool offered = own && !they_hold && !host_->OfferKey(own->id()).empty();
  if (!offered && (!we_hold || !they_hold)) {
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

awaitable<absl::StatusOr<Preamble>> Conversation::ReadPreamble() {
  const absl::StatusOr<std::string> bytes = co_await channel_->ReadPreamble();
  if (!bytes.ok()) co_return bytes.status();
  co_return DecodePreamble(*bytes);
}

// The server speaks first. A client that lacks a key says so, and only then speaks it again.
awaitable<absl::Status> Conversation::OpenAsServer(Preamble* theirs) {
  Preamble own = MakePreamble();
  absl::Status status = co_await channel_->WritePreamble(EncodePreamble(own));
  if (!status.ok()) co_return status;
  absl::StatusOr<Preamble> preamble = co_await ReadPreamble();
  if (!preamble.ok()) co_return preamble.status();
  *theirs = *std::move(preamble);
  status = AcceptPreamble(*theirs);
  if (!status.ok() || is_self()) co_return status;
  TakeOffers(*theirs);
  if (!theirs->wants_keys) co_return absl::OkStatus();
  own = MakePreamble();
  own.offers = OffersTo(*theirs);
  co_return co_await channel_->WritePreamble(EncodePreamble(own));
}

awaitable<absl::Status> Conversation::OpenAsClient(Preamble* theirs) {
  absl::StatusOr<Preamble> preamble = co_await ReadPreamble();
  if (!preamble.ok()) co_return preamble.status();
  *theirs = *std::move(preamble);
  absl::Status status = AcceptPreamble(*theirs);
  if (!status.ok()) co_return status;
  Preamble own = MakePreamble();
  if (!is_self()) {
    own.offers = OffersTo(*theirs);
    own.wants_keys = LacksKeyOf(*theirs);
  }
  status = co_await channel_->WritePreamble(EncodePreamble(own));
  if (!status.ok() || !own.wants_keys) co_return status;
  preamble = co_await ReadPreamble();
  if (!preamble.ok()) co_return preamble.status();
  *theirs = *std::move(preamble);
  status = AcceptPreamble(*theirs);
  if (status.ok()) TakeOffers(*theirs);
  co_return status;
}

awaitable<absl::Status> Conversation::Open() {
  absl::Status status = co_await channel_->Handshake();
  if (!status.ok()) co_return status;
  // What the handshake has proven is worth keeping: statements of this node will name it.
  const auto released =
      host_->cache().AddCertificate(channel_->peer().certificate, host_->UnixSeconds());
  Preamble theirs;
  // Not in one expression: GCC 12 awaits both.
  if (is_server_) {
    status = co_await OpenAsServer(&theirs);
  } else {
    status = co_await OpenAsClient(&theirs);
  }
  if (!status.ok()) co_return status;
  status = BeginSealed(theirs);
  if (status.ok() && released.ok()) host_->Release(*released);
  co_return status;
}

awaitable<absl::Status> Conversation::Send(StreamMessage message) {
  absl::StatusOr<std::string> bytes = EncodeStreamMessage(message);
  if (!bytes.ok()) co_return bytes.status();
  ++sent_;
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
  rows.events = host_->protocol().event_digest();
  rows.clock = host_->protocol().event_clock();
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

awaitable<absl::StatusOr<Conversation::Table>> Conversation::ReceiveTable(SyncRows first) {
  Table whole;
  SyncTable& table = whole.rows;
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
    if (part.last) {
      whole.events = SyncEqual{part.events, part.clock};
      co_return whole;
    }
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

bool IsRefusal(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnauthenticated ||
         status.code() == absl::StatusCode::kPermissionDenied ||
         status.code() == absl::StatusCode::kFailedPrecondition;
}

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

}  // namespace sotto
