#include "crypto/frame_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>

#include "crypto/frame_header.h"
#include "gossip/base/coded_error.h"
#include "tests/crypto/frame_world.h"

namespace sotto {
namespace {

using testing::AsBytes;
using testing::AsText;
using testing::CounterOf;
using testing::Frame;
using testing::Pair;
using testing::Process;
using testing::SequenceOf;
using testing::TestIdentity;
using testing::TestKey;

constexpr Instant At(int64_t seconds) { return Instant() + Duration::Seconds(seconds); }

TEST(FrameCodecTest, CarriesEveryKeyLengthBothWays) {
  for (const size_t key_size : {16u, 24u, 32u}) {
    Pair pair(key_size);
    const Frame frame = pair.a.SealFor(pair.b, "ping");
    EXPECT_EQ(frame[0], kFrameVersion << 3 | (key_size / 8 - 2) << 1);
    const OpenedFrame opened = pair.b.Open(frame);
    ASSERT_EQ(opened.drop, DropReason::kNone);
    EXPECT_EQ(AsText(opened.plaintext), "ping");
    EXPECT_EQ(opened.boot_id, pair.a.boot_id());
    EXPECT_EQ(opened.key_id, pair.a.ring.sealing()->id());
    EXPECT_TRUE(opened.known_boot);
    const Frame answer = pair.b.SealFor(pair.a, "ack");
    EXPECT_EQ(AsText(pair.a.Open(answer).plaintext), "ack");
  }
}

TEST(FrameCodecTest, EveryReasonHasItsOwnName) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kDropReasons; ++i) names.insert(ToString(static_cast<DropReason>(i)));
  EXPECT_EQ(names.size(), kDropReasons);
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_EQ(ToString(DropReason::kNone), "none");
  EXPECT_EQ(ToString(DropReason::kAlgorithmMismatch), "algorithm_mismatch");
  EXPECT_EQ(ToString(DropReason::kReplayDuplicate), "replay_duplicate");
  EXPECT_EQ(ToString(DropReason::kUnknownCertificate), "unknown_certificate");
  EXPECT_EQ(ToString(DropReason::kRateLimited), "rate_limited");
  EXPECT_EQ(ToString(static_cast<DropReason>(kDropReasons)), "unknown");
}

TEST(FrameCodecTest, SealRefusesSizesThatDoNotFit) {
  Pair pair;
  std::vector<uint8_t> out(4096);
  const auto seal = [&](size_t size, size_t room) {
    return pair.a.codec().Seal(Instant(), pair.b.peer(), std::vector<uint8_t>(size),
                               std::span(out).first(room));
  };
  EXPECT_EQ(ErrorCode(seal(0, 4096).status()), "FRAME_SIZE");
  EXPECT_EQ(ErrorCode(seal(2012, 4096).status()), "FRAME_SIZE");
  EXPECT_EQ(ErrorCode(seal(10, 46).status()), "FRAME_SIZE");
  EXPECT_EQ(*seal(10, 47), 47u);
  EXPECT_EQ(*seal(2011, 2048), kDatagramBytesMax);
  EXPECT_EQ(pair.b.Drop(std::span(out).first(2048)), DropReason::kNone);
  EXPECT_EQ(ErrorCode(pair.a.codec().SealHello(Instant(), pair.b.boot_id(), {}, out).status()),
            "FRAME_SIZE");
}

TEST(FrameCodecTest, AnEmptyRingSealsNothing) {
  Process a("gw-1");
  Process b("db-1");
  std::vector<uint8_t> out(100);
  const absl::Status datagram = a.codec().Seal(Instant(), b.peer(), AsBytes("x"), out).status();
  EXPECT_EQ(datagram.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ErrorCode(datagram), "KEYRING_EMPTY");
  EXPECT_EQ(ErrorCode(a.codec().SealHello(Instant(), b.boot_id(), AsBytes("x"), out).status()),
            "KEYRING_EMPTY");
}

TEST(FrameCodecTest, APeerKeyOfSmallOrderIsAnErrorHereAndABadTagThere) {
  Pair pair;
  const FramePeer bad{pair.b.boot_id(), {}};
  std::vector<uint8_t> out(100);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(ErrorCode(pair.a.codec().Seal(Instant(), bad, AsBytes("x"), out).status()),
              "PEER_KEY_BAD");
  }
  EXPECT_EQ(pair.a.codec().counters().agreements, 1u) << "the refusal is remembered";
  const Frame frame = pair.b.SealFor(pair.a, "x");
  pair.a.known[pair.b.boot_id()] = bad;
  EXPECT_EQ(pair.a.Drop(frame), DropReason::kBadTag);
  pair.a.Knows(pair.b);
  EXPECT_EQ(pair.a.Drop(frame), DropReason::kNone);
}

