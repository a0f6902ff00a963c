#include "store/key_agent.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "crypto/envelope.h"
#include "crypto/frame_codec.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/key_courier.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

using absl::StatusCode;

constexpr int64_t kAckEveryMs = 60'000;
constexpr std::string_view kClaimVersion = "keys1";
// Rows in use beyond this are somebody's, and would cost every node the opening of each.
constexpr size_t kLiveRowsMax = 4 * Keyring::kKeysMax;
// Looks in a row that do not find what a member has handed over.
constexpr int kMissedMax = 3;
constexpr size_t kRefusedMax = 64;
constexpr size_t kClaimKeksMax = 32;  // as many as a node loads

bool IsLive(const KeyRow& row) { return row.state != KeyState::kRemoved; }

// What a value may be to members: a wrapped one may pass, a plain one never (design K2).
std::string Passable(const std::string& value) {
  return IsWrappedKey(value) ? value : std::string();
}

absl::Status Returns(uint64_t generation, KeyId id) {
  return CodedError(StatusCode::kFailedPrecondition, "KEY_RETURNS",
                    absl::StrCat("generation ", generation, " (", ToString(id),
                                 ") was removed: it never returns"));
}

// Newest first, and no more than a ring holds: the oldest that neither seals nor waits goes.
absl::Status Fit(KeyRing* ring) {
  std::sort(ring->keys.begin(), ring->keys.end(), [](const RingKey& a, const RingKey& b) {
    return a.key->generation() > b.key->generation();
  });
  while (ring->keys.size() > Keyring::kKeysMax) {
    const auto oldest =
        std::find_if(ring->keys.rbegin(), ring->keys.rend(), [ring](const RingKey& key) {
          return key.state == KeyState::kRetired && key.key->id() != ring->sealing;
        });
    if (oldest == ring->keys.rend()) {
      return CodedError(StatusCode::kResourceExhausted, "KEY_RING_FULL",
                        absl::StrCat("this node holds ", Keyring::kKeysMax, " keys already"));
    }
    ring->keys.erase(std::next(oldest).base());
  }
  return absl::OkStatus();
}

template <typename Number>
bool ParseNumber(std::string_view text, Number* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

// "13:9f3c21aa".
bool ParseKeyWord(std::string_view text, uint64_t* generation, KeyId* id) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.size() != colon + 9) return false;
  const std::string_view hex = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), id->value, 16);
  return error == std::errc() && end == hex.data() + hex.size() &&
         ParseNumber(text.substr(0, colon), generation);
}

std::string KeyWord(uint64_t generation, KeyId id) {
  return absl::StrCat(generation, ":", absl::Hex(id.value, absl::kZeroPad8));
}

bool IsCode(std::string_view text) {
  return text.size() <= 48 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
         });
}

}  // namespace

// ---- the ring -----------------------------------------------------------------------------------

const RingKey* KeyRing::Find(KeyId id) const {
  for (const RingKey& key : keys) {
    if (key.key->id() == id) return &key;
  }
  return nullptr;
}

std::vector<ClusterKeyRef> KeyRing::Keys() const {
  std::vector<ClusterKeyRef> out;
  for (const RingKey& key : keys) {
    out.push_back(key.key);
    if (key.key->id() == sealing) std::swap(out.front(), out.back());
  }
  return out;
}

uint64_t KeyRing::sealing_generation() const {
  const RingKey* key = Find(sealing);
  return key == nullptr ? 0 : key->key->generation();
}

uint64_t KeyRing::newest() const { return keys.empty() ? 0 : keys.front().key->generation(); }

KeyState KeyRing::StateOf(const RingKey& key) const {
  if (key.key->id() == sealing) return KeyState::kActive;
  return key.key->generation() > sealing_generation() ? KeyState::kPrepared : KeyState::kRetired;
}

