// Events of the node as the log and the API tell them.
#ifndef SOTTO_CMD_SOTTOD_EVENT_LOG_H_
#define SOTTO_CMD_SOTTOD_EVENT_LOG_H_

#include <cstdint>
#include <vector>

#include "cmd/sottod/event_ring.h"
#include "gossip/event.h"
#include "gossip/log.h"
#include "gossip/node.h"
#include "gossip/said.h"

namespace sotto {

// What had happened before the subscription began, as far as its first snapshot tells: this node's
// announcement, and whoever is alive, in the order in which they were first heard of.
std::vector<Event> EventsBefore(const NodeView& first);

RingEvent ToRingEvent(const Event& event, int64_t unix_ms);
RingEvent ToRingEvent(const UserEvent& event, int64_t unix_ms);
RingEvent ToRingEvent(const ReceivedQuery& query, int64_t unix_ms);

// `member_joined member=gw-2 incarnation=3.1`; about this node, `node_isolated …`. What an operator
// should look at is a warning; what happens in every healthy cluster is not.
LogRecord ToLogRecord(const Event& event);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_EVENT_LOG_H_
