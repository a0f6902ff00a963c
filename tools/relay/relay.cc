#include "tools/relay/relay.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "tools/relay/relay_internal.h"

namespace sotto {

namespace {

constexpr std::chrono::milliseconds kReorderHold{50};
constexpr int kFreePortTries = 50;

absl::Status AddressError(std::string_view what) {
  return CodedError(absl::StatusCode::kInvalidArgument, "RELAY_ADDRESS", what);
}

// "127.1.2.3:7950", "[::1]:7950".
absl::StatusOr<udp::endpoint> ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return AddressError(absl::StrCat(std::string(text), " has no port"));
  }
  std::string host(text.substr(0, colon));
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  const auto ip = asio::ip::make_address(host, error);
  uint32_t port = 0;
  if (error || !absl::SimpleAtoi(std::string(text.substr(colon + 1)), &port) || port > 65535) {
    return AddressError(absl::StrCat(std::string(text), " is not an address and a port"));
  }
  return udp::endpoint(ip, static_cast<uint16_t>(port));
}

std::string AddressText(const udp::endpoint& endpoint) {
  const std::string ip = endpoint.address().to_string();
  return endpoint.address().is_v6() ? absl::StrCat("[", ip, "]:", endpoint.port())
                                    : absl::StrCat(ip, ":", endpoint.port());
}

// Opens both sockets of a node; with port 0, one that is free for both protocols.
absl::Status Listen(asio::io_context& io, RelayState::Node& node) {
  const udp::endpoint wanted = node.advertised;
  std::string why;
  for (int tries = 0; tries < (wanted.port() == 0 ? kFreePortTries : 1); tries++) {
    boost::system::error_code error;
    node.datagrams = std::make_unique<udp::socket>(io);
    node.acceptor = std::make_unique<tcp::acceptor>(io);
    node.datagrams->open(wanted.protocol(), error);
    if (!error) node.datagrams->bind(wanted, error);
    if (!error) node.advertised = node.datagrams->local_endpoint(error);
    const tcp::endpoint same(node.advertised.address(), node.advertised.port());
    if (!error) node.acceptor->open(same.protocol(), error);
    if (!error) node.acceptor->set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) node.acceptor->bind(same, error);
    if (!error) node.acceptor->listen(128, error);
    if (!error) return absl::OkStatus();
    why = error.message();
  }
  return AddressError(absl::StrCat("cannot listen on ", AddressText(wanted), ": ", why));
}

}  // namespace

int RelayState::NodeOf(const asio::ip::address& ip) const {
  for (size_t i = 0; i < nodes_.size(); i++) {
    if (nodes_[i]->listening.address() == ip) return static_cast<int>(i);
  }
  return RelayNetwork::kOutsider;
}

const RelayFaults& RelayState::FaultsOf(int from, int to) {
  static const RelayFaults kNone;
  const auto found = faults_.find({from, to});
  return found == faults_.end() ? kNone : found->second;
}

bool RelayState::Chance(int percent) {
  return percent > 0 && static_cast<int>(random_() % 100) < percent;
}

std::chrono::milliseconds RelayState::DrawDelay(const RelayFaults& faults) {
  const int64_t spread = (faults.delay_max - faults.delay_min).count();
  if (spread <= 0) return faults.delay_min;
  return faults.delay_min + std::chrono::milliseconds(static_cast<int64_t>(
                                random_() % static_cast<uint64_t>(spread + 1)));
}

void RelayState::FlipOneBit(std::string& bytes) {
  if (bytes.empty()) return;
  const uint64_t bit = random_() % (bytes.size() * 8);
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
}

void RelayState::Keep(int from, int to, bool stream, std::string_view bytes) {
  if (bytes.size() > record_room) return;
  record_room -= bytes.size();
  records.push_back({from, to, stream, std::string(bytes)});
}

class RelayNetwork::Impl {
 public:
  explicit Impl(uint64_t seed)
      : state(io, seed), work_(asio::make_work_guard(io)), thread_([this] { io.run(); }) {}

