// A faulty network between processes that know nothing of it.
//
// A node advertises an address of the relay and listens on another; whatever is sent to the
// advertised address, UDP datagrams and TCP streams alike, the relay hands on to the listening one,
// and on the way loses, delays, doubles, reorders, spoils or cuts it. Who sent it is told by the
// source IP, so each node binds a loopback IP of its own, for what it dials as well. What is handed
// on comes from the sender's advertised IP (datagrams: from its advertised port, too). A sender
// whose IP belongs to no node is kOutsider.
//
// Faults hold for a directed pair (from, to). A TCP stream obeys (from, to) for the bytes its
// dialer sends and (to, from) for the answers; it is never lossy, as TCP is not: it delays, stalls
// or closes. Threads: every method from any thread; the sockets live on a thread of the relay's
// own. Errors: CodedError with RELAY_ADDRESS.
#ifndef SOTTO_TOOLS_RELAY_RELAY_H_
#define SOTTO_TOOLS_RELAY_RELAY_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sotto {

// What happens on the way from one node to another.
struct RelayFaults {
  bool cut = false;      // nothing passes
  int drop_percent = 0;  // of datagrams
  int duplicate_percent = 0;
  int corrupt_percent = 0;  // one bit of the datagram, or of the piece of a stream, is flipped
  int reorder_percent = 0;  // held back until the next one has passed, or 50 ms
  std::chrono::milliseconds delay_min{0};
  std::chrono::milliseconds delay_max{0};
};

// What becomes of streams between nodes that are cut apart.
enum class RelayStreams : uint8_t {
  kStall,  // they hang, and go on when the cut ends, as TCP does behind a silent firewall
  kClose,  // they are reset, and new ones are refused
};

struct RelayCounters {
  uint64_t datagrams_in = 0, datagrams_out = 0;
  uint64_t dropped = 0, duplicated = 0, corrupted = 0, reordered = 0;
  uint64_t streams = 0, stream_bytes = 0;
};

// One datagram, or one piece of a stream, as it came from the sender.
struct RelayRecord {
  int from = 0;
  int to = 0;
  bool stream = false;
  std::string bytes;
};

class RelayNetwork {
 public:
  static constexpr int kOutsider = -1;

  // The same seed draws the same faults for the same sequence of datagrams.
  explicit RelayNetwork(uint64_t seed);
  // Closes everything.
  ~RelayNetwork();
  RelayNetwork(const RelayNetwork&) = delete;
  RelayNetwork& operator=(const RelayNetwork&) = delete;

  // Adds the next node (0, 1, …): listens on `advertised` ("127.1.2.101:7950"; port 0 takes one
  // that is free for both protocols) and hands on to `listening` ("127.1.2.1:7950"), whose IP also
  // tells that it is the sender. Returns the advertised address.
  absl::StatusOr<std::string> AddNode(std::string_view advertised, std::string_view listening);
  // Another listening address for a node that restarts elsewhere.
  absl::Status SetListening(int node, std::string_view listening);

  void SetFaults(int from, int to, const RelayFaults& faults);
  // For every pair of nodes.
  void SetAllFaults(const RelayFaults& faults);
  // Cuts both directions between nodes of different groups, and heals the pairs within a group. A
  // node in no group is left as it is.
  void Partition(const std::vector<std::vector<int>>& groups,
                 RelayStreams streams = RelayStreams::kStall);
  // Cuts one direction.
  void CutOneWay(int from, int to);
  // No faults anywhere.
  void Heal();

  // From now on, keeps what passes from node to node, up to `bytes_max` in all.
  void Record(size_t bytes_max = 64u << 20);
  // What was kept, in the order of arrival; and forgets it.
  std::vector<RelayRecord> TakeRecords();
  // Sends a datagram to `to` as if it came from `from`, past all faults and records.
  void Inject(int from, int to, std::string bytes);

  RelayCounters Counters(int from, int to) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto

#endif  // SOTTO_TOOLS_RELAY_RELAY_H_
