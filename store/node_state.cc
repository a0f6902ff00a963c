#include "store/node_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/crc32.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

constexpr char kFileName[] = "node.state";
constexpr char kLockName[] = "lock";
constexpr size_t kStateBytesMax = 16'384;

absl::Status Unwritable(const absl::Status& cause) {
  return CodedError(cause.code(), "STATE_UNWRITABLE",
                    absl::StrCat("the node's state can't be kept: ", cause.message()));
}

// The lock's descriptor.
absl::StatusOr<int> TakeLock(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kLockName);
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) {
    return CodedError(absl::StatusCode::kPermissionDenied, "STATE_UNWRITABLE",
                      absl::StrCat(path, ": the lock can't be opened (errno ", errno, ")"));
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    close(fd);
    if (error == EWOULDBLOCK) {
      return CodedError(absl::StatusCode::kAlreadyExists, "STATE_IN_USE",
                        absl::StrCat(folder, ": another sottod uses this state folder"));
    }
    return CodedError(absl::StatusCode::kPermissionDenied, "STATE_UNWRITABLE",
                      absl::StrCat(path, ": the lock can't be taken (errno ", error, ")"));
  }
  return fd;
}

// "12:9f3c-21aa 13:41d0-77be".
std::string RemovedText(const KeyGenerations& keys) {
  return absl::StrJoin(keys, " ", [](std::string* out, const auto& key) {
    absl::StrAppend(out, key.first, ":", ToString(key.second));
  });
}

bool ParseRemoved(const std::string& text, KeyGenerations* keys) {
  for (const std::string& word : std::vector<std::string>(absl::StrSplit(text, ' '))) {
    const size_t colon = word.find(':');
    if (colon == std::string::npos) return false;
    const std::optional<KeyId> id = ParseKeyId(std::string_view(word).substr(colon + 1));
    uint64_t generation = 0;
    if (!id || !absl::SimpleAtoi(word.substr(0, colon), &generation)) return false;
    keys->emplace(generation, *id);
  }
  return true;
}

}  // namespace

// Each version has one line more than the one before. The lowest that can say it is written, which
// older releases read as well.
std::string NodeState::Format(const std::string& cluster, const std::string& name,
                              const Memory& memory) {
  const int version = !memory.removed_keys.empty() ? 3 : memory.key_generation > 0 ? 2 : 1;
  std::string text = absl::StrCat("sotto-node-state ", version, "\ncluster ", cluster, "\nname ",
                                  name, "\nboot-number ", memory.boot_number, "\n");
  if (version >= 2) absl::StrAppend(&text, "key-generation ", memory.key_generation, "\n");
  if (version >= 3) {
    absl::StrAppend(&text, "removed-keys ", RemovedText(memory.removed_keys), "\n");
  }
  absl::StrAppendFormat(&text, "crc32 %08x\n", Crc32(text));
  return text;
}

bool NodeState::Parse(const std::string& text, std::string* cluster, std::string* name,
                      Memory* memory) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (lines.size() < 6 || lines.size() > 8) return false;
  const auto after = [](const std::string& line, std::string_view prefix) {
    return line.starts_with(prefix) ? line.substr(prefix.size()) : std::string();
  };
  *cluster = after(lines[1], "cluster ");
  *name = after(lines[2], "name ");
  if (!absl::SimpleAtoi(after(lines[3], "boot-number "), &memory->boot_number)) return false;
  if (lines.size() > 6 &&
      !absl::SimpleAtoi(after(lines[4], "key-generation "), &memory->key_generation)) {
    return false;
  }
  if (lines.size() > 7 && !ParseRemoved(after(lines[5], "removed-keys "), &memory->removed_keys)) {
    return false;
  }
  return Format(*cluster, *name, *memory) == text;
}

NodeState::~NodeState() {
  if (lock_fd_ >= 0) close(lock_fd_);
}

