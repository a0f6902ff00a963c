// Datagrams to authenticated frames and back (design W1 to W7; security notes in docs/security.md).
//
//   0      1          5                     13          17          21              21+n
//   +------+----------+---------------------+-----------+-----------+---------------+---------+
//   | v|a  | key id 4 | sender's boot id 8  | sequence  | counter 4 | ciphertext n  | tag 16  |
//   +------+----------+---------------------+-----------+-----------+---------------+---------+
//   additional data: bytes 0..20 and the receiver's boot id, which is not sent.
//
// Numbers are big endian. The first byte is version (5 bits), algorithm (2 bits), 0 (1 bit).
// The nonce is the subkey's static IV with the counter xored into its last 4 bytes.
//
// A subkey is HKDF-SHA256 with
//   ikm  = cluster key, for datagrams followed by the X25519 secret of the two processes
//   salt = sender's boot id || sequence
//   info = label || 0 || algorithm || length of cluster's name (1) || cluster's name || receiver's
//          boot id, where label is "sotto/1 frame", "sotto/1 hello" or "sotto/1 stream"
//   out  = AES key of the cluster key's length || static IV (12)
// so the cluster key alone neither reads nor forges a datagram, a frame for one process is
// worthless at another, and every field of the info has one reading.
//
// Sequences, by their top bits: 00 datagrams, 01 hellos, 1x streams; the lower bits start at 1. The
// three never share a subkey or a replay window, so nothing said under the cluster key alone can
// move a datagram window. On UDP a stream's sequence is kBadCounter. Datagrams: the sequence
// belongs to the process, rises hourly, before a counter reaches kCounterTurn, and with each change
// of the sealing key; counters belong to a pair. Each (boot id, key id) has windows for its two
// newest sequences; a higher one needs only a good tag, a lower one is kSessionOld. Hellos: no
// window and no session, whoever sends them. Whoever holds the cluster key can forge them under any
// boot id, with any sequence: they must mute nobody. Their content is signed and idempotent.
//
// Open checks the key id, the boot id and the replay window before the tag, moves the window after
// it, and releases nothing before the tag is checked. Seal never repeats a (subkey, counter) and
// never passes kCounterMax. Limits: frames that need a derivation (4 us) are tried at
// kTriesPerSecond, hellos apart from datagrams, and good hellos open at kHellosPerSecond, since
// each may cost a signature check; beyond that they are kRateLimited. A datagram whose tag is good
// gives its token back. Memory: about 44 B of key for each pair and direction, windows from a
// session's first good frame on, only for boot ids that the look-up knows, and kContextPool keyed
// cipher contexts, re-keyed in place. In steady state neither Seal nor Open of a datagram fetches
// an algorithm or allocates; a session in the pool costs no key schedule. Hellos derive and
// allocate each time. Invariant: a ProcessIdentity belongs to one codec in its whole life; two
// would repeat nonces. Threads: none; the node's strand owns it.
#ifndef SOTTO_CRYPTO_FRAME_CODEC_H_
#define SOTTO_CRYPTO_FRAME_CODEC_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/keyring.h"
#include "crypto/secret_bytes.h"
#include "gossip/member.h"
#include "gossip/time.h"