TEST(FrameCodecTest, HellosOpenFromKnownAndUnknownBootIds) {
  Pair pair;
  const OpenedFrame known = pair.b.Open(pair.a.HelloFor(pair.b, "my Alive"));
  ASSERT_EQ(known.drop, DropReason::kNone);
  EXPECT_EQ(known.kind, FrameKind::kHello);
  EXPECT_TRUE(known.known_boot);
  pair.b.known.clear();
  const Frame hello = pair.a.HelloFor(pair.b, "my Alive");
  for (int i = 0; i < 3; ++i) {
    const OpenedFrame unknown = pair.b.Open(hello);
    ASSERT_EQ(unknown.drop, DropReason::kNone) << "the same hello again is no replay";
    EXPECT_FALSE(unknown.known_boot);
    EXPECT_EQ(AsText(unknown.plaintext), "my Alive");
  }
  EXPECT_EQ(pair.b.codec().sessions(), 0u) << "hellos keep no session";
  EXPECT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x")), DropReason::kUnknownBoot);
}

TEST(FrameCodecTest, HellosNeverRepeatACounter) {
  Pair pair;
  Process c("web-1");
  std::set<std::pair<uint32_t, uint32_t>> seen;
  for (int i = 0; i < 50; ++i) {
    for (const Frame& hello : {pair.a.HelloFor(pair.b, "x"), pair.a.HelloFor(c, "x")}) {
      EXPECT_EQ(SequenceOf(hello) >> 30, 1u);
      EXPECT_TRUE(seen.emplace(SequenceOf(hello), CounterOf(hello)).second);
    }
  }
}

TEST(FrameCodecTest, TheSequenceRisesHourlyForAllPairsAtOnce) {
  Pair pair;
  Process c("web-1");
  EXPECT_EQ(SequenceOf(pair.a.SealFor(pair.b, "x", At(0))), 1u);
  EXPECT_EQ(SequenceOf(pair.a.SealFor(c, "x", At(3599))), 1u);
  const Frame second = pair.a.SealFor(c, "x", At(3600));
  EXPECT_EQ(SequenceOf(second), 2u);
  EXPECT_EQ(CounterOf(second), 1u);
  const Frame other = pair.a.SealFor(pair.b, "x", At(3601));
  EXPECT_EQ(SequenceOf(other), 2u);
  EXPECT_EQ(CounterOf(other), 1u);
}

TEST(FrameCodecTest, ASequenceEndsBeforeACounterReachesTheTurn) {
  Pair pair;
  Process c("web-1");
  ASSERT_EQ(SequenceOf(pair.a.SealFor(c, "x")), 1u);
  pair.a.codec().SpendCountersForTest(kCounterTurn - 3);
  std::vector<std::pair<uint32_t, uint32_t>> datagrams, hellos;
  for (int i = 0; i < 4; ++i) {
    const Frame frame = pair.a.SealFor(pair.b, "x");
    EXPECT_EQ(pair.b.Drop(frame), DropReason::kNone);
    datagrams.emplace_back(SequenceOf(frame), CounterOf(frame));
    const Frame hello = pair.a.HelloFor(pair.b, "x");
    EXPECT_EQ(pair.b.Drop(hello), DropReason::kNone);
    hellos.emplace_back(SequenceOf(hello) - kHelloSequenceBit, CounterOf(hello));
  }
  EXPECT_EQ(datagrams, (std::vector<std::pair<uint32_t, uint32_t>>{
                           {1, kCounterTurn - 2}, {1, kCounterTurn - 1}, {2, 1}, {2, 2}}));
  EXPECT_EQ(hellos.back().second, 2u);
  EXPECT_EQ(hellos[1].second, kCounterTurn - 1);
  EXPECT_EQ(hellos[2].first, hellos[1].first + 1);
  EXPECT_EQ(SequenceOf(pair.a.SealFor(c, "x")), 2u) << "for every pair";
}

