// Whom this node has known, kept on disk: where a restarted node knocks when its configured
// contacts are silent, or it has none.
//
// One text file, peers, in the node's state folder (0600), replaced whole and flushed. The dead
// stay in it, so that a cluster that was down as a whole finds itself again; who has left or was
// forgotten goes. It is only a hint: whoever answers proves its name like any other contact.
// A damaged or foreign file is moved aside to peers.corrupt, and what can be read of it is used.
// A file that cannot be read is never written over.
// Threads: none; the owner serialises calls. The folder's lock is NodeState's.
// Invariant: at most kPeersMax entries; those not seen for longest give way.
#ifndef SOTTO_STORE_PEER_BOOK_H_
#define SOTTO_STORE_PEER_BOOK_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "gossip/member.h"

namespace sotto {

struct KnownPeer {
  std::string name;
  std::vector<Endpoint> addresses;  // 1 to kAddressesMax
  int64_t seen_unix_s = 0;          // when it was last held alive
};

class PeerBook {
 public:
  static constexpr size_t kPeersMax = 1024;
  static constexpr size_t kFileBytesMax = size_t{512} << 10;

  // Reads the file; a missing one is an empty book.
  PeerBook(const std::string& folder, std::string_view cluster, std::string_view name);
  PeerBook(const PeerBook&) = delete;
  PeerBook& operator=(const PeerBook&) = delete;

  // What reading found:
  //   OK                PEERS_DAMAGED    DATA_LOSS            moved aside, the good lines are used
  //   PEERS_FOREIGN     FAILED_PRECONDITION  of another cluster, node or program: moved aside
  //   PEERS_UNREADABLE  PERMISSION_DENIED    there and not readable: nothing will be written
  const absl::Status& recovered() const { return recovered_; }

  // Seen most recently first; names decide a tie.
  std::vector<KnownPeer> Peers() const;
  // The operator has taken this node out of the cluster: it does not come back by itself.
  bool left() const { return left_; }

  // Adds or replaces. A name or address that cannot be one is left out.
  void Set(KnownPeer peer);
  void Remove(std::string_view name);
  bool Contains(std::string_view name) const { return peers_.contains(name); }
  void set_left(bool left) { left_ = left; }

  // Makes the book durable; does nothing if the file says the same already. PEERS_UNWRITABLE;
  // PEERS_UNREADABLE as above.
  absl::Status Save();

 private:
  std::string Format() const;
  absl::Status Parse(const std::string& text);
  bool ParseLine(const std::string& line);
  absl::Status MoveAside(absl::Status why);

  const std::string path_, cluster_, name_;
  absl::Status recovered_;
  bool may_write_ = true;
  bool left_ = false;
  std::map<std::string, KnownPeer, std::less<>> peers_;
  std::string on_disk_;  // what the file holds; empty: nothing that we wrote
};

}  // namespace sotto

#endif  // SOTTO_STORE_PEER_BOOK_H_
