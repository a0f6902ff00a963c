#include "store/node_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <limits>
#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/crc32.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

constexpr char kFileName[] = "node.state";
constexpr char kLockName[] = "lock";
constexpr size_t kStateBytesMax = 4096;

struct StateText {
  std::string cluster, name;
  uint32_t boot_number = 0;
  uint64_t key_generation = 0;
};

// Version 2 has one line more. A node without a wrapped key goes on writing version 1, which older
// releases read.
std::string Format(const StateText& state) {
  const bool has_generation = state.key_generation > 0;
  std::string text =
      absl::StrCat("sotto-node-state ", has_generation ? 2 : 1, "\ncluster ", state.cluster,
                   "\nname ", state.name, "\nboot-number ", state.boot_number, "\n");
  if (has_generation) absl::StrAppend(&text, "key-generation ", state.key_generation, "\n");
  absl::StrAppendFormat(&text, "crc32 %08x\n", Crc32(text));
  return text;
}

// Nothing if it is not, byte for byte, what Format makes.
std::optional<StateText> Parse(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (lines.size() != 6 && lines.size() != 7) return std::nullopt;
  StateText state;
  const auto after = [](const std::string& line, std::string_view prefix) {
    return line.starts_with(prefix) ? line.substr(prefix.size()) : std::string();
  };
  state.cluster = after(lines[1], "cluster ");
  state.name = after(lines[2], "name ");
  if (!absl::SimpleAtoi(after(lines[3], "boot-number "), &state.boot_number)) return std::nullopt;
  if (lines.size() == 7 &&
      !absl::SimpleAtoi(after(lines[4], "key-generation "), &state.key_generation)) {
    return std::nullopt;
  }
  if (Format(state) != text) return std::nullopt;
  return state;
}

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

}  // namespace

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
  const std::optional<StateText> held = is_damaged_size ? std::nullopt : Parse(*text);
  if (!held.has_value()) {
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
                                "which generations of the key were used is forgotten"));
    return state;
  }
  if (held->cluster != cluster || held->name != name) {
    return CodedError(
        absl::StatusCode::kFailedPrecondition, "STATE_OTHER_NODE",
        absl::StrCat(path, ": the state of node \"", held->name, "\" of cluster \"", held->cluster,
                     "\", not of \"", state->name_, "\" of \"", state->cluster_, "\""));
  }
  state->boot_number_ = held->boot_number;
  state->key_generation_ = held->key_generation;
  return state;
}

uint32_t NodeState::boot_number() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return boot_number_;
}

uint64_t NodeState::key_generation() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return key_generation_;
}

absl::Status NodeState::Write(uint32_t boot_number, uint64_t key_generation) {
  const absl::Status written = AtomicWrite(absl::StrCat(folder_, "/", kFileName),
                                           Format({.cluster = cluster_,
                                                   .name = name_,
                                                   .boot_number = boot_number,
                                                   .key_generation = key_generation}),
                                           0600);
  if (!written.ok()) return Unwritable(written);
  boot_number_ = boot_number;
  key_generation_ = key_generation;
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> NodeState::Bump() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (boot_number_ == std::numeric_limits<uint32_t>::max()) {
    return CodedError(absl::StatusCode::kResourceExhausted, "STATE_EXHAUSTED",
                      absl::StrCat(folder_, ": the boot number is at its end"));
  }
  SOTTO_RETURN_IF_ERROR(Write(boot_number_ + 1, key_generation_));
  return boot_number_;
}

absl::Status NodeState::RaiseTo(uint32_t boot_number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (boot_number <= boot_number_) return absl::OkStatus();
  return Write(boot_number, key_generation_);
}

absl::Status NodeState::RaiseKeyGenerationTo(uint64_t generation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (generation <= key_generation_) return absl::OkStatus();
  return Write(boot_number_, generation);
}

absl::Status NodeState::AcceptRollbackTo(uint64_t generation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (generation == key_generation_) return absl::OkStatus();
  return Write(boot_number_, generation);
}

}  // namespace sotto
