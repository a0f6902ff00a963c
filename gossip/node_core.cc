#include "gossip/node_core.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <utility>

#include "crypto/secure_random.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/stream_channel.h"

namespace sotto {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr Duration kFormerIdentity = Duration::Seconds(10);  // W7
constexpr int64_t kClockJumpNs = 1'000'000'000;              // W7
constexpr Duration kHousekeepEvery = Duration::Seconds(1);
constexpr Duration kEarly = Duration::Millis(100);
constexpr int kTurnsPerTidying = 10;
constexpr int kTurnsPerWallClock = 60;
// What an unchanged table's picture says of round trips and agreement may be as old as this.
constexpr Duration kViewAge = Duration::Seconds(1);
// Between two pictures for subscriptions, for each member in them beyond a few, and at most: in a
// join of many, pictures would cost more than all else.
constexpr int64_t kPublishFreeMembers = 32;
constexpr Duration kPublishMemberPause = Duration::Micros(200);
constexpr Duration kPublishPauseMax = Duration::Millis(200);
constexpr size_t kRefusalsMax = 64;
constexpr size_t kRefusalCodesMax = 64;
constexpr Duration kWantForget = Duration::Seconds(60);

int64_t ClockNs(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

absl::Status Invalid(std::string_view code, std::string_view message) {
  return CodedError(absl::StatusCode::kInvalidArgument, code, message);
}

}  // namespace

// ---- making -------------------------------------------------------------------------------------

NodeCore::NodeCore(NodeOptions options, asio::io_context& io,
                   std::shared_ptr<CallbackRunner> runner)
    : options_(std::move(options)),
      executor_(TurnExecutor(asio::make_strand(io), turn_)),
      runner_(std::move(runner)),
      timer_(executor_),
      housekeeping_(executor_),
      watchers_(runner_),
      inbox_(runner_, options_.on_message),
      publish_timer_(executor_),
      epoch_(static_cast<uint64_t>(ClockNs(CLOCK_REALTIME))) {}

NodeCore::~NodeCore() = default;

absl::StatusOr<std::shared_ptr<NodeCore>> NodeCore::Create(NodeOptions options,
                                                           asio::io_context& io,
                                                           std::shared_ptr<CallbackRunner> runner) {
  auto core = std::shared_ptr<NodeCore>(new NodeCore(std::move(options), io, std::move(runner)));
  SOTTO_RETURN_IF_ERROR(core->Prepare());
  return core;
}

absl::Status NodeCore::Prepare() {
  SOTTO_RETURN_IF_ERROR(options_.Validate());
  std::sort(options_.tags.begin(), options_.tags.end());
  for (const ClusterKeyRef& key : options_.keys) SOTTO_RETURN_IF_ERROR(keyring_.Install(key));
  contacts_ = options_.join;

  SOTTO_ASSIGN_OR_RETURN(identity_, ProcessIdentity::Create(options_.cluster, options_.name));
  SOTTO_RETURN_IF_ERROR(PrepareTls());
  SOTTO_RETURN_IF_ERROR(PrepareAddresses());
  cache_ = std::make_unique<StatementCache>(trust_, StatementCacheOptions(), options_.shared_cache);
  (void)cache_->AddCertificate(credentials_->certificate(), UnixSeconds());

  SelfIdentity self;
  self.cluster = options_.cluster;
  self.name = options_.name;
  self.boot_id = identity_->boot_id();
  self.boot_number = options_.boot_number;
  self.tags = options_.tags;
  self.addresses = advertised_;
  if (options_.seed == 0) {
    SOTTO_ASSIGN_OR_RETURN(options_.seed, RandomSeed64());
  }
  coordinates_ = std::make_unique<CoordinateTable>(options_.seed);
  protocol_ =
      std::make_unique<Protocol>(options_.protocol, std::move(self),
                                 static_cast<uint32_t>(contacts_.size()), options_.seed, Now());
  codec_ = std::make_unique<FrameCodec>(identity_, &keyring_, [this](const BootId& boot_id) {
    const StatementRef alive = protocol_->FindBoot(boot_id);
    if (!alive) return static_cast<const FramePeer*>(nullptr);
    lookup_result_ = FramePeer{boot_id, alive->alive->x25519_public};
    return static_cast<const FramePeer*>(&lookup_result_);
  });
  for (const std::string& hint : options_.hints) static_cast<void>(TryKnock(hint));
  PublishView();
  return absl::OkStatus();
}

absl::Status NodeCore::PrepareTls() {
  SOTTO_ASSIGN_OR_RETURN(credentials_,
                         Credentials::FromPem(options_.tls.cert_pem, options_.tls.key_pem));
  SOTTO_ASSIGN_OR_RETURN(trust_, TrustStore::Create(options_.tls.ca_pem, options_.tls.crl_pem,
                                                    options_.cluster, trust_generation_));
  SOTTO_ASSIGN_OR_RETURN(tls_, TlsContext::Create(credentials_, trust_, kAlpnSync, UnixSeconds()));
  SOTTO_ASSIGN_OR_RETURN(const CertificateIdentity who, credentials_->certificate()->Identity());
  if (who.name != options_.name) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "CERT_WRONG_NAME",
                      absl::StrCat("the certificate names node \"", who.name, "\", this node is \"",
                                   options_.name, "\""));
  }
  return absl::OkStatus();
}

