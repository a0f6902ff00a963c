// What nobody can do to a codec: damage, misdirection, replay, and a hostile holder of the cluster
// key who has no certificate and so no pair's secret. Each drop under its own reason.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "crypto/frame_codec.h"
#include "crypto/frame_header.h"
#include "crypto/hkdf.h"
#include "crypto/openssl_internal.h"
#include "tests/crypto/frame_world.h"

namespace sotto {
namespace {

using testing::AsBytes;
using testing::AsText;
using testing::Frame;
using testing::Pair;
using testing::Process;
using testing::PutU32At;
using testing::TestIdentity;
using testing::TestKey;

constexpr uint32_t kTopDatagramSequence = kHelloSequenceBit - 1;
constexpr uint32_t kTopHelloSequence = kStreamSequenceBit - 1;

// Flips one bit of `frame` after the other and counts the reasons by the byte's place.
void FlipEveryBit(const Frame& frame, Pair& pair, int64_t& second,
                  std::map<size_t, std::map<DropReason, int>>& got) {
  for (size_t byte = 0; byte < frame.size(); ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      Frame flipped = frame;
      flipped[byte] ^= static_cast<uint8_t>(1 << bit);
      // A second apart, so that limits play no part.
      const Instant now = Instant() + Duration::Seconds(++second);
      ++got[byte][pair.b.Drop(flipped, now)];
    }
  }
}

void ExpectReasons(const std::map<DropReason, int>& got, const std::map<DropReason, int>& want,
                   size_t byte) {
  EXPECT_EQ(got, want) << "byte " << byte;
}

TEST(FrameAttackTest, EveryBitOfADatagramCounts) {
  for (const size_t key_size : {16u, 24u, 32u}) {
    Pair pair(key_size);
    int64_t second = 0;
    // Once before any session, once with one.
    for (const bool proven : {false, true}) {
      if (proven) {
        ASSERT_EQ(
            pair.b.Drop(pair.a.SealFor(pair.b, "first"), Instant() + Duration::Seconds(++second)),
            DropReason::kNone);
      }
      const Frame frame = pair.a.SealFor(pair.b, "content of some length");
      std::map<size_t, std::map<DropReason, int>> got;
      FlipEveryBit(frame, pair, second, got);
      for (const auto& [byte, reasons] : got) {
        ASSERT_FALSE(reasons.contains(DropReason::kNone)) << "byte " << byte;
        if (byte == 0) {
          ExpectReasons(reasons,
                        {{DropReason::kBadVersion, 6}, {DropReason::kAlgorithmMismatch, 2}}, byte);
        } else if (byte < 5) {
          ExpectReasons(reasons, {{DropReason::kUnknownKey, 8}}, byte);
        } else if (byte < 13) {
          ExpectReasons(reasons, {{DropReason::kUnknownBoot, 8}}, byte);
        } else if (byte == 13) {
          // Bit 7 makes it a stream's, bit 6 a hello's.
          ExpectReasons(reasons, {{DropReason::kBadCounter, 1}, {DropReason::kBadTag, 7}}, byte);
        } else if (byte == 16) {
          // Sequence 1: its lowest bit makes 0, which is none.
          ExpectReasons(reasons, {{DropReason::kBadCounter, 1}, {DropReason::kBadTag, 7}}, byte);
        } else if (byte == 17) {
          ExpectReasons(reasons, {{DropReason::kBadCounter, 8}}, byte);
        } else if (byte == 18) {
          // Bit 23 of the counter is over the limit.
          ExpectReasons(reasons, {{DropReason::kBadCounter, 1}, {DropReason::kBadTag, 7}}, byte);
        } else if (byte == 20 && !proven) {
          // Counter 1: its lowest bit makes 0.
          ExpectReasons(reasons, {{DropReason::kBadCounter, 1}, {DropReason::kBadTag, 7}}, byte);
        } else if (byte == 20) {
          // The frames so far had counters 1 (dropped) and 2 (good). This is 3: one flip makes 2.
          ExpectReasons(reasons, {{DropReason::kReplayDuplicate, 1}, {DropReason::kBadTag, 7}},
                        byte);
        } else {
          ExpectReasons(reasons, {{DropReason::kBadTag, 8}}, byte);
        }
      }
      EXPECT_EQ(got.size(), frame.size());
      EXPECT_EQ(pair.b.codec().sessions(), proven ? 1u : 0u);
      if (proven) {
        EXPECT_EQ(pair.b.Drop(frame, Instant() + Duration::Seconds(second)), DropReason::kNone)
            << "the frame itself is good";
      }
    }
  }
}

TEST(FrameAttackTest, EveryBitOfAHelloCounts) {
  Pair pair;
  const Frame hello = pair.a.HelloFor(pair.b, "my Alive");
  std::map<size_t, std::map<DropReason, int>> got;
  int64_t second = 0;
  FlipEveryBit(hello, pair, second, got);
  for (const auto& [byte, reasons] : got) {
    ASSERT_FALSE(reasons.contains(DropReason::kNone)) << "byte " << byte;
    // A hello from a boot id that nobody has is read too, so that these bits fall to the tag.
    if (byte >= 5 && byte < 13) ExpectReasons(reasons, {{DropReason::kBadTag, 8}}, byte);
    if (byte >= kFrameHeaderBytes) ExpectReasons(reasons, {{DropReason::kBadTag, 8}}, byte);
  }
  EXPECT_EQ(pair.b.Drop(hello, Instant() + Duration::Hours(1)), DropReason::kNone);
}

TEST(FrameAttackTest, EveryTruncationAndExtension) {
  Pair pair;
  const Frame frame = pair.a.SealFor(pair.b, "content");
  for (size_t size = 0; size < frame.size(); ++size) {
    const auto cut = std::span(frame).first(size);
    EXPECT_EQ(pair.b.Drop(cut),
              size <= kFrameOverheadBytes ? DropReason::kTooShort : DropReason::kBadTag)
        << size;
    const OpenedFrame opened = pair.b.Open(cut);
    EXPECT_EQ(opened.key_id, size >= 5 ? pair.a.ring.sealing()->id() : KeyId{});
    EXPECT_EQ(opened.boot_id, size >= 13 ? pair.a.boot_id() : BootId{});
  }
  for (size_t more = 1; more <= 64; ++more) {
    Frame extended = frame;
    extended.resize(frame.size() + more, static_cast<uint8_t>(more));
    EXPECT_EQ(pair.b.Drop(extended), DropReason::kBadTag) << more;
  }
  Frame long_frame = frame;
  long_frame.resize(kDatagramBytesMax);
  EXPECT_EQ(pair.b.Drop(long_frame), DropReason::kBadTag);
  long_frame.resize(kDatagramBytesMax + 1);
  EXPECT_EQ(pair.b.Drop(long_frame), DropReason::kTooLong);
  EXPECT_EQ(pair.b.Drop(frame), DropReason::kNone);
}

TEST(FrameAttackTest, AFailedTagLeavesNothingInTheBuffer) {
  Pair pair;
  const std::string text = "this must not be seen";
  ASSERT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "first")), DropReason::kNone);
  for (const bool hello : {false, true}) {
    Frame frame = hello ? pair.a.HelloFor(pair.b, text) : pair.a.SealFor(pair.b, text);
    frame.back() ^= 1;
    EXPECT_EQ(pair.b.Drop(frame), DropReason::kBadTag);
    const std::string left = AsText(pair.b.buffer());
    EXPECT_EQ(left.find("must"), std::string::npos);
    EXPECT_EQ(left.substr(0, text.size()), std::string(text.size(), '\0'));
  }
}

