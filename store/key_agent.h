// The keys of one node: from the table (key_table.h), the Systems row and other members to the ring
// that opens and seals its frames, and what it says of itself.
//
// Whatever the table turns into, the last good ring stays in use. The rules, each with an attack in
// key_agent_test:
//   - the generation of the sealing key never falls: neither an old backup nor a slow replica takes
//     a node back (KEY_ROLLBACK);
//   - a key that this node has seen REMOVED never returns, from the table or from a member, also
//     after a restart (KEY_RETURNS); what is seen first counts, so that no junk displaces it;
//   - a key that a member hands over is taken only if it is wrapped under a KEK that we hold, and
//     newer than the key that we seal with (design K2), by at most kTakenAheadMax generations;
//   - such a key is provisional: while the table can be read it is neither sealed with nor
//     acknowledged nor handed on before it stands there, and goes when it stays away;
//   - a new key seals and opens a vector before it is acknowledged.
// Threads: Look blocks on the database and is called from one thread; the rest from any thread, and
// never blocks. Ownership: the table is the caller's, and may come later.
#ifndef SOTTO_STORE_KEY_AGENT_H_
#define SOTTO_STORE_KEY_AGENT_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/kek.h"
#include "crypto/keyring.h"
#include "store/cluster_key.h"
#include "store/key_table.h"

namespace sotto {

struct RingKey {
  ClusterKeyRef key;
  KeyState state = KeyState::kActive;
  std::string wrapped;       // as it may pass to a member; empty: it lies plain, and never passes
  bool provisional = false;  // handed over by a member, and not seen in the table
  int missed = 0;            // looks since then that did not find it there
};

// What opens and seals this node's frames.
struct KeyRing {
  std::vector<RingKey> keys;  // newest first; 1 to Keyring::kKeysMax
  KeyId sealing;
  const RingKey* Find(KeyId id) const;
  // The sealing key first.
  std::vector<ClusterKeyRef> Keys() const;
  uint64_t sealing_generation() const;
  uint64_t newest() const;  // generation
  // As far as this node can tell: ACTIVE is what it seals with.
  KeyState StateOf(const RingKey& key) const;
};

// What a node says of its keys: the row of ClusterMembers, or the answer to a member's question.
struct KeyClaim {
  uint64_t held = 0, sealing = 0;  // generations
  KeyId held_id, sealing_id;       // where stores are not shared, generations differ and ids do not
  std::string trouble;             // a code; or empty
  std::vector<KekId> keks;         // that it has loaded
  uint64_t key_drops = 0;          // frames that it dropped for a key reason
};
// One line, at most kKeyClaimBytesMax; nothing in it is secret.
std::string EncodeKeyClaim(const KeyClaim& claim);
// Nothing if the text is not of that form.
std::optional<KeyClaim> DecodeKeyClaim(std::string_view text);

// What one look at the table gave.
struct KeyLook {
  absl::Status status;        // OK, or what is wrong with table or row, with its code
  bool ring_changed = false;  // give the node the new ring, then acknowledge
  bool external = false;      // the row holds a key that the table does not know: TakeExternal
  KeyRows rows;               // meaningful if the table could be read
  bool read = false;
};

class KeyAgent {
 public:
  // How far a key from a member may be ahead of the table as it was last read: rotations that a
  // member may sleep through without a database.
  static constexpr uint64_t kTakenAheadMax = 16;

  struct Options {
    std::string cluster, node;
    KeyPolicy policy;
    std::map<uint64_t, KeyId> removed;  // what `removed` gave in a former life
  };

  // `ring`: what the node starts with; may be empty before the first Look.
  KeyAgent(Options options, KeyRing ring);

  // Reads the table and decides.
  KeyLook Look(KeyTable& table);
  // The same for rows that were read already.
  KeyLook Judge(KeyRows rows);
  // Why the table could not be read; a look that failed.
  void NoteTrouble(const absl::Status& status);

  const std::string& cluster() const { return cluster_; }
  KeyRing ring() const;
  KeyPolicy policy() const;
  // What a reload brings.
  void SetKeks(KekRingRef keks, bool accept_plain);
  // The highest generation that was sealed with here: durable elsewhere (NodeState).
  uint64_t generation_seen() const;
  // The keys that were seen REMOVED, by generation: durable elsewhere, too.
  std::map<uint64_t, KeyId> removed() const;
  // For the operator who restored an old backup on purpose.
  void AcceptRollback();

  // Without key_drops, which the caller counts.
  KeyClaim Claim() const;
  // Whether the row of this node is to be written: it says something else, or is a minute old.
  bool NeedsAck(const KeyRows& rows, int64_t now_ms) const;
  KeyMember Ack(int64_t now_ms) const;

  // ---- what passes between members --------------------------------------------------------------

  // The key as it may pass to a certified member that lacks it; empty: it may not.
  std::string Offer(KeyId id) const;
  // A member's offer. KEY_AHEAD, KEY_NOT_IN_STORE, KEY_ROLLBACK, KEY_RETURNS, KEY_RING_FULL,
  // KEY_PLAIN_REFUSED, and the codes of UnwrapKey.
  absl::Status Take(std::string_view wrapped);
  // A member seals with this key of the ring, so this node does: false if it is not newer, or
  // provisional while the table can be read.
  bool UseNewer(KeyId id);

 private:
  bool IsRemoved(KeyId id) const;
  void NoteRemoved(const KeyRows& rows, uint64_t active);
  absl::StatusOr<RingKey> OpenRow(const KeyRow& row) const;
  absl::StatusOr<const KeyRow*> BaseOf(const KeyRows& rows) const;
  absl::StatusOr<RingKey> OpenBase(const KeyRow& base, const KeyRows& rows,
                                   absl::Status* damage) const;
  void KeepProvisional(const KeyRows& rows, KeyRing* next);
  absl::Status JudgeRows(const KeyRows& rows, KeyRing* next, std::string* trouble,
                         absl::Status* damage);
  absl::Status JudgeSystemsRow(const KeyRows& rows, bool* external) const;

  const std::string cluster_, node_;
  mutable std::mutex mutex_;  // guards what follows
  KeyPolicy policy_;
  KeyRing ring_;
  std::string trouble_;
  uint64_t generation_seen_ = 0;
  std::map<uint64_t, KeyId> removed_;
  std::set<KeyId> refused_;    // taken from members, and not in the table
  uint64_t table_newest_ = 0;  // the highest generation there, when it was last read
  bool table_counts_ = false;  // the last look found a table to go by
};

// Seals and opens a vector with the key. INTERNAL KEY_SELF_TEST.
absl::Status SelfTestKey(const ClusterKey& key);

}  // namespace sotto

#endif  // SOTTO_STORE_KEY_AGENT_H_
