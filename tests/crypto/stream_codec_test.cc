#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "crypto/frame_codec.h"
#include "gossip/base/coded_error.h"
#include "tests/crypto/frame_world.h"

namespace sotto {
namespace {

using testing::AsBytes;
using testing::Frame;
using testing::PutU32At;
using testing::TestIdentity;
using testing::TestKey;

class StreamCodecTest : public ::testing::Test {
 protected:
  StreamCodecTest() { EXPECT_TRUE(ring_.Install(key_).ok()); }

  std::unique_ptr<StreamSealer> Sealer(const ClusterKeyRef& key, uint32_t sequence) {
    auto sealer = StreamSealer::Create(key, a_, b_, sequence);
    EXPECT_TRUE(sealer.ok()) << sealer.status();
    return std::move(*sealer);
  }
  static Frame Seal(StreamSealer& sealer, std::string_view text) {
    std::string out;
    const absl::Status sealed = sealer.Seal(AsBytes(text), out);
    EXPECT_TRUE(sealed.ok()) << sealed;
    return {out.begin(), out.end()};
  }
  // The first frame of a stream with one change, opened by a new opener.
  DropReason First(const Frame& frame) const {
    StreamOpener opener(&ring_, b_, a_);
    std::string out;
    const DropReason reason = opener.Open(frame, out);
    EXPECT_EQ(out.empty(), reason != DropReason::kNone);
    return reason;
  }

