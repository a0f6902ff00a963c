#include "cmd/sottod/discovery_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "crypto/secure_random.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/contacts.h"
#include "gossip/endpoint_text.h"
#include "store/schema.h"

namespace sotto {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kCallDeadline{3'000};
constexpr milliseconds kLeaveDeadline{2'000};
constexpr milliseconds kCleanInterval{3'600'000};
// Until this node has announced itself.
constexpr milliseconds kStartPause{200};
// Between looks of a node that misses others: doubled from the first to the last.
constexpr milliseconds kUrgentPauseMin{1'000};
constexpr milliseconds kUrgentPauseMax{10'000};
constexpr int kUrgentKnocks = 4;
// How often the standing is looked at.
constexpr milliseconds kStandingPause{5'000};
// Addresses offered to the node in one look: most of them may be resting.
constexpr size_t kOfferedMax = 64;

SqlTime In(milliseconds time) { return std::chrono::steady_clock::now() + time; }

bool IsLiving(const MemberInfo& member) {
  return member.state == MemberState::kAlive || member.state == MemberState::kSuspect;
}

// Others may be there that this node does not see.
bool IsUrgent(const NodeView& view) {
  const bool has_company =
      std::any_of(view.members.begin(), view.members.end(),
                  [](const MemberInfo& member) { return !member.is_self && IsLiving(member); });
  return !has_company || view.standing.isolated || view.standing.minority;
}

// Who has left, or is silent because another runs under its name, does not want to be found.
bool WantsVisitors(const NodeView& view) {
  const Standing& standing = view.standing;
  return standing.announced && !standing.left && !standing.leaving && !standing.name_conflict;
}

std::vector<Endpoint> AddressesOfLiving(const NodeView& view) {
  std::vector<Endpoint> out;
  for (const MemberInfo& member : view.members) {
    if (!IsLiving(member) || !member.claims) continue;
    out.insert(out.end(), member.claims->addresses.begin(), member.claims->addresses.end());
  }
  return out;
}

bool Contains(const std::vector<Endpoint>& endpoints, const Endpoint& endpoint) {
  return std::find(endpoints.begin(), endpoints.end(), endpoint) != endpoints.end();
}

std::mt19937_64 Seeded() { return std::mt19937_64(RandomSeed64().value_or(1)); }

}  // namespace

std::vector<std::string> KnockCandidates(const std::vector<DiscoveryRow>& rows,
                                         const std::vector<Endpoint>& own,
                                         const std::vector<Endpoint>& known,
                                         std::mt19937_64& random) {
  const bool at_home = std::any_of(own.begin(), own.end(), IsLoopback);
  std::vector<std::string> out;
  for (const DiscoveryRow& row : rows) {
    std::string address = row.address();
    if (const absl::StatusOr<Endpoint> endpoint = ParseEndpoint(address); endpoint.ok()) {
      if (IsLoopback(*endpoint) && !at_home) continue;
      if (Contains(own, *endpoint) || Contains(known, *endpoint)) continue;
      address = ToString(*endpoint);  // one spelling each
    } else if (row.host == "localhost" && !at_home) {
      continue;
    }
    out.push_back(std::move(address));
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  std::shuffle(out.begin(), out.end(), random);
  return out;
}

std::vector<std::string> FirstHints(const std::shared_ptr<Database>& database,
                                    const std::string& cluster, const std::string& node,
                                    const std::vector<std::string>& own) {
  absl::StatusOr<DiscoveryRows> rows =
      DiscoveryTable(database, cluster, node).Read(In(kCallDeadline));
  if (!rows.ok()) return {};
  std::vector<Endpoint> endpoints;
  for (const std::string& text : own) {
    if (const auto endpoint = ParseEndpoint(text); endpoint.ok()) endpoints.push_back(*endpoint);
  }
  std::mt19937_64 random = Seeded();
  // A process of our name that answers elsewhere was there first (M9).
  std::vector<std::string> out;
  if (rows->own) out = KnockCandidates({*rows->own}, endpoints, {}, random);
  for (std::string& address : KnockCandidates(rows->others, endpoints, {}, random)) {
    if (out.size() >= kHintsMax) break;
    if (std::find(out.begin(), out.end(), address) == out.end()) out.push_back(std::move(address));
  }
  return out;
}

DiscoveryKeeper::DiscoveryKeeper(Options options, std::shared_ptr<Database> database, Node* node)
    : options_(std::move(options)),
      database_(std::move(database)),
      table_(database_, options_.cluster, options_.node),
      node_(node),
      random_(Seeded()),
      pause_(kUrgentPauseMin) {
  write_at_ = look_at_ = clean_at_ = looked_at_ = Clock::now();
  thread_ = std::thread([this] { Run(); });
}

DiscoveryKeeper::~DiscoveryKeeper() { Stop(false); }

absl::Status DiscoveryKeeper::Report() const {
  const std::lock_guard lock(mutex_);
  return write_status_.ok() ? read_status_ : write_status_;
}

void DiscoveryKeeper::Stop(bool remove) {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  if (!thread_.joinable()) return;
  thread_.join();
  if (!remove || !written_) return;
  const absl::Status status = table_.Remove(In(kLeaveDeadline)).status();
  if (status.ok()) return;
  options_.log({LogLevel::kWarn,
                "discovery_row_not_removed",
                {{"code", ErrorCode(status)}, {"message", std::string(status.message())}}});
}

// ---- the thread ---------------------------------------------------------------------------------

void DiscoveryKeeper::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    const milliseconds sleep = Turn();
    lock.lock();
    changed_.wait_for(lock, sleep, [this] { return stop_; });
  }
}

milliseconds DiscoveryKeeper::Turn() {
  const std::shared_ptr<const NodeView> view = node_->View();
  if (!WantsVisitors(*view)) return view->standing.announced ? kStandingPause : kStartPause;
  // Nodes that were started at one moment do not write at one moment for ever.
  const auto jittered = [this](milliseconds time) {
    return milliseconds(
        std::uniform_int_distribution<int64_t>(time.count() * 4 / 5, time.count())(random_));
  };
  const bool urgent = IsUrgent(*view);
  if (!urgent) pause_ = kUrgentPauseMin;
  if (Clock::now() >= write_at_) {
    Write(*view);
    write_at_ = Clock::now() + jittered(options_.interval);
  }
  if (Clock::now() >= look_at_ || (urgent && Clock::now() >= looked_at_ + pause_)) {
    if (urgent) pause_ = std::min({pause_ * 2, kUrgentPauseMax, options_.interval});
    Look(*view, urgent ? kUrgentKnocks : 1);
    looked_at_ = Clock::now();
    look_at_ = looked_at_ + jittered(options_.interval);
  }
  const Clock::time_point next = std::min(write_at_, urgent ? looked_at_ + pause_ : look_at_);
  const auto left = std::chrono::ceil<milliseconds>(next - Clock::now());
  return std::clamp(left, milliseconds(10), kStandingPause);
}

absl::Status DiscoveryKeeper::WithTable(const std::function<absl::Status()>& work) {
  const absl::Status status = work();
  if (ErrorCode(status) != "DB_TABLE_MISSING") return status;
  SOTTO_RETURN_IF_ERROR(EnsureSchema(*database_, In(kCallDeadline)));
  return work();
}

void DiscoveryKeeper::Write(const NodeView& view) {
  // What leads nobody here is no hint; health has BAD_ADVERTISE for it.
  if (view.advertised.empty() || IsUnroutable(view.advertised.front())) return;
  const absl::StatusOr<HostPort> here = SplitHostPort(ToString(view.advertised.front()));
  if (!here.ok()) return;
  const absl::Status status = WithTable([&]() -> absl::Status {
    SOTTO_ASSIGN_OR_RETURN(const bool is_new,
                           table_.Register(here->host, here->port, In(kCallDeadline)));
    if (is_new) {
      options_.log({LogLevel::kInfo,
                    written_ ? "discovery_row_lost" : "discovery_row_written",
                    {{"address", ToString(view.advertised.front())}}});
    }
    written_ = true;
    return absl::OkStatus();
  });
  Note("write", status, &write_status_);
  if (!status.ok() || Clock::now() < clean_at_) return;
  const absl::StatusOr<size_t> cleaned = table_.CleanUp(In(kCallDeadline));
  if (cleaned.ok() && *cleaned == kDiscoveryCleanedMax) return;  // the rest at the next refresh
  clean_at_ = Clock::now() + kCleanInterval;
}

void DiscoveryKeeper::Look(const NodeView& view, int knocks) {
  DiscoveryRows rows;
  const absl::Status status = WithTable([&]() -> absl::Status {
    SOTTO_ASSIGN_OR_RETURN(rows, table_.Read(In(kCallDeadline)));
    return absl::OkStatus();
  });
  Note("read", status, &read_status_);
  if (!status.ok()) return;
  std::vector<Endpoint> own = view.bound;
  own.insert(own.end(), view.advertised.begin(), view.advertised.end());
  std::vector<std::string> candidates =
      KnockCandidates(rows.others, own, AddressesOfLiving(view), random_);
  if (candidates.size() > kOfferedMax) candidates.resize(kOfferedMax);
  for (const std::string& address : candidates) {
    if (knocks == 0) return;
    if (node_->Knock(address) != KnockAnswer::kBegun) continue;
    options_.log({LogLevel::kInfo, "knocking", {{"address", address}}});
    --knocks;
  }
}

void DiscoveryKeeper::Note(std::string_view doing, const absl::Status& status, absl::Status* held) {
  std::string before;
  {
    const std::lock_guard lock(mutex_);
    before = ErrorCode(*held);
    *held = status;
  }
  if (status.ok() || ErrorCode(status) == before) return;
  options_.log({LogLevel::kWarn,
                "discovery_failed",
                {{"doing", std::string(doing)},
                 {"code", ErrorCode(status)},
                 {"message", std::string(status.message())}}});
}

}  // namespace sotto
