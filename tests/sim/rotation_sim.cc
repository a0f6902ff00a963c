#include "tests/sim/rotation_sim.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "crypto/frame_codec.h"
#include "crypto/kek.h"
#include "crypto/keyring.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/rng.h"
#include "gossip/time.h"
#include "store/cluster_key.h"
#include "store/key_agent.h"
#include "store/key_answers.h"
#include "store/key_table.h"
#include "store/open_store.h"
#include "store/rotation_plan.h"
#include "store/schema.h"
#include "store/systems_rows.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

constexpr char kCluster[] = "sim";
constexpr int64_t kStartMs = 1'764'000'000'000;
constexpr int64_t kFrameEveryMs = 6;
constexpr int64_t kHouseEveryMs = 96;
constexpr int64_t kDelayMaxMs = 50;
constexpr int64_t kDeathAfterMs = 8'000;
constexpr int64_t kAskEveryMs = 2'000;
constexpr int64_t kSyncEveryMs = 30'000;
constexpr int64_t kWeatherEveryMs = 5'000;
constexpr int64_t kQuietMs = 120'000;
constexpr int64_t kLateMs = 40'000;  // of the quiet time, its end
constexpr int64_t kHintMs = 1'000, kUnknownMs = 5'000;
constexpr size_t kPlainBytes = 64;

struct Frame {
  int64_t at_ms = 0;
  uint64_t number = 0;
  size_t from = 0, to = 0;
  KeyId key;
  std::vector<uint8_t> bytes;
  friend bool operator>(const Frame& a, const Frame& b) {
    return std::pair(a.at_ms, a.number) > std::pair(b.at_ms, b.number);
  }
};

struct Member {
  std::string name;
  ProcessIdentityRef identity;
  FramePeer peer;
  Keyring ring;
  std::unique_ptr<KeyAgent> agent;
  std::unique_ptr<FrameCodec> codec;
  int64_t last_look_ms = 0, wish_ms = -1, unknown_told_ms = 0, sync_ms = 0, asked_ms = 0;
  uint64_t wanted_generation = 0;
  std::optional<KeyId> wanted;
  bool waits = false;  // as a leader, for members
  KeyAnswers answers;
  std::set<KeyId> known_removed;
  std::map<KeyId, int64_t> held_since_ms;
  std::map<KeyId, Frame> kept;  // the last one that was lost on its way here
  // The network around it.
  int group = 0;
  int64_t database_since_ms = kStartMs;  // -1: away
};

struct Activation {
  int64_t prepared_ms = 0;
  bool done = false;
  std::set<std::string> must_hold;
};

struct Nonce {
  uint64_t pair_key = 0, session = 0;
  friend auto operator<=>(const Nonce&, const Nonce&) = default;
};

SecretBytes DrawSecret(Rng& rng, size_t size) {
  SecretBytes bytes(size);
  for (uint8_t& byte : bytes.mutable_view()) byte = static_cast<uint8_t>(rng.Next());
  return bytes;
}

uint32_t Number32(std::span<const uint8_t> frame, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | frame[at + i];
  return value;
}

class Sim {
 public:
  explicit Sim(const RotationSimOptions& options) : options_(options), rng_(options.seed) {}

  absl::StatusOr<RotationSimResult> Run() {
    SOTTO_RETURN_IF_ERROR(Start());
    while (result_.sealed < options_.frames) SOTTO_RETURN_IF_ERROR(Tick());
    is_quiet_ = true;
    quiet_since_ms_ = now_ms_;
    Reshape(true);
    while (now_ms_ < quiet_since_ms_ + kQuietMs) SOTTO_RETURN_IF_ERROR(Tick());
    return End();
  }

 private:
  Instant Now() const { return Instant::FromNanos((now_ms_ - kStartMs) * 1'000'000); }
  bool HasDatabase(const Member& m) const { return m.database_since_ms >= 0; }
  bool Linked(size_t a, size_t b) const { return members_[a]->group == members_[b]->group; }

  absl::Status Start();
  absl::Status AddMember(size_t index);
  absl::Status Tick();
  absl::Status House();
  void Reshape(bool heal);

