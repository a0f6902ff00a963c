// The Unix socket that the admin API listens on: who may reach it, and whose it is.
//
// The folder is made with mode 0700 (0750 and the group, where one is configured) if it is missing;
// one that exists must be ours and closed to writing by others. A lock beside the socket and a
// connect that finds nobody prove that the old socket is stale before it is removed.
// Ownership: the socket is closed and its name removed on destruction.
#ifndef SOTTO_CMD_SOTTOD_ADMIN_SOCKET_H_
#define SOTTO_CMD_SOTTOD_ADMIN_SOCKET_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sotto {

class AdminSocket {
 public:
  //   SOCKET_PATH_TOO_LONG    a Unix socket's path holds 107 bytes
  //   ADMIN_FOLDER_UNSAFE     not ours, or others may write it
  //   ADMIN_FOLDER_UNUSABLE   cannot be made or opened
  //   ADMIN_SOCKET_IN_USE     somebody listens there
  //   ADMIN_SOCKET_UNUSABLE   something else has that name, or the socket cannot be made
  //   ADMIN_GROUP_UNKNOWN     no such group
  static absl::StatusOr<std::unique_ptr<AdminSocket>> Open(const std::string& path,
                                                           const std::string& group);
  ~AdminSocket();
  AdminSocket(const AdminSocket&) = delete;
  AdminSocket& operator=(const AdminSocket&) = delete;

  // Listening, close-on-exec. The caller takes the descriptor over.
  int TakeListener();
  const std::string& path() const { return path_; }
  std::optional<gid_t> group() const { return group_; }

 private:
  AdminSocket() = default;
  absl::Status PrepareFolder();
  absl::Status TakeLock();
  absl::Status ClearStale();
  absl::Status Bind();

  std::string path_;
  std::string folder_;
  std::optional<gid_t> group_;
  int lock_fd_ = -1;
  int listen_fd_ = -1;
  bool bound_ = false;
};

// Who is at the other end, as the kernel says.
struct PeerCredentials {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  std::vector<gid_t> groups;  // supplementary
};
absl::StatusOr<PeerCredentials> ReadPeerCredentials(int fd);

// root, this daemon's own user, and members of the configured group.
bool MayAdminister(const PeerCredentials& peer, uid_t own_uid, std::optional<gid_t> group);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_ADMIN_SOCKET_H_
