// A backend for tests of the admin API: a cluster of three on paper, and commands that a test
// steers.
#ifndef SOTTO_TESTS_CMD_FAKE_BACKEND_H_
#define SOTTO_TESTS_CMD_FAKE_BACKEND_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cmd/sottod/admin_backend.h"
#include "gossip/base/coded_error.h"

namespace sotto {

inline Endpoint LoopbackEndpoint(uint16_t port) {
  Endpoint endpoint;
  endpoint.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
  endpoint.port = port;
  return endpoint;
}

inline MemberInfo MakeMember(const std::string& name, MemberState state, Instant since) {
  MemberInfo member;
  member.name = name;
  member.state = state;
  member.since = since;
  member.incarnation = Incarnation::Of(3, 1);
  AliveClaims claims;
  claims.addresses = {LoopbackEndpoint(7950)};
  claims.tags = {{"role", "gateway"}};
  claims.not_after_unix_s = 1'800'000'000;
  member.claims = std::make_shared<const AliveClaims>(std::move(claims));
  auto statement = std::make_shared<Statement>();
  statement->subject = name;
  statement->certificate.bytes.fill(0xab);
  member.owner = statement;
  return member;
}

// gw-1 (this node), gw-2 alive, gw-3 suspect, gw-4 forgotten, gw-5 dead for longer than is shown.
inline DaemonSnapshot MakeSnapshot() {
  DaemonSnapshot s;
  s.cluster = "edge-prod";
  s.node = "gw-1";
  s.version = "0.1.0";
  s.pid = 4711;
  s.up_s = 3600;
  s.unix_ms = 1'795'269'731'120;
  s.now = Instant() + Duration::Hours(100);
  auto view = std::make_shared<NodeView>();
  view->now = s.now;
  const Instant recent = s.now - Duration::Millis(1200);
  view->members = {MakeMember("gw-1", MemberState::kAlive, recent),
                   MakeMember("gw-2", MemberState::kAlive, recent),
                   MakeMember("gw-3", MemberState::kSuspect, recent),
                   MakeMember("gw-4", MemberState::kForgotten, recent),
                   MakeMember("gw-5", MemberState::kDead, s.now - Duration::Hours(73))};
  view->members[0].is_self = true;
  view->members[1].rtt = Duration::Micros(400);
  view->members[2].accusers = {"gw-2", "gw-5"};
  view->members[2].dies_at = s.now + Duration::Millis(3800);
  view->standing.announced = true;
  view->incarnation = Incarnation::Of(3, 1);
  view->set_hash = {0x9c31a0f2d4418877, 1};
  view->keys = {KeyId{0x9f3c21aa}};
  view->sealing_key = KeyId{0x9f3c21aa};
  view->bound = {LoopbackEndpoint(7950)};
  view->advertised = view->bound;
  view->views_agree = view->views_known = 2;
  s.view = view;
  s.stats.frames_sent = 18204;
  s.stats.drops[static_cast<size_t>(DropReason::kBadTag)] = 4;
  s.stats.refusals = {{"CERT_UNTRUSTED", 2}};
  s.store.url = "sqlite:/var/lib/sotto/sotto.db";
  s.store.last_read_s_ago = 4.0;
  s.keys = {{KeyId{0x9f3c21aa}, AeadAlgorithm::kAes256Gcm, 1}};
  CertificateSummary node;
  node.use = "node";
  node.subject = "sotto://edge-prod/node/gw-1";
  node.issuer = "O=edge-prod";
  node.serial = "1f";
  node.key = "EC P-256";
  node.not_before_unix_s = s.unix_ms / 1000 - 86'400;
  node.not_after_unix_s = s.unix_ms / 1000 + 21 * 86'400;
  CertificateSummary ca = node;
  ca.use = "ca";
  ca.subject = "O=edge-prod";
  ca.not_after_unix_s += 3650LL * 86'400;
  s.certificates = {node, ca};
  HandlerStats handler;
  handler.on = {"member_died", "query:load"};
  handler.program = "/usr/local/lib/failover";
  handler.runs = 4;
  s.handlers = {handler};
  return s;
}

// The picture with another view, made by `change`.
template <typename Change>
DaemonSnapshot WithView(DaemonSnapshot snapshot, Change change) {
  auto view = std::make_shared<NodeView>(*snapshot.view);
  change(*view);
  snapshot.view = std::move(view);
  return snapshot;
}

class FakeBackend final : public AdminBackend {
 public:
  DaemonSnapshot Look() const override { return Snapshot(); }
  DaemonSnapshot Snapshot() const override {
    std::lock_guard lock(mutex_);
    return snapshot_;
  }
  std::vector<Tag> Tags() const override {
    std::lock_guard lock(mutex_);
    return tags_;
  }

