// What the core asks for beyond datagrams: signatures, streams, the disk, events; and accepting
// streams.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/node_core.h"

namespace sotto {

namespace asio = boost::asio;
using asio::awaitable;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::chrono::seconds kResolveTimeout{3};

absl::Status CallPersist(const std::function<absl::Status(uint32_t)>& persist, uint32_t number) {
  try {
    return persist(number);
  } catch (...) {
    return absl::UnknownError("persist_boot has thrown an exception");
  }
}

}  // namespace

// ---- actions ------------------------------------------------------------------------------------

void NodeCore::Pump() {
  if (stopped_) return;
  if (pumping_) {
    pump_again_ = true;  // an action's answer; the outer call goes on with it
    return;
  }
  pumping_ = true;
  const auto self = shared_from_this();
  do {
    pump_again_ = false;
    for (std::vector<Action> actions = protocol_->TakeActions(); !actions.empty() && !stopped_;
         actions = protocol_->TakeActions()) {
      for (const Action& action : actions) {
        std::visit([this](const auto& a) { Perform(a); }, action);
        if (stopped_) break;
      }
    }
  } while (pump_again_ && !stopped_);
  pumping_ = false;
  ConsiderItems();
  if (!stopped_) ArmTimer();
}

StatementContext NodeCore::SigningContext() const {
  StatementContext context;
  context.cluster = options_.cluster;
  context.name = options_.name;
  context.identity = identity_;
  context.addresses = advertised_;
  context.credentials = credentials_;
  return context;
}

void NodeCore::Perform(const SignStatement& action) {
  const absl::StatusOr<StatementRef> statement = SignDraft(action.draft, SigningContext());
  if (!statement.ok()) {
    Log(LogLevel::kError, "sign_failed", {{"error", Describe(statement.status())}});
    return;
  }
  cache_->AddOwn(*statement);
  protocol_->HandleSigned(Now(), *statement);
}

void NodeCore::Perform(const PersistBoot& action) {
  const uint32_t number = action.boot_number;
  if (!options_.persist_boot) {
    protocol_->HandleBootPersisted(Now(), number);
    return;
  }
  if (!disk_) disk_ = std::make_unique<asio::thread_pool>(1);
  asio::post(*disk_, [weak = weak_from_this(), persist = options_.persist_boot, number,
                      executor = executor_] {
    const absl::Status status = CallPersist(persist, number);
    asio::post(executor, [weak, number, status] {
      const auto self = weak.lock();
      if (!self || self->stopped_) return;
      if (status.ok()) {
        self->protocol_->HandleBootPersisted(self->Now(), number);
      } else {
        self->Log(LogLevel::kError, "boot_number_not_written", {{"error", Describe(status)}});
        self->protocol_->HandleBootPersistFailed(self->Now(), number);
      }
      self->Pump();
    });
  });
}

void NodeCore::AddRoute(const Endpoint& to, StreamTarget* target) const {
  target->routes.push_back({ToTcp(to), transport_->StreamSource(to)});
}

StreamTarget NodeCore::TargetOf(const Statement& alive) const {
  StreamTarget target;
  target.expected_name = alive.subject;
  target.text = alive.subject;
  for (const Endpoint& endpoint : alive.alive->addresses) {
    if (transport_->CanReach(endpoint)) AddRoute(endpoint, &target);
  }
  return target;
}

awaitable<absl::StatusOr<StreamTarget>> NodeCore::ResolveContact(std::string contact) {
  const auto self = shared_from_this();
  StreamTarget target;
  target.text = contact;
  const absl::StatusOr<HostPort> parts = SplitHostPort(contact);
  if (!parts.ok()) co_return parts.status();
  const absl::StatusOr<Endpoint> literal = ParseEndpoint(contact);
  if (literal.ok()) {
    if (transport_->CanReach(*literal)) AddRoute(*literal, &target);
    co_return target;
  }
  const auto resolver = std::make_shared<tcp::resolver>(executor_);
  const auto timer = std::make_shared<asio::steady_timer>(executor_, kResolveTimeout);
  timer->async_wait([resolver](const error_code& cancelled) {
    if (!cancelled) resolver->cancel();
  });
  error_code ec;
  const auto found = co_await resolver->async_resolve(parts->host, absl::StrCat(parts->port),
                                                      redirect_error(use_awaitable, ec));
  timer->cancel();
  if (ec) {
    co_return CodedError(absl::StatusCode::kUnavailable, "CONTACT_NOT_RESOLVED",
                         absl::StrCat("cannot resolve contact ", contact, ": ", ec.message()));
  }
  for (const auto& entry : found) {
    const Endpoint endpoint = FromAsio(entry.endpoint().address(), entry.endpoint().port());
    if (transport_->CanReach(endpoint)) AddRoute(endpoint, &target);
  }
  co_return target;
}

