// How many contacts a node holds. Its options, the daemon's configuration and the peers that it
// remembers share this one bound, so that no start fails on what an earlier one has learned.
#ifndef SOTTO_GOSSIP_CONTACTS_H_
#define SOTTO_GOSSIP_CONTACTS_H_

#include <cstddef>

namespace sotto {

inline constexpr size_t kContactsMax = 64;
// Hints that a start may bring along: as many as are dialled at once.
inline constexpr size_t kHintsMax = 4;

}  // namespace sotto

#endif  // SOTTO_GOSSIP_CONTACTS_H_
