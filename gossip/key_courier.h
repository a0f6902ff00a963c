// What a node asks of whoever keeps its keys while they change: which ones it holds, which may pass
// to a member and how, and what it heard of keys that it lacks (design K2, K5).
//
// Wrapped keys are texts to the node: what a key-encryption key is, the keeper knows.
// Threads: called on the node's strand; every method returns at once and calls nothing of the node.
// Ownership: shared with the node.
#ifndef SOTTO_GOSSIP_KEY_COURIER_H_
#define SOTTO_GOSSIP_KEY_COURIER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "crypto/keyring.h"

namespace sotto {

// No claim is longer.
inline constexpr size_t kKeyClaimBytesMax = 640;

struct KeySet {
  std::vector<ClusterKeyRef> keys;  // 1 to Keyring::kKeysMax
  KeyId sealing;                    // one of them
};

class KeyCourier {
 public:
  virtual ~KeyCourier() = default;

  // What the node is to hold now.
  virtual KeySet Keys() = 0;
  // The key as it may pass to a certified member that lacks it; empty: it may not. Nor does one of
  // more than kPreambleOfferBytesMax.
  virtual std::string Offer(KeyId id) = 0;
  // What a certified member handed over. OK: Keys() has it now.
  virtual absl::Status Take(std::string_view wrapped) = 0;
  // A member seals with this key, which we hold and whose generation is higher than that of our own
  // sealing key. True: Keys() seals with it now.
  virtual bool UseNewer(KeyId id) = 0;
  // Somebody seals with a key that we lack; told at most once a second. True: the node is to open a
  // stream to some member, over which the key may come.
  virtual bool OnUnknownKey(KeyId id) = 0;
  // A member asks what we hold, and knows of this generation (0: it does not say). As above.
  virtual bool OnKeysAsked(uint64_t generation) = 0;
  // The answer, at most kKeyClaimBytesMax. `sealing`: what the node really seals with, at times a
  // moment behind Keys(). `key_drops`: frames dropped for a key reason so far.
  virtual std::string Claim(KeyId sealing, uint64_t key_drops) = 0;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_KEY_COURIER_H_
