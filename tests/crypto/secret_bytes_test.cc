#include "crypto/secret_bytes.h"

#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

namespace sotto {
namespace {

static_assert(!std::is_copy_constructible_v<SecretBytes>);
static_assert(!std::is_copy_assignable_v<SecretBytes>);
static_assert(std::is_nothrow_move_constructible_v<SecretBytes>);

constexpr std::array<uint8_t, 4> kBytes = {1, 2, 3, 4};

TEST(SecretBytesTest, StartsAsZerosOrAsACopy) {
  const SecretBytes zeros(5);
  EXPECT_TRUE(std::ranges::all_of(zeros.view(), [](uint8_t byte) { return byte == 0; }));
  EXPECT_EQ(zeros.size(), 5u);
  const SecretBytes copy{std::span<const uint8_t>(kBytes)};
  EXPECT_TRUE(std::ranges::equal(copy.view(), kBytes));
  EXPECT_TRUE(SecretBytes().empty());
  EXPECT_TRUE(SecretBytes(std::span<const uint8_t>()).empty());
}

TEST(SecretBytesTest, ComparesLengthAndContent) {
  const SecretBytes a{std::span<const uint8_t>(kBytes)};
  SecretBytes b = a.Clone();
  EXPECT_TRUE(a == b);
  EXPECT_NE(a.view().data(), b.view().data());
  b.mutable_view()[3] ^= 1;
  EXPECT_FALSE(a == b);
  EXPECT_FALSE(a == SecretBytes(std::span<const uint8_t>(kBytes).first(3)));
  EXPECT_TRUE(SecretBytes() == SecretBytes());
}

TEST(SecretBytesTest, MovesLeaveNothingBehind) {
  SecretBytes a{std::span<const uint8_t>(kBytes)};
  const uint8_t* const data = a.view().data();
  SecretBytes b = std::move(a);
  EXPECT_EQ(b.view().data(), data);
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): what is tested
  SecretBytes c(7);
  c = std::move(b);
  EXPECT_EQ(c.view().data(), data);
  EXPECT_EQ(c.size(), kBytes.size());
  SecretBytes& same = c;
  c = std::move(same);
  EXPECT_TRUE(std::ranges::equal(c.view(), kBytes));
}

// In one test, since a process sets the heap up once.
TEST(SecretBytesTest, TheSecureHeapIsUsedWipedAndMayRunFull) {
  const SecretBytes before{std::span<const uint8_t>(kBytes)};
  EXPECT_EQ(CRYPTO_secure_allocated(before.view().data()), 0);
  const bool locked = InitSecureHeap();
  EXPECT_EQ(CRYPTO_secure_malloc_initialized(), 1);
  EXPECT_FALSE(InitSecureHeap()) << "set up twice";
  if (!locked) GTEST_LOG_(INFO) << "the heap could not be locked here";

  const uint8_t* data = nullptr;
  {
    const SecretBytes secret{std::span<const uint8_t>(kBytes)};
    data = secret.view().data();
    ASSERT_EQ(CRYPTO_secure_allocated(data), 1);
    EXPECT_GT(CRYPTO_secure_used(), 0u);
  }
  EXPECT_EQ(CRYPTO_secure_used(), 0u);
  // The heap's memory stays mapped. Its first bytes hold the list of free blocks; a heap block is
  // larger than what we wrote, so look at a longer secret's end instead.
  std::vector<uint8_t> pattern(48, 0xa5);
  {
    const SecretBytes secret{std::span<const uint8_t>(pattern)};
    data = secret.view().data();
    ASSERT_EQ(CRYPTO_secure_allocated(data), 1);
  }
  EXPECT_EQ(std::count(data + 16, data + 48, 0xa5), 0);

  std::vector<SecretBytes> many;
  for (int i = 0; i < 5000; ++i) many.emplace_back(std::span<const uint8_t>(pattern));
  EXPECT_EQ(CRYPTO_secure_allocated(many.front().view().data()), 1);
  EXPECT_EQ(CRYPTO_secure_allocated(many.back().view().data()), 0);
  EXPECT_TRUE(std::ranges::equal(many.back().view(), pattern));
  many.clear();
  EXPECT_EQ(CRYPTO_secure_used(), 0u);
}

}  // namespace
}  // namespace sotto