TEST(FrameCodecTest, SequenceRulesAtTheReceiver) {
  Pair pair;
  std::vector<std::vector<Frame>> hours;
  for (int hour = 0; hour < 5; ++hour) {
    hours.emplace_back();
    for (int i = 0; i < 3; ++i) {
      hours.back().push_back(pair.a.SealFor(pair.b, "x", At(3600 * hour + i)));
    }
  }
  EXPECT_EQ(pair.b.Drop(hours[1][0]), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(hours[0][0]), DropReason::kNone) << "one behind the newest is open";
  EXPECT_EQ(pair.b.Drop(hours[3][0]), DropReason::kNone) << "a higher one needs only a good tag";
  EXPECT_EQ(pair.b.Drop(hours[0][1]), DropReason::kSessionOld);
  EXPECT_EQ(pair.b.Drop(hours[1][1]), DropReason::kSessionOld);
  EXPECT_EQ(pair.b.Drop(hours[2][0]), DropReason::kNone) << "one behind, first seen now";
  EXPECT_EQ(pair.b.Drop(hours[2][0]), DropReason::kReplayDuplicate);
  EXPECT_EQ(pair.b.codec().sessions(), 2u);
  EXPECT_EQ(pair.b.Drop(hours[4][0]), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(hours[3][0]), DropReason::kReplayDuplicate) << "windows outlive a turn";
  EXPECT_EQ(pair.b.Drop(hours[3][1]), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(hours[2][1]), DropReason::kSessionOld);
  EXPECT_EQ(pair.b.codec().sessions(), 2u);
}

TEST(FrameCodecTest, AForgedHigherSequenceMovesNothing) {
  Pair pair;
  EXPECT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x")), DropReason::kNone);
  Frame forged = pair.a.SealFor(pair.b, "x");
  const Frame honest = forged;
  testing::PutU32At(forged, 13, kHelloSequenceBit - 1);
  EXPECT_EQ(pair.b.Drop(forged), DropReason::kBadTag);
  EXPECT_EQ(pair.b.codec().sessions(), 1u);
  EXPECT_EQ(pair.b.Drop(honest), DropReason::kNone);
}

TEST(FrameCodecTest, ChangesOfTheSealingKeyTakeANewSequence) {
  Pair pair;
  const ClusterKeyRef one = pair.a.ring.sealing();
  const ClusterKeyRef two = TestKey(2, 16);
  ASSERT_TRUE(pair.a.ring.Install(two).ok());
  const Frame first = pair.a.SealFor(pair.b, "x");
  ASSERT_TRUE(pair.a.ring.Use(two->id()).ok());
  const Frame second = pair.a.SealFor(pair.b, "x");
  ASSERT_TRUE(pair.a.ring.Use(one->id()).ok());
  const Frame third = pair.a.SealFor(pair.b, "x");
  EXPECT_LT(SequenceOf(first), SequenceOf(second));
  EXPECT_LT(SequenceOf(second), SequenceOf(third));

  EXPECT_EQ(pair.b.Drop(first), DropReason::kNone);
  const OpenedFrame unknown = pair.b.Open(second);
  EXPECT_EQ(unknown.drop, DropReason::kUnknownKey);
  EXPECT_EQ(unknown.key_id, two->id());
  EXPECT_TRUE(unknown.known_boot);
  ASSERT_TRUE(pair.b.ring.Install(two).ok());
  EXPECT_EQ(pair.b.Drop(second), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(third), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(second), DropReason::kReplayDuplicate);
  EXPECT_EQ(pair.a.codec().FramesSealed(one->id()), 2u);
  EXPECT_EQ(pair.a.codec().FramesSealed(two->id()), 1u);
  EXPECT_EQ(pair.a.codec().FramesSealed(KeyId{7}), 0u);
}

TEST(FrameCodecTest, ARemovedKeyOpensNothingAndItsReturnNoRecording) {
  Pair pair;
  const ClusterKeyRef one = pair.a.ring.sealing();
  const ClusterKeyRef two = TestKey(2);
  const Frame recorded = pair.a.SealFor(pair.b, "x");
  const Frame fresh = pair.a.SealFor(pair.b, "y");
  ASSERT_EQ(pair.b.Drop(recorded), DropReason::kNone);
  ASSERT_TRUE(pair.b.ring.Install(two).ok());
  ASSERT_TRUE(pair.b.ring.Use(two->id()).ok());
  ASSERT_TRUE(pair.b.ring.Remove(one->id()).ok());
  EXPECT_EQ(pair.b.Drop(fresh), DropReason::kUnknownKey) << "though its session is still there";
  EXPECT_EQ(pair.b.codec().sessions(), 1u);
  pair.b.codec().ForgetKey(one->id());
  EXPECT_EQ(pair.b.codec().sessions(), 0u);
  ASSERT_TRUE(pair.b.ring.Install(one).ok());
  EXPECT_EQ(pair.b.Drop(recorded), DropReason::kReplayDuplicate);
  EXPECT_EQ(pair.b.Drop(fresh), DropReason::kNone);
}

