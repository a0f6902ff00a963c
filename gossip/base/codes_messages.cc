// Pages about what members say to each other: messages, pings, estimates.
#include "gossip/base/code_pages_internal.h"

namespace sotto::internal {
namespace {

constexpr CodeInfo kPages[] = {
    {"MEMBER_BUSY",
     "The member has as many messages waiting as it may; this one was not delivered.",
     "Its application takes them more slowly than they come.",
     "Send again later; look at what its on_message does"},
    {"MEMBER_IS_SELF", "A node was asked to ping itself or to send itself a message.",
     "The name is that of the node that was asked.", "Name another member"},
    {"MEMBER_UNREACHABLE", "No stream to the member came about; the message was not delivered.",
     "It is down or dead, or TCP to its port is dropped where UDP passes.",
     "sotto ping NAME tells what passes; the message has the reason"},
    {"MESSAGES_EXHAUSTED", "Too many messages wait to be sent from here.",
     "The application sends faster than the receivers take, or to members that do not answer.",
     "Send again when the earlier ones are through"},
    {"MESSAGE_FAILED", "The application on the member was called and failed on the message.",
     "Its on_message threw an exception; what it did before that is done.",
     "Look at the application's log there; its node counts callback_exceptions"},
    {"MESSAGE_REFUSED", "The member takes no messages.",
     "It was started without on_message, as every sottod is.",
     "Send to a node whose application takes messages"},
    {"MESSAGE_TIMEOUT", "No receipt came before the deadline.",
     "The network or the application over there is slow. It may have been delivered all the same.",
     "Ask the receiver whether it has it, before it is sent again"},
    {"MESSAGE_TOO_LARGE", "A message is over 1 MiB.", "The application sends more than fits.",
     "Cut it into parts, or send where to fetch it"},
    {"MESSAGE_UNCONFIRMED", "The connection broke before the receipt; it may have been delivered.",
     "The member stopped, or the network was cut, at the wrong moment.",
     "Ask the receiver whether it has it, before it is sent again"},
    {"MUST_NOT_BLOCK", "A call that waits was made in a thread that runs the node's io_context.",
     "The embedder's loop would have waited for itself.",
     "Call it from another thread, or give the node a callbacks_io"},
    {"PINGS_EXHAUSTED", "Too many pings are under way from here.", "They were asked for in a loop.",
     "Wait for the earlier ones"},
    {"RTT_UNKNOWN", "The round trip between the two members cannot be estimated yet.",
     "One of them has not told its coordinate to this node; each tells it every ten seconds, to "
     "one "
     "member at a time.",
     "Ask again in some minutes; or sotto ping NAME from one of them"},
};

}  // namespace

std::span<const CodeInfo> MessagePages() { return kPages; }

}  // namespace sotto::internal
