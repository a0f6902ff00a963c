// What a node must remember between its lives: whose state folder this is, its boot number (M2),
// the highest generation of the cluster's key that it has used, and which keys it has seen REMOVED
// (a database that was set back to an old backup, or forged, must not bring an old key with it).
//
// One small text file with a checksum, replaced whole at every change and flushed before the change
// is used; and a lock, so that two daemons never share a folder. A missing file begins at 0: the
// cluster's own memory corrects a lost volume. A damaged one is moved aside to node.state.corrupt,
// reported, and treated as lost. Threads: every method from any thread. Ownership: the lock is held
// until destruction, also by a process that is killed.
#ifndef SOTTO_STORE_NODE_STATE_H_
#define SOTTO_STORE_NODE_STATE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/keyring.h"

namespace sotto {

// The id of each generation.
using KeyGenerations = std::map<uint64_t, KeyId>;

class NodeState {
 public:
  // The removed keys of the highest generations are remembered; 21 years of monthly rotations.
  static constexpr size_t kRemovedKeysMax = 256;

  // Makes the folder (0700) if it is missing, and takes its lock.
  //   STATE_IN_USE       ALREADY_EXISTS       another process holds the lock
  //   STATE_OTHER_NODE   FAILED_PRECONDITION  the file is of another name or cluster
  //   STATE_UNWRITABLE   PERMISSION_DENIED    the folder or the lock can't be made or opened
  //   STATE_UNREADABLE   PERMISSION_DENIED    the file is there and can't be read
  static absl::StatusOr<std::unique_ptr<NodeState>> Open(const std::string& folder,
                                                         std::string_view cluster,
                                                         std::string_view name);
  ~NodeState();
  NodeState(const NodeState&) = delete;
  NodeState& operator=(const NodeState&) = delete;

  // The last number that was written; 0 before the first Bump of a fresh folder.
  uint32_t boot_number() const;
  // OK, or DATA_LOSS STATE_CORRUPT when Open had to move a damaged file aside.
  const absl::Status& recovered() const { return recovered_; }
  const std::string& folder() const { return folder_; }

  // The next number, durable before it is returned. STATE_UNWRITABLE, STATE_EXHAUSTED.
  absl::StatusOr<uint32_t> Bump();
  // Makes `boot_number` durable; a number that is not higher changes nothing and is OK.
  absl::Status RaiseTo(uint32_t boot_number);

  // 0: no wrapped key was ever used here. Plain keys have no generation.
  uint64_t key_generation() const;
  // Makes `generation` durable; one that is not higher changes nothing and is OK.
  absl::Status RaiseKeyGenerationTo(uint64_t generation);
  KeyGenerations removed_keys() const;
  // Makes them durable, beside those that are, and a generation has the id that was told first;
  // nothing new is OK and writes nothing.
  absl::Status AddRemovedKeys(const KeyGenerations& keys);
  // For the operator who restored an old backup on purpose: from now on `generation` is the highest
  // one seen, lower or not, and no key counts as removed.
  absl::Status AcceptRollbackTo(uint64_t generation);

 private:
  struct Memory {
    uint32_t boot_number = 0;
    uint64_t key_generation = 0;
    KeyGenerations removed_keys;
    bool operator==(const Memory&) const = default;
  };

  NodeState() = default;
  static std::string Format(const std::string& cluster, const std::string& name,
                            const Memory& memory);
  // False if `text` is not, byte for byte, what Format makes.
  static bool Parse(const std::string& text, std::string* cluster, std::string* name,
                    Memory* memory);
  absl::Status Write(Memory memory);

  std::string folder_, cluster_, name_;
  absl::Status recovered_;
  int lock_fd_ = -1;
  mutable std::mutex mutex_;  // guards what follows, and the file
  Memory memory_;
};

}  // namespace sotto

#endif  // SOTTO_STORE_NODE_STATE_H_