TEST(FrameCodecTest, ForgetKeyWipesSealingSessionsOfOlderSequencesToo) {
  Pair pair;
  Process c("web-1");
  const ClusterKeyRef one = pair.a.ring.sealing();
  const ClusterKeyRef two = TestKey(2);
  pair.a.SealFor(pair.b, "x");
  pair.a.SealFor(c, "x");
  ASSERT_TRUE(pair.a.ring.Install(two).ok());
  ASSERT_TRUE(pair.a.ring.Use(two->id()).ok());
  pair.a.SealFor(c, "x");
  ASSERT_EQ(pair.a.codec().sessions(), 2u);
  ASSERT_TRUE(pair.a.ring.Remove(one->id()).ok());
  pair.a.codec().ForgetKey(one->id());
  EXPECT_EQ(pair.a.codec().sessions(), 1u);
}

TEST(FrameCodecTest, ForgetPeerFreesSessionsAndRepeatsNoNonce) {
  Pair pair;
  std::set<std::pair<uint32_t, uint32_t>> sealed;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 3; ++i) {
      const Frame frame = pair.a.SealFor(pair.b, "x");
      EXPECT_TRUE(sealed.emplace(SequenceOf(frame), CounterOf(frame)).second);
      EXPECT_EQ(pair.b.Drop(frame), DropReason::kNone);
    }
    EXPECT_EQ(pair.a.codec().sessions(), 1u);
    pair.a.codec().ForgetPeer(pair.b.boot_id());
    EXPECT_EQ(pair.a.codec().sessions(), 0u);
  }
  pair.b.codec().ForgetPeer(pair.a.boot_id());
  EXPECT_EQ(pair.b.codec().sessions(), 0u);
  pair.b.codec().ForgetPeer(pair.a.boot_id());
}

// A peer's other public key for the same life: no honest one signs that. Neither direction may
// repeat a nonce or admit a recording because of it.
TEST(FrameCodecTest, AnotherPublicKeyForTheSameLife) {
  Pair pair;
  const FramePeer other{pair.b.boot_id(), TestIdentity("db-2")->x25519_public()};
  const Frame one = pair.a.SealFor(pair.b, "x");
  const Frame two = pair.a.SealFor(other, "x");
  const Frame three = pair.a.SealFor(pair.b, "x");
  EXPECT_EQ(CounterOf(one), 1u);
  EXPECT_EQ(CounterOf(two), 2u);
  EXPECT_EQ(CounterOf(three), 3u);
  EXPECT_EQ(pair.b.Drop(one), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(two), DropReason::kBadTag);
  EXPECT_EQ(pair.b.Drop(three), DropReason::kNone);
  pair.b.known[pair.a.boot_id()].x25519_public = TestIdentity("x")->x25519_public();
  EXPECT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x")), DropReason::kBadTag);
  pair.b.Knows(pair.a);
  EXPECT_EQ(pair.b.Drop(one), DropReason::kReplayDuplicate);
}

TEST(FrameCodecTest, FramesBoundToTheFormerLifeOpenForAWhile) {
  Pair pair;
  const FramePeer former = pair.b.peer();
  std::vector<Frame> to_former;
  for (int i = 0; i < 5; ++i) to_former.push_back(pair.a.SealFor(former, "f" + std::to_string(i)));
  const Frame hello = pair.a.HelloFor(pair.b, "hello");
  ASSERT_EQ(pair.b.Drop(to_former[0], At(1)), DropReason::kNone);

  pair.b.codec().Rebind(TestIdentity("db-1", 1), At(20));
  ASSERT_NE(pair.b.boot_id(), former.boot_id);
  const Frame to_present = pair.a.SealFor(pair.b, "p");
  EXPECT_EQ(SequenceOf(to_present), SequenceOf(to_former[0]));
  EXPECT_EQ(CounterOf(to_present), CounterOf(to_former[0])) << "what makes the two windows needed";

  EXPECT_EQ(AsText(pair.b.Open(to_present, At(11)).plaintext), "p");
  EXPECT_EQ(AsText(pair.b.Open(to_former[1], At(12)).plaintext), "f1");
  EXPECT_EQ(pair.b.Drop(to_former[0], At(12)), DropReason::kReplayDuplicate);
  EXPECT_EQ(pair.b.Drop(to_former[1], At(12)), DropReason::kReplayDuplicate);
  EXPECT_EQ(pair.b.Drop(to_present, At(12)), DropReason::kReplayDuplicate);
  EXPECT_EQ(pair.b.Drop(hello, At(12)), DropReason::kNone);
  EXPECT_EQ(AsText(pair.b.Open(to_former[2], At(20)).plaintext), "f2") << "the last instant";
  const Instant after = At(20) + Duration::Nanos(1);
  EXPECT_EQ(pair.b.Drop(to_former[3], after), DropReason::kBadTag);
  EXPECT_EQ(pair.b.Drop(to_former[0], after), DropReason::kReplayDuplicate)
      << "by its counter, which the present window knows";
  EXPECT_EQ(pair.b.Drop(hello, after), DropReason::kBadTag);
  EXPECT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "p2"), after), DropReason::kNone);
}

