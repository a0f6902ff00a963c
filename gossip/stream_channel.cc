#include "gossip/stream_channel.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <ctime>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "gossip/wire.h"

namespace sotto {

namespace asio = boost::asio;
using asio::awaitable;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr size_t kSealedFrameBytesMax = kStreamChunkBytesMax + kFrameOverheadBytes;

SSL_CTX* Retain(SSL_CTX* context) {
  SSL_CTX_up_ref(context);
  return context;
}

void PutU32(uint32_t value, std::string& out) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

absl::Status NotSealed() {
  return CodedError(absl::StatusCode::kFailedPrecondition, "STREAM_FAILED",
                    "this stream has no session: the other end is this very process");
}

uint32_t GetU32(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

}  // namespace

std::shared_ptr<StreamChannel> StreamChannel::Create(tcp::socket socket, TlsContextRef tls,
                                                     bool is_server, std::string expected_name) {
  return std::shared_ptr<StreamChannel>(
      new StreamChannel(std::move(socket), std::move(tls), is_server, std::move(expected_name)));
}

StreamChannel::StreamChannel(tcp::socket socket, TlsContextRef tls, bool is_server,
                             std::string expected_name)
    : tls_(std::move(tls)),
      is_server_(is_server),
      expected_name_(std::move(expected_name)),
      context_(Retain(tls_->native())),
      stream_(std::move(socket), context_),
      timer_(stream_.get_executor()),
      whole_end_(std::chrono::steady_clock::now() + kWholeTimeout),
      message_bytes_max_(kStreamMessageBytesMax) {
  error_code ignored;
  remote_ = stream_.lowest_layer().remote_endpoint(ignored);
  stream_.lowest_layer().set_option(tcp::no_delay(true), ignored);
  tls_->Prepare(stream_.native_handle(), is_server_, expected_name_, &peer_,
                [] { return static_cast<int64_t>(std::time(nullptr)); });
}

StreamChannel::~StreamChannel() { Close(); }

void StreamChannel::Close() {
  error_code ignored;
  timer_.cancel();
  stream_.lowest_layer().close(ignored);
}

void StreamChannel::Arm(std::chrono::steady_clock::duration step) {
  timer_.expires_at(std::min(std::chrono::steady_clock::now() + step, whole_end_));
  timer_.async_wait([weak = weak_from_this()](const error_code& ec) {
    const std::shared_ptr<StreamChannel> self = weak.lock();
    if (!self || ec) return;
    if (self->timer_.expiry() > std::chrono::steady_clock::now()) return;  // armed anew meanwhile
    self->timed_out_ = true;
    error_code ignored;
    self->stream_.lowest_layer().close(ignored);
  });
}

void StreamChannel::AllowSteps(std::chrono::steady_clock::duration step) {
  step_ = step;
  Arm(step);
}

absl::Status StreamChannel::Explain(std::string_view what, const error_code& ec) {
  const std::string action(what);
  if (timed_out_) {
    return CodedError(absl::StatusCode::kDeadlineExceeded, "STREAM_TIMEOUT",
                      absl::StrCat(action, ": the other end did not answer in time"));
  }
  if (!peer_.verdict.ok() || ec.category() == asio::error::get_ssl_category()) {
    // Asio has taken the error off OpenSSL's queue into `ec`.
    const bool ssl = ec.category() == asio::error::get_ssl_category();
    return DescribeTlsFailure(
        what, peer_, ssl ? static_cast<unsigned long>(static_cast<unsigned>(ec.value())) : 0);
  }
  if (ec == asio::error::eof || ec == asio::ssl::error::stream_truncated ||
      ec == asio::error::connection_reset || ec == asio::error::broken_pipe) {
    return CodedError(absl::StatusCode::kUnavailable, "STREAM_CLOSED",
                      absl::StrCat(action, ": the other end closed the connection"));
  }
  return CodedError(absl::StatusCode::kUnavailable, "STREAM_FAILED",
                    absl::StrCat(action, ": ", ec.message()));
}

awaitable<absl::Status> StreamChannel::Handshake() {
  const auto self = shared_from_this();
  Arm(kHandshakeTimeout);
  error_code ec;
  const auto side = is_server_ ? asio::ssl::stream_base::server : asio::ssl::stream_base::client;
  co_await stream_.async_handshake(side, redirect_error(use_awaitable, ec));
  if (ec) co_return Explain("TLS handshake", ec);
  tls_description_ = DescribeTls(stream_.native_handle());
  co_return tls_->CheckHandshake(stream_.native_handle(), peer_);
}

awaitable<absl::Status> StreamChannel::ReadExactly(uint8_t* data, size_t size) {
  error_code ec;
  co_await asio::async_read(stream_, asio::buffer(data, size), redirect_error(use_awaitable, ec));
  if (ec) co_return Explain("reading", ec);
  co_return absl::OkStatus();
}

awaitable<absl::Status> StreamChannel::WritePreamble(std::string bytes) {
  const auto self = shared_from_this();
  SOTTO_CHECK(bytes.size() <= kPreambleBytesMax);
  Arm(step_);
  std::string out;
  PutU32(static_cast<uint32_t>(bytes.size()), out);
  out += bytes;
  error_code ec;
  co_await asio::async_write(stream_, asio::buffer(out), redirect_error(use_awaitable, ec));
  if (ec) co_return Explain("writing the preamble", ec);
  co_return absl::OkStatus();
}

awaitable<absl::StatusOr<std::string>> StreamChannel::ReadPreamble() {
  const auto self = shared_from_this();
  Arm(step_);
  std::array<uint8_t, 4> header;
  absl::Status status = co_await ReadExactly(header.data(), header.size());
  if (!status.ok()) co_return status;
  const uint32_t size = GetU32(header.data());
  if (size == 0 || size > kPreambleBytesMax) {
    co_return CodedError(absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED",
                         absl::StrCat("a preamble of ", size, " bytes"));
  }
  std::string bytes(size, '\0');
  status = co_await ReadExactly(reinterpret_cast<uint8_t*>(bytes.data()), size);
  if (!status.ok()) co_return status;
  co_return bytes;
}

void StreamChannel::BeginSealed(std::unique_ptr<StreamSealer> sealer,
                                std::unique_ptr<StreamOpener> opener) {
  sealer_ = std::move(sealer);
  opener_ = std::move(opener);
}

awaitable<absl::Status> StreamChannel::Write(std::string message) {
  const auto self = shared_from_this();
  if (sealer_ == nullptr) co_return NotSealed();
  SOTTO_CHECK(message.size() <= kStreamMessageBytesMax);
  payload_sent_ += message.size();
  std::string plain;
  plain.reserve(4 + message.size());
  PutU32(static_cast<uint32_t>(message.size()), plain);
  plain += message;
  for (size_t at = 0; at < plain.size();) {
    const size_t size = std::min(kStreamChunkBytesMax, plain.size() - at);
    std::string out(2, '\0');
    const absl::Status sealed = sealer_->Seal(
        std::span<const uint8_t>(reinterpret_cast<const uint8_t*>(plain.data()) + at, size), out);
    if (!sealed.ok()) co_return sealed;
    const size_t frame_size = out.size() - 2;
    out[0] = static_cast<char>(frame_size >> 8);
    out[1] = static_cast<char>(frame_size);
    Arm(step_);
    error_code ec;
    co_await asio::async_write(stream_, asio::buffer(out), redirect_error(use_awaitable, ec));
    if (ec) co_return Explain("writing", ec);
    at += size;
  }
  co_return absl::OkStatus();
}

awaitable<absl::Status> StreamChannel::ReadFrame() {
  Arm(step_);
  std::array<uint8_t, 2> header;
  absl::Status status = co_await ReadExactly(header.data(), header.size());
  if (!status.ok()) co_return status;
  const size_t size = size_t{header[0]} << 8 | header[1];
  if (size <= kFrameOverheadBytes || size > kSealedFrameBytesMax) {
    last_drop_ = size <= kFrameOverheadBytes ? DropReason::kTooShort : DropReason::kTooLong;
    co_return CodedError(absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED",
                         absl::StrCat("a frame of ", size, " bytes"));
  }
  frame_.resize(size);
  status = co_await ReadExactly(reinterpret_cast<uint8_t*>(frame_.data()), size);
  if (!status.ok()) co_return status;
  last_drop_ = opener_->Open(
      std::span<const uint8_t>(reinterpret_cast<const uint8_t*>(frame_.data()), size), received_);
  if (last_drop_ == DropReason::kNone) co_return absl::OkStatus();
  co_return CodedError(
      absl::StatusCode::kUnauthenticated, "STREAM_FRAME_REFUSED",
      absl::StrCat("a sealed frame was refused: ", std::string(ToString(last_drop_))));
}

awaitable<absl::StatusOr<std::string>> StreamChannel::Read() {
  const auto self = shared_from_this();
  if (opener_ == nullptr) co_return NotSealed();
  while (true) {
    const size_t available = received_.size() - received_taken_;
    if (available >= 4) {
      const uint32_t size =
          GetU32(reinterpret_cast<const uint8_t*>(received_.data()) + received_taken_);
      if (size > message_bytes_max_) {
        co_return CodedError(
            absl::StatusCode::kInvalidArgument, "STREAM_MALFORMED",
            absl::StrCat("a message of ", size, " bytes, over the limit of ", message_bytes_max_));
      }
      if (available - 4 >= size) {
        std::string message = received_.substr(received_taken_ + 4, size);
        received_taken_ += 4 + size;
        if (received_taken_ == received_.size()) {
          received_.clear();
          received_taken_ = 0;
        }
        payload_received_ += size;
        co_return message;
      }
    }
    if (received_taken_ > 0) {
      received_.erase(0, received_taken_);
      received_taken_ = 0;
    }
    const absl::Status status = co_await ReadFrame();
    if (!status.ok()) co_return status;
  }
}

awaitable<void> StreamChannel::Shutdown() {
  const auto self = shared_from_this();
  Arm(std::chrono::seconds(1));
  error_code ignored;
  co_await stream_.async_shutdown(redirect_error(use_awaitable, ignored));
  Close();
}

}  // namespace sotto
