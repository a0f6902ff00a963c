// One TLS connection between two nodes: handshake, preamble, then sealed frames that carry
// messages.
//
//   TLS 1.3, both certificates      crypto/tls_context.h says who may speak
//   preamble each way               length u32 BE, then bytes; the server speaks first, so that a
//                                   client learns of its refusal before it sends any state (K1)
//   sealed frames each way          length u16 BE, then a frame of crypto/frame_codec.h; their
//                                   plaintexts in a row are messages: length u32 BE, then bytes
//
// Limits are checked before memory is taken, and memory follows the bytes that came, not the ones
// that were promised. Each step has a deadline, and the whole has one. Threads: all on the socket's
// executor. Included by the node's shell only.
#ifndef SOTTO_GOSSIP_STREAM_CHANNEL_H_
#define SOTTO_GOSSIP_STREAM_CHANNEL_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/frame_codec.h"
#include "crypto/tls_context.h"

namespace sotto {

class StreamChannel : public std::enable_shared_from_this<StreamChannel> {
 public:
  static constexpr std::chrono::seconds kHandshakeTimeout{5};
  static constexpr std::chrono::seconds kStepTimeout{10};
  static constexpr std::chrono::seconds kWholeTimeout{30};

  // `socket` is connected. `expected_name` empty: any node of the cluster.
  static std::shared_ptr<StreamChannel> Create(boost::asio::ip::tcp::socket socket,
                                               TlsContextRef tls, bool is_server,
                                               std::string expected_name);
  ~StreamChannel();

  boost::asio::awaitable<absl::Status> Handshake();
  boost::asio::awaitable<absl::Status> WritePreamble(std::string bytes);
  boost::asio::awaitable<absl::StatusOr<std::string>> ReadPreamble();

  // From here on messages pass. `sealer` and `opener` are of this stream's two directions.
  void BeginSealed(std::unique_ptr<StreamSealer> sealer, std::unique_ptr<StreamOpener> opener);
  boost::asio::awaitable<absl::Status> Write(std::string message);
  boost::asio::awaitable<absl::StatusOr<std::string>> Read();

  // The longest message that Read() takes; at first kStreamMessageBytesMax.
  void LimitMessages(size_t bytes) { message_bytes_max_ = bytes; }
  size_t message_limit() const { return message_bytes_max_; }
  // Lets each following step take so long, within the whole's timeout; the one under way too.
  void AllowSteps(std::chrono::steady_clock::duration step);
  std::chrono::steady_clock::time_point whole_end() const { return whole_end_; }

  // Says goodbye by TLS within a second, then closes.
  boost::asio::awaitable<void> Shutdown();
  // Ends everything at once; pending operations fail.
  void Close();

  const TlsPeer& peer() const { return peer_; }
  // "TLSv1.3 TLS_AES_256_GCM_SHA384 X25519", after the handshake.
  const std::string& tls_description() const { return tls_description_; }
  const boost::asio::ip::tcp::endpoint& remote() const { return remote_; }
  // Why the last frame was refused; kNone if none was.
  DropReason last_drop() const { return last_drop_; }
  uint64_t payload_sent() const { return payload_sent_; }
  uint64_t payload_received() const { return payload_received_; }

 private:
  StreamChannel(boost::asio::ip::tcp::socket socket, TlsContextRef tls, bool is_server,
                std::string expected_name);
  void Arm(std::chrono::steady_clock::duration step);
  absl::Status Explain(std::string_view what, const boost::system::error_code& ec);
  boost::asio::awaitable<absl::Status> ReadExactly(uint8_t* data, size_t size);
  boost::asio::awaitable<absl::Status> ReadFrame();

  const TlsContextRef tls_;
  const bool is_server_;
  const std::string expected_name_;
  TlsPeer peer_;  // before the stream, which it must outlive
  boost::asio::ssl::context context_;
  boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream_;
  boost::asio::steady_timer timer_;
  const std::chrono::steady_clock::time_point whole_end_;
  boost::asio::ip::tcp::endpoint remote_;
  std::string tls_description_;
  std::unique_ptr<StreamSealer> sealer_;
  std::unique_ptr<StreamOpener> opener_;
  std::string received_;  // opened plaintext not yet taken
  size_t received_taken_ = 0;
  std::string frame_;  // reused
  size_t message_bytes_max_;
  std::chrono::steady_clock::duration step_ = kStepTimeout;
  bool timed_out_ = false;
  DropReason last_drop_ = DropReason::kNone;
  uint64_t payload_sent_ = 0;
  uint64_t payload_received_ = 0;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_STREAM_CHANNEL_H_
