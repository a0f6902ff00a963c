#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include "tools/relay/relay_internal.h"

namespace sotto {

namespace {
// How often a stalled stream looks whether the cut has ended.
constexpr std::chrono::milliseconds kStallPoll{20};
}  // namespace

RelayStream::RelayStream(RelayState& state, tcp::socket dialer, int from, int to)
    : state_(state), dialer_(std::move(dialer)), target_(state.io()), from_(from), to_(to) {
  there_.in = &dialer_;
  there_.out = &target_;
  there_.from = from;
  there_.to = to;
  back_.in = &target_;
  back_.out = &dialer_;
  back_.from = to;
  back_.to = from;
}

void RelayStream::Start() {
  state_.counters(from_, to_).streams++;
  Dial();
}

bool RelayStream::IsCut() const {
  return state_.FaultsOf(from_, to_).cut || state_.FaultsOf(to_, from_).cut;
}

void RelayStream::Close() {
  if (closed_) return;
  closed_ = true;
  boost::system::error_code ignored;
  dialer_.close(ignored);
  target_.close(ignored);
}

void RelayStream::After(std::chrono::milliseconds delay, std::function<void()> then) {
  auto timer = std::make_shared<asio::steady_timer>(state_.io(), delay);
  timer->async_wait([self = shared_from_this(), timer, then = std::move(then)](const auto& error) {
    if (!error && !self->closed_) then();
  });
}

// A handshake needs both directions, so a cut of either holds a new stream back.
void RelayStream::Dial() {
  if (closed_) return;
  if (IsCut()) {
    if (state_.streams_on_cut == RelayStreams::kClose) return Close();
    After(kStallPoll, [this] { Dial(); });
    return;
  }
  const RelayState::Node& node = *state_.nodes()[static_cast<size_t>(to_)];
  boost::system::error_code error;
  target_.open(node.listening.protocol() == udp::v4() ? tcp::v4() : tcp::v6(), error);
  if (!error && from_ >= 0) {
    const auto& own = state_.nodes()[static_cast<size_t>(from_)]->advertised;
    target_.bind(tcp::endpoint(own.address(), 0), error);
  }
  if (error) return Close();
  target_.async_connect(tcp::endpoint(node.listening.address(), node.listening.port()),
                        [self = shared_from_this()](const auto& failed) {
                          if (failed || self->closed_) return self->Close();
                          boost::system::error_code ignored;
                          self->dialer_.set_option(tcp::no_delay(true), ignored);
                          self->target_.set_option(tcp::no_delay(true), ignored);
                          self->Read(self->there_);
                          self->Read(self->back_);
                        });
}

void RelayStream::Read(Half& half) {
  if (closed_) return;
  half.in->async_read_some(asio::buffer(half.buffer),
                           [self = shared_from_this(), &half](const auto& error, size_t count) {
                             if (self->closed_) return;
                             if (error == asio::error::eof) {
                               boost::system::error_code ignored;
                               half.out->shutdown(tcp::socket::shutdown_send, ignored);
                               Half& other = &half == &self->there_ ? self->back_ : self->there_;
                               half.in = nullptr;
                               if (other.in == nullptr) self->Close();
                               return;
                             }
                             if (error) return self->Close();
                             half.piece.assign(half.buffer.data(), count);
                             self->state_.counters(half.from, half.to).stream_bytes += count;
                             self->state_.Keep(half.from, half.to, true, half.piece);
                             const RelayFaults& faults = self->state_.FaultsOf(half.from, half.to);
                             if (self->state_.Chance(faults.corrupt_percent)) {
                               self->state_.FlipOneBit(half.piece);
                               self->state_.counters(half.from, half.to).corrupted++;
                             }
                             const auto delay = self->state_.DrawDelay(faults);
                             if (delay.count() == 0) return self->Deliver(half);
                             self->After(delay, [self, &half] { self->Deliver(half); });
                           });
}

void RelayStream::Deliver(Half& half) {
  if (state_.FaultsOf(half.from, half.to).cut) {
    if (state_.streams_on_cut == RelayStreams::kClose) return Close();
    After(kStallPoll, [this, &half] { Deliver(half); });
    return;
  }
  Write(half);
}

void RelayStream::Write(Half& half) {
  asio::async_write(*half.out, asio::buffer(half.piece),
                    [self = shared_from_this(), &half](const auto& error, size_t) {
                      if (error || self->closed_) return self->Close();
                      self->Read(half);
                    });
}

}  // namespace sotto
