// Messages of applications on the receiving side: how many may wait, and their way to the callback.
//
// A place is taken before the bytes are read and given back when the callback has returned, so that
// neither a fast sender nor a slow application makes this node hold more than the limits below.
// Threads: Admit() and the end of a place: any; the rest on the node's strand.
// Ownership: places hold what they count in.
#ifndef SOTTO_GOSSIP_MESSAGE_INBOX_H_
#define SOTTO_GOSSIP_MESSAGE_INBOX_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "gossip/node.h"
#include "gossip/node_callbacks.h"
#include "gossip/wire.h"

namespace sotto {

class MessageInbox {
 public:
  static constexpr size_t kWaitingMax = 256;
  static constexpr size_t kWaitingPerSenderMax = 8;
  static constexpr size_t kBytesMax = 16 * kMessageBytesMax;
  static constexpr size_t kBytesPerSenderMax = 2 * kMessageBytesMax;
  // What the stream of the sender waits for the callback.
  static constexpr std::chrono::seconds kCallbackTimeout{15};

  using Callback = std::function<void(const ReceivedMessage&)>;
  using Place = std::shared_ptr<void>;

  // `callback` null: messages are refused.
  MessageInbox(std::shared_ptr<CallbackRunner> runner, Callback callback);

  bool is_open() const { return callback_ != nullptr; }
  // Null: there is no room.
  Place Admit(const std::string& from, size_t bytes);
  // Hands the message to the application, and returns when it has taken it. Nothing: it was called
  // and has not returned in time.
  boost::asio::awaitable<std::optional<AppReceipt::Verdict>> Deliver(
      boost::asio::any_io_executor executor, ReceivedMessage message, Place place);
  // Ends the waiting of all deliveries; on their executor, or with the node's turn held.
  void Stop();

  struct Delivery;

 private:
  struct Counts;
  const std::shared_ptr<CallbackRunner> runner_;
  const std::shared_ptr<const Callback> callback_;
  const std::shared_ptr<Counts> counts_;
  std::set<std::shared_ptr<Delivery>> deliveries_;  // that wait; touched on the executor only
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_MESSAGE_INBOX_H_
