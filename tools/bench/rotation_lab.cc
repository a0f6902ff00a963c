#include "tools/bench/rotation_lab.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/kek.h"
#include "crypto/secure_random.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/key_agent.h"
#include "store/key_table.h"
#include "store/open_store.h"
#include "store/rotation_plan.h"
#include "store/sqlite_sql.h"
#include "store/systems_rows.h"
#include "tools/bench/loss.h"

namespace sotto::bench {
namespace {

constexpr std::chrono::milliseconds kLook{20};
constexpr std::chrono::seconds kAskAgain{1};
// The operator alone removes.
constexpr int64_t kRetireAfterMs = 86'400'000;
// What was sealed under the old key just before may still wait in a socket: operators give it
// rotation.retire_after, a day; here it is two seconds.
constexpr std::chrono::seconds kRetireAfter{2};
constexpr char kOperator[] = "bench";

absl::StatusOr<KekRingRef> DrawKeks() {
  SecretBytes bytes(Kek::kKeyBytes);
  SOTTO_RETURN_IF_ERROR(FillRandom(bytes.mutable_view()));
  SOTTO_ASSIGN_OR_RETURN(KekRef kek, Kek::Create(std::move(bytes)));
  return KekRing::Create(std::move(kek), {});
}

}  // namespace

RotationLab::RotationLab(RotationOptions options) : options_(std::move(options)) {
  ClusterOptions cluster = options_.cluster;
  cluster.adjust = [this](size_t i, NodeOptions& node) { return Adjust(i, node); };
  if (options_.cut) cluster.last_alone = [] { SetSideOfThisThread(1); };
  lab_ = std::make_unique<ClusterLab>(cluster);
}

RotationLab::~RotationLab() {
  for (const auto& keeper : keepers_) keeper->Stop();
  lab_ = nullptr;
  keepers_.clear();
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

absl::Status RotationLab::PrepareStore() {
  char folder[] = "/tmp/sotto-bench.XXXXXX";
  if (mkdtemp(folder) == nullptr) {
    return CodedError(absl::StatusCode::kUnavailable, "DB_REFUSED",
                      "no folder for the database can be made below /tmp");
  }
  folder_ = folder;
  file_ = absl::StrCat(folder_, "/keys.db");
  SOTTO_ASSIGN_OR_RETURN(policy_.keks, DrawKeks());
  StoreOptions create;
  create.create = true;
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<Database> database,
                         OpenDatabase(absl::StrCat("sqlite:", file_), create));
  SOTTO_RETURN_IF_ERROR(CheckStore(*database, true));
  KeyPolicy minting = policy_;
  minting.may_create = true;
  const std::unique_ptr<SystemsTable> systems = MakeSystemsTable(database);
  SOTTO_RETURN_IF_ERROR(LoadOrCreateClusterKey(*systems, kLabCluster, minting).status());
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table,
                         OpenKeyTable(database, kLabCluster));
  return table->Adopt(policy_, kOperator);
}

// As the daemon does: the first look comes before the node.
absl::Status RotationLab::Adjust(size_t index, NodeOptions& options) {
  away_.push_back(std::make_shared<std::atomic<bool>>(false));
  const auto database = std::make_shared<Database>(
      MakeSwitchedDriver(MakeSqliteDriver(file_, std::nullopt, ""), away_.back()),
      std::chrono::seconds(5), false);
  KeyAgent::Options agent_options;
  agent_options.cluster = kLabCluster;
  agent_options.node = ClusterLab::NameOf(index);
  agent_options.policy = policy_;
  const auto agent = std::make_shared<KeyAgent>(std::move(agent_options), KeyRing());
  KeyTable table(database, kLabCluster);
  SOTTO_RETURN_IF_ERROR(agent->Look(table).status);
  KeyKeeper::Options keeper;
  keeper.cluster = kLabCluster;
  keeper.node = ClusterLab::NameOf(index);
  keeper.rotation = {0, kRetireAfterMs};
  keeper.log = [log = options_.cluster.log, name = keeper.node](LogRecord record) {
    record.fields.insert(record.fields.begin(), {"node", name});
    if (log) log(std::move(record));
  };
  keepers_.push_back(std::make_shared<KeyKeeper>(std::move(keeper), database, agent));
  options.keys = agent->ring().Keys();
  options.courier = keepers_.back();
  return absl::OkStatus();
}