  const ClusterKeyRef key_ = TestKey(1);
  const BootId a_ = TestIdentity("gw-1")->boot_id();
  const BootId b_ = TestIdentity("db-1")->boot_id();
  StreamSequences sequences_;
  Keyring ring_;
};

TEST_F(StreamCodecTest, CarriesChunksInOrderAndAppends) {
  const auto sealer = Sealer(key_, sequences_.Next());
  StreamOpener opener(&ring_, b_, a_);
  std::string out = "kept|";
  EXPECT_EQ(opener.Open(Seal(*sealer, "one"), out), DropReason::kNone);
  EXPECT_EQ(opener.Open(Seal(*sealer, "two"), out), DropReason::kNone);
  const std::string large(kStreamChunkBytesMax, 'x');
  EXPECT_EQ(opener.Open(Seal(*sealer, large), out), DropReason::kNone);
  EXPECT_EQ(out, "kept|onetwo" + large);

  std::string frames = "kept";
  ASSERT_TRUE(sealer->Seal(AsBytes("y"), frames).ok());
  EXPECT_EQ(frames.size(), 4 + 1 + kFrameOverheadBytes);
  EXPECT_EQ(frames.substr(0, 4), "kept");
  EXPECT_EQ(ErrorCode(sealer->Seal({}, frames)), "FRAME_SIZE");
  EXPECT_EQ(ErrorCode(sealer->Seal(AsBytes(large + "x"), frames)), "FRAME_SIZE");
  EXPECT_EQ(frames.size(), 4 + 1 + kFrameOverheadBytes);
}

TEST_F(StreamCodecTest, OnlyStreamSequencesSeal) {
  for (const uint32_t sequence : {0u, 1u, kHelloSequenceBit | 1}) {
    EXPECT_FALSE(StreamSealer::Create(key_, a_, b_, sequence).ok());
  }
  EXPECT_EQ(sequences_.Next(), kStreamSequenceBit | 1);
  EXPECT_EQ(sequences_.Next(), kStreamSequenceBit | 2);
}

TEST_F(StreamCodecTest, EachFaultOfAFirstFrameHasItsReason) {
  const Frame good = Seal(*Sealer(key_, sequences_.Next()), "content");
  const auto changed = [&good](auto change) {
    Frame frame = good;
    change(frame);
    return frame;
  };
  EXPECT_EQ(First(good), DropReason::kNone);
  EXPECT_EQ(First(changed([](Frame& f) { f.resize(37); })), DropReason::kTooShort);
  EXPECT_EQ(First({}), DropReason::kTooShort);
  EXPECT_EQ(First(changed([](Frame& f) { f.resize(kStreamChunkBytesMax + 38); })),
            DropReason::kTooLong);
  EXPECT_EQ(First(changed([](Frame& f) { f[0] ^= 0x80; })), DropReason::kBadVersion);
  EXPECT_EQ(First(changed([](Frame& f) { f[0] ^= 1; })), DropReason::kBadVersion);
  EXPECT_EQ(First(changed([](Frame& f) { f[0] ^= 4; })), DropReason::kAlgorithmMismatch);
  EXPECT_EQ(First(changed([](Frame& f) { f[1] ^= 1; })), DropReason::kUnknownKey);
  EXPECT_EQ(First(changed([](Frame& f) { f[5] ^= 1; })), DropReason::kUnknownBoot);
  EXPECT_EQ(First(changed(
                [this](Frame& f) { std::copy(b_.bytes.begin(), b_.bytes.end(), f.begin() + 5); })),
            DropReason::kOwnFrame);
  EXPECT_EQ(First(changed([](Frame& f) { PutU32At(f, 13, 1); })), DropReason::kBadCounter);
  EXPECT_EQ(First(changed([](Frame& f) { PutU32At(f, 17, 0); })), DropReason::kBadCounter);
  EXPECT_EQ(First(changed([](Frame& f) { PutU32At(f, 17, 2); })), DropReason::kBadCounter);
  EXPECT_EQ(First(changed([](Frame& f) { PutU32At(f, 17, 1u << 23); })), DropReason::kBadCounter);
  EXPECT_EQ(First(changed([](Frame& f) { f[16] ^= 2; })), DropReason::kBadTag) << "sequence";
  EXPECT_EQ(First(changed([](Frame& f) { f[21] ^= 1; })), DropReason::kBadTag);
  EXPECT_EQ(First(changed([](Frame& f) { f.back() ^= 1; })), DropReason::kBadTag);
  EXPECT_EQ(First(changed([](Frame& f) { f.pop_back(); })), DropReason::kBadTag);
  EXPECT_EQ(First(changed([](Frame& f) { f.push_back(0); })), DropReason::kBadTag);
}

TEST_F(StreamCodecTest, FramesForAnotherNodeOrClusterDoNotOpen) {
  const Frame frame = Seal(*Sealer(key_, sequences_.Next()), "x");
  std::string out;
  StreamOpener other(&ring_, TestIdentity("web-1")->boot_id(), a_);
  EXPECT_EQ(other.Open(frame, out), DropReason::kBadTag);
  StreamOpener earlier(&ring_, TestIdentity("db-1", 1)->boot_id(), a_);
  EXPECT_EQ(earlier.Open(frame, out), DropReason::kBadTag);
  Keyring foreign;
  ASSERT_TRUE(foreign.Install(TestKey(1, 32, "edge-test")).ok());
  StreamOpener elsewhere(&foreign, b_, a_);
  EXPECT_EQ(elsewhere.Open(frame, out), DropReason::kUnknownKey);
  EXPECT_TRUE(out.empty());
}

TEST_F(StreamCodecTest, CountersComeStrictlyInOrder) {
  const auto sealer = Sealer(key_, sequences_.Next());
  const Frame one = Seal(*sealer, "1");
  const Frame two = Seal(*sealer, "2");
  const Frame three = Seal(*sealer, "3");
  std::string out;
  {
    StreamOpener opener(&ring_, b_, a_);
    ASSERT_EQ(opener.Open(one, out), DropReason::kNone);
    EXPECT_EQ(opener.Open(one, out), DropReason::kReplayDuplicate);
    EXPECT_EQ(opener.Open(two, out), DropReason::kReplayDuplicate) << "the stream is over";
  }
  {
    StreamOpener opener(&ring_, b_, a_);
    ASSERT_EQ(opener.Open(one, out), DropReason::kNone);
    EXPECT_EQ(opener.Open(three, out), DropReason::kBadCounter);
    EXPECT_EQ(opener.Open(two, out), DropReason::kBadCounter) << "the stream is over";
  }
  EXPECT_EQ(out, "11");
}

TEST_F(StreamCodecTest, ASessionCannotChangeUnderWay) {
  const ClusterKeyRef other_key = TestKey(2);
  ASSERT_TRUE(ring_.Install(other_key).ok());
  const uint32_t sequence = sequences_.Next();
  const auto first = Sealer(key_, sequence);
  const auto other_sequence = Sealer(key_, sequences_.Next());
  const auto rekeyed = Sealer(other_key, sequence);
  for (StreamSealer* intruder : {other_sequence.get(), rekeyed.get()}) {
    const auto sealer = Sealer(key_, sequence);
    StreamOpener opener(&ring_, b_, a_);
    std::string out;
    ASSERT_EQ(opener.Open(Seal(*sealer, "1"), out), DropReason::kNone);
    Seal(*intruder, "1");
    EXPECT_EQ(opener.Open(Seal(*intruder, "2"), out), DropReason::kSessionOld);
    EXPECT_EQ(opener.Open(Seal(*sealer, "2"), out), DropReason::kSessionOld) << "and it is over";
    EXPECT_EQ(out, "1");
  }
}

TEST_F(StreamCodecTest, ASealerStopsAtTheLastCounter) {
  const auto created = StreamSealer::CreateForTest(key_, a_, b_, sequences_.Next(), kCounterMax);
  ASSERT_TRUE(created.ok());
  const auto& sealer = *created;
  std::string out;
  ASSERT_TRUE(sealer->Seal(AsBytes("x"), out).ok());
  EXPECT_EQ(testing::CounterOf(AsBytes(out)), kCounterMax);
  out.clear();
  EXPECT_EQ(ErrorCode(sealer->Seal(AsBytes("x"), out)), "FRAME_COUNTER_EXHAUSTED");
  EXPECT_TRUE(out.empty());
}

}  // namespace
}  // namespace sotto
