// The sockets of one node: UDP for datagrams and TCP acceptors for streams, on the same addresses
// and ports. Included by the node's shell only.
//
// Threads: all on the executor that Open was given.
#ifndef SOTTO_GOSSIP_UDP_TRANSPORT_H_
#define SOTTO_GOSSIP_UDP_TRANSPORT_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/system/error_code.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gossip/member.h"

namespace sotto {

boost::asio::ip::udp::endpoint ToUdp(const Endpoint& endpoint);
boost::asio::ip::tcp::endpoint ToTcp(const Endpoint& endpoint);
Endpoint FromAsio(const boost::asio::ip::address& address, uint16_t port);

// Whether a connection failed at this machine, before anything of it could leave: EPERM, EACCES,
// ENETDOWN, ENETUNREACH, EADDRNOTAVAIL, ENOBUFS, ENOMEM, EMFILE, ENFILE. EHOSTUNREACH is not among
// them: a dead neighbour that does not answer ARP looks so. Nor is a SYN that a firewall takes,
// which Linux lets run out like one that nobody answers.
bool IsOwnRefusal(const boost::system::error_code& ec);

class UdpTransport {
 public:
  using Receive = std::function<void(const Endpoint& from, std::span<const uint8_t> datagram)>;

  // Binds UDP and TCP of each endpoint to the same port (port 0: the kernel picks one that both can
  // have). ADDRESS_IN_USE, ADDRESS_NOT_LOCAL, ADDRESS_NOT_PERMITTED.
  static absl::StatusOr<std::unique_ptr<UdpTransport>> Open(boost::asio::any_io_executor executor,
                                                            const std::vector<Endpoint>& bind);
  ~UdpTransport();

  // Begins to receive; `receive` is called for every datagram, junk included.
  void Start(Receive receive);
  void Close();

  // Sends at once or not at all, best effort. False: the kernel refused (counted by the caller; a
  // full buffer, a local firewall, no route).
  bool Send(const Endpoint& to, std::span<const uint8_t> datagram);
  // Whether a socket of the address's family is bound.
  bool CanReach(const Endpoint& to) const;

  const std::vector<Endpoint>& bound() const { return bound_; }
  std::vector<boost::asio::ip::tcp::acceptor>& acceptors() { return acceptors_; }
  // The local address that streams to `to` leave from: the bound one, so that a firewall's and an
  // operator's view agree with the members table; any, where none is bound that could reach it.
  boost::asio::ip::tcp::endpoint StreamSource(const Endpoint& to) const;

 private:
  struct Socket;
  UdpTransport() = default;
  void ReceiveNext(const std::shared_ptr<Socket>& socket);
  Socket* SocketFor(const Endpoint& to) const;

  std::vector<std::shared_ptr<Socket>> sockets_;
  std::vector<boost::asio::ip::tcp::acceptor> acceptors_;
  std::vector<Endpoint> bound_;
  std::shared_ptr<Receive> receive_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_UDP_TRANSPORT_H_