awaitable<void> NodeCore::DriveSync(StartSync action) {
  const auto self = shared_from_this();
  StreamTarget target;
  SyncResult result;
  const auto* contact = std::get_if<ContactId>(&action.target);
  bool dial = true;
  if (contact != nullptr) {
    const bool is_hint = contact->index >= kFirstKnock;
    const std::string text = is_hint ? knocks_.at(contact->index) : contacts_[contact->index];
    absl::StatusOr<StreamTarget> resolved = co_await ResolveContact(text);
    if (resolved.ok()) {
      target = *std::move(resolved);
    } else {
      result.status = resolved.status();
      dial = false;
      Log(is_hint ? LogLevel::kInfo : LogLevel::kWarn, "contact_failed",
          {{"peer", text},
           {"code", ErrorCode(result.status)},
           {"error", std::string(result.status.message())}});
    }
  } else {
    target = TargetOf(*std::get<StatementRef>(action.target));
  }
  if (dial && !stopped_) result = co_await RunSync(self, executor_, target, action.reason);
  if (stopped_) co_return;
  protocol_->HandleSyncFinished(Now(), action.id, result.outcome,
                                result.answered ? &result.peer : nullptr);
  Pump();
  if (contact != nullptr) FinishContact(contact->index, std::move(result));
}

void NodeCore::FinishContact(uint32_t index, SyncResult result) {
  const bool good = result.outcome == SyncOutcome::kEqual || result.outcome == SyncOutcome::kMerged;
  if (index >= kFirstKnock) {
    const auto knock = knocks_.extract(index);
    if (knock.empty()) return;
    knock_list_.End(Now(), knock.mapped(), good || result.outcome == SyncOutcome::kBusy);
    return;
  }
  if (result.outcome == SyncOutcome::kSelf) {
    result.status = CodedError(absl::StatusCode::kFailedPrecondition, "CONTACT_IS_SELF",
                               "this address leads back to this node");
  }
  if (result.answered) contact_members_[index] = result.peer.name;
  FinishJoins(index, good ? absl::OkStatus() : result.status);
}

void NodeCore::Perform(const StartSync& action) {
  const auto* contact = std::get_if<ContactId>(&action.target);
  const uint32_t knock = contact != nullptr && contact->index >= kFirstKnock ? contact->index : 0;
  asio::co_spawn(executor_, DriveSync(action),
                 [weak = weak_from_this(), id = action.id, knock](const std::exception_ptr& error) {
                   const auto self = weak.lock();
                   if (!error || !self || self->stopped_) return;
                   // No memory or no thread: the core must hear of it, or it waits for ever.
                   self->Log(LogLevel::kError, "sync_failed", {{"error", "out of resources"}});
                   self->protocol_->HandleSyncFinished(self->Now(), id, SyncOutcome::kUnreachable,
                                                       nullptr);
                   self->Pump();
                   if (knock != 0) self->FinishContact(knock, {});
                 });
}

void NodeCore::Perform(const SendStreamPing& action) {
  const uint64_t nonce = action.nonce;
  asio::co_spawn(executor_,
                 RunStreamPing(shared_from_this(), executor_, TargetOf(*action.to), nonce),
                 [weak = weak_from_this(), nonce](const std::exception_ptr& error,
                                                  const StreamPingResult& result) {
                   const auto self = weak.lock();
                   if (!self || self->stopped_) return;
                   // An exception: no memory or no thread, which is this machine's fault as well.
                   if (error || result.unsent) {
                     self->protocol_->HandleStreamUnsent(self->Now(), nonce);
                   } else if (result.rtt) {
                     self->protocol_->HandleStreamAck(self->Now(), nonce);
                   } else {
                     return;
                   }
                   self->Pump();
                 });
}

void NodeCore::Perform(const EmitEvent& action) { Tell(action.event); }

void NodeCore::Perform(const LeaveFinished&) {
  PublishView();  // whoever waited sees it at once
  for (auto& done : std::exchange(leaves_, {})) done(absl::OkStatus());
}

awaitable<void> NodeCore::Accept(size_t index) {
  const auto self = shared_from_this();
  asio::steady_timer pause(executor_);
  std::chrono::milliseconds backoff{5};
  while (!stopped_) {
    error_code ec;
    tcp::socket socket = co_await transport_->acceptors()[index].async_accept(
        executor_, redirect_error(use_awaitable, ec));
    if (stopped_ || ec == asio::error::operation_aborted) co_return;
    if (ec) {
      // Out of descriptors, most likely: waiting is all that helps, and the listen queue holds.
      Log(LogLevel::kWarn, "accept_failed", {{"error", ec.message()}});
      pause.expires_after(backoff);
      backoff = std::min(backoff * 2, std::chrono::milliseconds(1'000));
      co_await pause.async_wait(redirect_error(use_awaitable, ec));
      continue;
    }
    backoff = std::chrono::milliseconds(5);
    const auto remote = socket.remote_endpoint(ec);
    if (ec) continue;  // gone again already
    auto place = std::make_shared<StreamAdmission::Place>(
        admission_->AdmitAddress(remote.address().to_string()));
    if (!*place) {
      Refuse(CodedError(absl::StatusCode::kResourceExhausted, "STREAMS_EXHAUSTED",
                        "too many connections that have shown no certificate yet"),
             remote.address().to_string());
      continue;
    }
    asio::co_spawn(executor_, ServeStream(self, std::move(socket), admission_, place),
                   asio::detached);
  }
}

}  // namespace sotto