absl::Status SelfTestKey(const ClusterKey& key) {
  const auto failed = [&key](std::string_view why) {
    return CodedError(
        StatusCode::kInternal, "KEY_SELF_TEST",
        absl::StrCat("the key ", ToString(key.id()), " cannot be used: ", std::string(why)));
  };
  SOTTO_ASSIGN_OR_RETURN(const ProcessIdentityRef from,
                         ProcessIdentity::Create(key.cluster(), "a"));
  SOTTO_ASSIGN_OR_RETURN(const ProcessIdentityRef to, ProcessIdentity::Create(key.cluster(), "b"));
  SOTTO_ASSIGN_OR_RETURN(
      const ClusterKeyRef copy,
      ClusterKey::Create(key.secret().Clone(), key.cluster(), key.generation(), true));
  Keyring ring;
  SOTTO_RETURN_IF_ERROR(ring.Install(copy));
  StreamSequences sequences;
  SOTTO_ASSIGN_OR_RETURN(
      const std::unique_ptr<StreamSealer> sealer,
      StreamSealer::Create(copy, from->boot_id(), to->boot_id(), sequences.Next()));
  constexpr std::string_view kVector = "sotto key self-test";
  const std::span<const uint8_t> plain(reinterpret_cast<const uint8_t*>(kVector.data()),
                                       kVector.size());
  std::string sealed;
  SOTTO_RETURN_IF_ERROR(sealer->Seal(plain, sealed));
  const auto open = [&](const std::string& frame, std::string* out) {
    StreamOpener opener(&ring, to->boot_id(), from->boot_id());
    return opener.Open({reinterpret_cast<const uint8_t*>(frame.data()), frame.size()}, *out);
  };
  std::string opened;
  if (open(sealed, &opened) != DropReason::kNone || opened != kVector) {
    return failed("what it seals does not open");
  }
  sealed.back() = static_cast<char>(sealed.back() ^ 1);
  std::string forged;
  if (open(sealed, &forged) == DropReason::kNone) return failed("it opens what was changed");
  return absl::OkStatus();
}

// ---- what a node says ---------------------------------------------------------------------------

std::string EncodeKeyClaim(const KeyClaim& claim) {
  std::vector<std::string> keks;
  for (const KekId& kek : claim.keks) {
    if (keks.size() < kClaimKeksMax) keks.push_back(ToString(kek));
  }
  return absl::StrJoin({std::string(kClaimVersion), KeyWord(claim.held, claim.held_id),
                        KeyWord(claim.sealing, claim.sealing_id), absl::StrCat(claim.key_drops),
                        claim.trouble.empty() ? std::string("-") : claim.trouble,
                        keks.empty() ? std::string("-") : absl::StrJoin(keks, ",")},
                       " ");
}

std::optional<KeyClaim> DecodeKeyClaim(std::string_view text) {
  if (text.size() > kKeyClaimBytesMax) return std::nullopt;
  const std::vector<std::string> words =
      absl::StrSplit(absl::string_view(text.data(), text.size()), ' ');
  if (words.size() < 6 || words[0] != kClaimVersion) return std::nullopt;
  KeyClaim claim;
  if (!ParseKeyWord(words[1], &claim.held, &claim.held_id) ||
      !ParseKeyWord(words[2], &claim.sealing, &claim.sealing_id) ||
      !ParseNumber(std::string_view(words[3]), &claim.key_drops)) {
    return std::nullopt;
  }
  if (words[4] != "-") {
    if (!IsCode(words[4])) return std::nullopt;
    claim.trouble = words[4];
  }
  if (words[5] != "-") {
    for (const std::string& word : std::vector<std::string>(absl::StrSplit(words[5], ','))) {
      const std::optional<KekId> kek = ParseKekId(word);
      if (!kek || claim.keks.size() == kClaimKeksMax) return std::nullopt;
      claim.keks.push_back(*kek);
    }
  }
  return claim;
}

// ---- the agent ----------------------------------------------------------------------------------

KeyAgent::KeyAgent(Options options, KeyRing ring)
    : cluster_(std::move(options.cluster)),
      node_(std::move(options.node)),
      policy_(std::move(options.policy)),
      ring_(std::move(ring)),
      generation_seen_(policy_.generation_seen),
      removed_(std::move(options.removed)) {
  policy_.may_create = false;
  generation_seen_ = std::max(generation_seen_, ring_.sealing_generation());
  table_newest_ = ring_.newest();
}

KeyRing KeyAgent::ring() const {
  const std::lock_guard lock(mutex_);
  return ring_;
}

KeyPolicy KeyAgent::policy() const {
  const std::lock_guard lock(mutex_);
  KeyPolicy policy = policy_;
  policy.generation_seen = generation_seen_;
  return policy;
}

void KeyAgent::SetKeks(KekRingRef keks, bool accept_plain) {
  const std::lock_guard lock(mutex_);
  policy_.keks = std::move(keks);
  policy_.accept_plain = accept_plain;
}

uint64_t KeyAgent::generation_seen() const {
  const std::lock_guard lock(mutex_);
  return generation_seen_;
}

std::map<uint64_t, KeyId> KeyAgent::removed() const {
  const std::lock_guard lock(mutex_);
  return removed_;
}

