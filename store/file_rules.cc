#include "store/file_rules.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  // Closes early, for the error that only close reports.
  int Close() { return close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

std::string ErrorText(int error) {
  std::array<char, 128> buffer{};
  return strerror_r(error, buffer.data(), buffer.size());
}

std::string NameOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string Mode(mode_t mode) { return absl::StrFormat("%04o", mode & 07777); }

absl::Status OpenError(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    return CodedError(absl::StatusCode::kNotFound, "FILE_MISSING",
                      absl::StrCat(path, ": there is no such file"));
  }
  if (error == ELOOP) {
    return CodedError(
        absl::StatusCode::kInvalidArgument, "FILE_NOT_REGULAR",
        absl::StrCat(path, ": it is a symbolic link; secrets are not read through one"));
  }
  if (error == ENXIO) {
    return CodedError(absl::StatusCode::kInvalidArgument, "FILE_NOT_REGULAR",
                      absl::StrCat(path, ": it is a socket or a device, not a file"));
  }
  return CodedError(absl::StatusCode::kPermissionDenied, "FILE_UNREADABLE",
                    absl::StrCat(path, ": can't be opened: ", ErrorText(error)));
}

bool IsTrustedOwner(uid_t owner, const FileRules& rules) {
  return owner == 0 || owner == geteuid() || owner == rules.also_owner;
}

// Whoever can write the folder can put another file in the secret's place, whatever the file's
// mode. In a sticky folder (/tmp) only the file's owner can.
absl::Status CheckFolder(const std::string& folder, const struct stat& info,
                         const FileRules& rules) {
  if (!IsTrustedOwner(info.st_uid, rules)) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "FOLDER_WRITABLE",
                      absl::StrCat(folder, ": the folder belongs to uid ", info.st_uid,
                                   ", who could exchange the secret in it"));
  }
  if ((info.st_mode & 022) != 0 && (info.st_mode & S_ISVTX) == 0) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "FOLDER_WRITABLE",
                      absl::StrCat(folder, ": others can write this folder (", Mode(info.st_mode),
                                   ") and exchange the secret in it; chmod go-w ", folder));
  }
  return absl::OkStatus();
}

absl::Status CheckSecret(const std::string& path, const struct stat& info, const FileRules& rules) {
  if (!IsTrustedOwner(info.st_uid, rules)) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "FILE_WRONG_OWNER",
                      absl::StrCat(path, ": it belongs to uid ", info.st_uid, ", not to uid ",
                                   geteuid(), " or root"));
  }
  const mode_t closed = rules.root_may_share && info.st_uid == 0 ? 037 : 077;
  if ((info.st_mode & closed) != 0) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "SECRET_READABLE",
                      absl::StrCat(path, ": it holds a secret and is open to group or others (",
                                   Mode(info.st_mode), "); chmod 0600 ", path));
  }
  return absl::OkStatus();
}

enum class OpenFor { kReading, kJudging };

// The file's descriptor, judged. For judging alone it is an O_PATH one: closing any other kind
// would drop the locks that SQLite holds on the same file in this process.
absl::StatusOr<Descriptor> OpenJudged(const std::string& path, const FileRules& rules,
                                      OpenFor purpose, struct stat* info) {
  const std::string folder = FolderOf(path);
  const Descriptor folder_fd(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder_fd.ok()) return OpenError(path, errno);
  if (rules.secret) {
    struct stat folder_info {};
    if (fstat(folder_fd.get(), &folder_info) != 0) return OpenError(path, errno);
    SOTTO_RETURN_IF_ERROR(CheckFolder(folder, folder_info, rules));
  }
  // O_NONBLOCK: a FIFO must not hold us until somebody writes to it.
  const int flags = (purpose == OpenFor::kJudging ? O_PATH : O_RDONLY | O_NONBLOCK) | O_CLOEXEC |
                    (rules.secret ? O_NOFOLLOW : 0);
  Descriptor fd(openat(folder_fd.get(), NameOf(path).c_str(), flags));
  if (!fd.ok()) return OpenError(path, errno);
  if (fstat(fd.get(), info) != 0) return OpenError(path, errno);
  if (S_ISLNK(info->st_mode)) return OpenError(path, ELOOP);
  if (!S_ISREG(info->st_mode)) {
    return CodedError(
        absl::StatusCode::kInvalidArgument, "FILE_NOT_REGULAR",
        absl::StrCat(path, ": it is ", S_ISDIR(info->st_mode) ? "a folder" : "no regular file"));
  }
  if (rules.secret) {
    SOTTO_RETURN_IF_ERROR(CheckSecret(path, *info, rules));
  } else if ((info->st_mode & 002) != 0) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "FILE_WRITABLE",
                      absl::StrCat(path, ": everybody can write it (", Mode(info->st_mode),
                                   "); chmod o-w ", path));
  }
  return fd;
}

