// Hosts on one switch, each in a network namespace of its own, and the faults of such a network.
//
// The namespaces have no names: they live as long as a descriptor or a process in them, so that
// the kernel takes them away with their links and rules however this process ends, and two such
// networks never meet. Faults are nftables rules inside a host: what is cut or lost vanishes where
// it arrives, so that nobody is told; what is refused fails at its sender, with EPERM.
// Needs root, iproute2 and nftables. Threads: one at a time, the main thread (see ChildProcess).
#ifndef SOTTO_TESTS_SUPPORT_HOST_NETWORK_H_
#define SOTTO_TESTS_SUPPORT_HOST_NETWORK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/demo/process.h"
#include "tests/support/temp_dir.h"

namespace sotto {

class HostNetwork {
 public:
  enum class Protocols : uint8_t { kUdp, kAll };

  // Hosts 0 to `count` - 1 with the addresses 10.77.0.1 and up. PERMISSION_DENIED: this user may
  // not make namespaces. INTERNAL: with what the failing command said.
  static absl::StatusOr<std::unique_ptr<HostNetwork>> Create(int count);
  ~HostNetwork();
  HostNetwork(const HostNetwork&) = delete;
  HostNetwork& operator=(const HostNetwork&) = delete;

  int size() const { return static_cast<int>(hosts_.size()); }
  std::string ip(int host) const;
  // Borrowed: ours until the destructor.
  int net_namespace(int host) const { return hosts_[static_cast<size_t>(host)].fd; }

  // Faults add up until Heal. A rule that cannot be set ends the test with what nft said.
  // What `from` sends to `to` does not arrive.
  void CutOneWay(int from, int to);
  // Nothing passes between hosts of different groups; a host in no group is a group of its own.
  void Partition(const std::vector<std::vector<int>>& groups);
  // Every host loses this share of the datagrams that arrive.
  void LoseDatagrams(int percent);
  // Sends at this host fail.
  void RefuseSends(int host, Protocols protocols);
  // Pulls the cable: no carrier, and after a moment no route.
  void Unplug(int host);
  void Heal();

  // Packets that faults have taken at this host, as arriving or leaving, since the last Heal.
  int64_t Taken(int host) const;

 private:
  struct Host {
    int fd = -1;
    std::vector<std::string> arriving, leaving;  // rules
    bool unplugged = false;
  };

  HostNetwork() = default;
  absl::Status Connect();
  void Apply(int host) const;
  // Runs a command in a namespace with `input` in the file that replaces the word "-"; its output.
  absl::StatusOr<std::string> RunIn(int fd, std::vector<std::string> argv,
                                    std::string_view input = "") const;

  TempDir folder_;
  FolderGuard guard_{folder_.path()};
  int switch_ = -1;
  std::vector<Host> hosts_;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_SUPPORT_HOST_NETWORK_H_