TEST(FrameAttackTest, CountersAndSequencesOutOfRange) {
  Pair pair;
  ASSERT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x")), DropReason::kNone);
  const Frame frame = pair.a.SealFor(pair.b, "x");
  const auto with = [&](uint32_t sequence, uint32_t counter) {
    Frame changed = frame;
    PutU32At(changed, 13, sequence);
    PutU32At(changed, 17, counter);
    return pair.b.Drop(changed);
  };
  EXPECT_EQ(with(1, 0), DropReason::kBadCounter);
  EXPECT_EQ(with(1, (1u << 23) - 1), DropReason::kBadTag) << "the last counter there is";
  EXPECT_EQ(with(1, 1u << 23), DropReason::kBadCounter);
  EXPECT_EQ(with(1, UINT32_MAX), DropReason::kBadCounter);
  EXPECT_EQ(with(0, 2), DropReason::kBadCounter);
  EXPECT_EQ(with(kTopDatagramSequence, 2), DropReason::kBadTag);
  EXPECT_EQ(with(kHelloSequenceBit, 2), DropReason::kBadCounter);
  EXPECT_EQ(with(kHelloSequenceBit | 1, 2), DropReason::kBadTag);
  EXPECT_EQ(with(kStreamSequenceBit, 2), DropReason::kBadCounter);
  EXPECT_EQ(with(kStreamSequenceBit | 1, 2), DropReason::kBadCounter);
  EXPECT_EQ(with(UINT32_MAX, 2), DropReason::kBadCounter);
  EXPECT_EQ(pair.b.Drop(frame), DropReason::kNone);
}

