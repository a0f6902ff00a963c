// The inside of FrameCodec, shared by its sealing, its opening and its book-keeping.
#ifndef SOTTO_CRYPTO_FRAME_CODEC_INTERNAL_H_
#define SOTTO_CRYPTO_FRAME_CODEC_INTERNAL_H_

#include <openssl/crypto.h>

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "crypto/frame_aead_internal.h"
#include "crypto/frame_codec.h"
#include "crypto/frame_header.h"
#include "crypto/replay_window.h"
#include "crypto/token_bucket_internal.h"

namespace sotto {
namespace internal {

struct BootIdHash {
  // A boot id is a piece of a SHA-256 already, and only members' ids become keys of a map.
  size_t operator()(const BootId& id) const {
    size_t hash = 0;
    for (const uint8_t byte : id.bytes) hash = hash << 8 | byte;
    return hash;
  }
};

struct SealSession {
  KeyId key_id;
  uint32_t sequence = 0;
  uint32_t next_counter = 1;
  Subkey subkey;
};

struct OpenSession {
  KeyId key_id;
  uint32_t sequence = 0;
  Subkey subkey;  // unkeyed where only the window is kept
  ReplayWindow window;
};

// One pair: a life of ours and a life of another process.
struct Pair {
  Pair() = default;
  ~Pair() { OPENSSL_cleanse(agreed.data(), agreed.size()); }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  enum class Agreement : uint8_t { kNone, kDone, kImpossible };
  Agreement agreement = Agreement::kNone;
  std::array<uint8_t, 32> other_public{};
  std::array<uint8_t, 32> agreed{};
  SealSession seal;
  std::vector<std::unique_ptr<OpenSession>> open;
};

// One life of our process with its pairs.
struct Life {
  ProcessIdentityRef identity;
  std::unordered_map<BootId, Pair, BootIdHash> pairs;
};

}  // namespace internal

class FrameCodec::Impl {
 public:
  Impl(ProcessIdentityRef self, const Keyring* ring, PeerLookup lookup)
      : ring_(ring), lookup_(std::move(lookup)) {
    present_.identity = std::move(self);
  }

  absl::StatusOr<size_t> Seal(Instant now, const FramePeer& to, std::span<const uint8_t> plaintext,
                              std::span<uint8_t> out);
  absl::StatusOr<size_t> SealHello(const BootId& to, std::span<const uint8_t> plaintext,
                                   std::span<uint8_t> out);
  OpenedFrame Open(Instant now, std::span<const uint8_t> datagram, std::span<uint8_t> out);
  void Rebind(ProcessIdentityRef self, Instant keep_until);
  void ForgetPeer(const BootId& boot_id);
  void ForgetKey(KeyId id);

  void SpendCountersForTest(uint32_t counter) {
    counter_floor_ = counter;
    hello_counter_ = counter + 1;
  }

  const ProcessIdentity& self() const { return *present_.identity; }
  uint64_t FramesSealed(KeyId id) const {
    const auto at = frames_sealed_.find(id);
    return at == frames_sealed_.end() ? 0 : at->second;
  }
  size_t sessions() const;
  const FrameCodecCounters& counters() {
    counters_.context_rekeys = pool_.rekeys();
    return counters_;
  }

 private:
  using AeadContext = internal::AeadContext;
  using Life = internal::Life;
  using Pair = internal::Pair;
  using Subkey = internal::Subkey;
  using TokenBucket = internal::TokenBucket;

  absl::Status CheckSizes(std::span<const uint8_t> plaintext, std::span<uint8_t> out) const;
  absl::Status TurnSequence(Instant now, KeyId sealing);
  absl::Status NextSequence(Instant now);
  absl::Status Agree(const ProcessIdentity& identity, const std::array<uint8_t, 32>& other_public,
                     Pair& pair);
  absl::Status KeySealSession(const ClusterKey& key, const BootId& to, Pair& pair);
  FrameHeader HeaderFor(const ClusterKey& key, uint32_t sequence, uint32_t counter) const;
  absl::Status Derive(const ClusterKey& key, std::span<const uint8_t> agreed,
                      const FrameHeader& header, const BootId& receiver, Subkey& subkey);

  bool IsOurs(const BootId& boot_id) const;
  DropReason OpenDatagram(Instant now, const ClusterKey& key, const FramePeer& from,
                          const FrameHeader& header, std::span<const uint8_t> datagram,
                          std::span<uint8_t> plaintext);
  DropReason OpenInLife(Instant now, Life& life, const ClusterKey& key, const FramePeer& from,
                        const FrameHeader& header, std::span<const uint8_t> datagram,
                        std::span<uint8_t> plaintext);
  DropReason OpenUnproven(Instant now, const Life& life, const ClusterKey& key,
                          const FramePeer& from, const FrameHeader& header, Pair& pair,
                          std::span<const uint8_t> datagram, std::span<uint8_t> plaintext);
  DropReason OpenHello(Instant now, const ClusterKey& key, const FrameHeader& header,
                       std::span<const uint8_t> datagram, std::span<uint8_t> plaintext);
  bool OpenHelloInLife(const Life& life, const ClusterKey& key, const FrameHeader& header,
                       std::span<const uint8_t> datagram, std::span<uint8_t> plaintext);

  void Keep(const FrameHeader& header, Subkey& subkey, Pair& pair);
  void Unkey(Subkey& subkey);
  void UnkeyPair(Pair& pair);
  void DropPair(Life& life, const BootId& boot_id);
  void DropFormer();
  void ExpireFormer(Instant now) {
    if (former_.has_value() && now > former_until_) DropFormer();
  }

  const Keyring* const ring_;
  const PeerLookup lookup_;
  Life present_;
  std::optional<Life> former_;
  Instant former_until_;
  internal::AeadPool pool_;
  AeadContext scratch_;  // for unproven frames and hellos, so that junk evicts no pooled session

  // Sealing. Each (key, sequence) is used in one stretch of time, since a change of key takes a new
  // sequence; a pair forgotten and met again in the same stretch starts above `counter_floor_`.
  uint32_t sequence_ = 0;
  uint32_t counter_floor_ = 0;
  Instant sequence_until_;
  KeyId sequence_key_;
  uint32_t hello_sequence_ = kHelloSequenceBit | 1;
  uint32_t hello_counter_ = 1;  // the next one; shared by all receivers
  std::map<KeyId, uint64_t> frames_sealed_;

  TokenBucket datagram_tries_{kTriesBurst, kTriesPerSecond};
  TokenBucket hello_tries_{kTriesBurst, kTriesPerSecond};
  TokenBucket hellos_{kHellosBurst, kHellosPerSecond};
  FrameCodecCounters counters_;
};

}  // namespace sotto

#endif  // SOTTO_CRYPTO_FRAME_CODEC_INTERNAL_H_