  absl::Status Send();
  void Deliver(const Frame& frame);
  void OnUnknownKey(const Frame& frame);
  void Note(const Frame& frame, DropReason drop);

  absl::Status Look(size_t index);
  absl::Status Follow(size_t index, const KeyRows& rows);
  absl::Status ApplyRing(Member& m);
  void TryRecordings(Member& m);
  bool IsWanting(const Member& m) const;
  absl::Status Seek(size_t index);
  absl::Status Exchange(size_t a, size_t b);
  absl::Status HandOver(Member& from, Member& to);
  absl::Status Consider(Member& m, KeyId id);

  std::vector<LivingMember> Living(size_t index, const KeyRows& rows) const;
  bool Leads(size_t index) const;
  absl::Status Lead(size_t index, const KeyRows& rows);
  absl::Status Step(size_t index, const RotationPlan& plan,
                    const std::vector<LivingMember>& living);
  absl::Status Ask(size_t index, uint64_t generation);

  absl::StatusOr<RotationSimResult> End();

  const RotationSimOptions options_;
  Rng rng_;
  TempDir folder_;
  KeyPolicy policy_;
  std::unique_ptr<KeyTable> table_;
  std::vector<std::unique_ptr<Member>> members_;
  std::map<BootId, FramePeer> peers_;
  std::vector<std::vector<int64_t>> link_since_;  // -1 - when it went: down
  std::priority_queue<Frame, std::vector<Frame>, std::greater<>> in_flight_;
  std::map<KeyId, Activation> keys_;
  std::vector<Nonce> nonces_;
  int64_t now_ms_ = kStartMs, house_ms_ = kStartMs, weather_ms_ = kStartMs;
  int64_t quiet_since_ms_ = 0;
  bool is_quiet_ = false;
  RotationSimResult result_;
};

absl::Status Sim::Start() {
  SOTTO_ASSIGN_OR_RETURN(KekRef kek, Kek::Create(DrawSecret(rng_, Kek::kKeyBytes)));
  SOTTO_ASSIGN_OR_RETURN(policy_.keks, KekRing::Create(std::move(kek), {}));
  StoreOptions store;
  store.create = true;
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<Database> database,
                         OpenDatabase(absl::StrCat("sqlite:", folder_.File("keys.db")), store));
  SOTTO_RETURN_IF_ERROR(CheckStore(*database, true));
  SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef first,
                         ClusterKey::Create(DrawSecret(rng_, 32), kCluster, 1));
  SOTTO_RETURN_IF_ERROR(
      ImportClusterKey(*MakeSystemsTable(database), first, policy_, false).status());
  SOTTO_RETURN_IF_ERROR(
      EnsureSchema(*database, std::chrono::steady_clock::now() + std::chrono::seconds(20)));
  table_ = std::make_unique<KeyTable>(database, kCluster, [this] { return now_ms_; });
  SOTTO_RETURN_IF_ERROR(table_->Adopt(policy_, "sim"));
  keys_[first->id()] = {kStartMs - kSimGraceMs, true, {}};
  for (size_t i = 0; i < options_.members; ++i) SOTTO_RETURN_IF_ERROR(AddMember(i));
  link_since_.assign(options_.members, std::vector<int64_t>(options_.members, kStartMs));
  for (size_t i = 0; i < options_.members; ++i) SOTTO_RETURN_IF_ERROR(Look(i));
  return absl::OkStatus();
}

absl::Status Sim::AddMember(size_t index) {
  auto m = std::make_unique<Member>();
  m->name = absl::StrCat("gw-", index + 10);
  std::array<uint8_t, 16> nonce{};
  for (uint8_t& byte : nonce) byte = static_cast<uint8_t>(rng_.Next());
  const SecretBytes secret = DrawSecret(rng_, 32);
  SOTTO_ASSIGN_OR_RETURN(m->identity,
                         ProcessIdentity::CreateForTest(kCluster, m->name, nonce, secret.view()));
  m->peer = {m->identity->boot_id(), m->identity->x25519_public()};
  peers_[m->peer.boot_id] = m->peer;
  m->agent = std::make_unique<KeyAgent>(KeyAgent::Options{kCluster, m->name, policy_}, KeyRing());
  m->codec = std::make_unique<FrameCodec>(m->identity, &m->ring,
                                          [this](const BootId& id) -> const FramePeer* {
                                            const auto it = peers_.find(id);
                                            return it == peers_.end() ? nullptr : &it->second;
                                          });
  m->sync_ms = kStartMs + static_cast<int64_t>(rng_.Below(kSyncEveryMs));
  members_.push_back(std::move(m));
  return absl::OkStatus();
}