absl::Status NodeCore::PrepareAddresses() {
  std::vector<Endpoint> bind;
  for (const std::string& text : options_.bind) {
    SOTTO_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(text));
    bind.push_back(endpoint);
  }
  std::vector<Endpoint> advertise;
  for (const std::string& text : options_.advertise) {
    SOTTO_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(text));
    advertise.push_back(endpoint);
  }
  SOTTO_ASSIGN_OR_RETURN(transport_, UdpTransport::Open(executor_, bind));
  if (advertise.empty()) advertise = transport_->bound();
  if (advertise.size() > kAddressesMax) {
    return Invalid("ADDRESS_INVALID", absl::StrCat("at most ", kAddressesMax, " addresses"));
  }
  for (Endpoint& endpoint : advertise) {
    if (endpoint.port == 0) endpoint.port = transport_->bound().front().port;
    if (IsUnroutable(endpoint)) {
      return Invalid("ADDRESS_UNROUTABLE", absl::StrCat("others cannot reach ", ToString(endpoint),
                                                        "; say which address to advertise"));
    }
  }
  advertised_ = std::move(advertise);
  return absl::OkStatus();
}

void NodeCore::Begin() {
  if (stopped_) return;  // before its loop has run at all
  begun_ = true;
  pid_ = getpid();
  clock_gap_ns_ = ClockNs(CLOCK_REALTIME) - ClockNs(CLOCK_MONOTONIC);
  transport_->Start([this](const Endpoint& from, std::span<const uint8_t> datagram) {
    HandleDatagram(from, datagram);
  });
  for (size_t i = 0; i < transport_->acceptors().size(); ++i) {
    asio::co_spawn(executor_, Accept(i), asio::detached);
  }
  protocol_->HandleWallClock(Now(), UnixSeconds());
  protocol_->Start(Now());
  Pump();
  Housekeep();
}

void NodeCore::Stop() {
  if (stopped_) return;
  FlushItems();
  stopped_ = true;
  timer_.cancel();
  housekeeping_.cancel();
  publish_timer_.cancel();
  transport_->Close();
  for (const auto& weak : streams_) {
    if (const auto stream = weak.lock()) stream->Close();
  }
  watchers_.Clear();
  const absl::Status gone = absl::CancelledError("the node has stopped");
  for (const auto& join : joins_) {
    join->timer->cancel();
    if (join->done) std::exchange(join->done, nullptr)(gone);
  }
  joins_.clear();
  for (auto& done : std::exchange(leaves_, {})) done(gone);
  inbox_.Stop();
  for (auto& [member, box] : outboxes_) FailOutbox(&box, gone);
  for (auto& [number, wait] : std::exchange(pings_, {})) {
    wait->timer.cancel();
    if (wait->done) std::exchange(wait->done, nullptr)(gone);
  }
  if (disk_) disk_->join();
}

Instant NodeCore::Now() const { return Instant::FromNanos(ClockNs(CLOCK_MONOTONIC)); }