  ~Impl() {
    OnLoop([this] {
      state.closed = true;
      boost::system::error_code ignored;
      for (auto& node : state.nodes()) {
        node->datagrams->close(ignored);
        node->acceptor->close(ignored);
      }
      for (auto& weak : streams_) {
        if (auto stream = weak.lock()) stream->Close();
      }
      return 0;
    });
    work_.reset();
    io.stop();
    thread_.join();
  }

  // Runs `work` on the relay's thread and waits for its result.
  template <typename Work>
  auto OnLoop(Work work) -> decltype(work()) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    asio::post(io, [&task] { task(); });
    return result.get();
  }

  void Receive(int to) {
    RelayState::Node& node = *state.nodes()[static_cast<size_t>(to)];
    node.datagrams->async_receive_from(
        asio::buffer(node.buffer), node.sender, [this, to, &node](const auto& error, size_t count) {
          if (state.closed || error == asio::error::operation_aborted) return;
          if (!error) {
            OnDatagram(state.NodeOf(node.sender.address()), to,
                       std::string(node.buffer.data(), count));
          }
          Receive(to);
        });
  }

  void Accept(int to) {
    RelayState::Node& node = *state.nodes()[static_cast<size_t>(to)];
    node.acceptor->async_accept([this, to](const auto& error, tcp::socket socket) {
      if (state.closed || error == asio::error::operation_aborted) return;
      if (!error) OnStream(to, std::move(socket));
      Accept(to);
    });
  }

  void Deliver(int from, int to, const std::string& bytes) {
    RelayState::Node& target = *state.nodes()[static_cast<size_t>(to)];
    RelayState::Node& sender =
        from == kOutsider ? target : *state.nodes()[static_cast<size_t>(from)];
    // A full socket buffer loses the datagram, as a network would.
    boost::system::error_code ignored;
    sender.datagrams->send_to(asio::buffer(bytes), target.listening, 0, ignored);
    state.counters(from, to).datagrams_out++;
  }

  // Resets what lies across a cut.
  void CloseCut() {
    for (auto& weak : streams_) {
      auto stream = weak.lock();
      if (stream != nullptr && stream->IsCut()) stream->Close();
    }
  }

  asio::io_context io{1};
  RelayState state;

 private:
  void OnDatagram(int from, int to, std::string bytes) {
    RelayCounters& counters = state.counters(from, to);
    const RelayFaults& faults = state.FaultsOf(from, to);
    counters.datagrams_in++;
    state.Keep(from, to, false, bytes);
    if (faults.cut || state.Chance(faults.drop_percent)) {
      counters.dropped++;
      return;
    }
    if (state.Chance(faults.corrupt_percent)) {
      counters.corrupted++;
      state.FlipOneBit(bytes);
    }
    if (state.Chance(faults.duplicate_percent)) {
      counters.duplicated++;
      DeliverAfter(state.DrawDelay(faults), from, to, bytes);
    }
    auto delay = state.DrawDelay(faults);
    if (state.Chance(faults.reorder_percent)) {
      counters.reordered++;
      delay += kReorderHold;
    }
    DeliverAfter(delay, from, to, std::move(bytes));
  }

  void DeliverAfter(std::chrono::milliseconds delay, int from, int to, std::string bytes) {
    if (delay.count() == 0) return Deliver(from, to, bytes);
    auto timer = std::make_shared<asio::steady_timer>(io, delay);
    timer->async_wait([this, timer, from, to, bytes = std::move(bytes)](const auto& error) {
      // A cut that began meanwhile swallows what was on its way.
      if (error || state.closed || state.FaultsOf(from, to).cut) return;
      Deliver(from, to, bytes);
    });
  }

  void OnStream(int to, tcp::socket socket) {
    boost::system::error_code error;
    const auto peer = socket.remote_endpoint(error);
    if (error) return;
    auto stream =
        std::make_shared<RelayStream>(state, std::move(socket), state.NodeOf(peer.address()), to);
    std::erase_if(streams_, [](const auto& weak) { return weak.expired(); });
    streams_.push_back(stream);
    stream->Start();
  }

  std::vector<std::weak_ptr<RelayStream>> streams_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::thread thread_;
};

