// In steady state neither Seal nor Open allocates, in C++ or within OpenSSL, and pooled sessions
// are not keyed again.
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "crypto/frame_codec.h"
#include "tests/crypto/frame_world.h"

namespace {

std::atomic<uint64_t> cpp_allocations{0};
std::atomic<uint64_t> openssl_allocations{0};

void* Counted(size_t size, std::atomic<uint64_t>& counter) {
  ++counter;
  return std::malloc(size == 0 ? 1 : size);
}

void* OpenSslMalloc(size_t size, const char* /*file*/, int /*line*/) {
  return Counted(size, openssl_allocations);
}
void* OpenSslRealloc(void* memory, size_t size, const char* /*file*/, int /*line*/) {
  ++openssl_allocations;
  return std::realloc(memory, size);
}
void OpenSslFree(void* memory, const char* /*file*/, int /*line*/) { std::free(memory); }

// Before OpenSSL's first allocation, which ends its willingness to take other functions.
const int replaced = CRYPTO_set_mem_functions(OpenSslMalloc, OpenSslRealloc, OpenSslFree);

}  // namespace

// Not inlined, or the compiler takes the pairs for mismatched.
[[gnu::noinline]] void* operator new(size_t size) {
  void* const memory = Counted(size, cpp_allocations);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t /*size*/) noexcept {
  std::free(memory);
}

namespace sotto {
namespace {

using testing::AsBytes;
using testing::Process;
using testing::TestKey;

class FrameAllocTest : public ::testing::Test {
 protected:
  explicit FrameAllocTest(size_t peers = 40) {
    const ClusterKeyRef key = TestKey(1);
    EXPECT_TRUE(hub_.ring.Install(key).ok());
    for (size_t i = 0; i < peers; ++i) {
      peers_.push_back(std::make_unique<Process>("peer-" + std::to_string(i)));
      EXPECT_TRUE(peers_.back()->ring.Install(key).ok());
      peers_.back()->Knows(hub_);
      hub_.Knows(*peers_.back());
    }
  }

  // The hub and each of the first `peers` send one another a frame; false if any is refused.
  bool Round(size_t peers) {
    bool good = true;
    for (size_t i = 0; i < peers; ++i) {
      Process& peer = *peers_[i];
      const FramePeer to_peer = peer.peer();
      const FramePeer to_hub = hub_.peer();
      const auto out = hub_.codec().Seal(Instant(), to_peer, kText, frame_);
      good = good && out.ok() &&
             peer.codec().Open(Instant(), std::span(frame_).first(*out), opened_).drop ==
                 DropReason::kNone;
      const auto back = peer.codec().Seal(Instant(), to_hub, kText, frame_);
      good = good && back.ok() &&
             hub_.codec().Open(Instant(), std::span(frame_).first(*back), opened_).drop ==
                 DropReason::kNone;
    }
    return good;
  }

  static constexpr std::array<uint8_t, 200> kText{};
  std::array<uint8_t, 1232> frame_{};
  std::array<uint8_t, 1232> opened_{};
  Process hub_{"hub"};
  std::vector<std::unique_ptr<Process>> peers_;
};

TEST_F(FrameAllocTest, SteadyStateAllocatesNothing) {
  ASSERT_EQ(replaced, 1);
  ASSERT_TRUE(Round(40));
  ASSERT_TRUE(Round(40));
  ASSERT_GT(cpp_allocations, 0u) << "the counter works";
  ASSERT_GT(openssl_allocations, 0u) << "the counter works";

  const uint64_t rekeys = hub_.codec().counters().context_rekeys;
  const uint64_t cpp = cpp_allocations;
  const uint64_t openssl = openssl_allocations;
  const uint64_t derived = hub_.codec().counters().subkeys_derived;
  bool good = true;
  for (int round = 0; round < 25; ++round) good = good && Round(40);  // 1000 frames each way
  EXPECT_EQ(cpp_allocations - cpp, 0u);
  EXPECT_EQ(openssl_allocations - openssl, 0u);
  EXPECT_TRUE(good);
  EXPECT_EQ(hub_.codec().counters().subkeys_derived, derived);
  EXPECT_EQ(hub_.codec().counters().agreements, 40u) << "one for each pair";
  EXPECT_EQ(hub_.codec().sessions(), 80u);
  // 80 sessions in turn through 16 contexts: each is keyed again, in place.
  EXPECT_EQ(hub_.codec().counters().context_rekeys - rekeys, 2000u);
}

TEST_F(FrameAllocTest, PooledSessionsAreNotKeyedAgain) {
  ASSERT_TRUE(Round(FrameCodec::kContextPool / 2));
  ASSERT_TRUE(Round(FrameCodec::kContextPool / 2));
  const uint64_t rekeys = hub_.codec().counters().context_rekeys;
  EXPECT_EQ(rekeys, FrameCodec::kContextPool);
  for (int round = 0; round < 20; ++round) ASSERT_TRUE(Round(FrameCodec::kContextPool / 2));
  EXPECT_EQ(hub_.codec().counters().context_rekeys, rekeys);
}

TEST_F(FrameAllocTest, JunkEvictsNoPooledSession) {
  ASSERT_TRUE(Round(FrameCodec::kContextPool / 2));
  ASSERT_TRUE(Round(FrameCodec::kContextPool / 2));
  const uint64_t rekeys = hub_.codec().counters().context_rekeys;
  auto junk = peers_[0]->SealFor(hub_, "x");
  for (uint32_t i = 0; i < 100; ++i) {
    testing::PutU32At(junk, 13, 50 + i);
    ASSERT_EQ(hub_.Drop(junk), DropReason::kBadTag);
  }
  ASSERT_TRUE(Round(FrameCodec::kContextPool / 2));
  EXPECT_EQ(hub_.codec().counters().context_rekeys, rekeys);
}

}  // namespace
}  // namespace sotto