namespace sotto {

// Why a frame, or what it carried, was refused. One counter each.
enum class DropReason : uint8_t {
  kNone = 0,
  kTooShort,
  kTooLong,
  kBadVersion,
  kAlgorithmMismatch,
  kOwnFrame,
  kUnknownKey,
  kUnknownBoot,
  kSessionOld,
  kBadCounter,
  kBadTag,
  kReplayDuplicate,
  kReplayOld,
  kDecode,
  kSemantic,
  kBadSignature,
  kUnknownCertificate,
  kRateLimited,
};
inline constexpr size_t kDropReasons = 18;

// "too_short", "replay_duplicate", …: the enumerator in snake case, the label of metrics and
// logs; "none" for kNone.
std::string_view ToString(DropReason reason);

inline constexpr size_t kFrameHeaderBytes = 21;
inline constexpr size_t kFrameTagBytes = 16;
inline constexpr size_t kFrameOverheadBytes = kFrameHeaderBytes + kFrameTagBytes;
inline constexpr uint8_t kFrameVersion = 1;
inline constexpr size_t kDatagramBytesMax = 2048;          // what Open accepts
inline constexpr size_t kStreamChunkBytesMax = 16 * 1024;  // plaintext of one stream frame
inline constexpr uint32_t kCounterMax = (1u << 23) - 1;    // RFC 9001, 6.6: 2^23 packets a key
inline constexpr uint32_t kCounterTurn = 1u << 22;         // a new sequence before this
inline constexpr uint32_t kHelloSequenceBit = 1u << 30;
inline constexpr uint32_t kStreamSequenceBit = 1u << 31;
inline constexpr Duration kSequenceTurn = Duration::Hours(1);
// Derivations for unproven frames; datagrams and hellos have one such budget each.
inline constexpr int64_t kTriesBurst = 2000;
inline constexpr int64_t kTriesPerSecond = 2000;
inline constexpr int64_t kHellosBurst = 200;
inline constexpr int64_t kHellosPerSecond = 100;

// boot_id = the first 8 B of SHA-256("sotto/1 boot" || len || cluster || len || name || nonce),
// each len one byte.
BootId MakeBootId(std::string_view cluster, std::string_view name,
                  const std::array<uint8_t, 16>& nonce);

// One life of one process: made at start, and again after fork, clock jump or clone (W7).
class ProcessIdentity {
 public:
  // Draws the nonce and the X25519 pair from the system's generator. INTERNAL: it failed.
  // INVALID_ARGUMENT: a name that is empty or too long.
  static absl::StatusOr<std::shared_ptr<const ProcessIdentity>> Create(std::string_view cluster,
                                                                       std::string_view name);
  // A fixed life, for known-answer tests: the nonce and the 32 bytes of the private key.
  static absl::StatusOr<std::shared_ptr<const ProcessIdentity>> CreateForTest(
      std::string_view cluster, std::string_view name, const std::array<uint8_t, 16>& nonce,
      std::span<const uint8_t> x25519_private);

  const std::string& cluster() const { return cluster_; }
  const std::string& name() const { return name_; }
  const BootId& boot_id() const { return boot_id_; }
  const std::array<uint8_t, 16>& nonce() const { return nonce_; }
  const std::array<uint8_t, 32>& x25519_public() const { return public_; }
  // X25519 with the other's public key; INVALID_ARGUMENT PEER_KEY_BAD for a point of small order.
  absl::StatusOr<SecretBytes> Agree(const std::array<uint8_t, 32>& other_public) const;

 private:
  ProcessIdentity() = default;
  std::string cluster_, name_;
  BootId boot_id_;
  std::array<uint8_t, 16> nonce_{};
  std::array<uint8_t, 32> public_{};
  std::shared_ptr<void> private_;  // OpenSSL's key: made from its bytes, it costs half an agreement
};
using ProcessIdentityRef = std::shared_ptr<const ProcessIdentity>;

// The other end of a pair.
struct FramePeer {
  BootId boot_id;
  std::array<uint8_t, 32> x25519_public{};
};

enum class FrameKind : uint8_t { kDatagram, kHello };

// What the codec has spent since it was made.
struct FrameCodecCounters {
  uint64_t context_rekeys = 0;  // pooled contexts that took another session's key
  uint64_t subkeys_derived = 0;
  uint64_t agreements = 0;  // X25519
};

// What Open found. With a drop, `plaintext` is empty and `key_id`, `boot_id` are what the header
// says (zero if it was too short for them).
struct OpenedFrame {
  DropReason drop = DropReason::kNone;
  FrameKind kind = FrameKind::kDatagram;
  KeyId key_id;
  BootId boot_id;                      // the sender's
  std::span<const uint8_t> plaintext;  // into the caller's buffer
  // The look-up knows `boot_id`. With kUnknownKey or kBadTag: that member and we differ about keys,
  // or somebody uses its boot id.
  bool known_boot = false;
};

class FrameCodec {
 public:
  static constexpr size_t kContextPool = 8;

  // The X25519 key of the process with this boot id, or null: unknown, or not the one its member
  // runs.
  using PeerLookup = std::function<const FramePeer*(const BootId&)>;

  // `ring` and what `lookup` needs outlive the codec.
  FrameCodec(ProcessIdentityRef self, const Keyring* ring, PeerLookup lookup);
  ~FrameCodec();

  // Seals for one process. `out` must hold plaintext.size() + kFrameOverheadBytes and not overlap
  // it; returns the bytes written. Plaintext must have 1 to kDatagramBytesMax - kFrameOverheadBytes
  // bytes. FAILED_PRECONDITION KEYRING_EMPTY. INVALID_ARGUMENT FRAME_SIZE, PEER_KEY_BAD (small
  // order). RESOURCE_EXHAUSTED FRAME_COUNTER_EXHAUSTED: 2^30 sequences are spent. INTERNAL
  // CRYPTO_FAILED.
  absl::StatusOr<size_t> Seal(Instant now, const FramePeer& to, std::span<const uint8_t> plaintext,
                              std::span<uint8_t> out);
  // The same under the cluster key alone: only for our own signed Alive.
  absl::StatusOr<size_t> SealHello(Instant now, const BootId& to,
                                   std::span<const uint8_t> plaintext, std::span<uint8_t> out);