absl::Status RotationLab::Await(const std::string& what, const std::function<bool()>& done) const {
  const Clock::time_point begun = Clock::now();
  while (!done()) {
    const double waited = Seconds(Clock::now() - begun);
    if (waited > options_.limit_s) {
      return absl::DeadlineExceededError(
          absl::StrCat(what, ": not within ", options_.limit_s, " s"));
    }
    if (options_.progress) options_.progress(absl::StrCat(what, ": ", static_cast<int>(waited)));
    std::this_thread::sleep_for(kLook);
  }
  return absl::OkStatus();
}

absl::Status RotationLab::Start() {
  SOTTO_RETURN_IF_ERROR(lab_->Prepare([](size_t) {}));
  SOTTO_RETURN_IF_ERROR(PrepareStore());
  SOTTO_RETURN_IF_ERROR(lab_->Create());
  lab_->Go();
  for (size_t i = 0; i < n(); ++i) keepers_[i]->Begin(&lab_->node(i));
  SOTTO_RETURN_IF_ERROR(Await("join", [this] { return AllCount(n()); }));
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table, keepers_[0]->Table());
  SOTTO_RETURN_IF_ERROR(Await("all in the table", [&] { return AllHold(*table, 1); }));
  const size_t end = n() - (options_.cut ? 1 : 0);
  for (size_t i = end - options_.without_database; i < end; ++i) *away_[i] = true;
  return absl::OkStatus();
}

absl::StatusOr<ClusterKeyRef> RotationLab::DrawKey() const {
  constexpr size_t kSizes[] = {16, 24, 32};
  SecretBytes bytes(options_.aes_mix ? kSizes[rotations_ % 3] : 32);
  SOTTO_RETURN_IF_ERROR(FillRandom(bytes.mutable_view()));
  return ClusterKey::Create(std::move(bytes), kLabCluster, 1);
}

absl::StatusOr<double> RotationLab::Rotate() {
  const std::string number = absl::StrCat("rotation ", rotations_ + 1);
  SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef key, DrawKey());
  ++rotations_;
  KeyKeeper& keeper = *keepers_[0];
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table, keeper.Table());
  SOTTO_ASSIGN_OR_RETURN(const KeyRows before, table->Read());
  if (before.active() == nullptr) return absl::InternalError("no key is ACTIVE");
  const uint64_t old = before.active()->generation;
  const KeyId old_id = before.active()->id;

  const Clock::time_point begun = Clock::now();
  SOTTO_ASSIGN_OR_RETURN(const KeyTable::Prepared next,
                         table->Prepare(policy_, {key, false, kOperator}));
  Clock::time_point asked = begun - kAskAgain;
  const auto ask = [&](uint64_t generation) {
    if (Clock::now() - asked < kAskAgain) return;
    keeper.Wake(KeyWake::kNow);
    keeper.Ask(table.get(), generation);
    asked = Clock::now();
  };
  const absl::Status spread = Await(number + ", spreading", [&] {
    ask(next.generation);
    return AllHold(*table, next.generation);
  });
  if (!spread.ok()) return absl::DeadlineExceededError(OnRecord(*table));
  KeyTable::ActivateParams params{next.generation, {}, kRetireAfterMs, kOperator};
  for (size_t i = 0; i < n(); ++i) {
    if (Counts(i)) params.must_hold.push_back(ClusterLab::NameOf(i));
  }
  SOTTO_RETURN_IF_ERROR(table->Activate(policy_, params));
  SOTTO_RETURN_IF_ERROR(Await(number + ", sealing", [&] {
    ask(next.generation);
    return AllSeal(next.id) && NobodyNeeds(*table, old);
  }));
  const Clock::time_point sealed = Clock::now();
  SOTTO_RETURN_IF_ERROR(
      Await(number + ", resting", [&] { return Clock::now() - sealed >= kRetireAfter; }));
  KeyTable::RemoveParams remove{old, {}, kOperator};
  if (is_cut_) remove.lock_out.push_back(ClusterLab::NameOf(n() - 1));
  SOTTO_RETURN_IF_ERROR(table->Remove(remove));
  SOTTO_RETURN_IF_ERROR(Await(number + ", letting go", [&] {
    ask(next.generation);
    return AllLetGo(old_id);
  }));
  return Seconds(Clock::now() - begun);
}

bool RotationLab::AllHold(KeyTable& table, uint64_t generation) const {
  const absl::StatusOr<KeyRows> rows = table.Read();
  if (!rows.ok()) return false;
  std::vector<LivingMember> members;
  for (size_t i = 0; i < n(); ++i) {
    if (Counts(i)) members.push_back({ClusterLab::NameOf(i), std::nullopt});
  }
  return Lacking(*rows, members, generation).empty();
}

