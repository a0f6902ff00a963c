// Pages about rotating the cluster's key. Sorted by code.
#include "gossip/base/code_pages_internal.h"

namespace sotto::internal {
namespace {

constexpr CodeInfo kPages[] = {
    {"INTERRUPTED", "The command was stopped by hand before it was through.",
     "Ctrl-C, or SIGTERM. What was done until then stays done.",
     "Run the same command again: it goes on where it stopped"},
    {"KEY_NOT_SPREAD", "A key cannot be activated before all living members hold it.",
     "Those that the message names could not open frames under it, and would be cut off.",
     "sotto keys status --wait, then try again; or go on without a member: --skip NAME"},
    {"KEY_RETURNS", "A key that was retired or removed was written into the row again.",
     "A backup of the row was brought back, or somebody pasted an old key. An old key never "
     "becomes "
     "the key again; the nodes go on with the one in use.",
     "Put the key in use back: sotto keys verify --repair. For a fresh one: sotto keys rotate"},
    {"KEY_SEAL_STALLED", "The new key is active, and a living member still seals with the old one.",
     "It cannot reach its database, is overloaded, or has gone meanwhile. The old key still opens "
     "its frames until it is retired for good.",
     "sotto keys status names it; see sottod's log there, then sotto keys status --wait"},
    {"KEY_SPREAD_STALLED", "A new key is ready, and a living member does not take it.",
     "Its key-encryption key is older, it cannot reach its database, or it does not answer. "
     "Nothing "
     "was activated.",
     "sotto keys status says what is in its way. Then sotto keys rotate again: it goes on where it "
     "stopped; or without that member: sotto keys rotate --skip NAME"},
    {"KEY_STATE", "The key's state does not allow that step.",
     "Keys go PREPARED, ACTIVE, RETIRED, REMOVED, and never back; one is ACTIVE and one at most is "
     "PREPARED.",
     "sotto keys ls --removed shows each key's state"},
    {"KEY_STILL_NEEDED", "A member may have no newer key than the one to be removed.",
     "It was away when the key was changed. Without the old key it may be unable to come back by "
     "itself.",
     "Bring it back first, or sotto forget NAME, or add --yes-lock-out NAME"},
    {"STORE_MOVED", "The cluster's keys have been copied to another store, and are changed there.",
     "This node's store.url names the old one.",
     "Name the new store in store.url (the message has it): sotto config show --origin; then "
     "restart this node"},
    {"STORE_NOT_SHARED", "Living members do not share this node's database.",
     "Each host has a store of its own (SQLite), so that a key made in one would not reach the "
     "others.",
     "sotto keys generate --to new.key; copy it to every host, and there: sotto keys import "
     "--prepared --from new.key; then on one: sotto keys activate GEN"},
};

}  // namespace

std::span<const CodeInfo> RotationPages() { return kPages; }

}  // namespace sotto::internal
