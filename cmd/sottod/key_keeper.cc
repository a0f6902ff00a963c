#include "cmd/sottod/key_keeper.h"

#include <algorithm>
#include <condition_variable>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/said.h"
#include "store/cluster_key.h"
#include "store/schema.h"
#include "store/systems_rows.h"
#include "store/unix_time.h"

namespace sotto {
namespace {

constexpr std::chrono::milliseconds kAskTimeout{1'000};
constexpr std::chrono::seconds kSchemaDeadline{5};
// How often the leader asks while it waits for members.
constexpr std::chrono::milliseconds kSpreadPoll{2'000};

std::string KekText(const std::string& wrapped) {
  const std::optional<KekId> kek = WrappingKekOf(wrapped);
  return kek ? ToString(*kek) : std::string();
}

// Shared with the callbacks, which may come later.
struct Gathering {
  std::mutex mutex;
  std::condition_variable changed;
  KeyAnswers answers;
  bool over = false;
};

}  // namespace

absl::StatusOr<std::shared_ptr<KeyTable>> OpenKeyTable(std::shared_ptr<Database> database,
                                                       const std::string& cluster) {
  SOTTO_RETURN_IF_ERROR(
      EnsureSchema(*database, std::chrono::steady_clock::now() + kSchemaDeadline));
  return std::make_shared<KeyTable>(std::move(database), cluster);
}

KeyKeeper::KeyKeeper(Options options, std::shared_ptr<Database> database,
                     std::shared_ptr<KeyAgent> agent)
    : options_(std::move(options)), database_(std::move(database)), agent_(std::move(agent)) {
  store_away_ = options_.from_cache;
  report_.status = options_.table_status;
  report_.from_cache = options_.from_cache;
  if (report_.status.ok()) report_.last_read = std::chrono::system_clock::now();
  const KeyRing ring = agent_->ring();
  if (const RingKey* key = ring.Find(ring.sealing)) report_.kek = KekText(key->wrapped);
}

KeyKeeper::~KeyKeeper() { Stop(); }

void KeyKeeper::Begin(Node* node) {
  node_ = node;
  KeepDurable();
  thread_ = std::thread([this] { Run(); });
}

void KeyKeeper::Stop() {
  bell_.Stop();
  if (thread_.joinable()) thread_.join();
}

KeyReport KeyKeeper::Report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

absl::StatusOr<std::shared_ptr<KeyTable>> KeyKeeper::Table() {
  {
    const std::lock_guard lock(mutex_);
    if (table_ != nullptr) return table_;
  }
  absl::StatusOr<std::shared_ptr<KeyTable>> table = OpenKeyTable(database_, options_.cluster);
  const std::lock_guard lock(mutex_);
  if (table.ok()) table_ = *table;
  return table;
}

// ---- the thread ---------------------------------------------------------------------------------

void KeyKeeper::Run() {
  auto last = KeyBell::Clock::now() - options_.poll;  // the first look at once: who leads may act
  while (true) {
    const bool waiting = !Report().waits_for.empty();
    bell_.Wait(last, waiting ? std::min(kSpreadPoll, options_.poll) : options_.poll,
               database_.get(), options_.cluster);
    if (bell_.stopped()) return;
    last = KeyBell::Clock::now();
    Look();
  }
}

void KeyKeeper::Look() {
  const auto start = std::chrono::steady_clock::now();
  const absl::StatusOr<std::shared_ptr<KeyTable>> table = Table();
  absl::Status status = table.status();
  bool read = false;
  if (table.ok()) {
    absl::StatusOr<KeyLook> look = LookAtTable(**table);
    status = look.ok() ? look->status : look.status();
    read = look.ok() && look->read;
    if (read) Apply(*look, **table);
  }
  // With the database away, members' frames may have made this node seal with a newer key.
  if (!read) KeepDurable();
  const bool row_alone = !read && IsNotAllowed(status);
  if (row_alone) status = LookAtRowAlone();
  if (!read) agent_->NoteTrouble(status);
  read = read || (row_alone && status.ok());
  Publish(status, read,
          std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                                start));
  SeekWanted();
}

bool KeyKeeper::IsWanting() const {
  const KeyRing ring = agent_->ring();
  const uint64_t id = wanted_id_;
  return wanted_generation_ > ring.newest() ||
         (id != 0 && ring.Find(KeyId{static_cast<uint32_t>(id)}) == nullptr);
}

// The database does not give what others have: perhaps a member does. Plain keys never pass.
void KeyKeeper::SeekWanted() {
  if (IsWanting() && agent_->policy().keks != nullptr) node_->SeekKeys();
  wanted_id_ = 0;
  // A claim that nobody can keep is asked after as long as it is repeated.
  wanted_generation_ = 0;
}

absl::StatusOr<KeyLook> KeyKeeper::LookAtTable(KeyTable& table) {
  KeyLook look = agent_->Look(table);
  if (ErrorCode(look.status) == "KEY_TABLE_EMPTY") {
    SOTTO_RETURN_IF_ERROR(table.Adopt(agent_->policy(), options_.node));
    look = agent_->Look(table);
  }
  if (!look.read || !look.external) return look;
  if (const absl::Status shared = CheckShared(look.rows, Living(look.rows)); !shared.ok()) {
    look.status = shared;
    return look;
  }
  if (const absl::Status taken = table.TakeExternal(agent_->policy()); !taken.ok()) {
    look.status = taken;
    return look;
  }
  options_.log({LogLevel::kInfo,
                "key_written_by_hand",
                {{"row", look.rows.row}, {"store", table.database().display_url()}}});
  return agent_->Look(table);
}

// A database whose role may not make our tables: the Systems row is all there is, and a change of
// it is only reported, since nobody could tell when all nodes have it.
absl::Status KeyKeeper::LookAtRowAlone() {
  const std::unique_ptr<SystemsTable> table = MakeSystemsTable(database_);
  SOTTO_ASSIGN_OR_RETURN(const StoredKey stored,
                         LoadClusterKey(*table, options_.cluster, agent_->policy()));
  const KeyRing ring = agent_->ring();
  const RingKey* key = ring.Find(ring.sealing);
  if (key != nullptr && key->key->secret() == stored.key->secret()) return absl::OkStatus();
  return CodedError(
      absl::StatusCode::kFailedPrecondition, "KEY_CHANGED",
      absl::StrCat("the row ", stored.row, " holds the key ", ToString(stored.key->id()),
                   ", this node seals with ", ToString(ring.sealing),
                   ", and without sotto's own tables no key can be changed"));
}

void KeyKeeper::Apply(const KeyLook& look, KeyTable& table) {
  refresh_due_ = refresh_due_ || look.ring_changed;
  KeepDurable();
  if (refresh_due_) {
    const KeyRing ring = agent_->ring();
    const absl::Status status = node_->RefreshKeys();
    refresh_due_ = !status.ok();
    LogRecord record{
        status.ok() ? LogLevel::kInfo : LogLevel::kError,
        "keys_changed",
        {{"sealing", ToString(ring.sealing)},
         {"generation", absl::StrCat(ring.sealing_generation())},
         {"held", absl::StrJoin(ring.keys, ",", [](std::string* out, const RingKey& key) {
            absl::StrAppend(out, key.key->generation());
          })}}};
    if (!status.ok()) record.fields.emplace_back("message", std::string(status.message()));
    options_.log(record);
  }
  if (options_.cache != nullptr) options_.cache->Note(agent_->ring());
  // What the node could not take over is not promised.
  if (!refresh_due_) Acknowledge(look.rows, table);
  FollowOthers(look.rows, table);
  Lead(look.rows, table);
}

// What must not be forgotten: written before it is used by anybody else.
void KeyKeeper::KeepDurable() {
  if (options_.state == nullptr) return;
  absl::Status status = options_.state->RaiseKeyGenerationTo(agent_->generation_seen());
  status.Update(options_.state->AddRemovedKeys(agent_->removed()));
  if (!status.ok()) LogStatus("state_not_kept", status, LogLevel::kWarn);
}

void KeyKeeper::Acknowledge(const KeyRows& rows, KeyTable& table) {
  const std::lock_guard lock(row_mutex_);
  const int64_t now_ms = table.Now();
  if (has_left_ || !agent_->NeedsAck(rows, now_ms)) return;
  const absl::Status status = table.Acknowledge(agent_->Ack(now_ms));
  const std::string code = ErrorCode(status);
  if (code == std::exchange(ack_code_, code) || status.ok()) return;
  LogStatus("key_not_acknowledged", status, LogLevel::kWarn);
}

absl::Status KeyKeeper::GiveUpRow() {
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table, Table());
  const std::lock_guard lock(row_mutex_);
  has_left_ = true;
  return table->ForgetMember(options_.node).status();
}

// Where every host has a store of its own, the others seal with a key that is PREPARED here: it is
// the ACTIVE one of this store, too (design K4).
void KeyKeeper::FollowOthers(const KeyRows& rows, KeyTable& table) {
  const uint64_t sealing = agent_->ring().sealing_generation();
  const KeyRow* next = rows.next();
  if (next == nullptr || next->generation != sealing) return;
  if (NotSharing(rows, Living(rows)).empty()) return;
  const absl::Status status =
      table.Activate(agent_->policy(), {sealing,
                                        {},
                                        options_.rotation.retire_after_ms,
                                        absl::StrCat(options_.node, " (as the others seal)")});
  if (!status.ok()) LogStatus("key_not_followed", status, LogLevel::kWarn);
  if (status.ok()) bell_.Ring(KeyWake::kNow);
}

void KeyKeeper::Lead(const KeyRows& rows, KeyTable& table) {
  const bool leads = node_->View()->leader == options_.node;
  const bool usage_due =
      options_.frames_max != 0 && node_->Stats().frames_sealed >= options_.frames_max;
  std::vector<LivingMember> living = Living(rows);
  RotationPlan plan = PlanRotation(rows, living, options_.rotation, table.Now(), usage_due);
  const bool may = leads || (usage_due && plan.step == RotationStep::kPrepare);
  if (may && !plan.waits_for.empty()) {
    Ask(&table, rows.newest());
    living = Living(rows);
    plan = PlanRotation(rows, living, options_.rotation, table.Now(), usage_due);
  }
  if (!may) plan = RotationPlan();
  if (plan.step != RotationStep::kNone) {
    const absl::Status status = DoStep(plan, living, table);
    if (!status.ok()) plan.blocked = status;
  }
  const std::string code = ErrorCode(plan.blocked);
  if (code != std::exchange(blocked_code_, code) && !plan.blocked.ok()) {
    LogStatus("rotation_blocked", plan.blocked, LogLevel::kWarn);
  }
  const std::lock_guard lock(mutex_);
  report_.blocked = plan.blocked;
  report_.waits_for = plan.waits_for;
}

absl::Status KeyKeeper::DoStep(const RotationPlan& plan, const std::vector<LivingMember>& living,
                               KeyTable& table) {
  uint64_t generation = plan.generation;
  std::string_view done = "key_removed";
  switch (plan.step) {
    case RotationStep::kNone:
      return absl::OkStatus();
    case RotationStep::kPrepare: {
      SOTTO_ASSIGN_OR_RETURN(
          const KeyTable::Prepared prepared,
          table.Prepare(agent_->policy(),
                        {nullptr, true, absl::StrCat("schedule (", options_.node, ")")}));
      generation = prepared.generation;
      done = "key_prepared";
      break;
    }
    case RotationStep::kActivate: {
      KeyTable::ActivateParams params{generation,
                                      {},
                                      options_.rotation.retire_after_ms,
                                      absl::StrCat("leader (", options_.node, ")")};
      for (const LivingMember& member : living) params.must_hold.push_back(member.name);
      SOTTO_RETURN_IF_ERROR(table.Activate(agent_->policy(), params));
      done = "key_activated";
      break;
    }
    case RotationStep::kRemove:
      SOTTO_RETURN_IF_ERROR(
          table.Remove({generation, {}, absl::StrCat("schedule (", options_.node, ")")}));
      break;
  }
  options_.log({LogLevel::kInfo,
                std::string(done),
                {{"generation", absl::StrCat(generation)}, {"why", plan.why}}});
  bell_.Ring(KeyWake::kNow);
  Ask(&table, generation);
  return absl::OkStatus();
}

void KeyKeeper::Publish(const absl::Status& status, bool read, std::chrono::microseconds took) {
  const std::string code = ErrorCode(status);
  if (code != std::exchange(last_code_, code)) {
    if (status.ok()) {
      options_.log({LogLevel::kInfo, "store_ok", {{"key", ToString(agent_->ring().sealing)}}});
    } else {
      LogStatus("store_trouble", status, LogLevel::kError);
    }
  }
  const KeyRing ring = agent_->ring();
  const RingKey* key = ring.Find(ring.sealing);
  store_away_ = !read;
  const std::lock_guard lock(mutex_);
  report_.status = status;
  report_.read_time = took;
  report_.kek = key == nullptr ? std::string() : KekText(key->wrapped);
  if (read) report_.from_cache = false;
  if (status.ok()) report_.last_read = std::chrono::system_clock::now();
  if (!read) report_.waits_for.clear();
}

void KeyKeeper::LogStatus(std::string_view event, const absl::Status& status, LogLevel level) {
  std::string code = ErrorCode(status);
  if (code.empty()) code = "INTERNAL";
  options_.log({level,
                std::string(event),
                {{"code", std::move(code)}, {"message", std::string(status.message())}}});
}

// ---- members ------------------------------------------------------------------------------------

std::vector<LivingMember> KeyKeeper::Living(const KeyRows& rows) const {
  std::vector<std::string> living;
  const std::shared_ptr<const NodeView> view = node_->View();
  for (const MemberInfo& member : view->members) {
    if (member.state <= MemberState::kSuspect) living.push_back(member.name);
  }
  return WithAnswers(living, rows, Answers(), options_.node, agent_->ring().newest());
}

KeyAnswers KeyKeeper::Answers() const {
  const std::lock_guard lock(mutex_);
  return FreshAnswers(answers_, UnixMillis());
}

void KeyKeeper::Ask(KeyTable* table, uint64_t generation) {
  const auto gathering = std::make_shared<Gathering>();
  QueryParams params;
  params.name = std::string(kKeysQueryName);
  params.payload = absl::StrCat(generation);
  params.timeout = kAskTimeout;
  params.acks = false;
  const auto begun = node_->Query(
      std::move(params),
      [gathering](const QueryReply& reply) {
        const std::optional<KeyClaim> claim = DecodeKeyClaim(reply.payload);
        const std::lock_guard lock(gathering->mutex);
        if (claim) gathering->answers[reply.from] = {*claim, UnixMillis()};
      },
      [gathering](const QuerySummary&) {
        const std::lock_guard lock(gathering->mutex);
        gathering->over = true;
        gathering->changed.notify_all();
      });
  if (!begun.ok()) {
    LogStatus("keys_not_asked", begun.status(), LogLevel::kInfo);
    return;
  }
  KeyAnswers answers;
  {
    std::unique_lock lock(gathering->mutex);
    gathering->changed.wait_for(lock, kAskTimeout + std::chrono::milliseconds(500),
                                [&] { return gathering->over; });
    answers = gathering->answers;
  }
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, answer] : answers) answers_[name] = answer;
    // Bounded by the members there are; a name that is gone is of no more use.
    while (answers_.size() > 4'096) answers_.erase(answers_.begin());
  }
  if (table == nullptr) return;
  const absl::StatusOr<KeyRows> rows = table->Read();
  if (!rows.ok()) return;
  const std::vector<KeyMember> records = RecordsFrom(answers, *rows, options_.node);
  if (records.empty()) return;
  const absl::Status status = table->Record(records);
  if (!status.ok()) LogStatus("key_answers_not_recorded", status, LogLevel::kInfo);
}

