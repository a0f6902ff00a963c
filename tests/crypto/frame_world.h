// Processes of one cluster that know one another, and the frames between them.
#ifndef SOTTO_TESTS_CRYPTO_FRAME_WORLD_H_
#define SOTTO_TESTS_CRYPTO_FRAME_WORLD_H_

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/frame_codec.h"
#include "crypto/keyring.h"
#include "crypto/secret_bytes.h"
#include "gossip/member.h"
#include "gossip/time.h"

namespace sotto::testing {

using Frame = std::vector<uint8_t>;

inline std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline std::string AsText(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A key that follows from `seed`.
inline ClusterKeyRef TestKey(uint8_t seed, size_t size = 32,
                             std::string_view cluster = "edge-prod") {
  SecretBytes bytes(size);
  uint8_t value = seed;
  for (uint8_t& byte : bytes.mutable_view()) byte = value = static_cast<uint8_t>(value * 5 + 113);
  auto key = ClusterKey::Create(std::move(bytes), cluster, seed);
  EXPECT_TRUE(key.ok()) << key.status();
  return key.ok() ? *key : nullptr;
}

// A life that follows from `name` and `life`.
inline ProcessIdentityRef TestIdentity(std::string_view name, uint8_t life = 0,
                                       std::string_view cluster = "edge-prod") {
  std::array<uint8_t, 16> nonce{};
  std::array<uint8_t, 32> private_key{};
  nonce[0] = life;
  private_key[0] = life;
  for (size_t i = 0; i < name.size(); ++i) private_key[1 + i % 31] += static_cast<uint8_t>(name[i]);
  auto identity = ProcessIdentity::CreateForTest(cluster, name, nonce, private_key);
  EXPECT_TRUE(identity.ok()) << identity.status();
  return identity.ok() ? *identity : nullptr;
}

inline FramePeer PeerOf(const ProcessIdentity& identity) {
  return {identity.boot_id(), identity.x25519_public()};
}

// One process: its ring, the peers it knows, and its codec.
class Process {
 public:
  explicit Process(ProcessIdentityRef identity)
      : identity_(identity), codec_(identity, &ring, [this](const BootId& id) -> const FramePeer* {
          const auto at = known.find(id);
          return at == known.end() ? nullptr : &at->second;
        }) {}
  explicit Process(std::string_view name) : Process(TestIdentity(name)) {}

  void Knows(const Process& other) { known[other.boot_id()] = other.peer(); }

  BootId boot_id() const { return codec_.self().boot_id(); }
  FramePeer peer() const { return PeerOf(codec_.self()); }
  FrameCodec& codec() { return codec_; }

  Frame SealFor(const FramePeer& to, std::string_view text, Instant now = Instant()) {
    Frame out(text.size() + kFrameOverheadBytes);
    const auto size = codec_.Seal(now, to, AsBytes(text), out);
    EXPECT_TRUE(size.ok()) << size.status();
    EXPECT_EQ(size.value_or(0), out.size());
    return out;
  }
  Frame SealFor(const Process& to, std::string_view text, Instant now = Instant()) {
    return SealFor(to.peer(), text, now);
  }
  Frame HelloFor(const Process& to, std::string_view text, Instant now = Instant()) {
    Frame out(text.size() + kFrameOverheadBytes);
    const auto size = codec_.SealHello(now, to.boot_id(), AsBytes(text), out);
    EXPECT_TRUE(size.ok()) << size.status();
    EXPECT_EQ(size.value_or(0), out.size());
    return out;
  }
  // The result's plaintext stays valid until the next call.
  OpenedFrame Open(std::span<const uint8_t> frame, Instant now = Instant()) {
    opened_.assign(std::max<size_t>(frame.size(), 1), 0xcc);
    return codec_.Open(now, frame, opened_);
  }
  DropReason Drop(std::span<const uint8_t> frame, Instant now = Instant()) {
    const OpenedFrame result = Open(frame, now);
    EXPECT_EQ(result.plaintext.empty(), result.drop != DropReason::kNone);
    return result.drop;
  }
  // What the last Open left in the caller's buffer.
  const std::vector<uint8_t>& buffer() const { return opened_; }

  Keyring ring;
  std::map<BootId, FramePeer> known;

 private:
  ProcessIdentityRef identity_;
  std::vector<uint8_t> opened_;
  FrameCodec codec_;
};

// Two processes that know each other and hold one key.
class Pair {
 public:
  explicit Pair(size_t key_size = 32) {
    const ClusterKeyRef key = TestKey(1, key_size);
    EXPECT_TRUE(a.ring.Install(key).ok());
    EXPECT_TRUE(b.ring.Install(key).ok());
    a.Knows(b);
    b.Knows(a);
  }

  Process a{"gw-1"};
  Process b{"db-1"};
};

inline uint32_t U32At(std::span<const uint8_t> frame, size_t at) {
  return uint32_t{frame[at]} << 24 | uint32_t{frame[at + 1]} << 16 | uint32_t{frame[at + 2]} << 8 |
         frame[at + 3];
}
inline uint32_t SequenceOf(std::span<const uint8_t> frame) { return U32At(frame, 13); }
inline uint32_t CounterOf(std::span<const uint8_t> frame) { return U32At(frame, 17); }
inline void PutU32At(Frame& frame, size_t at, uint32_t value) {
  for (size_t i = 4; i-- > 0; value >>= 8) frame[at + i] = static_cast<uint8_t>(value);
}

}  // namespace sotto::testing

// Names in failures: "bad_tag", not a number.
namespace sotto {
inline void PrintTo(DropReason reason, std::ostream* out) { *out << ToString(reason); }
}  // namespace sotto

#endif  // SOTTO_TESTS_CRYPTO_FRAME_WORLD_H_