void KeyAgent::AcceptRollback() {
  const std::lock_guard lock(mutex_);
  generation_seen_ = 0;
  removed_.clear();
  refused_.clear();
}

void KeyAgent::NoteTrouble(const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  trouble_ = ErrorCode(status);
  table_counts_ = false;
}

KeyLook KeyAgent::Look(KeyTable& table) {
  absl::StatusOr<KeyRows> rows = table.Read();
  if (rows.ok()) return Judge(*std::move(rows));
  NoteTrouble(rows.status());
  KeyLook look;
  look.status = rows.status();
  return look;
}

KeyLook KeyAgent::Judge(KeyRows rows) {
  KeyLook look;
  look.read = true;
  const std::lock_guard lock(mutex_);
  KeyRing next = ring_;
  std::string trouble;
  absl::Status damage;
  look.status = JudgeRows(rows, &next, &trouble, &damage);
  // A table that was moved is no judge of what members hold.
  table_counts_ = look.status.ok() && rows.moved_to.empty();
  if (look.status.ok()) {
    const auto same = [](const RingKey& a, const RingKey& b) { return a.key == b.key; };
    look.ring_changed =
        next.sealing != ring_.sealing ||
        !std::equal(next.keys.begin(), next.keys.end(), ring_.keys.begin(), ring_.keys.end(), same);
    ring_ = std::move(next);
    table_newest_ = rows.newest();
    if (!ring_.Find(ring_.sealing)->provisional) {
      generation_seen_ = std::max(generation_seen_, ring_.sealing_generation());
    }
    look.status = CheckNotMoved(rows);
  }
  look.status.Update(damage);
  if (look.status.ok()) look.status = JudgeSystemsRow(rows, &look.external);
  trouble_ = look.status.ok() ? trouble : ErrorCode(look.status);
  look.rows = std::move(rows);
  return look;
}

bool KeyAgent::IsRemoved(KeyId id) const {
  return std::any_of(removed_.begin(), removed_.end(),
                     [id](const auto& removed) { return removed.second == id; });
}

// Rows that anybody can add are no memory: only what is older than the ACTIVE key or was held here
// counts, and what is seen first for a generation stays.
void KeyAgent::NoteRemoved(const KeyRows& rows, uint64_t active) {
  std::set<KeyId> in_use;
  for (const KeyRow& row : rows.keys) {
    if (IsLive(row)) in_use.insert(row.id);
  }
  for (const KeyRow& row : rows.keys) {
    if (IsLive(row)) continue;
    const RingKey* held = ring_.Find(row.id);
    const bool was_held = held != nullptr && held->key->generation() == row.generation;
    if (in_use.contains(row.id)) continue;
    if (row.generation < active || was_held) removed_.emplace(row.generation, row.id);
  }
}

// The key of a row: as it is held, or opened and tested.
absl::StatusOr<RingKey> KeyAgent::OpenRow(const KeyRow& row) const {
  if (IsRemoved(row.id)) return Returns(row.generation, row.id);
  const RingKey* held = ring_.Find(row.id);
  if (held != nullptr && held->key->generation() == row.generation && !held->wrapped.empty() &&
      held->wrapped == row.value) {
    return RingKey{held->key, row.state, held->wrapped};
  }
  absl::StatusOr<ClusterKeyRef> opened = KeyOfRow(row, cluster_, policy_);
  if (!opened.ok()) {
    return WithContext(opened.status(), absl::StrCat("ClusterKeys, generation ", row.generation));
  }
  ClusterKeyRef key = *std::move(opened);
  if (held != nullptr && !(held->key->secret() == key->secret())) {
    return CodedError(StatusCode::kAlreadyExists, "KEY_ID_COLLISION",
                      absl::StrCat("generation ", row.generation, " is another key with the id ",
                                   ToString(row.id), " of one that this node holds"));
  }
  if (held != nullptr && held->key->generation() == row.generation) {
    key = held->key;  // the same object: nothing has changed for the node
  } else if (held == nullptr) {
    SOTTO_RETURN_IF_ERROR(SelfTestKey(*key));
  }
  return RingKey{std::move(key), row.state, Passable(row.value)};
}

