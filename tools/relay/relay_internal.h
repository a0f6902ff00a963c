// The relay's state, all of it on its own thread.
#ifndef SOTTO_TOOLS_RELAY_RELAY_INTERNAL_H_
#define SOTTO_TOOLS_RELAY_RELAY_INTERNAL_H_

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tools/relay/relay.h"

namespace sotto {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;

// What both halves, datagrams and streams, share.
class RelayState {
 public:
  using Pair = std::pair<int, int>;

  struct Node {
    udp::endpoint advertised;
    udp::endpoint listening;
    std::unique_ptr<udp::socket> datagrams;
    std::unique_ptr<tcp::acceptor> acceptor;
    std::array<char, 65536> buffer;
    udp::endpoint sender;
  };

  RelayState(asio::io_context& io, uint64_t seed) : io_(io), random_(seed) {}

  // The node whose listening IP this is, or kOutsider.
  int NodeOf(const asio::ip::address& ip) const;
  const RelayFaults& FaultsOf(int from, int to);
  bool Chance(int percent);
  std::chrono::milliseconds DrawDelay(const RelayFaults& faults);
  void FlipOneBit(std::string& bytes);
  void Keep(int from, int to, bool stream, std::string_view bytes);

  asio::io_context& io() { return io_; }
  std::vector<std::unique_ptr<Node>>& nodes() { return nodes_; }
  std::map<Pair, RelayFaults>& faults() { return faults_; }
  RelayCounters& counters(int from, int to) { return counters_[{from, to}]; }

  RelayStreams streams_on_cut = RelayStreams::kStall;
  bool closed = false;
  size_t record_room = 0;
  std::vector<RelayRecord> records;

 private:
  asio::io_context& io_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<Pair, RelayFaults> faults_;
  std::map<Pair, RelayCounters> counters_;
};

// One TCP connection through the relay: two pumps, one for each direction.
class RelayStream : public std::enable_shared_from_this<RelayStream> {
 public:
  // `dialer` came in at node `to`'s advertised address.
  RelayStream(RelayState& state, tcp::socket dialer, int from, int to);
  void Start();
  void Close();
  // Whether a cut between the two lies on this stream.
  bool IsCut() const;

 private:
  struct Half {
    tcp::socket* in = nullptr;
    tcp::socket* out = nullptr;
    int from = 0, to = 0;
    std::array<char, 16384> buffer;
    std::string piece;
  };

  void Dial();
  void Read(Half& half);
  void Deliver(Half& half);
  void Write(Half& half);
  void After(std::chrono::milliseconds delay, std::function<void()> then);

  RelayState& state_;
  tcp::socket dialer_;
  tcp::socket target_;
  int from_, to_;
  Half there_, back_;
  bool closed_ = false;
};

}  // namespace sotto

#endif  // SOTTO_TOOLS_RELAY_RELAY_INTERNAL_H_