absl::Status TooLong(const std::string& path, size_t bytes_max) {
  return CodedError(absl::StatusCode::kResourceExhausted, "FILE_TOO_LONG",
                    absl::StrCat(path, ": longer than ", bytes_max, " bytes"));
}

// Reads up to `space`.size() bytes; fewer only at the end of the file.
absl::StatusOr<size_t> ReadAll(int fd, const std::string& path, std::span<uint8_t> space) {
  size_t have = 0;
  while (have < space.size()) {
    const ssize_t got = read(fd, space.data() + have, space.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return CodedError(absl::StatusCode::kPermissionDenied, "FILE_UNREADABLE",
                        absl::StrCat(path, ": reading failed: ", ErrorText(errno)));
    }
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  return have;
}

absl::Status WriteError(const std::string& path, int error) {
  if (error == ENOSPC || error == EDQUOT) {
    return CodedError(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                      absl::StrCat(path, ": no space is left on the disk"));
  }
  if (error == ENOENT || error == ENOTDIR) {
    return CodedError(absl::StatusCode::kNotFound, "FILE_MISSING",
                      absl::StrCat(path, ": its folder does not exist"));
  }
  return CodedError(absl::StatusCode::kPermissionDenied, "FILE_UNWRITABLE",
                    absl::StrCat(path, ": can't be written: ", ErrorText(error)));
}

// 0, or the errno of the first step that failed.
int FillTemp(Descriptor* fd, std::string_view bytes, mode_t mode, const struct stat& folder) {
  // The umask has had its say at open; the mode asked for is what counts.
  if (fchmod(fd->get(), mode) != 0) return errno;
  if (geteuid() == 0 && folder.st_uid != 0) {
    if (fchown(fd->get(), folder.st_uid, folder.st_gid) != 0) return errno;
  }
  while (!bytes.empty()) {
    const ssize_t put = write(fd->get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  if (fsync(fd->get()) != 0) return errno;
  return fd->Close() == 0 ? 0 : errno;
}

absl::Status WriteWhole(const std::string& path, std::string_view bytes, mode_t mode,
                        bool replace) {
  const Descriptor folder(open(FolderOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return WriteError(path, errno);
  struct stat folder_info {};
  if (fstat(folder.get(), &folder_info) != 0) return WriteError(path, errno);
  const std::string name = NameOf(path);
  // One name for each process and call: two writers never share a half-written file, and what a
  // killed one left behind stands in nobody's way.
  static std::atomic<uint64_t> calls{0};
  const std::string temp = absl::StrCat(".", name, ".", getpid(), ".", calls.fetch_add(1), ".new");
  unlinkat(folder.get(), temp.c_str(), 0);
  Descriptor fd(openat(folder.get(), temp.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.ok()) return WriteError(path, errno);
  int error = FillTemp(&fd, bytes, mode, folder_info);
  if (error == 0) {
    const int done = replace ? renameat(folder.get(), temp.c_str(), folder.get(), name.c_str())
                             : linkat(folder.get(), temp.c_str(), folder.get(), name.c_str(), 0);
    if (done != 0) error = errno;
  }
  if (error != 0 || !replace) unlinkat(folder.get(), temp.c_str(), 0);
  if (error == EEXIST) {
    return CodedError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS",
                      absl::StrCat(path, ": it exists already"));
  }
  if (error != 0) return WriteError(path, error);
  // Without this the rename itself may be lost with the power.
  if (fsync(folder.get()) != 0) return WriteError(path, errno);
  return absl::OkStatus();
}

absl::Status FolderError(const std::string& path, int error) {
  if (error == ENOTDIR || error == EEXIST) {
    return CodedError(absl::StatusCode::kInvalidArgument, "FILE_NOT_REGULAR",
                      absl::StrCat(path, ": a file is in the way of this folder"));
  }
  return CodedError(absl::StatusCode::kPermissionDenied, "FOLDER_UNWRITABLE",
                    absl::StrCat(path, ": the folder can't be made: ", ErrorText(error)));
}

}  // namespace

absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path, const FileRules& rules) {
  struct stat info {};
  SOTTO_ASSIGN_OR_RETURN(const Descriptor fd, OpenJudged(path, rules, OpenFor::kReading, &info));
  if (info.st_size < 0 || static_cast<uint64_t>(info.st_size) > rules.bytes_max) {
    return TooLong(path, rules.bytes_max);
  }
  // One byte more than it claims: a file that grows under our hands is noticed.
  SecretBytes space(static_cast<size_t>(info.st_size) + 1);
  SOTTO_ASSIGN_OR_RETURN(const size_t have, ReadAll(fd.get(), path, space.mutable_view()));
  if (have > static_cast<size_t>(info.st_size)) return TooLong(path, have - 1);
  return SecretBytes(space.view().first(have));
}

absl::StatusOr<std::string> ReadPlainFile(const std::string& path, size_t bytes_max) {
  struct stat info {};
  const FileRules rules{.bytes_max = bytes_max, .secret = false, .also_owner = {}};
  SOTTO_ASSIGN_OR_RETURN(const Descriptor fd, OpenJudged(path, rules, OpenFor::kReading, &info));
  // Files of /proc and the like claim no size, so the size decides nothing here.
  std::string text;
  std::array<uint8_t, 4096> chunk{};
  while (true) {
    SOTTO_ASSIGN_OR_RETURN(const size_t have, ReadAll(fd.get(), path, chunk));
    text.append(chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(have));
    if (text.size() > bytes_max) return TooLong(path, bytes_max);
    if (have < chunk.size()) return text;
  }
}

absl::Status CheckSecretFile(const std::string& path, const FileRules& rules) {
  struct stat info {};
  SOTTO_RETURN_IF_ERROR(OpenJudged(path, rules, OpenFor::kJudging, &info).status());
  if (faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) != 0) return OpenError(path, errno);
  return absl::OkStatus();
}

absl::Status CheckSecretFolder(const std::string& folder, const FileRules& rules) {
  const Descriptor fd(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat info {};
  if (!fd.ok() || fstat(fd.get(), &info) != 0) return OpenError(folder, errno);
  return CheckFolder(folder, info, rules);
}

absl::Status AtomicWrite(const std::string& path, std::string_view bytes, mode_t mode) {
  return WriteWhole(path, bytes, mode, /*replace=*/true);
}

absl::Status AtomicCreate(const std::string& path, std::string_view bytes, mode_t mode) {
  return WriteWhole(path, bytes, mode, /*replace=*/false);
}

absl::Status MakeFolders(const std::string& path, mode_t mode) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    return S_ISDIR(info.st_mode) ? absl::OkStatus() : FolderError(path, ENOTDIR);
  }
  if (errno != ENOENT) return FolderError(path, errno);
  const std::string above = FolderOf(path);
  if (above != path) SOTTO_RETURN_IF_ERROR(MakeFolders(above, mode));
  if (mkdir(path.c_str(), mode) != 0) {
    const int error = errno;
    // Somebody else was faster, or a link leads nowhere: look at what is there.
    const bool is_folder = stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    return error == EEXIST && is_folder ? absl::OkStatus() : FolderError(path, error);
  }
  if (chmod(path.c_str(), mode) != 0) return FolderError(path, errno);
  if (geteuid() == 0 && stat(above.c_str(), &info) == 0 && info.st_uid != 0) {
    if (chown(path.c_str(), info.st_uid, info.st_gid) != 0) return FolderError(path, errno);
  }
  return absl::OkStatus();
}

std::string FolderOf(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return path.empty() ? "." : "/";
  const size_t slash = path.rfind('/', end);
  if (slash == std::string::npos) return ".";
  const size_t last = path.find_last_not_of('/', slash);
  return last == std::string::npos ? "/" : path.substr(0, last + 1);
}

void WipeText(std::string* text) {
  // explicit_bzero cannot be optimised away. Short texts live inside the object, which this covers
  // too.
  explicit_bzero(text->data(), text->size());
  text->clear();
}

}  // namespace sotto