// The row that this node seals with at least: the ACTIVE one; or, where it was ahead of the table,
// the PREPARED one that it has sealed with.
absl::StatusOr<const KeyRow*> KeyAgent::BaseOf(const KeyRows& rows) const {
  if (rows.keys.empty()) {
    return CodedError(StatusCode::kNotFound, "KEY_TABLE_EMPTY",
                      "ClusterKeys has no row of this cluster");
  }
  const auto live = std::count_if(rows.keys.begin(), rows.keys.end(), IsLive);
  if (static_cast<size_t>(live) > kLiveRowsMax) {
    return CodedError(
        StatusCode::kDataLoss, "KEY_TABLE_MALFORMED",
        absl::StrCat("ClusterKeys has ", live, " keys in use; sotto leaves ", Keyring::kKeysMax));
  }
  const KeyRow* active = rows.active();
  if (active == nullptr) {
    return CodedError(StatusCode::kFailedPrecondition, "KEY_STATE",
                      "ClusterKeys has not exactly one ACTIVE key of this cluster");
  }
  if (IsBehind(rows, generation_seen_)) return Rollback(rows, generation_seen_);
  if (active->generation >= generation_seen_) return active;
  const KeyRow* ahead = rows.Find(generation_seen_);
  const bool is_it = (ring_.keys.empty() || ring_.Find(ahead->id) != nullptr) &&
                     OpenRow(*ahead).ok() && OpenRow(*active).ok();
  if (!is_it) return Rollback(rows, generation_seen_);
  return ahead;
}

// Where its value is damaged, the Systems row has it a second time: for a node that starts. One
// that runs has its ring.
absl::StatusOr<RingKey> KeyAgent::OpenBase(const KeyRow& base, const KeyRows& rows,
                                           absl::Status* damage) const {
  absl::StatusOr<RingKey> key = OpenRow(base);
  if (key.ok() || !ring_.keys.empty() || !rows.row_status.ok()) return key;
  KeyRow mirror = base;
  mirror.value = rows.value;
  const absl::StatusOr<RingKey> second = OpenRow(mirror);
  WipeText(&mirror.value);
  if (!second.ok()) return key;
  *damage = key.status();
  return second;
}

// What members have handed over and the table lacks stays for a few looks: a replica may be slow.
void KeyAgent::KeepProvisional(const KeyRows& rows, KeyRing* next) {
  for (const RingKey& key : ring_.keys) {
    if (!key.provisional || rows.Find(key.key->id()) != nullptr) continue;
    // What stands in the table comes first.
    const bool seals = key.key->id() == ring_.sealing;
    if (next->keys.size() >= Keyring::kKeysMax && !seals) continue;
    if (!rows.moved_to.empty() || key.missed + 1 < kMissedMax) {
      next->keys.push_back(key);
      next->keys.back().missed += rows.moved_to.empty() ? 1 : 0;
      continue;
    }
    if (refused_.size() >= kRefusedMax) refused_.clear();
    refused_.insert(key.key->id());
  }
  for (const KeyRow& row : rows.keys) refused_.erase(row.id);
}

absl::Status KeyAgent::JudgeRows(const KeyRows& rows, KeyRing* next, std::string* trouble,
                                 absl::Status* damage) {
  SOTTO_ASSIGN_OR_RETURN(const KeyRow* const base, BaseOf(rows));
  // First this one: where it does not open, nothing of the table is followed.
  SOTTO_ASSIGN_OR_RETURN(RingKey base_key, OpenBase(*base, rows, damage));
  NoteRemoved(rows, rows.active()->generation);
  next->keys.clear();
  next->keys.push_back(std::move(base_key));
  for (const KeyRow& row : rows.keys) {
    if (!IsLive(row) || &row == base) continue;
    absl::StatusOr<RingKey> key = OpenRow(row);
    if (key.ok()) {
      next->keys.push_back(*std::move(key));
      continue;
    }
    if (trouble->empty()) *trouble = ErrorCode(key.status());
    const RingKey* held = ring_.Find(row.id);
    if (held != nullptr && ErrorCode(key.status()) != "KEY_RETURNS") next->keys.push_back(*held);
  }
  KeepProvisional(rows, next);
  const RingKey* sealing = next->Find(ring_.sealing);
  if (sealing == nullptr || sealing->key->generation() < base->generation) {
    next->sealing = base->id;
  }
  return Fit(next);
}

absl::Status KeyAgent::JudgeSystemsRow(const KeyRows& rows, bool* external) const {
  SOTTO_RETURN_IF_ERROR(rows.row_status);
  SOTTO_ASSIGN_OR_RETURN(const SystemsKey found, KeyInSystems(rows, cluster_, policy_));
  if (found.key != nullptr && IsRemoved(found.key->id())) {
    return Returns(found.key->generation(), found.key->id());
  }
  // The ACTIVE key, perhaps in other words: wrapped anew, or not yet.
  const bool is_settled =
      found.known != nullptr && (found.known->state == KeyState::kActive || found.known->automatic);
  *external = !is_settled;
  return absl::OkStatus();
}

