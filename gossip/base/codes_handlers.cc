// Pages about event handlers, the list of known peers, and what members say to each other through
// the daemon. Sorted by code.
#include "gossip/base/code_pages_internal.h"

namespace sotto::internal {
namespace {

constexpr CodeInfo kPages[] = {
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
};

}  // namespace

std::span<const CodeInfo> HandlerPages() { return kPages; }

}  // namespace sotto::internal