int64_t NodeCore::UnixSeconds() const { return ClockNs(CLOCK_REALTIME) / 1'000'000'000; }

// ---- time ---------------------------------------------------------------------------------------

void NodeCore::ArmTimer() {
  // One that fires a little early costs less than setting it anew with every datagram.
  const Instant deadline = protocol_->NextDeadline();
  if (deadline >= armed_for_ && deadline - armed_for_ < kEarly) return;
  armed_for_ = deadline;
  timer_.expires_at(std::chrono::steady_clock::time_point(
      std::chrono::nanoseconds(std::max<int64_t>(deadline.nanos(), 0))));
  timer_.async_wait([weak = weak_from_this()](const error_code& ec) {
    const auto self = weak.lock();
    if (ec || !self || self->stopped_) return;
    self->armed_for_ = Instant::Never();
    self->CheckClocks();
    const Instant now = self->Now();
    const Instant due = self->protocol_->NextDeadline();
    if (due < now) self->protocol_->HandleLoopLag(now, now - due);
    self->protocol_->HandleTimeout(now);
    self->Pump();
    // Where the protocol wakes this node anyway, nothing else has to.
    if (now - self->housekept_ >= kHousekeepEvery) self->Housekeep();
  });
}

void NodeCore::Housekeep() {
  if (stopped_) return;
  housekept_ = Now();
  CheckClocks();
  CheckKeys();
  if (++housekeeping_turns_ % kTurnsPerWallClock == 0) {
    protocol_->HandleWallClock(Now(), UnixSeconds());
    Pump();
  }
  if (view_dirty_) PublishView();
  housekeeping_.expires_after(std::chrono::nanoseconds((kHousekeepEvery * 2).nanos()));
  housekeeping_.async_wait([weak = weak_from_this()](const error_code& ec) {
    const auto self = weak.lock();
    if (!ec && self) self->Housekeep();
  });
}

void NodeCore::CheckClocks() {
  if (stream_sequences_.drawn() / StreamSequences::kPerLife != stream_lives_) {
    ++stream_lives_;
    return Reboot("stream_sequences");
  }
  if (getpid() != pid_) return Reboot("fork");
  const int64_t gap = ClockNs(CLOCK_REALTIME) - ClockNs(CLOCK_MONOTONIC);
  const int64_t moved = gap - std::exchange(clock_gap_ns_, gap);
  if (moved > kClockJumpNs || moved < -kClockJumpNs) Reboot("clock_jump");
}

// The node's own key is in doubt only when most of the living cannot be understood any more while
// their frames still come. Frames that anybody may have forged under a known boot id prove nothing
// as long as that member is also heard (docs/decisions: an outsider must not be able to blind a
// node).
void NodeCore::CheckKeys() {
  const Instant now = Now();
  if (now - last_key_drop_ < options_.protocol.probe_interval * 2) JudgeKeys(now);
  if (housekeeping_turns_ % kTurnsPerTidying != 0) return;
  for (auto it = heard_.begin(); it != heard_.end();) {
    // A replay window lives as long as its boot id is remembered, shown or not (W6).
    if (protocol_->FindBoot(it->first)) {
      ++it;
      continue;
    }
    codec_->ForgetPeer(it->first);
    it = heard_.erase(it);
  }
  std::erase_if(wanted_, [&](const auto& entry) {
    return now - entry.second.first > kWantForget || cache_->HoldsCertificate(entry.first);
  });
  std::erase_if(distrusted_, [&](const auto& entry) { return entry.second < now; });
  std::erase_if(streams_, [](const auto& weak) { return weak.expired(); });
  if (housekeeping_turns_ % kTurnsPerWallClock == 0) {
    coordinates_->Retain(
        [this](std::string_view name) { return protocol_->Find(name).has_value(); });
  }
}

void NodeCore::JudgeKeys(Instant now) {
  const Duration recent = options_.protocol.probe_interval * 2;
  size_t others = 0;
  size_t garbled = 0;
  for (const MemberInfo& member : protocol_->Members()) {
    if (member.is_self || member.state > MemberState::kSuspect) continue;
    ++others;
    const auto it = heard_.find(member.claims->boot_id);
    if (it == heard_.end() || !it->second.any_key_drop) continue;
    garbled += now - it->second.key_drop < recent && now - it->second.valid > recent;
  }
  if (garbled * 2 > others) {
    protocol_->HandleKeyTrouble(now);
    Pump();
  }
}

void NodeCore::Reboot(std::string_view why) {
  pid_ = getpid();
  absl::StatusOr<ProcessIdentityRef> identity =
      ProcessIdentity::Create(options_.cluster, options_.name);
  if (!identity.ok()) {
    Log(LogLevel::kError, "reboot_failed", {{"error", Describe(identity.status())}});
    return;
  }
  identity_ = *std::move(identity);
  const Instant now = Now();
  codec_->Rebind(identity_, now + kFormerIdentity);
  Log(LogLevel::kWarn, "new_boot_id", {{"why", std::string(why)}});
  protocol_->HandleRebooted(now, identity_->boot_id());
  Pump();
}

// ---- views, logs, watchers ----------------------------------------------------------------------

std::shared_ptr<const NodeView> NodeCore::View() {
  std::shared_ptr<const NodeView> view = HeldView();
  if (!view_dirty_ && Now() - view->now < kViewAge) return view;
  // A newer one, unless the node is at work: nobody waits for a picture.
  const std::unique_lock turn(*turn_, std::try_to_lock);
  if (!turn.owns_lock() || stopped_) return view;
  FlushItems();  // nobody sees in a picture what subscriptions have not been given
  if (view_dirty_ || Now() - HeldView()->now >= kViewAge) PublishView();
  return HeldView();
}

std::shared_ptr<const NodeView> NodeCore::HeldView() const {
  const std::lock_guard lock(view_mutex_);
  return view_;
}

void NodeCore::PublishView() {
  auto view = std::make_shared<NodeView>();
  view->sequence = ++view_sequence_;
  view->epoch = epoch_;
  view->last_item = last_item_;
  view->members = protocol_->Members(true);
  view->leader = LeaderOf(view->members);
  view->standing = protocol_->standing();
  view->incarnation = protocol_->incarnation();
  view->set_hash = protocol_->set_hash();
  view->boot_id = identity_->boot_id();
  for (const ClusterKeyRef& key : keyring_.keys()) view->keys.push_back(key->id());
  view->sealing_key = keyring_.sealing()->id();
  view->algorithm = keyring_.sealing()->algorithm();
  view->bound = transport_->bound();
  view->advertised = advertised_;
  view->certificate_not_after_unix_s = credentials_->certificate()->not_after_unix_s();
  view->certificate_subject =
      ToUri(CertificateIdentity{options_.cluster, CertificateRole::kNode, options_.name});
  view->now = Now();
  const ViewAgreement agreement = protocol_->view_agreement();
  view->views_agree = agreement.agree;
  view->views_known = agreement.known;
  view_dirty_ = false;
  const std::lock_guard lock(view_mutex_);
  view_ = std::move(view);
}

const NodeStats& NodeCore::CurrentStats() {
  stats_.refusals.assign(refusal_counts_.begin(), refusal_counts_.end());
  stats_.frames_sealed = codec_->FramesSealed(keyring_.sealing()->id());
  stats_.certificates_cached = cache_->certificates();
  stats_.statements_cached = cache_->statements();
  stats_.callback_exceptions = runner_->exceptions() + sink_exceptions_;
  stats_.protocol = protocol_->counters();
  return stats_;
}

void NodeCore::Log(LogLevel level, std::string event,
                   std::vector<std::pair<std::string, std::string>> fields) {
  if (!options_.log) return;
  try {
    options_.log(LogRecord{level, std::move(event), std::move(fields)});
  } catch (...) {
    ++sink_exceptions_;
  }
}

void NodeCore::Refuse(const absl::Status& status, std::string peer) {
  const std::string code = ErrorCode(status);
  if (refusal_counts_.size() < kRefusalCodesMax || refusal_counts_.count(code) > 0) {
    ++refusal_counts_[code];
  }
  Refusal refusal;
  refusal.unix_ms = ClockNs(CLOCK_REALTIME) / 1'000'000;
  refusal.code = code;
  refusal.peer = std::move(peer);
  refusal.message = std::string(status.message());
  refusals_.push_back(std::move(refusal));
  if (refusals_.size() > kRefusalsMax) refusals_.pop_front();
}

void NodeCore::Track(std::weak_ptr<StreamChannel> channel) {
  streams_.push_back(std::move(channel));
}

void NodeCore::Release(const std::vector<StatementRef>& statements) {
  for (const StatementRef& statement : statements) protocol_->HandleStatement(Now(), statement);
  if (!statements.empty()) Pump();
}

std::shared_ptr<WatchQueue> NodeCore::Watch(WatchCallback callback, WatchOptions options) {
  FlushItems();  // it begins with a picture that includes them
  if (view_dirty_ && !stopped_) PublishView();
  return watchers_.Add(std::move(callback), options, HeldView());
}

void NodeCore::Tell(WatchBody body) {
  items_.push_back(WatchItem{epoch_, ++last_item_, std::move(body), nullptr});
  view_dirty_ = true;
}

void NodeCore::ConsiderItems() {
  if (items_.empty() || publish_armed_ || stopped_) return;
  if (Now() >= publish_after_) return FlushItems();
  publish_armed_ = true;
  publish_timer_.expires_at(
      std::chrono::steady_clock::time_point(std::chrono::nanoseconds(publish_after_.nanos())));
  publish_timer_.async_wait([weak = weak_from_this()](const error_code& ec) {
    const auto self = weak.lock();
    if (!self) return;
    self->publish_armed_ = false;
    if (!ec) self->FlushItems();
  });
}

void NodeCore::FlushItems() {
  if (items_.empty() || stopped_) return;
  const std::vector<WatchItem> items = std::exchange(items_, {});
  if (watchers_.empty()) return;
  PublishView();
  const std::shared_ptr<const NodeView> view = HeldView();
  const auto members = static_cast<int64_t>(view->members.size());
  const int64_t counted = std::max<int64_t>(members - kPublishFreeMembers, 0);
  publish_after_ = view->now + std::min(kPublishMemberPause * counted, kPublishPauseMax);
  watchers_.Publish(items, view);
}

}  // namespace sotto