RelayNetwork::RelayNetwork(uint64_t seed) : impl_(std::make_unique<Impl>(seed)) {}
RelayNetwork::~RelayNetwork() = default;

absl::StatusOr<std::string> RelayNetwork::AddNode(std::string_view advertised,
                                                  std::string_view listening) {
  auto node = std::make_unique<RelayState::Node>();
  SOTTO_ASSIGN_OR_RETURN(node->advertised, ParseAddress(advertised));
  SOTTO_ASSIGN_OR_RETURN(node->listening, ParseAddress(listening));
  return impl_->OnLoop([this, &node]() -> absl::StatusOr<std::string> {
    SOTTO_RETURN_IF_ERROR(Listen(impl_->io, *node));
    std::string text = AddressText(node->advertised);
    impl_->state.nodes().push_back(std::move(node));
    const int index = static_cast<int>(impl_->state.nodes().size()) - 1;
    impl_->Receive(index);
    impl_->Accept(index);
    return text;
  });
}

absl::Status RelayNetwork::SetListening(int node, std::string_view listening) {
  SOTTO_ASSIGN_OR_RETURN(const udp::endpoint endpoint, ParseAddress(listening));
  impl_->OnLoop([this, node, &endpoint] {
    impl_->state.nodes()[static_cast<size_t>(node)]->listening = endpoint;
    return 0;
  });
  return absl::OkStatus();
}

void RelayNetwork::SetFaults(int from, int to, const RelayFaults& faults) {
  impl_->OnLoop([&] {
    impl_->state.faults()[{from, to}] = faults;
    return 0;
  });
}

void RelayNetwork::SetAllFaults(const RelayFaults& faults) {
  impl_->OnLoop([&] {
    const int count = static_cast<int>(impl_->state.nodes().size());
    for (int from = 0; from < count; from++) {
      for (int to = 0; to < count; to++) impl_->state.faults()[{from, to}] = faults;
    }
    return 0;
  });
}

void RelayNetwork::Partition(const std::vector<std::vector<int>>& groups, RelayStreams streams) {
  impl_->OnLoop([&] {
    impl_->state.streams_on_cut = streams;
    for (size_t a = 0; a < groups.size(); a++) {
      for (size_t b = 0; b < groups.size(); b++) {
        for (const int from : groups[a]) {
          for (const int to : groups[b]) {
            if (from != to) impl_->state.faults()[{from, to}].cut = a != b;
          }
        }
      }
    }
    if (streams == RelayStreams::kClose) impl_->CloseCut();
    return 0;
  });
}

void RelayNetwork::CutOneWay(int from, int to) {
  impl_->OnLoop([&] {
    impl_->state.faults()[{from, to}].cut = true;
    return 0;
  });
}

void RelayNetwork::Heal() {
  impl_->OnLoop([this] {
    impl_->state.faults().clear();
    return 0;
  });
}

void RelayNetwork::Record(size_t bytes_max) {
  impl_->OnLoop([&] {
    impl_->state.record_room = bytes_max;
    return 0;
  });
}

std::vector<RelayRecord> RelayNetwork::TakeRecords() {
  return impl_->OnLoop([this] { return std::exchange(impl_->state.records, {}); });
}

void RelayNetwork::Inject(int from, int to, std::string bytes) {
  impl_->OnLoop([&] {
    impl_->Deliver(from, to, bytes);
    return 0;
  });
}

RelayCounters RelayNetwork::Counters(int from, int to) const {
  return impl_->OnLoop([&] { return impl_->state.counters(from, to); });
}

}  // namespace sotto