absl::StatusOr<std::unique_ptr<NodeState>> NodeState::Open(const std::string& folder,
                                                           std::string_view cluster,
                                                           std::string_view name) {
  std::unique_ptr<NodeState> state(new NodeState());
  state->folder_ = folder;
  state->cluster_ = std::string(cluster);
  state->name_ = std::string(name);
  const absl::Status made = MakeFolders(folder, 0700);
  if (!made.ok()) return Unwritable(made);
  SOTTO_ASSIGN_OR_RETURN(state->lock_fd_, TakeLock(folder));

  const std::string path = absl::StrCat(folder, "/", kFileName);
  const absl::StatusOr<std::string> text = ReadPlainFile(path, kStateBytesMax);
  if (ErrorCode(text.status()) == "FILE_MISSING") return state;
  const bool is_damaged_size = ErrorCode(text.status()) == "FILE_TOO_LONG";
  if (!text.ok() && !is_damaged_size) {
    return CodedError(absl::StatusCode::kPermissionDenied, "STATE_UNREADABLE",
                      absl::StrCat(text.status().message()));
  }
  std::string of_cluster, of_name;
  Memory memory;
  if (is_damaged_size || !Parse(*text, &of_cluster, &of_name, &memory)) {
    const std::string aside = path + ".corrupt";
    if (rename(path.c_str(), aside.c_str()) != 0) {
      return CodedError(
          absl::StatusCode::kPermissionDenied, "STATE_UNWRITABLE",
          absl::StrCat(path, ": damaged, and it can't be moved aside (errno ", errno, ")"));
    }
    state->recovered_ =
        CodedError(absl::StatusCode::kDataLoss, "STATE_CORRUPT",
                   absl::StrCat(path, ": damaged; moved to ", aside,
                                ", and the boot number starts again from the cluster's memory; "
                                "which keys were used and removed is forgotten"));
    return state;
  }
  if (of_cluster != cluster || of_name != name) {
    return CodedError(
        absl::StatusCode::kFailedPrecondition, "STATE_OTHER_NODE",
        absl::StrCat(path, ": the state of node \"", of_name, "\" of cluster \"", of_cluster,
                     "\", not of \"", state->name_, "\" of \"", state->cluster_, "\""));
  }
  state->memory_ = std::move(memory);
  return state;
}

uint32_t NodeState::boot_number() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return memory_.boot_number;
}

uint64_t NodeState::key_generation() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return memory_.key_generation;
}

KeyGenerations NodeState::removed_keys() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return memory_.removed_keys;
}

absl::Status NodeState::Write(Memory memory) {
  const absl::Status written =
      AtomicWrite(absl::StrCat(folder_, "/", kFileName), Format(cluster_, name_, memory), 0600);
  if (!written.ok()) return Unwritable(written);
  memory_ = std::move(memory);
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> NodeState::Bump() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Memory next = memory_;
  if (next.boot_number == std::numeric_limits<uint32_t>::max()) {
    return CodedError(absl::StatusCode::kResourceExhausted, "STATE_EXHAUSTED",
                      absl::StrCat(folder_, ": the boot number is at its end"));
  }
  ++next.boot_number;
  SOTTO_RETURN_IF_ERROR(Write(std::move(next)));
  return memory_.boot_number;
}

absl::Status NodeState::RaiseTo(uint32_t boot_number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (boot_number <= memory_.boot_number) return absl::OkStatus();
  Memory next = memory_;
  next.boot_number = boot_number;
  return Write(std::move(next));
}

absl::Status NodeState::RaiseKeyGenerationTo(uint64_t generation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (generation <= memory_.key_generation) return absl::OkStatus();
  Memory next = memory_;
  next.key_generation = generation;
  return Write(std::move(next));
}

absl::Status NodeState::AddRemovedKeys(const KeyGenerations& keys) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Memory next = memory_;
  next.removed_keys.insert(keys.begin(), keys.end());
  while (next.removed_keys.size() > kRemovedKeysMax) {
    next.removed_keys.erase(next.removed_keys.begin());
  }
  return next == memory_ ? absl::OkStatus() : Write(std::move(next));
}

absl::Status NodeState::AcceptRollbackTo(uint64_t generation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Memory next{memory_.boot_number, generation, {}};
  return next == memory_ ? absl::OkStatus() : Write(std::move(next));
}

}  // namespace sotto