bool RotationLab::NobodyNeeds(KeyTable& table, uint64_t generation) const {
  const absl::StatusOr<KeyRows> rows = table.Read();
  if (!rows.ok()) return false;
  const std::vector<std::string> names = NeededBy(*rows, generation);
  return std::all_of(names.begin(), names.end(), [this](const std::string& name) {
    return !Counts(ClusterLab::IndexOf(name));
  });
}

std::string RotationLab::OnRecord(KeyTable& table) const {
  std::string out = "the key did not spread in time; on record is held, sealing, trouble:";
  const absl::StatusOr<KeyRows> rows = table.Read();
  if (!rows.ok()) return out;
  for (const KeyMember& row : rows->members) {
    absl::StrAppend(&out, " ", row.name, " ", row.held.value_or(0), " ", row.sealing.value_or(0),
                    " ", row.trouble, ";");
  }
  const std::map<std::string, KeyAnswer> answers = keepers_[0]->Answers();
  for (const auto& [name, answer] : answers) {
    absl::StrAppend(&out, " ", name, " said ", answer.claim.held, ";");
  }
  return out;
}

bool RotationLab::AllSeal(KeyId id) const {
  for (size_t i = 0; i < n(); ++i) {
    if (Counts(i) && lab_->node(i).View()->sealing_key != id) return false;
  }
  return true;
}

bool RotationLab::AllLetGo(KeyId id) const {
  for (size_t i = 0; i < n(); ++i) {
    if (!HasDatabase(i)) continue;
    const std::shared_ptr<const NodeView> view = lab_->node(i).View();
    if (std::find(view->keys.begin(), view->keys.end(), id) != view->keys.end()) return false;
  }
  return true;
}

bool RotationLab::AllCount(size_t living) const {
  for (size_t i = 0; i < n(); ++i) {
    if (Counts(i) && lab_->observer(i).Living() != living) return false;
  }
  return true;
}

absl::Status RotationLab::Cut() {
  *away_.back() = true;
  for (const Endpoint& bound : lab_->node(n() - 1).View()->bound) SetSide(bound.port, 1);
  SetParted(true);
  SetStreamsParted(true);
  is_cut_ = true;
  return Await("cut off", [this] { return AllCount(n() - 1); });
}

absl::StatusOr<double> RotationLab::Heal() {
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table, keepers_[0]->Table());
  SOTTO_ASSIGN_OR_RETURN(const KeyRows rows, table->Read());
  if (rows.active() == nullptr) return absl::InternalError("no key is ACTIVE");
  const KeyId active = rows.active()->id;
  const std::vector<KeyId> held = lab_->node(n() - 1).View()->keys;
  if (std::find(held.begin(), held.end(), active) != held.end()) {
    return absl::InternalError("the node that was cut off got the new key all the same");
  }
  const Clock::time_point begun = Clock::now();
  JoinHalves();
  SetStreamsParted(false);
  *away_.back() = false;
  is_cut_ = false;
  SOTTO_RETURN_IF_ERROR(Await("coming back", [&] { return AllSeal(active) && AllCount(n()); }));
  return Seconds(Clock::now() - begun);
}

void RotationLab::PartHalves(uint64_t seed) {
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < n(); ++i) {
    const auto side = static_cast<uint8_t>(random() & 1);
    for (const Endpoint& bound : lab_->node(i).View()->bound) SetSide(bound.port, side);
  }
  SetParted(true);
}

void RotationLab::JoinHalves() {
  SetParted(false);
  for (size_t i = 0; i < n(); ++i) {
    for (const Endpoint& bound : lab_->node(i).View()->bound) SetSide(bound.port, 0);
  }
}

NodeStats RotationLab::Totals() {
  NodeStats sum;
  for (size_t i = 0; i < n(); ++i) {
    const NodeStats stats = lab_->node(i).Stats();
    sum.frames_sent += stats.frames_sent;
    sum.frames_received += stats.frames_received;
    sum.hellos_sent += stats.hellos_sent;
    sum.hellos_received += stats.hellos_received;
    sum.tls_dialed += stats.tls_dialed;
    for (size_t r = 0; r < kDropReasons; ++r) sum.drops[r] += stats.drops[r];
  }
  return sum;
}

size_t RotationLab::FalseDeaths() const {
  std::vector<std::string> cut;
  if (options_.cut) cut.push_back(ClusterLab::NameOf(n() - 1));
  size_t deaths = 0;
  for (size_t i = 0; i + cut.size() < n(); ++i) deaths += lab_->observer(i).FalseDeaths(cut);
  return deaths;
}

}  // namespace sotto::bench