  // Opens into `out` (at least datagram.size() bytes, not overlapping it). Never answers, never
  // blocks. What a failed tag left in `out` is wiped.
  OpenedFrame Open(Instant now, std::span<const uint8_t> datagram, std::span<uint8_t> out);

  // Takes a new life, whose boot id must be another one. Frames bound to the former boot id still
  // open until `keep_until`, that instant included; none is sealed under it. A frame does not say
  // which life it is for: the present one is tried first, and its own verdict stands unless the
  // former opens the frame or knows better than kBadTag. Only one former life is kept.
  void Rebind(ProcessIdentityRef self, Instant keep_until);

  // Forgets the sessions of a boot id (its member runs another one now, or its tombstone went).
  void ForgetPeer(const BootId& boot_id);
  // Wipes the subkeys of a key that left the ring. Their replay windows stay while memory allows (a
  // dozen for each peer), so that a key taken out and put back admits no recording.
  void ForgetKey(KeyId id);

  const ProcessIdentity& self() const;
  // Datagrams and hellos sealed under a key since the codec was made; streams are not its own.
  uint64_t FramesSealed(KeyId id) const;
  // Subkeys held, both directions: bounded by the peers seen.
  size_t sessions() const;
  const FrameCodecCounters& counters() const;

  // As if `counter` were the last one spent, of hellos and of every pair not met yet in this
  // sequence; so that tests reach the limits in less than 2^22 frames.
  void SpendCountersForTest(uint32_t counter);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// One direction of one stream, sealed under the cluster key with a sequence of its own (W6).
// Counters come strictly in order from 1. The same frame layout as a datagram's.
class StreamSealer {
 public:
  // `sequence` from StreamSequences; `to` is the other process. INVALID_ARGUMENT: no stream's
  // sequence.
  static absl::StatusOr<std::unique_ptr<StreamSealer>> Create(ClusterKeyRef key, const BootId& self,
                                                              const BootId& to, uint32_t sequence);
  // The same with a first counter near the limit; no opener takes such a stream.
  static absl::StatusOr<std::unique_ptr<StreamSealer>> CreateForTest(ClusterKeyRef key,
                                                                     const BootId& self,
                                                                     const BootId& to,
                                                                     uint32_t sequence,
                                                                     uint32_t first_counter);
  ~StreamSealer();
  // 1 to kStreamChunkBytesMax bytes of plaintext, not within `out`; appends the frame to `out`, or
  // leaves it as it was. INVALID_ARGUMENT FRAME_SIZE. RESOURCE_EXHAUSTED FRAME_COUNTER_EXHAUSTED:
  // open another stream. INTERNAL CRYPTO_FAILED.
  absl::Status Seal(std::span<const uint8_t> plaintext, std::string& out);

 private:
  StreamSealer();
  class Impl;
  std::unique_ptr<Impl> impl_;
};

class StreamOpener {
 public:
  // The session is taken from the first frame's header; its key id must be in the ring and its boot
  // id must be `from`.
  StreamOpener(const Keyring* ring, const BootId& self, const BootId& from);
  ~StreamOpener();
  // One whole frame. On kNone, appends the plaintext to `out`. Any other reason ends the stream:
  // later calls repeat it. kUnknownBoot: not `from`; kSessionOld: another session than the first
  // frame's; kReplayDuplicate and kBadCounter: a counter behind or ahead of its turn.
  DropReason Open(std::span<const uint8_t> frame, std::string& out);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Gives each stream and direction of a process a sequence that no other has. The node takes a new
// boot id each time kPerLife have been drawn, long before the 2^31 come round.
class StreamSequences {
 public:
  static constexpr uint64_t kPerLife = uint64_t{1} << 30;

  uint32_t Next() {
    return kStreamSequenceBit | static_cast<uint32_t>(drawn_++ % (kStreamSequenceBit - 1) + 1);
  }
  uint64_t drawn() const { return drawn_; }

 private:
  uint64_t drawn_ = 0;
};

}  // namespace sotto

#endif  // SOTTO_CRYPTO_FRAME_CODEC_H_
