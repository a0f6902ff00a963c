// Room for a few datagrams that one system call takes from a socket, with who sent each.
//
// Ownership: one for each thread (Mine), since a node reads a batch to its end in one turn.
// Threads: as said. Errors: Receive tells how many came; what the kernel refuses counts as none.
#ifndef SOTTO_GOSSIP_DATAGRAM_BATCH_H_
#define SOTTO_GOSSIP_DATAGRAM_BATCH_H_

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "crypto/frame_codec.h"
#include "gossip/member.h"

namespace sotto {

class DatagramBatch {
 public:
  static constexpr size_t kDatagramsMax = 16;

  static DatagramBatch& Mine();

  // Takes what waits in the socket, without waiting; less than kDatagramsMax: that was all.
  size_t Receive(int socket);
  // Of the last Receive, which returned more than `i`. One byte more than any frame may have: a
  // longer datagram shows as too long.
  std::span<const uint8_t> datagram(size_t i) const {
    return {buffers_[i].data(), messages_[i].msg_len};
  }
  Endpoint sender(size_t i) const;

 private:
  std::array<std::array<uint8_t, kDatagramBytesMax + 1>, kDatagramsMax> buffers_;
  std::array<sockaddr_storage, kDatagramsMax> senders_;
  std::array<iovec, kDatagramsMax> parts_;
  std::array<mmsghdr, kDatagramsMax> messages_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_DATAGRAM_BATCH_H_