// The former life's frame with a counter that the present window has seen, and the other way round.
TEST(FrameCodecTest, EqualCountersOfTwoLivesBothOpen) {
  Pair pair;
  const FramePeer former = pair.b.peer();
  const Frame late = pair.a.SealFor(former, "late");
  pair.b.codec().Rebind(TestIdentity("db-1", 1), At(20));
  const Frame present = pair.a.SealFor(pair.b, "present");
  ASSERT_EQ(CounterOf(late), CounterOf(present));
  EXPECT_EQ(AsText(pair.b.Open(present, At(11)).plaintext), "present");
  EXPECT_EQ(AsText(pair.b.Open(late, At(11)).plaintext), "late");
  EXPECT_EQ(pair.b.Drop(late, At(11)), DropReason::kReplayDuplicate);
}

TEST(FrameCodecTest, NothingIsSealedUnderTheFormerLife) {
  Pair pair;
  const BootId former = pair.a.boot_id();
  const Frame before = pair.a.SealFor(pair.b, "x");
  const Frame own = pair.b.SealFor(pair.a, "to the former life");
  pair.a.codec().Rebind(TestIdentity("gw-1", 1), At(20));
  const auto senders_boot = [](const Frame& frame) {
    BootId id;
    std::copy_n(frame.begin() + 5, 8, id.bytes.begin());
    return id;
  };
  EXPECT_EQ(senders_boot(before), former);
  for (const Frame& frame : {pair.a.SealFor(pair.b, "x", At(11)), pair.a.HelloFor(pair.b, "x")}) {
    EXPECT_EQ(senders_boot(frame), pair.a.boot_id());
    EXPECT_NE(senders_boot(frame), former);
  }
  EXPECT_EQ(pair.a.Drop(before, At(11)), DropReason::kOwnFrame) << "of the former life";
  EXPECT_EQ(pair.a.Drop(own, At(11)), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x", At(11))), DropReason::kUnknownBoot)
      << "until the new Alive is known";
}

TEST(FrameCodecTest, OnlyOneFormerLifeIsKept) {
  Pair pair;
  const Frame to_first = pair.a.SealFor(pair.b, "1");
  pair.b.codec().Rebind(TestIdentity("db-1", 1), At(20));
  const Frame to_second = pair.a.SealFor(pair.b, "2");
  pair.b.codec().Rebind(TestIdentity("db-1", 2), At(22));
  EXPECT_EQ(pair.b.Drop(to_first, At(11)), DropReason::kBadTag);
  EXPECT_EQ(pair.b.Drop(to_second, At(11)), DropReason::kNone);
  pair.b.codec().ForgetPeer(pair.a.boot_id());
  EXPECT_EQ(pair.b.codec().sessions(), 0u) << "of both lives";
}

TEST(FrameCodecTest, GoodHellosAreRateLimited) {
  Pair pair;
  const Frame hello = pair.a.HelloFor(pair.b, "x");
  int good = 0;
  for (int i = 0; i < 300; ++i) good += pair.b.Drop(hello, At(5)) == DropReason::kNone ? 1 : 0;
  EXPECT_EQ(good, kHellosBurst);
  EXPECT_EQ(pair.b.Drop(hello, At(5)), DropReason::kRateLimited);
  EXPECT_TRUE(std::ranges::all_of(std::span(pair.b.buffer()).first(1), [](uint8_t byte) {
    return byte == 0;
  })) << "a refused hello's content is wiped";
  good = 0;
  for (int i = 0; i < 300; ++i) good += pair.b.Drop(hello, At(6)) == DropReason::kNone ? 1 : 0;
  EXPECT_EQ(good, kHellosPerSecond);
  EXPECT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x"), At(6)), DropReason::kNone)
      << "datagrams have a budget of their own";
}

TEST(FrameCodecTest, BadHellosSpendTriesAndNotTheBudgetOfGoodOnes) {
  Pair pair;
  const Frame hello = pair.a.HelloFor(pair.b, "x");
  Frame bad = hello;
  bad.back() ^= 1;
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(pair.b.Drop(bad, At(5)), DropReason::kBadTag);
  EXPECT_EQ(pair.b.Drop(hello, At(5)), DropReason::kNone);
}

TEST(FrameCodecTest, JunkOfNewSessionsIsRateLimitedAndProvenSessionsAreNot) {
  Pair pair;
  Process c("web-1");
  ASSERT_TRUE(c.ring.Install(pair.a.ring.sealing()).ok());
  pair.b.Knows(c);
  ASSERT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x"), At(5)), DropReason::kNone);
  Frame junk = pair.a.SealFor(pair.b, "x");
  int tried = 0;
  for (uint32_t i = 0; i < 3000; ++i) {
    testing::PutU32At(junk, 13, 100 + i);
    const DropReason reason = pair.b.Drop(junk, At(5));
    if (reason == DropReason::kBadTag) ++tried;
    if (reason != DropReason::kBadTag) {
      ASSERT_EQ(reason, DropReason::kRateLimited);
    }
  }
  EXPECT_EQ(tried, kTriesBurst);
  EXPECT_EQ(pair.b.codec().sessions(), 1u);
  EXPECT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x"), At(5)), DropReason::kNone);
  EXPECT_EQ(pair.b.Drop(c.SealFor(pair.b, "x"), At(5)), DropReason::kRateLimited);
  EXPECT_EQ(pair.b.Drop(c.SealFor(pair.b, "x"), At(6)), DropReason::kNone);
}

TEST(FrameCodecTest, GoodFramesOfNewSessionsGiveTheirTokenBack) {
  Pair pair;
  for (int64_t i = 0; i < 3 * kTriesBurst; ++i) {
    // Each frame stands in a new hour of the sender's, all in one instant of the receiver's.
    ASSERT_EQ(pair.b.Drop(pair.a.SealFor(pair.b, "x", At(3600 * i)), At(5)), DropReason::kNone);
  }
  EXPECT_EQ(pair.b.codec().sessions(), 2u);
}

// Every frame's subkey is named by receiver, key, sender and sequence: no (subkey, counter) twice
// over a run with peers that come and go, hours that pass, keys that change and new lives.
TEST(FrameCodecTest, NoNonceIsUsedTwice) {
  Process a("gw-1");
  std::vector<std::unique_ptr<Process>> peers;
  for (int i = 0; i < 5; ++i) peers.push_back(std::make_unique<Process>("p" + std::to_string(i)));
  const std::vector<ClusterKeyRef> keys = {TestKey(1), TestKey(2, 16), TestKey(3, 24)};
  for (const auto& key : keys) ASSERT_TRUE(a.ring.Install(key).ok());
  std::set<std::tuple<BootId, std::vector<uint8_t>>> seen;
  uint64_t random = 7;
  Instant now = At(0);
  uint8_t life = 0;
  const size_t frames = 20'000;
  for (size_t i = 0; i < frames; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const uint64_t draw = random >> 33;
    const Process& to = *peers[draw % peers.size()];
    if (draw % 97 == 0) {
      ASSERT_TRUE(a.ring.Use(keys[draw / 97 % 3]->id()).ok());
    }
    if (draw % 89 == 0) a.codec().ForgetPeer(to.boot_id());
    if (draw % 83 == 0) a.codec().ForgetKey(keys[draw / 83 % 3]->id());
    if (draw % 79 == 0) now += Duration::Minutes(static_cast<int64_t>(draw / 79 % 90));
    if (draw % 1999 == 0) {
      a.codec().Rebind(TestIdentity("gw-1", ++life), now + Duration::Seconds(10));
    }
    const Frame frame = draw % 5 == 0 ? a.HelloFor(to, "x", now) : a.SealFor(to, "x", now);
    // Key id, boot id, sequence and counter.
    ASSERT_TRUE(
        seen.emplace(to.boot_id(), std::vector<uint8_t>(frame.begin() + 1, frame.begin() + 21))
            .second)
        << "frame " << i;
  }
  EXPECT_EQ(seen.size(), frames);
  EXPECT_GT(life, 0);
}

}  // namespace
}  // namespace sotto