TEST(FrameAttackTest, AStreamsFrameDoesNotOpenOnUdp) {
  Pair pair;
  auto sealer = StreamSealer::Create(pair.a.ring.sealing(), pair.a.boot_id(), pair.b.boot_id(),
                                     StreamSequences().Next());
  ASSERT_TRUE(sealer.ok());
  std::string frame;
  ASSERT_TRUE((*sealer)->Seal(AsBytes("x"), frame).ok());
  EXPECT_EQ(pair.b.Drop(AsBytes(frame)), DropReason::kBadCounter);
}

TEST(FrameAttackTest, MisdirectedFrames) {
  Pair pair;
  Process c("web-1");
  ASSERT_TRUE(c.ring.Install(pair.a.ring.sealing()).ok());
  c.Knows(pair.a);
  const Frame frame = pair.a.SealFor(pair.b, "for b");
  const Frame hello = pair.a.HelloFor(pair.b, "for b");
  EXPECT_EQ(pair.a.Drop(frame), DropReason::kOwnFrame) << "back to its sender";
  EXPECT_EQ(pair.a.Drop(hello), DropReason::kOwnFrame);
  const OpenedFrame elsewhere = c.Open(frame);
  EXPECT_EQ(elsewhere.drop, DropReason::kBadTag) << "at another node";
  EXPECT_TRUE(elsewhere.known_boot);
  EXPECT_EQ(c.Drop(hello), DropReason::kBadTag);

  Process restarted(TestIdentity("db-1", 1));
  ASSERT_TRUE(restarted.ring.Install(pair.a.ring.sealing()).ok());
  restarted.Knows(pair.a);
  EXPECT_EQ(restarted.Drop(frame), DropReason::kBadTag) << "at a later life of the same node";
  EXPECT_EQ(restarted.Drop(hello), DropReason::kBadTag);
  EXPECT_EQ(pair.b.Drop(frame), DropReason::kNone);
}

// Same private keys, same nonces, another boot id alone: the boot id is bound, not only the secret.
TEST(FrameAttackTest, TheReceiversBootIdIsBoundEvenUnderOneX25519Key) {
  std::array<uint8_t, 16> nonce{};
  std::array<uint8_t, 32> private_key{};
  private_key.fill(7);
  const auto one = ProcessIdentity::CreateForTest("edge-prod", "db-1", nonce, private_key);
  nonce[0] = 1;
  const auto two = ProcessIdentity::CreateForTest("edge-prod", "db-1", nonce, private_key);
  ASSERT_TRUE(one.ok() && two.ok());
  Process a("gw-1"), b1(*one), b2(*two);
  for (Process* process : {&a, &b1, &b2}) {
    ASSERT_TRUE(process->ring.Install(TestKey(1)).ok());
    process->Knows(a);
  }
  const Frame frame = a.SealFor(b1, "x");
  EXPECT_EQ(b2.Drop(frame), DropReason::kBadTag);
  EXPECT_EQ(b1.Drop(frame), DropReason::kNone);
}

