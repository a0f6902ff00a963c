#include "gossip/datagram_batch.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace sotto {

DatagramBatch& DatagramBatch::Mine() {
  thread_local DatagramBatch batch;
  return batch;
}

size_t DatagramBatch::Receive(int socket) {
  for (size_t i = 0; i < kDatagramsMax; ++i) {
    parts_[i] = {buffers_[i].data(), buffers_[i].size()};
    messages_[i] = {};
    messages_[i].msg_hdr.msg_name = &senders_[i];
    messages_[i].msg_hdr.msg_namelen = sizeof(senders_[i]);
    messages_[i].msg_hdr.msg_iov = &parts_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
  }
  const int received = recvmmsg(socket, messages_.data(), kDatagramsMax, MSG_DONTWAIT, nullptr);
  return received > 0 ? static_cast<size_t>(received) : 0;
}

Endpoint DatagramBatch::sender(size_t i) const {
  Endpoint endpoint;
  if (senders_[i].ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &senders_[i], sizeof(v4));
    endpoint.port = ntohs(v4.sin_port);
    endpoint.ip[10] = endpoint.ip[11] = 0xff;  // mapped into IPv6
    std::memcpy(endpoint.ip.data() + 12, &v4.sin_addr, sizeof(v4.sin_addr));
  } else {
    sockaddr_in6 v6;
    std::memcpy(&v6, &senders_[i], sizeof(v6));
    endpoint.port = ntohs(v6.sin6_port);
    std::memcpy(endpoint.ip.data(), &v6.sin6_addr, sizeof(v6.sin6_addr));
  }
  return endpoint;
}

}  // namespace sotto
