// A message of the application over an open conversation, both ends of it.
//
//   sender                                    receiver
//     AppMessage, payload up to 16 KiB    -->   takes a place, calls the application
//                                         <--   AppReceipt: delivered, refused, busy, failed
//   or
//     AppMessage, its size only           -->   takes a place
//                                         <--   AppReceipt: go on, refused, busy
//     AppMessage, payload                 -->   calls the application
//                                         <--   AppReceipt
//
// At most once: nothing is sent again by itself. Threads: the host's strand.
#ifndef SOTTO_GOSSIP_MESSAGE_SESSION_H_
#define SOTTO_GOSSIP_MESSAGE_SESSION_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "gossip/conversation.h"
#include "gossip/wire.h"

namespace sotto {

// The sender's side. UNAVAILABLE MEMBER_UNREACHABLE: it was surely not delivered; UNAVAILABLE
// MESSAGE_UNCONFIRMED: it may have been. UNAVAILABLE MEMBER_BUSY, FAILED_PRECONDITION
// MESSAGE_REFUSED, ABORTED MESSAGE_FAILED: the receiver's answers.
boost::asio::awaitable<absl::Status> SendMessage(std::shared_ptr<Conversation> talk,
                                                 std::string payload,
                                                 std::chrono::steady_clock::time_point deadline);

// The receiver's side of one message. Not OK: the conversation cannot go on.
boost::asio::awaitable<absl::Status> ReceiveMessage(std::shared_ptr<Conversation> talk,
                                                    AppMessage message);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_MESSAGE_SESSION_H_