TEST(FrameAttackTest, OtherKeysAndClusters) {
  Pair pair;
  const Frame frame = pair.a.SealFor(pair.b, "x");
  const Frame hello = pair.a.HelloFor(pair.b, "x");
  Process foreign(TestIdentity("db-1"));
  foreign.Knows(pair.a);
  ASSERT_TRUE(foreign.ring.Install(TestKey(1, 32, "edge-test")).ok());
  EXPECT_EQ(foreign.Drop(frame), DropReason::kUnknownKey) << "the same key, another cluster's name";
  Process stranger(TestIdentity("db-1"));
  ASSERT_TRUE(stranger.ring.Install(TestKey(9)).ok());
  const OpenedFrame unknown = stranger.Open(hello);
  EXPECT_EQ(unknown.drop, DropReason::kUnknownKey);
  EXPECT_FALSE(unknown.known_boot);
  // Under the wrong key's id the tag decides, for datagrams and hellos alike.
  for (Frame relabelled : {frame, hello}) {
    PutU32At(relabelled, 1, foreign.ring.sealing()->id().value);
    EXPECT_EQ(foreign.Drop(relabelled), DropReason::kBadTag);
  }
}

TEST(FrameAttackTest, ReplaysAtTheWindowsEdge) {
  Pair pair;
  std::vector<Frame> frames;
  for (int i = 0; i < 1100; ++i) frames.push_back(pair.a.SealFor(pair.b, "x"));
  EXPECT_EQ(pair.b.Drop(frames[0]), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(frames[0]), DropReason::kReplayDuplicate) << "at once";
  EXPECT_EQ(pair.b.Drop(frames[1023]), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(frames[0]), DropReason::kReplayDuplicate) << "1023 behind";
  EXPECT_EQ(pair.b.Drop(frames[1024]), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(frames[0]), DropReason::kReplayOld) << "1024 behind";
  EXPECT_EQ(pair.b.Drop(frames[1]), DropReason::kNone) << "1023 behind, first time";
  EXPECT_EQ(pair.b.Drop(frames[1025]), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(frames[0]), DropReason::kReplayOld) << "1025 behind";
  EXPECT_EQ(pair.b.Drop(frames[1]), DropReason::kReplayOld);
  for (size_t i = 1024; i >= 2; --i) {
    const DropReason expected =
        i == 1023 || i == 1024 ? DropReason::kReplayDuplicate : DropReason::kNone;
    ASSERT_EQ(pair.b.Drop(frames[i]), expected) << "in reverse order, " << i;
  }
}

TEST(FrameAttackTest, AForgedCounterMovesNoWindow) {
  Pair pair;
  ASSERT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x")), DropReason::kNone);
  const Frame honest = pair.a.SealFor(pair.b, "x");
  Frame forged = honest;
  PutU32At(forged, 17, kCounterMax);
  EXPECT_EQ(pair.b.Drop(forged), DropReason::kBadTag);
  EXPECT_EQ(pair.b.Drop(honest), DropReason::kNone);
}

// Holds the cluster key and everything that goes over the wire, and no certificate: it can choose
// boot id, sequence and counter, and knows every public key, but no process's private X25519 key.
class KeyHolder {
 public:
  explicit KeyHolder(ClusterKeyRef key) : key_(std::move(key)) {}

  struct Subkey {
    std::vector<uint8_t> key, iv;
  };
  Subkey Derive(const std::string& label, const FrameHeader& header, const BootId& receiver,
                std::span<const uint8_t> agreed) const {
    std::vector<uint8_t> ikm(key_->secret().view().begin(), key_->secret().view().end());
    ikm.insert(ikm.end(), agreed.begin(), agreed.end());
    std::vector<uint8_t> salt(header.boot_id.bytes.begin(), header.boot_id.bytes.end());
    for (int shift = 24; shift >= 0; shift -= 8) {
      salt.push_back(static_cast<uint8_t>(header.sequence >> shift));
    }
    std::string info = label;
    info += '\0';
    info += static_cast<char>(key_->algorithm());
    info += static_cast<char>(key_->cluster().size());
    info += key_->cluster();
    info.append(receiver.bytes.begin(), receiver.bytes.end());
    std::vector<uint8_t> okm(key_->size() + 12);
    EXPECT_TRUE(HkdfSha256(ikm, salt, AsBytes(info), okm).ok());
    return {{okm.begin(), okm.end() - 12}, {okm.end() - 12, okm.end()}};
  }

