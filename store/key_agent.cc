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

namespace sotto {
namespace {

using absl::StatusCode;

constexpr int64_t kAckEveryMs = 60'000;
constexpr std::string_view kClaimVersion = "keys1";
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

void KeyAgent::SetPolicy(const KeyPolicy& policy) {
  const std::lock_guard lock(mutex_);
  policy_ = policy;
  policy_.may_create = false;
}

uint64_t KeyAgent::generation_seen() const {
  const std::lock_guard lock(mutex_);
  return generation_seen_;
}

std::map<KeyId, uint64_t> KeyAgent::removed() const {
  const std::lock_guard lock(mutex_);
  return removed_;
}

void KeyAgent::AcceptRollback() {
  const std::lock_guard lock(mutex_);
  generation_seen_ = 0;
  removed_.clear();
}

void KeyAgent::NoteTrouble(const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  trouble_ = ErrorCode(status);
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
  look.status = JudgeRows(rows, &next, &trouble);
  if (look.status.ok()) look.status = JudgeSystemsRow(rows, &look.external);
  trouble_ = look.status.ok() ? trouble : ErrorCode(look.status);
  const auto same = [](const RingKey& a, const RingKey& b) { return a.key == b.key; };
  look.ring_changed =
      next.sealing != ring_.sealing ||
      !std::equal(next.keys.begin(), next.keys.end(), ring_.keys.begin(), ring_.keys.end(), same);
  ring_ = std::move(next);
  generation_seen_ = std::max(generation_seen_, ring_.sealing_generation());
  look.rows = std::move(rows);
  return look;
}

void KeyAgent::NoteRemoved(const KeyRows& rows) {
  for (const KeyRow& row : rows.keys) {
    if (!IsLive(row)) removed_.emplace(row.id, row.generation);
  }
}

// The key of a row: as it is held, or opened and tested.
absl::StatusOr<RingKey> KeyAgent::OpenRow(const KeyRow& row) const {
  if (removed_.contains(row.id)) {
    return Returns(row.generation, row.id);
  }
  const RingKey* held = ring_.Find(row.id);
  if (held != nullptr && held->key->generation() == row.generation && !held->wrapped.empty() &&
      held->wrapped == row.value) {
    return RingKey{held->key, row.state, held->wrapped};
  }
  SOTTO_ASSIGN_OR_RETURN(ClusterKeyRef key, KeyOfRow(row, cluster_, policy_));
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

absl::Status KeyAgent::JudgeRows(const KeyRows& rows, KeyRing* next, std::string* trouble) {
  if (rows.keys.empty()) {
    return CodedError(StatusCode::kNotFound, "KEY_TABLE_EMPTY",
                      "ClusterKeys has no row of this cluster");
  }
  const KeyRow* active = rows.active();
  if (active == nullptr) {
    return CodedError(StatusCode::kFailedPrecondition, "KEY_STATE",
                      "ClusterKeys has not exactly one ACTIVE key of this cluster");
  }
  if (IsBehind(rows, generation_seen_)) return Rollback(rows, generation_seen_);
  // First the ACTIVE one: where it does not open, nothing of the table is followed.
  SOTTO_RETURN_IF_ERROR(OpenRow(*active).status());
  NoteRemoved(rows);
  next->keys.clear();
  for (const KeyRow& row : rows.keys) {
    if (!IsLive(row)) continue;
    absl::StatusOr<RingKey> key = OpenRow(row);
    if (key.ok()) {
      next->keys.push_back(*std::move(key));
      continue;
    }
    if (trouble->empty()) *trouble = ErrorCode(key.status());
    const RingKey* held = ring_.Find(row.id);
    if (held != nullptr && ErrorCode(key.status()) != "KEY_RETURNS") next->keys.push_back(*held);
  }
  // Newer than the table as it was read: handed over by a member meanwhile.
  for (const RingKey& key : ring_.keys) {
    if (key.key->generation() > rows.newest()) next->keys.push_back(key);
  }
  const RingKey* sealing = next->Find(ring_.sealing);
  if (sealing == nullptr || sealing->key->generation() < active->generation) {
    next->sealing = active->id;
  }
  return Fit(next);
}

absl::Status KeyAgent::JudgeSystemsRow(const KeyRows& rows, bool* external) const {
  SOTTO_RETURN_IF_ERROR(rows.row_status);
  const KeyRow* active = rows.active();
  if (rows.value == active->value) return absl::OkStatus();
  KeyPolicy open = policy_;
  open.generation_seen = 0;
  SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef key, ParseClusterKey(rows.value, cluster_, open));
  for (const KeyRow& row : rows.keys) {
    if (row.id != key->id()) continue;
    // The same key in other words: wrapped anew, or not yet.
    if (row.state == KeyState::kActive) return absl::OkStatus();
    if (row.state != KeyState::kPrepared) return Returns(row.generation, row.id);
    *external = !row.automatic;
    return absl::OkStatus();
  }
  *external = true;
  return absl::OkStatus();
}

KeyClaim KeyAgent::Claim() const {
  const std::lock_guard lock(mutex_);
  KeyClaim claim;
  if (!ring_.keys.empty()) {
    claim.held = ring_.newest();
    claim.held_id = ring_.keys.front().key->id();
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
  return {node_, claim.held, claim.sealing, claim.trouble, now_ms};
}

// ---- what passes between members ----------------------------------------------------------------

std::string KeyAgent::Offer(KeyId id) const {
  const std::lock_guard lock(mutex_);
  const RingKey* key = ring_.Find(id);
  if (key == nullptr || key->key->generation() < ring_.sealing_generation()) return {};
  return key->wrapped;
}

absl::StatusOr<KeyRing> KeyAgent::Take(std::string_view wrapped) {
  const std::lock_guard lock(mutex_);
  if (!IsWrappedKey(wrapped)) {
    return CodedError(StatusCode::kFailedPrecondition, "KEY_PLAIN_REFUSED",
                      "a member offers a key that is not wrapped");
  }
  SOTTO_ASSIGN_OR_RETURN(ClusterKeyRef key, UnwrapKey(wrapped, cluster_, policy_.keks.get(),
                                                      {.allow_weak = policy_.allow_weak}));
  if (removed_.contains(key->id())) {
    return Returns(key->generation(), key->id());
  }
  if (const RingKey* held = ring_.Find(key->id())) {
    if (held->key->secret() == key->secret()) return ring_;
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
  SOTTO_RETURN_IF_ERROR(SelfTestKey(*key));
  KeyRing next = ring_;
  next.keys.push_back({std::move(key), KeyState::kPrepared, std::string(wrapped)});
  SOTTO_RETURN_IF_ERROR(Fit(&next));
  ring_ = std::move(next);
  return ring_;
}

bool KeyAgent::UseNewer(KeyId id) {
  const std::lock_guard lock(mutex_);
  const RingKey* key = ring_.Find(id);
  if (key == nullptr || key->key->generation() <= ring_.sealing_generation()) return false;
  ring_.sealing = id;
  generation_seen_ = std::max(generation_seen_, key->key->generation());
  return true;
}

}  // namespace sotto