  // Blocks while joins are held.
  absl::StatusOr<int> Join(const std::vector<std::string>& contacts,
                           std::chrono::milliseconds timeout) override {
    std::unique_lock lock(mutex_);
    contacts_ = contacts;
    timeout_ = timeout;
    ++joins_running_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !hold_joins_; });
    --joins_running_;
    if (contacts[0] == "nobody:1") {
      return CodedError(absl::StatusCode::kUnavailable, "JOIN_FAILED", "nobody:1: no answer");
    }
    return static_cast<int>(contacts.size());
  }

  absl::StatusOr<bool> Leave(std::chrono::milliseconds) override { return false; }

  absl::Status Forget(std::string_view name) override {
    if (name == "gw-2") return absl::OkStatus();
    return CodedError(absl::StatusCode::kNotFound, "MEMBER_UNKNOWN", "no such member");
  }

  absl::StatusOr<std::vector<Tag>> ChangeTags(const std::vector<Tag>& set,
                                              const std::vector<std::string>& unset) override {
    std::lock_guard lock(mutex_);
    for (const std::string& key : unset) {
      std::erase_if(tags_, [&](const Tag& tag) { return tag.key == key; });
    }
    tags_.insert(tags_.end(), set.begin(), set.end());
    std::sort(tags_.begin(), tags_.end());
    return tags_;
  }

  absl::StatusOr<ReloadSummary> Reload() override {
    return ReloadSummary{{"log.level"}, {"node.tags"}, {"gossip.bind"}};
  }

  absl::Status SendEvent(const EventOrder& order) override {
    std::lock_guard lock(mutex_);
    events_sent_.push_back(order);
    if (order.name != "too-big") return absl::OkStatus();
    return CodedError(absl::StatusCode::kInvalidArgument, "EVENT_TOO_LARGE", "at most 1013 bytes");
  }

  // gw-2 acks and answers at once, gw-3 stays silent; the end comes with EndQuery(), or at once.
  absl::Status Query(const QueryOrder& order, OnReply on_reply, OnQueryEnd on_end) override {
    if (order.name == "_sotto/none") {
      return CodedError(absl::StatusCode::kInvalidArgument, "SAID_NAME_RESERVED", "not yours");
    }
    on_reply({"gw-2", true, ""});
    on_reply({"gw-2", false, order.payload});
    std::lock_guard lock(mutex_);
    query_ = order;
    end_query_ = [on_reply, on_end = std::move(on_end)] {
      on_reply({"gw-3", true, ""});
      on_end({3, 2, 1, {"gw-3"}, true});
    };
    if (!hold_queries_) end_query_();
    return absl::OkStatus();
  }

  absl::StatusOr<PingOutcome> Ping(std::string_view member, std::chrono::milliseconds) override {
    if (member == "gw-2") return PingOutcome{Duration::Micros(400), Duration::Micros(1200)};
    if (member == "gw-3") return PingOutcome{std::nullopt, Duration::Micros(900)};
    return CodedError(absl::StatusCode::kNotFound, "MEMBER_UNKNOWN", "no such member");
  }

  absl::StatusOr<Duration> Rtt(std::string_view, std::string_view b) override {
    if (b != "gw-9") return Duration::Micros(1500);
    return CodedError(absl::StatusCode::kUnavailable, "RTT_UNKNOWN", "not measured yet");
  }

  absl::StatusOr<ReachReport> Reach(std::chrono::milliseconds) override {
    ReachReport report;
    report.members = {"gw-1", "gw-2", "gw-3"};
    report.rows["gw-1"] = {Hearing::kUdp, Hearing::kUdp, Hearing::kTcpOnly};
    report.rows["gw-2"] = {Hearing::kNothing, Hearing::kUdp, Hearing::kNotAsked};
    report.silent = {"gw-3"};
    return report;
  }

  std::vector<CaseSummary> Cases(std::string_view member) override {
    if (member != "gw-3") return {};
    const Instant now = MakeSnapshot().now;
    CaseSummary old;
    old.began = now - Duration::Seconds(90);
    old.ended = now - Duration::Seconds(89);
    old.incarnation = Incarnation::Of(3, 0);
    old.answered_with = Incarnation::Of(3, 1);
    old.end = "refuted";
    old.accusers = {{"gw-5", "suspect", old.began, std::nullopt}};
    CaseSummary open;
    open.began = now - Duration::Millis(1200);
    open.incarnation = Incarnation::Of(3, 1);
    open.end = "open";
    CaseEvidence evidence;
    evidence.direct_failed = true;
    evidence.relays_asked = 3;
    evidence.relays_nacked = 2;
    evidence.stream = "failed";
    evidence.silent_for = Duration::Millis(2100);
    open.accusers = {{"gw-2", "suspect", open.began, evidence}};
    return {old, open};
  }

  void HoldQueries() {
    std::lock_guard lock(mutex_);
    hold_queries_ = true;
  }
  void EndQuery() {
    std::function<void()> end;
    {
      std::lock_guard lock(mutex_);
      end = end_query_;
    }
    end();
  }
  QueryOrder query() const {
    std::lock_guard lock(mutex_);
    return query_;
  }
  std::vector<EventOrder> events_sent() const {
    std::lock_guard lock(mutex_);
    return events_sent_;
  }

  void Audit(std::string_view call, int64_t uid, int64_t, const absl::Status& outcome) override {
    std::lock_guard lock(mutex_);
    audit_.push_back(std::string(call) + " " + std::to_string(uid) + " " +
                     (outcome.ok() ? "ok" : ErrorCode(outcome)));
  }

  void HoldJoins(bool hold) {
    std::lock_guard lock(mutex_);
    hold_joins_ = hold;
    changed_.notify_all();
  }
  // False if it takes longer than 20 s.
  bool WaitForJoins(int running) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20),
                             [&] { return joins_running_ >= running; });
  }
  std::vector<std::string> audit() const {
    std::lock_guard lock(mutex_);
    return audit_;
  }
  std::vector<std::string> contacts() const {
    std::lock_guard lock(mutex_);
    return contacts_;
  }
  std::chrono::milliseconds timeout() const {
    std::lock_guard lock(mutex_);
    return timeout_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  DaemonSnapshot snapshot_ = MakeSnapshot();
  std::vector<Tag> tags_ = {{"role", "gateway"}};
  std::vector<std::string> contacts_;
  std::chrono::milliseconds timeout_{0};
  std::vector<std::string> audit_;
  std::vector<EventOrder> events_sent_;
  QueryOrder query_;
  std::function<void()> end_query_;
  bool hold_queries_ = false;
  bool hold_joins_ = false;
  int joins_running_ = 0;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_CMD_FAKE_BACKEND_H_