  FrameHeader Header(const BootId& sender, uint32_t sequence, uint32_t counter) const {
    return {key_->algorithm(), key_->id(), sender, sequence, counter};
  }

  Frame Forge(const std::string& label, const FrameHeader& header, const BootId& receiver,
              std::span<const uint8_t> agreed, std::string_view text) const {
    Frame frame(kFrameOverheadBytes + text.size());
    WriteFrameHeader(header, std::span(frame).first<kFrameHeaderBytes>());
    Crypt(Derive(label, header, receiver, agreed), header.counter, receiver, true,
          reinterpret_cast<const uint8_t*>(text.data()), text.size(), frame);
    return frame;
  }

  // Whether this subkey opens a recorded frame.
  bool Opens(const std::string& label, Frame frame, const BootId& receiver,
             std::span<const uint8_t> agreed) const {
    FrameHeader header;
    EXPECT_EQ(ReadFrameHeader(frame, header), DropReason::kNone);
    return Crypt(Derive(label, header, receiver, agreed), header.counter, receiver, false, nullptr,
                 frame.size() - kFrameOverheadBytes, frame);
  }

 private:
  static bool Crypt(const Subkey& subkey, uint32_t counter, const BootId& receiver, bool seal,
                    const uint8_t* text, size_t size, Frame& frame) {
    const internal::EvpCipherPtr cipher(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr));
    const internal::EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
    std::vector<uint8_t> nonce = subkey.iv;
    for (size_t i = 0; i < 4; ++i) nonce[8 + i] ^= static_cast<uint8_t>(counter >> (24 - 8 * i));
    uint8_t* const body = frame.data() + kFrameHeaderBytes;
    std::vector<uint8_t> plain(size);
    int written = 0;
    EVP_CipherInit_ex2(context.get(), cipher.get(), subkey.key.data(), nonce.data(), seal ? 1 : 0,
                       nullptr);
    EVP_CipherUpdate(context.get(), nullptr, &written, frame.data(), kFrameHeaderBytes);
    EVP_CipherUpdate(context.get(), nullptr, &written, receiver.bytes.data(), 8);
    if (!seal) {
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kFrameTagBytes, body + size);
      EVP_CipherUpdate(context.get(), plain.data(), &written, body, static_cast<int>(size));
      return EVP_CipherFinal_ex(context.get(), plain.data() + written, &written) == 1;
    }
    EVP_CipherUpdate(context.get(), body, &written, text, static_cast<int>(size));
    return EVP_CipherFinal_ex(context.get(), body + size, &written) == 1 &&
           EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kFrameTagBytes, body + size) ==
               1;
  }

  const ClusterKeyRef key_;
};

TEST(KeyHolderTest, ForgedHellosUnderAVictimsBootIdMuteNobody) {
  Pair pair;
  const KeyHolder attacker(pair.a.ring.sealing());
  const BootId victim = pair.a.boot_id();
  const BootId receiver = pair.b.boot_id();
  ASSERT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x")), DropReason::kNone);
  for (const uint32_t counter : {1u, kCounterMax}) {
    for (const uint32_t sequence : {kHelloSequenceBit | 1, kTopHelloSequence}) {
      const Frame hello =
          attacker.Forge("sotto/1 hello", attacker.Header(victim, sequence, counter), receiver, {},
                         "not an Alive");
      const OpenedFrame opened = pair.b.Open(hello);
      ASSERT_EQ(opened.drop, DropReason::kNone) << "the key alone seals hellos; signatures decide";
      EXPECT_EQ(opened.kind, FrameKind::kHello) << "and says that it is no more than a hello";
    }
  }
  EXPECT_EQ(pair.b.Drop(pair.a.HelloFor(pair.b, "my Alive")), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x")), DropReason::kNone) << "still heard";
  EXPECT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x", Instant() + Duration::Hours(1))),
            DropReason::kNone)
      << "in the next sequence too";
}

