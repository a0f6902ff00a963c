#include "crypto/hkdf.h"

#include <gtest/gtest.h>

#include <array>

#include "crypto/secure_random.h"
#include "tests/crypto/hex.h"

namespace sotto {
namespace {

using testing::Bytes;
using testing::FromHex;
using testing::ToHex;

Bytes Range(uint8_t from, size_t size) {
  Bytes bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<uint8_t>(from + i));
  return bytes;
}

std::string Derive(const Bytes& ikm, const Bytes& salt, const Bytes& info, size_t size) {
  Bytes out(size);
  const absl::Status status = HkdfSha256(ikm, salt, info, out);
  return status.ok() ? ToHex(out) : std::string(status.message());
}

TEST(HkdfTest, Rfc5869Cases1To3) {
  EXPECT_EQ(Derive(Bytes(22, 0x0b), Range(0, 13), Range(0xf0, 10), 42),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  EXPECT_EQ(
      Derive(Range(0, 80), Range(0x60, 80), Range(0xb0, 80), 82),
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e"
      "590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  EXPECT_EQ(Derive(Bytes(22, 0x0b), {}, {}, 42),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST(HkdfTest, SizesOutOfRangeAreErrors) {
  Bytes out(kHkdfBytesMax);
  EXPECT_TRUE(HkdfSha256(Range(0, 16), {}, {}, out).ok());
  out.push_back(0);
  EXPECT_TRUE(absl::IsInvalidArgument(HkdfSha256(Range(0, 16), {}, {}, out)));
  EXPECT_TRUE(absl::IsInvalidArgument(HkdfSha256(Range(0, 16), {}, {}, {})));
  EXPECT_TRUE(absl::IsInvalidArgument(HkdfSha256({}, {}, {}, std::span(out).first(16))));
}

TEST(SecureRandomTest, FillsAllBytesAndNeverTheSame) {
  Bytes a(300), b(300);
  ASSERT_TRUE(FillRandom(a).ok());
  ASSERT_TRUE(FillRandom(b).ok());
  EXPECT_NE(a, b);
  // 64 bytes of zeros in a row never come from a working generator.
  EXPECT_NE(Bytes(a.end() - 64, a.end()), Bytes(64));
  EXPECT_TRUE(FillRandom({}).ok());
  const auto seed = RandomSeed64();
  ASSERT_TRUE(seed.ok());
  EXPECT_NE(*seed, *RandomSeed64());
}

}  // namespace
}  // namespace sotto
