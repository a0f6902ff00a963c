// User events over a stream, beside the tables or alone: ids there, what is lacking and what is
// wished for back, and that there, which the server confirms (SyncDone). The cost follows the
// difference.
//
// Threads: all on the host's strand. Included by the node's shell only.
#ifndef SOTTO_GOSSIP_SYNC_EVENTS_H_
#define SOTTO_GOSSIP_SYNC_EVENTS_H_

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "absl/status/status.h"
#include "gossip/conversation.h"
#include "gossip/wire.h"

namespace sotto {

// The client's side. UNAVAILABLE SYNC_BUSY: not now.
boost::asio::awaitable<absl::Status> ExchangeEvents(std::shared_ptr<Conversation> talk);
// The same where the other end has said what it holds: often nothing is left to be done.
boost::asio::awaitable<absl::Status> CompareEvents(std::shared_ptr<Conversation> talk,
                                                   SyncEqual theirs);
// The server's side: what the client lacks, and what is wished for.
boost::asio::awaitable<absl::Status> AnswerEventIds(std::shared_ptr<Conversation> talk,
                                                    EventIds ids);
// Takes in what was wished for, and says so.
boost::asio::awaitable<absl::Status> AnswerEventRows(std::shared_ptr<Conversation> talk,
                                                     EventRows rows);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_SYNC_EVENTS_H_
