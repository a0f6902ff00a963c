// A backend for tests of the admin API: a cluster of three on paper, and commands that a test
// steers.
#ifndef SOTTO_TESTS_CMD_FAKE_BACKEND_H_
#define SOTTO_TESTS_CMD_FAKE_BACKEND_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
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

// A rotation on paper that a test steers: four known members, gw-5 dead; generation 12 is active.
class FakeKeys final : public KeyAdmin {
 public:
  FakeKeys() {
    overview_.cluster = "edge-prod";
    overview_.store_url = "postgresql://db.internal/app";
    overview_.leader = "gw-1";
    overview_.retire_after_s = 86'400;
    overview_.next_rotation_ms = 1'797'861'731'120;
    KeyRowView active;
    active.generation = 12;
    active.id = KeyId{0x9f3c21aa};
    active.state = "active";
    active.algorithm = AeadAlgorithm::kAes256Gcm;
    active.kek = "LSfGgNInMfs";
    active.held_here = active.seals_here = true;
    active.frames_sealed = 91'223'117;
    active.created_ms = active.activated_ms = 1'795'000'000'000;
    active.actor = "schedule (gw-1)";
    overview_.keys = {active};
    for (const char* name : {"gw-1", "gw-2", "gw-3", "gw-5"}) {
      KeyHolderView holder;
      holder.name = name;
      holder.state = MemberState::kAlive;
      holder.held = holder.sealing = 12;
      holder.seen_s_ago = 2.5;
      holder.in_store = holder.answered = true;
      holder.key_drops = 0;
      holder.keks = {"LSfGgNInMfs"};
      overview_.members.push_back(holder);
    }
    overview_.members[2].state = MemberState::kSuspect;
    overview_.members[3].state = MemberState::kDead;
    overview_.members[3].answered = false;
    overview_.members[3].key_drops = std::nullopt;
    overview_.members[3].keks.clear();
    overview_.members[3].seen_s_ago = 7'200;
  }

  // What every later call sees; called with the lock held by Change alone.
  void Change(const std::function<void(KeyOverview&)>& change) {
    std::lock_guard lock(mutex_);
    change(overview_);
  }
  // Runs at each Keys(), so that a rotation goes on by itself.
  void OnLook(std::function<void(KeyOverview&)> on_look) {
    std::lock_guard lock(mutex_);
    on_look_ = std::move(on_look);
  }
  // The status of the next calls of that name: "prepare", "activate", "remove", "verify", "keys".
  void Fail(const std::string& call, absl::Status status) {
    std::lock_guard lock(mutex_);
    failures_[call] = std::move(status);
  }
  std::vector<std::string> calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }

  absl::StatusOr<KeyOverview> Keys(bool, bool removed) override {
    std::lock_guard lock(mutex_);
    if (const absl::Status status = Failure("keys"); !status.ok()) return status;
    if (on_look_) on_look_(overview_);
    KeyOverview out = overview_;
    if (!removed) {
      std::erase_if(out.keys, [](const KeyRowView& key) { return key.state == "removed"; });
    }
    return out;
  }

  absl::StatusOr<PrepareOutcome> PrepareKey(const PrepareOrder& order) override {
    std::lock_guard lock(mutex_);
    calls_.push_back("prepare by " + order.actor);
    if (const absl::Status status = Failure("prepare"); !status.ok()) return status;
    PrepareOutcome out{13, KeyId{0x41d077be}, 12, KeyId{0x9f3c21aa}, "LSfGgNInMfs", true};
    if (overview_.keys.front().state == "prepared") return out;
    out.resumed = false;
    KeyRowView next = overview_.keys.front();
    next.generation = 13;
    next.id = out.id;
    next.state = "prepared";
    next.seals_here = false;
    next.frames_sealed = std::nullopt;
    next.activated_ms = 0;
    next.actor = order.actor;
    overview_.keys.insert(overview_.keys.begin(), next);
    return out;
  }

  absl::Status ActivateKey(const ActivateOrder& order) override {
    std::lock_guard lock(mutex_);
    std::string call = "activate " + std::to_string(order.generation) + " by " + order.actor;
    for (const std::string& name : order.skip) call += " without " + name;
    if (order.retire_after_s) call += " retire " + std::to_string(*order.retire_after_s);
    calls_.push_back(call);
    if (const absl::Status status = Failure("activate"); !status.ok()) return status;
    for (KeyRowView& key : overview_.keys) {
      if (key.state == "active" && key.generation != order.generation) {
        key.state = "retired";
        key.retire_at_ms = 1'795'356'131'120;
        key.seals_here = false;
      } else if (key.generation == order.generation) {
        key.state = "active";
        key.activated_ms = 1'795'269'731'120;
        key.seals_here = true;
      }
    }
    return absl::OkStatus();
  }

  absl::Status RemoveKey(const RemoveOrder& order) override {
    std::lock_guard lock(mutex_);
    std::string call = "remove " + std::to_string(order.generation) + " by " + order.actor;
    for (const std::string& name : order.lock_out) call += " lock out " + name;
    calls_.push_back(call);
    if (const absl::Status status = Failure("remove"); !status.ok()) return status;
    for (KeyRowView& key : overview_.keys) {
      if (key.generation == order.generation) key.state = "removed";
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<KeyHistoryRow>> KeyHistory(uint64_t limit) override {
    std::vector<KeyHistoryRow> rows = {
        {1'795'269'731'120, "uid 0", "activate", "instead of generation 11", 12, KeyId{0x9f3c21aa}},
        {1'795'269'000'000, "uid 0", "prepare", "", 12, KeyId{0x9f3c21aa}}};
    if (rows.size() > limit) rows.resize(limit);
    return rows;
  }

  absl::StatusOr<std::vector<KeyCheck>> VerifyKeys(bool repair, const std::string&) override {
    std::lock_guard lock(mutex_);
    const absl::Status status = Failure("verify");
    std::vector<KeyCheck> checks = {{"the table has exactly one ACTIVE key", absl::OkStatus()}};
    if (repair) checks.insert(checks.begin(), {"the table was mended", absl::OkStatus(), true});
    checks.push_back({"the table is not older than this node", repair ? absl::OkStatus() : status});
    return checks;
  }

 private:
  absl::Status Failure(const std::string& call) const {
    const auto found = failures_.find(call);
    return found == failures_.end() ? absl::OkStatus() : found->second;
  }

  mutable std::mutex mutex_;
  KeyOverview overview_;
  std::function<void(KeyOverview&)> on_look_;
  std::map<std::string, absl::Status> failures_;
  std::vector<std::string> calls_;
};

class FakeBackend final : public AdminBackend {
 public:
  KeyAdmin& keys() override { return keys_; }
  FakeKeys& fake_keys() { return keys_; }

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
  FakeKeys keys_;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_CMD_FAKE_BACKEND_H_