// The secrets that the attacker can come by: none, all zeros, its own agreement with either side,
// and the public values themselves.
std::vector<std::vector<uint8_t>> AttackersSecrets(const Pair& pair_of,
                                                   const ProcessIdentity& own) {
  std::vector<std::vector<uint8_t>> secrets = {{}, std::vector<uint8_t>(32)};
  for (const Process* process : {&pair_of.a, &pair_of.b}) {
    const FramePeer peer = process->known.begin()->second;
    const auto agreed = own.Agree(peer.x25519_public);
    EXPECT_TRUE(agreed.ok());
    secrets.emplace_back(agreed->view().begin(), agreed->view().end());
    secrets.emplace_back(peer.x25519_public.begin(), peer.x25519_public.end());
  }
  return secrets;
}

TEST(KeyHolderTest, DatagramsWithoutThePairsSecretAreRefused) {
  Pair pair;
  const KeyHolder attacker(pair.a.ring.sealing());
  const ProcessIdentityRef own = TestIdentity("evil-1");
  ASSERT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x")), DropReason::kNone);
  for (const auto& secret : AttackersSecrets(pair, *own)) {
    for (const char* label : {"sotto/1 frame", "sotto/1 hello", "sotto/1 stream"}) {
      for (const uint32_t sequence : {1u, 2u, kTopDatagramSequence}) {
        for (const uint32_t counter : {2u, kCounterMax}) {
          const Frame forged =
              attacker.Forge(label, attacker.Header(pair.a.boot_id(), sequence, counter),
                             pair.b.boot_id(), secret, "forged");
          ASSERT_EQ(pair.b.Drop(forged), DropReason::kBadTag);
        }
      }
    }
  }
  EXPECT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x")), DropReason::kNone);

  // The forger is right in all but the secret: with it, the same frame opens.
  const auto real = TestIdentity("gw-1")->Agree(pair.b.peer().x25519_public);
  ASSERT_TRUE(real.ok());
  EXPECT_EQ(pair.b.Drop(attacker.Forge("sotto/1 frame", attacker.Header(pair.a.boot_id(), 1, 100),
                                       pair.b.boot_id(), real->view(), "control")),
            DropReason::kNone);
}

TEST(KeyHolderTest, ABootIdOfItsOwnGetsItNothingButHellos) {
  Pair pair;
  const KeyHolder attacker(pair.a.ring.sealing());
  const ProcessIdentityRef own = TestIdentity("evil-1");
  const auto agreed = own->Agree(pair.b.peer().x25519_public);
  ASSERT_TRUE(agreed.ok());
  const Frame datagram = attacker.Forge("sotto/1 frame", attacker.Header(own->boot_id(), 1, 1),
                                        pair.b.boot_id(), agreed->view(), "x");
  EXPECT_EQ(pair.b.Drop(datagram), DropReason::kUnknownBoot);
  EXPECT_EQ(pair.b.codec().sessions(), 0u);
}

TEST(KeyHolderTest, OpensNoRecordedDatagram) {
  Pair pair;
  const KeyHolder attacker(pair.a.ring.sealing());
  const ProcessIdentityRef own = TestIdentity("evil-1");
  const Frame recorded = pair.a.SealFor(pair.b, "secret");
  for (const auto& secret : AttackersSecrets(pair, *own)) {
    for (const char* label : {"sotto/1 frame", "sotto/1 hello", "sotto/1 stream"}) {
      for (const BootId& receiver : {pair.a.boot_id(), pair.b.boot_id()}) {
        ASSERT_FALSE(attacker.Opens(label, recorded, receiver, secret));
      }
    }
  }
  const auto real = TestIdentity("gw-1")->Agree(pair.b.peer().x25519_public);
  ASSERT_TRUE(real.ok());
  EXPECT_TRUE(attacker.Opens("sotto/1 frame", recorded, pair.b.boot_id(), real->view()))
      << "the control";
  EXPECT_TRUE(attacker.Opens("sotto/1 hello", pair.a.HelloFor(pair.b, "x"), pair.b.boot_id(), {}))
      << "hellos it reads, as is said";
}

}  // namespace
}  // namespace sotto