// ---- the courier --------------------------------------------------------------------------------

KeySet KeyKeeper::Keys() {
  const KeyRing ring = agent_->ring();
  return {ring.Keys(), ring.sealing};
}

std::string KeyKeeper::Offer(KeyId id) { return agent_->Offer(id); }

absl::Status KeyKeeper::Take(std::string_view wrapped) {
  SOTTO_RETURN_IF_ERROR(agent_->Take(wrapped));
  // To acknowledge it, where the database can be reached.
  bell_.Ring(KeyWake::kHint);
  return absl::OkStatus();
}

bool KeyKeeper::UseNewer(KeyId id) {
  if (!agent_->UseNewer(id)) return false;
  bell_.Ring(KeyWake::kHint);
  return true;
}

// With the database away nobody waits for the next look, which may take until its deadline.
bool KeyKeeper::ShouldSeek() const { return store_away_ && agent_->policy().keks != nullptr; }

bool KeyKeeper::OnUnknownKey(KeyId id) {
  wanted_id_ = (uint64_t{1} << 32) | id.value;
  bell_.Ring(KeyWake::kUnknownKey);
  return ShouldSeek();
}

bool KeyKeeper::OnKeysAsked(uint64_t generation) {
  if (generation == 0) return false;
  bell_.Ring(KeyWake::kHint);
  if (generation <= agent_->ring().newest()) return false;
  wanted_generation_ = generation;
  return ShouldSeek();
}

std::string KeyKeeper::Claim(KeyId sealing, uint64_t key_drops) {
  KeyClaim claim = agent_->Claim();
  // Who believes this may remove the older key: what the node has not changed to yet is not said.
  const KeyRing ring = agent_->ring();
  if (const RingKey* key = ring.Find(sealing)) {
    claim.sealing = key->key->generation();
    claim.sealing_id = sealing;
  }
  claim.key_drops = key_drops;
  return EncodeKeyClaim(claim);
}

}  // namespace sotto
