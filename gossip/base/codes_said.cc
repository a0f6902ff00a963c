// Pages about user events, queries and answers. Sorted by code.
#include "gossip/base/code_pages_internal.h"

namespace sotto::internal {
namespace {

constexpr CodeInfo kPages[] = {
    {"ANSWER_TOO_LARGE", "The answer to a query is longer than 1024 bytes or one datagram.",
     "An application that sends data as an answer; a member's long name leaves less room.",
     "Answer with a place to fetch it from, or send it as a direct message"},
    {"EVENT_INVALID", "A user event has a name that can't be.",
     "Names are 1 to 64 bytes of letters, digits and .:/_-, the first a letter or a digit.",
     "Choose another name, such as deploy:web"},
    {"EVENT_RATE_LIMITED", "This node has said as many events and queries as it may for now.",
     "Events and queries reach every member, so each node's rate is bounded.",
     "Wait as long as the message says; join several events into one"},
    {"EVENT_TOO_LARGE", "The user event or query is larger than one datagram may carry.",
     "Name and payload take at most 1024 bytes together; a member's long name, a filter and a "
     "small datagram size leave less room.",
     "The message says how long the payload may be; send a reference in place of the data"},
    {"NODE_NOT_READY", "The node can't say anything to the cluster now.",
     "It has not announced itself yet, is leaving, or has left, or another runs under its name.",
     "Wait for the event announced; sotto status says where it stands"},
    {"QUERY_INVALID", "A query has a name, filter, timeout or number of relays that can't be.",
     "Filters are globs over names and tag=glob, 512 bytes in all; timeouts last up to 5 minutes; "
     "at most 5 relays.",
     "Correct what the message names"},
    {"QUERY_LIMIT", "As many queries of this node are open as may be.",
     "64 queries wait for their answers or their timeout.", "Wait for one to end"},
    {"QUERY_UNKNOWN", "There is no such query to answer here.",
     "It was answered already, its deadline has passed, or it was never heard.",
     "Answer once, within the query's deadline"},
    {"SAID_NAME_RESERVED", "Names that begin with _sotto/ belong to the nodes themselves.",
     "A user event or query was given such a name.", "Choose another name"},
};

}  // namespace

std::span<const CodeInfo> SaidPages() { return kPages; }

}  // namespace sotto::internal
