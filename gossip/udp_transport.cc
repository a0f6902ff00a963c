#include "gossip/udp_transport.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/system/errc.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/datagram_batch.h"
#include "gossip/endpoint_text.h"

namespace sotto {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;
using boost::system::error_code;

namespace {

constexpr int kReceiveBufferBytes = 2 * 1024 * 1024;
constexpr int kSamePortAttempts = 16;
constexpr int kBacklog = 128;
// Read in one turn of the loop before other work has its chance. Fewer, and a node under load sends
// more than it hears.
constexpr int kBatchesPerTurn = 4;

asio::ip::address ToAddress(const Endpoint& endpoint) {
  if (IsV4(endpoint)) {
    asio::ip::address_v4::bytes_type bytes;
    std::copy(endpoint.ip.begin() + 12, endpoint.ip.end(), bytes.begin());
    return asio::ip::address_v4(bytes);
  }
  asio::ip::address_v6::bytes_type bytes;
  std::copy(endpoint.ip.begin(), endpoint.ip.end(), bytes.begin());
  return asio::ip::address_v6(bytes);
}

absl::Status BindError(const Endpoint& endpoint, std::string_view protocol, const error_code& ec) {
  const std::string what = absl::StrCat("cannot bind ", std::string(protocol), " ",
                                        ToString(endpoint), ": ", ec.message());
  if (ec == asio::error::address_in_use) {
    return CodedError(absl::StatusCode::kUnavailable, "ADDRESS_IN_USE", what);
  }
  if (ec == asio::error::access_denied) {
    return CodedError(absl::StatusCode::kPermissionDenied, "ADDRESS_NOT_PERMITTED", what);
  }
  return CodedError(absl::StatusCode::kInvalidArgument, "ADDRESS_NOT_LOCAL", what);
}

}  // namespace

struct UdpTransport::Socket {
  explicit Socket(asio::any_io_executor executor) : socket(std::move(executor)) {}
  udp::socket socket;
  bool v4 = false;
  bool loopback = false;
};

udp::endpoint ToUdp(const Endpoint& endpoint) { return {ToAddress(endpoint), endpoint.port}; }
tcp::endpoint ToTcp(const Endpoint& endpoint) { return {ToAddress(endpoint), endpoint.port}; }

bool IsOwnRefusal(const error_code& ec) {
  using boost::system::errc::make_error_condition;
  namespace errc = boost::system::errc;
  constexpr std::array kOwn = {errc::operation_not_permitted,
                               errc::permission_denied,
                               errc::network_down,
                               errc::network_unreachable,
                               errc::address_not_available,
                               errc::no_buffer_space,
                               errc::not_enough_memory,
                               errc::too_many_files_open,
                               errc::too_many_files_open_in_system};
  return std::any_of(kOwn.begin(), kOwn.end(),
                     [&ec](errc::errc_t own) { return ec == make_error_condition(own); });
}

Endpoint FromAsio(const asio::ip::address& address, uint16_t port) {
  Endpoint endpoint;
  endpoint.port = port;
  const asio::ip::address_v6 v6 =
      address.is_v4() ? asio::ip::make_address_v6(asio::ip::v4_mapped, address.to_v4())
                      : address.to_v6();
  const auto bytes = v6.to_bytes();
  std::copy(bytes.begin(), bytes.end(), endpoint.ip.begin());
  return endpoint;
}

namespace {

absl::Status BindUdp(udp::socket& socket, const Endpoint& endpoint) {
  const udp::endpoint local = ToUdp(endpoint);
  error_code ec;
  socket.open(local.protocol(), ec);
  if (!ec && local.address().is_v6()) socket.set_option(asio::ip::v6_only(true), ec);
  if (!ec) socket.bind(local, ec);
  if (ec) return BindError(endpoint, "UDP", ec);
  // Joins come in bursts; the kernel grants what it may, and less is no error.
  error_code ignored;
  socket.set_option(asio::socket_base::receive_buffer_size(kReceiveBufferBytes), ignored);
  socket.non_blocking(true, ec);
  return absl::OkStatus();
}

absl::Status BindTcp(tcp::acceptor& acceptor, const Endpoint& endpoint) {
  const tcp::endpoint local = ToTcp(endpoint);
  error_code ec;
  acceptor.open(local.protocol(), ec);
  if (!ec) acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec && local.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), ec);
  if (!ec) acceptor.bind(local, ec);
  if (!ec) acceptor.listen(kBacklog, ec);
  if (!ec) acceptor.non_blocking(true, ec);
  if (ec) return BindError(endpoint, "TCP", ec);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<UdpTransport>> UdpTransport::Open(
    asio::any_io_executor executor, const std::vector<Endpoint>& bind) {
  auto transport = std::unique_ptr<UdpTransport>(new UdpTransport());
  for (const Endpoint& wanted : bind) {
    absl::Status status;
    for (int attempt = 0; attempt < kSamePortAttempts; ++attempt) {
      auto socket = std::make_shared<Socket>(executor);
      tcp::acceptor acceptor(executor);
      Endpoint endpoint = wanted;
      status = BindUdp(socket->socket, endpoint);
      if (status.ok()) {
        endpoint.port = socket->socket.local_endpoint().port();
        status = BindTcp(acceptor, endpoint);
      }
      if (status.ok()) {
        socket->v4 = IsV4(endpoint);
        socket->loopback = IsLoopback(endpoint);
        transport->sockets_.push_back(std::move(socket));
        transport->acceptors_.push_back(std::move(acceptor));
        transport->bound_.push_back(endpoint);
        break;
      }
      if (wanted.port != 0) break;  // only a port of the kernel's choice is worth another try
    }
    SOTTO_RETURN_IF_ERROR(status);
  }
  return transport;
}

UdpTransport::~UdpTransport() { Close(); }

void UdpTransport::Start(Receive receive) {
  receive_ = std::make_shared<Receive>(std::move(receive));
  for (const auto& socket : sockets_) ReceiveNext(socket);
}

void UdpTransport::Close() {
  receive_.reset();
  error_code ignored;
  for (const auto& socket : sockets_) socket->socket.close(ignored);
  for (tcp::acceptor& acceptor : acceptors_) acceptor.close(ignored);
}

void UdpTransport::ReceiveNext(const std::shared_ptr<Socket>& socket) {
  socket->socket.async_wait(
      udp::socket::wait_read,
      [this, socket, receive = std::weak_ptr<Receive>(receive_)](const error_code& ec) {
        const std::shared_ptr<Receive> alive = receive.lock();
        if (!alive || ec == asio::error::operation_aborted) return;
        DatagramBatch& batch = DatagramBatch::Mine();
        for (int turn = 0; turn < kBatchesPerTurn; ++turn) {
          // ICMP errors of earlier sends surface here and count as nothing: they prove nothing.
          const size_t received = batch.Receive(socket->socket.native_handle());
          for (size_t i = 0; i < received; ++i) {
            (*alive)(batch.sender(i), batch.datagram(i));
            if (alive.use_count() == 1) return;  // closed by what was received
          }
          if (received < DatagramBatch::kDatagramsMax) break;
        }
        ReceiveNext(socket);
      });
}

// Of several sockets of one family, the one bound to loopback is for loopback, and the others are
// not.
UdpTransport::Socket* UdpTransport::SocketFor(const Endpoint& to) const {
  const bool v4 = IsV4(to);
  const bool loopback = IsLoopback(to);
  Socket* fallback = nullptr;
  for (const auto& socket : sockets_) {
    if (socket->v4 != v4) continue;
    if (socket->loopback == loopback) return socket.get();
    if (fallback == nullptr) fallback = socket.get();
  }
  return fallback;
}

bool UdpTransport::CanReach(const Endpoint& to) const { return SocketFor(to) != nullptr; }

bool UdpTransport::Send(const Endpoint& to, std::span<const uint8_t> datagram) {
  Socket* socket = SocketFor(to);
  if (socket == nullptr) return false;
  error_code ec;
  socket->socket.send_to(asio::buffer(datagram.data(), datagram.size()), ToUdp(to), 0, ec);
  return !ec;
}

tcp::endpoint UdpTransport::StreamSource(const Endpoint& to) const {
  const bool v4 = IsV4(to);
  for (const Endpoint& endpoint : bound_) {
    if (IsV4(endpoint) != v4 || IsWildcard(endpoint)) continue;
    if (IsLoopback(endpoint) == IsLoopback(to)) return {ToAddress(endpoint), 0};
  }
  if (v4) return {asio::ip::address_v4::any(), 0};
  return {asio::ip::address_v6::any(), 0};
}

}  // namespace sotto
