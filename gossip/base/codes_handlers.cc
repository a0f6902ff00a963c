// Pages about event handlers, the list of known peers, and what members say to each other through
// the daemon. Sorted by code.
#include "gossip/base/code_pages_internal.h"

namespace sotto::internal {
namespace {

constexpr CodeInfo kPages[] = {
    {"HANDLER_FAILED", "The program of a handler ended with an error.",
     "It said no, or it has a fault. What it wrote to standard error stands in the log line.",
     "Run it by hand with the environment of docs/operations.md"},
    {"HANDLER_NOT_EXECUTABLE", "The daemon's user may not execute the program of a handler.",
     "The file has no x in its mode, or a folder above it is closed.",
     "chmod +x PATH; namei -l PATH"},
    {"HANDLER_NOT_STARTED", "The program of a handler can't be started.",
     "A script whose #! line names nothing, a program for another machine, or no process left.",
     "Run it by hand as the daemon's user; ulimit -u"},
    {"HANDLER_OUTPUT_TOO_LONG", "A query's handler wrote more than an answer may hold.",
     "Answers are at most 1024 bytes. A longer one is not cut but refused: half an answer may say "
     "the opposite.",
     "Let the program write less, or only where the rest is to be had"},
    {"HANDLER_QUEUE_FULL", "Events for a handler were dropped.",
     "The program is slower than the events come.",
     "Make it quicker; or batch = true, or a larger queue, in its [[handler]]"},
    {"HANDLER_STOPPED", "The program of a handler was ended before it was done.",
     "The daemon ended, or a reload took its handler out.", "Nothing, if that was meant"},
    {"HANDLER_TIMEOUT", "The program of a handler was ended at its time limit.",
     "It waits for something, or has much to do.",
     "Give its [[handler]] a longer timeout, or let the program hand its work to another"},
    {"HANDLER_TOO_LATE", "A query's time was over before its handler could begin.",
     "The program is slow, and runs one at a time.",
     "Make it quicker, or ask with a longer timeout: sotto query NAME --timeout 30s"},
    {"HANDLER_TROUBLE", "A handler fails, or is slower than its events come.",
     "Its program ended with an error at its last run, or takes too long for each event.",
     "sotto status names the program; then run it by hand with the environment of "
     "docs/operations.md"},
    {"PEERS_DAMAGED", "The list of known peers was damaged; what could be read of it is used.",
     "A crash of the machine, a faulty disk, or an editor. The file was moved aside to "
     "peers.corrupt.",
     "Nothing, if sotto members shows everybody; otherwise name a contact: sotto join ADDR"},
    {"PEERS_FOREIGN", "The file of known peers is not this node's; it was moved aside.",
     "It was copied from another node or cluster, or a newer release wrote it.",
     "sotto members; if nobody is there, name a contact: sotto join ADDR"},
    {"PEERS_UNREADABLE", "The list of known peers is there and can't be read.",
     "It belongs to another user, or others may write it. It is neither used nor written over.",
     "ls -l the file peers in node.state_dir; chown it to the daemon's user, chmod 0600"},
    {"PEERS_UNWRITABLE", "The list of known peers can't be kept.",
     "The disk is full, or the state folder is read-only. The daemon goes on; a restart may need "
     "gossip.join.",
     "df -h; ls -ld the folder that node.state_dir names"},
    {"PAYLOAD_TOO_LONG", "What was to be said is too long.",
     "A file or standard input beyond 16 KiB; an event or a query holds about 1 KiB.",
     "Say where the rest is to be had instead: a path, a URL, a version"},
    {"PING_UNANSWERED", "A member answers neither by UDP nor by TCP.",
     "Its process or machine is down, or the network between the two is cut.",
     "sotto members show NAME; sotto reach"},
    {"QUERY_UNANSWERED", "Nobody has answered a query.",
     "No member matches the filter, none of them has a handler for it, or none could be reached.",
     "sotto members; sotto reach; the [[handler]] tables of the members asked"},
    {"query", "A member has asked the programs of this node something.",
     "sotto query there, or an application.", "Nothing"},
    {"user_event", "A member has said something to all.", "sotto event there, or an application.",
     "Nothing"},
};

}  // namespace

std::span<const CodeInfo> HandlerPages() { return kPages; }

}  // namespace sotto::internal
