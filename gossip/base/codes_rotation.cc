// Pages about the steps of a rotation and the key table. Sorted by code.
#include "gossip/base/code_pages_internal.h"

namespace sotto::internal {
namespace {

constexpr CodeInfo kPages[] = {
    {"INTERRUPTED", "The command was stopped by hand before it was through.",
     "Ctrl-C, or SIGTERM. What was done until then stays done.",
     "Run the same command again: it goes on where it stopped"},
    {"KEY_AHEAD", "A member hands over a key that is far newer than all in the store.",
     "This node's database was away for many rotations, or somebody made the key by himself.",
     "Bring the database back: the node reads the keys there; see who offers it in the log"},
    {"KEY_NOT_ACTIVATED", "A rotation is due, and a key that was prepared by hand is in its way.",
     "Somebody ran sotto keys prepare, or stopped sotto keys rotate, and did not come back.",
     "sotto keys rotate goes on with it; or give it up: sotto keys remove GEN"},
    {"KEY_NOT_IN_STORE", "A member hands over a key that this node's store does not know.",
     "This node has another database than that member, or somebody made the key by himself.",
     "Name the same store on all nodes, or import the key here: sotto keys import --prepared"},
    {"KEY_NOT_SPREAD", "A key cannot be activated yet: living members do not hold it.",
     "They have not looked at the database since, cannot reach it, or cannot open the key; the "
     "message names them.",
     "Look at what is in their way: sotto keys status. Then again: sotto keys rotate. To go on "
     "without one: --skip NAME"},
    {"KEY_RETURNS", "An old key was put back, and is refused: a removed key never returns.",
     "The row of Systems or ClusterKeys was set by hand or from a backup to a key that is retired "
     "or removed already.",
     "To give the row what the cluster uses: sotto keys verify --repair. For another key: sotto "
     "keys rotate"},
    {"KEY_SEAL_STALLED", "The new key is active, and a living member still seals with an old one.",
     "It cannot reach its database, is overloaded, or has gone meanwhile. The old key still opens "
     "its frames until it is removed.",
     "sotto keys status names it; look at sottod's log there, then sotto keys status --wait"},
    {"KEY_SELF_TEST", "A key does not open what it seals.",
     "A broken build of OpenSSL, or damaged memory: the key itself cannot cause it.",
     "Restart the node; if it stays, look at the machine and its OpenSSL: openssl version -a"},
    {"KEY_SPREAD_STALLED", "A new key is ready, and a living member does not take it.",
     "Its key-encryption key is older, it cannot reach its database, or it does not answer. "
     "Nothing "
     "was activated.",
     "sotto keys status says what is in its way. Then sotto keys rotate again: it goes on where it "
     "stopped; or without that member: sotto keys rotate --skip NAME"},
    {"KEY_STATE", "A key's state does not allow that step.",
     "Keys go from PREPARED to ACTIVE to RETIRED to REMOVED, and never back; exactly one is "
     "ACTIVE.",
     "sotto keys ls --removed shows the states; sotto keys verify checks the table"},
    {"KEY_STILL_NEEDED",
     "A key cannot be removed: members do not seal with a newer one, as far as their records say.",
     "They were away during the rotation. Without this key nobody understands them until they "
     "reach the database or another member over TLS.",
     "Bring them back, or sotto forget NAME, or lock them out: --yes-lock-out NAME"},
    {"KEY_TABLE_EMPTY", "The table of keys has no row of this cluster yet.",
     "No node with these tables has been started on this database since they were made.",
     "Start a node; it takes over the key of Systems"},
    {"KEY_TABLE_MALFORMED", "A table of sotto's own has a row that sotto has not written so.",
     "Somebody edited ClusterKeys or ClusterMembers by hand, or restored half of a backup.",
     "Compare with a good backup: SELECT Generation, KeyId, State FROM ClusterKeys; nothing is "
     "changed before it is mended"},
    {"STORE_NOT_SHARED", "Living members do not share this store.",
     "Each host has a database of its own (SQLite), or a node was started with another store.url: "
     "a key that is made here would not reach it.",
     "Give all nodes one store: sotto store copy. Or bring the key to each host: sotto keys "
     "import --prepared --from FILE, then sotto keys activate"},
};

}  // namespace

std::span<const CodeInfo> RotationPages() { return kPages; }

}  // namespace sotto::internal