KeyClaim KeyAgent::Claim() const {
  const std::lock_guard lock(mutex_);
  KeyClaim claim;
  for (const RingKey& key : ring_.keys) {
    if (key.provisional && table_counts_) continue;
    claim.held = key.key->generation();
    claim.held_id = key.key->id();
    break;
  }
  if (!ring_.keys.empty()) {
    claim.sealing = ring_.sealing_generation();
    claim.sealing_id = ring_.sealing;
  }
  claim.trouble = trouble_;
  if (policy_.keks != nullptr) {
    for (const KekRef& kek : policy_.keks->keks()) claim.keks.push_back(kek->id());
  }
  return claim;
}

bool KeyAgent::NeedsAck(const KeyRows& rows, int64_t now_ms) const {
  const KeyMember own = Ack(now_ms);
  const KeyMember* row = rows.FindMember(node_);
  return row == nullptr || row->held != own.held || row->sealing != own.sealing ||
         row->trouble != own.trouble || row->last_seen_ms + kAckEveryMs <= now_ms ||
         row->last_seen_ms > now_ms + kAckEveryMs;
}

KeyMember KeyAgent::Ack(int64_t now_ms) const {
  const KeyClaim claim = Claim();
  KeyMember member{node_, claim.held, claim.sealing, claim.trouble, now_ms};
  // A generation that is in no table says nothing there.
  const KeyRing ring = this->ring();
  const RingKey* sealing = ring.Find(ring.sealing);
  if (sealing != nullptr && sealing->provisional) member.sealing.reset();
  return member;
}

// ---- what passes between members ----------------------------------------------------------------

std::string KeyAgent::Offer(KeyId id) const {
  const std::lock_guard lock(mutex_);
  const RingKey* key = ring_.Find(id);
  if (key == nullptr || key->key->generation() < ring_.sealing_generation()) return {};
  if (key->provisional && table_counts_) return {};
  return key->wrapped;
}

absl::Status KeyAgent::Take(std::string_view wrapped) {
  const std::lock_guard lock(mutex_);
  if (!IsWrappedKey(wrapped)) {
    return CodedError(StatusCode::kFailedPrecondition, "KEY_PLAIN_REFUSED",
                      "a member offers a key that is not wrapped");
  }
  SOTTO_ASSIGN_OR_RETURN(ClusterKeyRef key, UnwrapKey(wrapped, cluster_, policy_.keks.get(),
                                                      {.allow_weak = policy_.allow_weak}));
  if (IsRemoved(key->id())) return Returns(key->generation(), key->id());
  if (const RingKey* held = ring_.Find(key->id())) {
    if (held->key->secret() == key->secret()) return absl::OkStatus();
    return CodedError(
        StatusCode::kAlreadyExists, "KEY_ID_COLLISION",
        absl::StrCat("a member offers another key with the id ", ToString(key->id())));
  }
  if (key->generation() <= ring_.sealing_generation()) {
    return CodedError(
        StatusCode::kFailedPrecondition, "KEY_ROLLBACK",
        absl::StrCat("a member offers generation ", key->generation(),
                     ", and this node seals with generation ", ring_.sealing_generation()));
  }
  if (key->generation() > table_newest_ + kTakenAheadMax) {
    return CodedError(
        StatusCode::kFailedPrecondition, "KEY_AHEAD",
        absl::StrCat("a member offers generation ", key->generation(),
                     ", and the newest that this node has seen in the store is ", table_newest_));
  }
  if (refused_.contains(key->id())) {
    return CodedError(StatusCode::kFailedPrecondition, "KEY_NOT_IN_STORE",
                      absl::StrCat("a member offers generation ", key->generation(), " (",
                                   ToString(key->id()), "), which this node's store lacks"));
  }
  SOTTO_RETURN_IF_ERROR(SelfTestKey(*key));
  KeyRing next = ring_;
  next.keys.push_back({std::move(key), KeyState::kPrepared, std::string(wrapped), true});
  SOTTO_RETURN_IF_ERROR(Fit(&next));
  ring_ = std::move(next);
  return absl::OkStatus();
}

bool KeyAgent::UseNewer(KeyId id) {
  const std::lock_guard lock(mutex_);
  const RingKey* key = ring_.Find(id);
  if (key == nullptr || key->key->generation() <= ring_.sealing_generation()) return false;
  if (key->provisional && table_counts_) return false;
  ring_.sealing = id;
  if (!key->provisional) generation_seen_ = std::max(generation_seen_, key->key->generation());
  return true;
}

}  // namespace sotto
