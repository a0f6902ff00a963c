#include "cmd/sottod/admin_socket.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

constexpr int kBacklog = 64;

absl::Status Failed(absl::StatusCode kind, std::string_view code, std::string_view what,
                    const std::string& path, int error) {
  return CodedError(kind, code,
                    absl::StrCat(std::string(what), " ", path, ": ", std::strerror(error)));
}

absl::Status Unusable(std::string_view what, const std::string& path, int error) {
  return Failed(absl::StatusCode::kPermissionDenied, "ADMIN_SOCKET_UNUSABLE", what, path, error);
}

absl::Status FolderUnusable(std::string_view what, const std::string& path, int error) {
  return Failed(absl::StatusCode::kPermissionDenied, "ADMIN_FOLDER_UNUSABLE", what, path, error);
}

absl::Status InUse(const std::string& path) {
  return CodedError(absl::StatusCode::kAlreadyExists, "ADMIN_SOCKET_IN_USE",
                    absl::StrCat("another process listens on ", path));
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return address;
}

absl::StatusOr<gid_t> FindGroup(const std::string& name) {
  group entry{};
  group* found = nullptr;
  std::vector<char> buffer(1024);
  int error = 0;
  while ((error = getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) ==
             ERANGE &&
         buffer.size() < size_t{1} << 20) {
    buffer.resize(buffer.size() * 2);
  }
  if (error != 0 || found == nullptr) {
    return CodedError(absl::StatusCode::kNotFound, "ADMIN_GROUP_UNKNOWN",
                      absl::StrCat("admin.group: this machine has no group \"", name, "\""));
  }
  return entry.gr_gid;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdminSocket>> AdminSocket::Open(const std::string& path,
                                                               const std::string& group) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return CodedError(
        absl::StatusCode::kInvalidArgument, "SOCKET_PATH_TOO_LONG",
        absl::StrCat("admin.socket ", path, " has ", path.size(),
                     " bytes; a Unix socket's path holds ", sizeof(sockaddr_un::sun_path) - 1));
  }
  std::unique_ptr<AdminSocket> socket(new AdminSocket());
  socket->path_ = path;
  const size_t slash = path.rfind('/');
  socket->folder_ = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  if (!group.empty()) {
    SOTTO_ASSIGN_OR_RETURN(socket->group_, FindGroup(group));
  }
  SOTTO_RETURN_IF_ERROR(socket->PrepareFolder());
  SOTTO_RETURN_IF_ERROR(socket->TakeLock());
  SOTTO_RETURN_IF_ERROR(socket->ClearStale());
  SOTTO_RETURN_IF_ERROR(socket->Bind());
  return socket;
}

AdminSocket::~AdminSocket() {
  if (bound_) unlink(path_.c_str());
  if (listen_fd_ >= 0) close(listen_fd_);
  if (lock_fd_ >= 0) close(lock_fd_);
}

int AdminSocket::TakeListener() { return std::exchange(listen_fd_, -1); }

absl::Status AdminSocket::PrepareFolder() {
  const bool made = mkdir(folder_.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return FolderUnusable("cannot make the folder", folder_, errno);
  const int fd = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return FolderUnusable("cannot open the folder", folder_, errno);
  struct stat info {};
  absl::Status status;
  if (fstat(fd, &info) != 0) {
    status = FolderUnusable("cannot look at the folder", folder_, errno);
  } else if (info.st_uid != geteuid() || (info.st_mode & 022) != 0) {
    status =
        CodedError(absl::StatusCode::kFailedPrecondition, "ADMIN_FOLDER_UNSAFE",
                   absl::StrFormat(
                       "%s belongs to user %d with mode %04o: it must be ours (user %d) and closed "
                       "to writing by others, or anyone could put a socket in our place",
                       folder_, info.st_uid, info.st_mode & 07777, geteuid()));
  } else if (made && group_ &&
             (fchown(fd, static_cast<uid_t>(-1), *group_) != 0 || fchmod(fd, 0750) != 0)) {
    status = FolderUnusable("cannot give the folder to admin.group:", folder_, errno);
  }
  close(fd);
  return status;
}

absl::Status AdminSocket::TakeLock() {
  const std::string lock = path_ + ".lock";
  lock_fd_ = open(lock.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) return Unusable("cannot open", lock, errno);
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  if (errno == EWOULDBLOCK) return InUse(path_);
  return Unusable("cannot lock", lock, errno);
}

absl::Status AdminSocket::ClearStale() {
  struct stat info {};
  if (lstat(path_.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : Unusable("cannot look at", path_, errno);
  }
  if (!S_ISSOCK(info.st_mode)) return Unusable("something else has the name", path_, EEXIST);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Unusable("cannot make a socket for", path_, errno);
  const sockaddr_un address = AddressOf(path_);
  const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = result == 0 ? 0 : errno;
  close(fd);
  // A full backlog (EAGAIN) is somebody, too.
  if (error == 0 || error == EAGAIN || error == EINPROGRESS) return InUse(path_);
  if (error != ECONNREFUSED) return Unusable("cannot tell who listens on", path_, error);
  if (unlink(path_.c_str()) != 0) return Unusable("cannot remove the stale", path_, errno);
  return absl::OkStatus();
}

absl::Status AdminSocket::Bind() {
  listen_fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listen_fd_ < 0) return Unusable("cannot make a socket for", path_, errno);
  const sockaddr_un address = AddressOf(path_);
  if (bind(listen_fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Unusable("cannot bind", path_, errno);
  }
  bound_ = true;
  // Nobody can connect before listen(), so the mode is right from the first connection on.
  if (group_ && chown(path_.c_str(), static_cast<uid_t>(-1), *group_) != 0) {
    return Unusable("cannot give to admin.group:", path_, errno);
  }
  if (chmod(path_.c_str(), group_ ? 0660 : 0600) != 0) {
    return Unusable("cannot set the mode of", path_, errno);
  }
  if (listen(listen_fd_, kBacklog) != 0) return Unusable("cannot listen on", path_, errno);
  return absl::OkStatus();
}

absl::StatusOr<PeerCredentials> ReadPeerCredentials(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return absl::InternalError(absl::StrCat("SO_PEERCRED: ", std::strerror(errno)));
  }
  PeerCredentials peer{credentials.uid, credentials.gid, credentials.pid, {}};
  // The groups of the process as it connected: the user database may say otherwise by now.
  peer.groups.resize(256);
  size = static_cast<socklen_t>(peer.groups.size() * sizeof(gid_t));
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &size) != 0) {
    if (errno != ERANGE) {
      peer.groups.clear();
      return peer;
    }
    peer.groups.resize(size / sizeof(gid_t));
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &size) != 0) size = 0;
  }
  peer.groups.resize(size / sizeof(gid_t));
  return peer;
}

bool MayAdminister(const PeerCredentials& peer, uid_t own_uid, std::optional<gid_t> group) {
  if (peer.uid == 0 || peer.uid == own_uid) return true;
  if (!group) return false;
  return peer.gid == *group ||
         std::find(peer.groups.begin(), peer.groups.end(), *group) != peer.groups.end();
}

}  // namespace sotto