absl::Status Sim::Tick() {
  now_ms_ += kFrameEveryMs;
  while (!in_flight_.empty() && in_flight_.top().at_ms <= now_ms_) {
    const Frame frame = in_flight_.top();
    in_flight_.pop();
    Deliver(frame);
  }
  SOTTO_RETURN_IF_ERROR(Send());
  if (now_ms_ < house_ms_ + kHouseEveryMs) return absl::OkStatus();
  house_ms_ = now_ms_;
  return House();
}

absl::Status Sim::House() {
  if (!is_quiet_ && now_ms_ >= weather_ms_ + kWeatherEveryMs) {
    weather_ms_ = now_ms_;
    if (rng_.Chance(1, 3)) Reshape(rng_.Chance(1, 2));
  }
  for (size_t i = 0; i < members_.size(); ++i) {
    Member& m = *members_[i];
    int64_t interval = m.waits ? kAskEveryMs : kSimPollMs;
    if (m.wish_ms >= 0) interval = std::min(interval, m.wish_ms);
    if (now_ms_ >= m.last_look_ms + interval) SOTTO_RETURN_IF_ERROR(Look(i));
    if (now_ms_ < m.sync_ms) continue;
    m.sync_ms = now_ms_ + kSyncEveryMs;
    SOTTO_RETURN_IF_ERROR(Seek(i));
  }
  return absl::OkStatus();
}

// Up to a quarter of the members on the other side, and the database away from some.
void Sim::Reshape(bool heal) {
  for (const auto& m : members_) {
    m->group = heal || !rng_.Chance(1, 5) ? 0 : 1 + static_cast<int>(rng_.Below(2));
    const bool away = !heal && rng_.Chance(1, 6);
    if (away) m->database_since_ms = -1;
    if (!away && m->database_since_ms < 0) m->database_since_ms = now_ms_;
  }
  for (size_t a = 0; a < members_.size(); ++a) {
    for (size_t b = 0; b < members_.size(); ++b) {
      int64_t& since = link_since_[a][b];
      if (Linked(a, b) && since < 0) since = now_ms_;
      if (!Linked(a, b) && since >= 0) since = -1 - now_ms_;
    }
  }
}

// ---- frames -------------------------------------------------------------------------------------

absl::Status Sim::Send() {
  Frame frame;
  frame.from = rng_.Below(members_.size());
  frame.to = (frame.from + 1 + rng_.Below(members_.size() - 1)) % members_.size();
  Member& from = *members_[frame.from];
  Member& to = *members_[frame.to];
  const std::array<uint8_t, kPlainBytes> plain{};
  frame.bytes.resize(kPlainBytes + kFrameOverheadBytes);
  SOTTO_ASSIGN_OR_RETURN(const size_t size, from.codec->Seal(Now(), to.peer, plain, frame.bytes));
  frame.bytes.resize(size);
  frame.number = ++result_.sealed;
  frame.key = KeyId{Number32(frame.bytes, 1)};
  const auto known = keys_.find(frame.key);
  result_.early_seals += known == keys_.end() || !known->second.done;
  const uint64_t pair = static_cast<uint64_t>(frame.from << 8 | frame.to) << 32;
  nonces_.push_back(
      {pair | frame.key.value,
       static_cast<uint64_t>(Number32(frame.bytes, 13)) << 32 | Number32(frame.bytes, 17)});
  const bool parted = !Linked(frame.from, frame.to);
  if (!parted && !rng_.Chance(1, 5)) {
    frame.at_ms = now_ms_ + 1 + static_cast<int64_t>(rng_.Below(kDelayMaxMs));
    in_flight_.push(std::move(frame));
    return absl::OkStatus();
  }
  ++(parted ? result_.parted : result_.lost);
  const KeyId key = frame.key;
  to.kept[key] = std::move(frame);
  return absl::OkStatus();
}

void Sim::Note(const Frame& frame, DropReason drop) {
  for (const uint64_t value : {static_cast<uint64_t>(now_ms_), uint64_t{frame.from},
                               uint64_t{frame.to}, nonces_[frame.number - 1].pair_key,
                               nonces_[frame.number - 1].session, static_cast<uint64_t>(drop)}) {
    result_.trace = (result_.trace ^ value) * 0x100000001b3u;
  }
}

void Sim::Deliver(const Frame& frame) {
  Member& to = *members_[frame.to];
  std::vector<uint8_t> out(frame.bytes.size());
  const OpenedFrame opened = to.codec->Open(Now(), frame.bytes, out);
  Note(frame, opened.drop);
  if (opened.drop == DropReason::kNone) {
    ++result_.opened;
    result_.removed_opened += to.known_removed.contains(frame.key);
  } else if (opened.drop == DropReason::kUnknownKey) {
    OnUnknownKey(frame);
  } else {
    ++result_.other_drops;
  }
}

void Sim::OnUnknownKey(const Frame& frame) {
  Member& to = *members_[frame.to];
  const Activation& key = keys_[frame.key];
  const auto lasts = [this](int64_t since_ms) {
    return since_ms >= 0 && now_ms_ - since_ms > kSimGraceMs;
  };
  const bool promised = key.must_hold.contains(to.name);
  const bool had_database = lasts(key.prepared_ms) && lasts(to.database_since_ms);
  const bool had_holder = lasts(members_[frame.from]->held_since_ms[frame.key]) &&
                          lasts(link_since_[frame.from][frame.to]);
  const bool had_time = had_database || had_holder;
  ++(promised || had_time ? result_.key_drops : result_.excused_drops);
  if (is_quiet_ && now_ms_ > quiet_since_ms_ + kQuietMs - kLateMs) ++result_.late_drops;
  if (now_ms_ < to.unknown_told_ms + 1'000) return;
  to.unknown_told_ms = now_ms_;
  to.wanted = frame.key;
  to.wish_ms = to.wish_ms < 0 ? kUnknownMs : std::min(to.wish_ms, kUnknownMs);
  // Where the last look gave nothing, a member is asked at once.
  if (!HasDatabase(to)) to.sync_ms = now_ms_;
}

// ---- keys of one member -------------------------------------------------------------------------

absl::Status Sim::ApplyRing(Member& m) {
  const KeyRing ring = m.agent->ring();
  Keyring next;
  for (const ClusterKeyRef& key : ring.Keys()) SOTTO_RETURN_IF_ERROR(next.Install(key));
  SOTTO_RETURN_IF_ERROR(next.Use(ring.sealing));
  std::vector<KeyId> gone;
  for (const ClusterKeyRef& key : m.ring.keys()) {
    if (next.Find(key->id()) == nullptr) gone.push_back(key->id());
  }
  for (const ClusterKeyRef& key : next.keys()) m.held_since_ms.try_emplace(key->id(), now_ms_);
  m.ring = std::move(next);
  for (const KeyId id : gone) m.codec->ForgetKey(id);
  return absl::OkStatus();
}

absl::Status Sim::Look(size_t index) {
  Member& m = *members_[index];
  m.last_look_ms = now_ms_;
  m.wish_ms = -1;
  m.waits = false;
  if (HasDatabase(m)) {
    const KeyLook look = m.agent->Look(*table_);
    result_.trouble += !look.status.ok();
    if (look.ring_changed) SOTTO_RETURN_IF_ERROR(ApplyRing(m));
    if (look.read) SOTTO_RETURN_IF_ERROR(Follow(index, look.rows));
  } else {
    m.agent->NoteTrouble(CodedError(absl::StatusCode::kUnavailable, "DB_REFUSED", "parted"));
  }
  if (IsWanting(m)) SOTTO_RETURN_IF_ERROR(Seek(index));
  m.wanted.reset();
  m.wanted_generation = 0;
  return absl::OkStatus();
}

absl::Status Sim::Follow(size_t index, const KeyRows& rows) {
  Member& m = *members_[index];
  for (const KeyRow& row : rows.keys) {
    if (row.state == KeyState::kRemoved) m.known_removed.insert(row.id);
  }
  TryRecordings(m);
  if (m.agent->NeedsAck(rows, now_ms_)) {
    SOTTO_RETURN_IF_ERROR(table_->Acknowledge(m.agent->Ack(now_ms_)));
  }
  return Leads(index) ? Lead(index, rows) : absl::OkStatus();
}

// Somebody kept frames that were lost, and sends them once their key is removed.
void Sim::TryRecordings(Member& m) {
  for (auto it = m.kept.begin(); it != m.kept.end();) {
    if (!m.known_removed.contains(it->first)) {
      ++it;
      continue;
    }
    const std::vector<uint8_t>& bytes = it->second.bytes;
    std::vector<uint8_t> out(bytes.size());
    ++result_.recordings;
    result_.removed_opened += m.codec->Open(Now(), bytes, out).drop == DropReason::kNone;
    it = m.kept.erase(it);
  }
}

bool Sim::IsWanting(const Member& m) const {
  return m.wanted_generation > m.agent->ring().newest() ||
         (m.wanted.has_value() && m.ring.Find(*m.wanted) == nullptr);
}

absl::Status Sim::Seek(size_t index) {
  std::vector<size_t> others;
  for (size_t i = 0; i < members_.size(); ++i) {
    if (i != index && Linked(i, index)) others.push_back(i);
  }
  return others.empty() ? absl::OkStatus() : Exchange(index, others[rng_.Below(others.size())]);
}

absl::Status Sim::Exchange(size_t a, size_t b) {
  Member& x = *members_[a];
  Member& y = *members_[b];
  SOTTO_RETURN_IF_ERROR(HandOver(x, y));
  SOTTO_RETURN_IF_ERROR(HandOver(y, x));
  SOTTO_RETURN_IF_ERROR(Consider(x, y.ring.sealing()->id()));
  return Consider(y, x.ring.sealing()->id());
}

absl::Status Sim::HandOver(Member& from, Member& to) {
  const std::vector<ClusterKeyRef> keys = from.ring.keys();
  for (const ClusterKeyRef& key : keys) {
    if (to.ring.Find(key->id()) != nullptr) continue;
    const std::string wrapped = from.agent->Offer(key->id());
    if (wrapped.empty() || !to.agent->Take(wrapped).ok()) continue;
    ++result_.taken;
    to.wish_ms = kHintMs;
    SOTTO_RETURN_IF_ERROR(ApplyRing(to));
  }
  return absl::OkStatus();
}

absl::Status Sim::Consider(Member& m, KeyId id) {
  if (!m.agent->UseNewer(id)) return absl::OkStatus();
  m.wish_ms = kHintMs;
  return ApplyRing(m);
}

// ---- leaders ------------------------------------------------------------------------------------

std::vector<LivingMember> Sim::Living(size_t index, const KeyRows& rows) const {
  const Member& self = *members_[index];
  std::vector<std::string> living;
  for (size_t i = 0; i < members_.size(); ++i) {
    const int64_t since = link_since_[index][i];
    if (since < 0 && now_ms_ - (-1 - since) > kDeathAfterMs) continue;
    living.push_back(members_[i]->name);
  }
  return WithAnswers(living, rows, FreshAnswers(self.answers, now_ms_), self.name,
                     self.agent->ring().newest());
}

// The first by name of those that it takes for living; there may be several at once.
bool Sim::Leads(size_t index) const {
  for (size_t i = 0; i < index; ++i) {
    const int64_t since = link_since_[index][i];
    if (since >= 0 || now_ms_ - (-1 - since) <= kDeathAfterMs) return false;
  }
  return true;
}

absl::Status Sim::Lead(size_t index, const KeyRows& rows) {
  Member& m = *members_[index];
  const RotationSettings settings{is_quiet_ ? 0 : 60'000, 30'000};
  std::vector<LivingMember> living = Living(index, rows);
  RotationPlan plan = PlanRotation(rows, living, settings, now_ms_, false);
  if (!plan.waits_for.empty()) {
    SOTTO_RETURN_IF_ERROR(Ask(index, rows.newest()));
    living = Living(index, rows);
    plan = PlanRotation(rows, living, settings, now_ms_, false);
  }
  m.waits = !plan.waits_for.empty();
  return plan.step == RotationStep::kNone ? absl::OkStatus() : Step(index, plan, living);
}

absl::Status Sim::Step(size_t index, const RotationPlan& plan,
                       const std::vector<LivingMember>& living) {
  uint64_t generation = plan.generation;
  absl::Status status;
  if (plan.step == RotationStep::kPrepare) {
    constexpr size_t kSizes[] = {16, 24, 32};
    SOTTO_ASSIGN_OR_RETURN(
        const ClusterKeyRef key,
        ClusterKey::Create(DrawSecret(rng_, kSizes[result_.prepared % 3]), kCluster, 1));
    const absl::StatusOr<KeyTable::Prepared> made = table_->Prepare(policy_, {key, true, "leader"});
    status = made.status();
    if (made.ok()) generation = made->generation;
    if (made.ok()) keys_[made->id] = {now_ms_, false, {}};
    result_.prepared += made.ok();
  } else if (plan.step == RotationStep::kActivate) {
    SOTTO_ASSIGN_OR_RETURN(const KeyRows rows, table_->Read());
    KeyTable::ActivateParams params{generation, {}, 30'000, "leader"};
    for (const LivingMember& member : living) params.must_hold.push_back(member.name);
    status = table_->Activate(policy_, params);
    const KeyRow* row = rows.Find(generation);
    if (status.ok() && row != nullptr) {
      Activation& key = keys_[row->id];
      key.done = true;
      key.must_hold.insert(params.must_hold.begin(), params.must_hold.end());
      ++result_.activated;
    }
  } else {
    status = table_->Remove({generation, {}, "leader"});
    result_.removed += status.ok();
  }
  members_[index]->wish_ms = 0;
  // Somebody else was faster, or an answer is not on record yet: the next look decides.
  if (status.code() == absl::StatusCode::kFailedPrecondition) return absl::OkStatus();
  SOTTO_RETURN_IF_ERROR(status);
  return Ask(index, generation);
}

// Question and answer are datagrams, each lost once in five times.
absl::Status Sim::Ask(size_t index, uint64_t generation) {
  Member& m = *members_[index];
  KeyAnswers answers;
  for (size_t i = 0; i < members_.size(); ++i) {
    Member& other = *members_[i];
    if (i == index || !Linked(index, i) || rng_.Chance(1, 5)) continue;
    other.wish_ms = other.wish_ms < 0 ? kHintMs : std::min(other.wish_ms, kHintMs);
    if (generation > other.agent->ring().newest()) {
      other.wanted_generation = generation;
      if (!HasDatabase(other)) other.sync_ms = now_ms_;
    }
    if (rng_.Chance(1, 5)) continue;
    const std::optional<KeyClaim> claim = DecodeKeyClaim(EncodeKeyClaim(other.agent->Claim()));
    if (!claim) return absl::InternalError("a claim does not decode");
    answers[other.name] = m.answers[other.name] = {*claim, now_ms_};
  }
  SOTTO_ASSIGN_OR_RETURN(const KeyRows rows, table_->Read());
  const std::vector<KeyMember> records = RecordsFrom(answers, rows, m.name);
  return records.empty() ? absl::OkStatus() : table_->Record(records);
}

absl::StatusOr<RotationSimResult> Sim::End() {
  std::sort(nonces_.begin(), nonces_.end());
  for (size_t i = 1; i < nonces_.size(); ++i) {
    result_.repeated_nonces += nonces_[i] == nonces_[i - 1];
  }
  SOTTO_ASSIGN_OR_RETURN(const KeyRows rows, table_->Read());
  const auto active = std::count_if(rows.keys.begin(), rows.keys.end(), [](const KeyRow& row) {
    return row.state == KeyState::kActive;
  });
  result_.agreed = active == 1;
  for (const auto& m : members_) {
    result_.agreed = result_.agreed && m->ring.sealing()->id() == rows.active()->id;
  }
  return result_;
}

}  // namespace

absl::StatusOr<RotationSimResult> RunRotationSim(const RotationSimOptions& options) {
  return Sim(options).Run();
}

}  // namespace sotto
