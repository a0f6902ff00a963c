#include "crypto/keyring.h"

#include <gtest/gtest.h>

#include <string>

#include "gossip/base/coded_error.h"
#include "tests/crypto/hex.h"
#include "tests/crypto/vectors.h"

namespace sotto {
namespace {

using testing::Bytes;
using testing::ReadVectors;

// A key whose bytes are all distinct and not all printable.
Bytes KeyBytes(size_t size, uint8_t first) {
  Bytes bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<uint8_t>(first + 37 * i));
  return bytes;
}

ClusterKeyRef MakeKey(const Bytes& bytes, uint64_t generation = 1,
                      std::string_view cluster = "edge-prod") {
  auto key = ClusterKey::Create(SecretBytes(bytes), cluster, generation);
  EXPECT_TRUE(key.ok()) << key.status();
  return key.ok() ? *key : nullptr;
}

std::string CreateCode(const Bytes& bytes, bool allow_weak = false) {
  const auto key = ClusterKey::Create(SecretBytes(bytes), "edge-prod", 1, allow_weak);
  return key.ok() ? "OK" : ErrorCode(key.status());
}

TEST(ClusterKeyTest, LengthSelectsTheAlgorithm) {
  EXPECT_EQ(MakeKey(KeyBytes(16, 1))->algorithm(), AeadAlgorithm::kAes128Gcm);
  EXPECT_EQ(MakeKey(KeyBytes(24, 1))->algorithm(), AeadAlgorithm::kAes192Gcm);
  EXPECT_EQ(MakeKey(KeyBytes(32, 1))->algorithm(), AeadAlgorithm::kAes256Gcm);
  EXPECT_EQ(ToString(AeadAlgorithm::kAes192Gcm), "AES-192-GCM");
  for (const size_t size : {0u, 1u, 15u, 17u, 23u, 31u, 33u, 64u}) {
    EXPECT_EQ(CreateCode(KeyBytes(size, 1)), "KEY_BAD_LENGTH");
  }
}

TEST(ClusterKeyTest, IdsMatchTheIndependentVectors) {
  const auto cases = ReadVectors("frames.txt", "key");
  ASSERT_EQ(cases.size(), 3u);
  for (const auto& one : cases) {
    const auto key = MakeKey(one["key"], 1, one.Text("cluster"));
    EXPECT_EQ(key->id().value, one.U32("key_id"));
    EXPECT_NE(key->id(), MakeKey(one["key"], 1, "other")->id()) << "bound to the cluster's name";
  }
  EXPECT_EQ(ToString(KeyId{0x9f3c21aa}), "9f3c-21aa");
  EXPECT_EQ(ToString(KeyId{0x0000000a}), "0000-000a");
}

TEST(ClusterKeyTest, WeakKeysAreRefusedUnlessAllowed) {
  const std::string text = "passwordpassword";
  const Bytes printable(text.begin(), text.end());
  Bytes seven_values;
  for (int i = 0; i < 16; ++i) seven_values.push_back(static_cast<uint8_t>(0x80 + i % 7));
  Bytes eight_values;
  for (int i = 0; i < 16; ++i) eight_values.push_back(static_cast<uint8_t>(0x80 + i % 8));
  EXPECT_EQ(CreateCode(Bytes(16, 0)), "KEY_WEAK");
  EXPECT_EQ(CreateCode(Bytes(32, 0xee)), "KEY_WEAK");
  EXPECT_EQ(CreateCode(printable), "KEY_WEAK");
  EXPECT_EQ(CreateCode(seven_values), "KEY_WEAK");
  EXPECT_EQ(CreateCode(eight_values), "OK");
  EXPECT_EQ(CreateCode(Bytes(16, 0), true), "OK");
  EXPECT_EQ(CreateCode(printable, true), "OK");
  EXPECT_EQ(CreateCode(Bytes(15, 0), true), "KEY_BAD_LENGTH");
}

TEST(ClusterKeyTest, TheClusterNameHasLimits) {
  const Bytes bytes = KeyBytes(16, 1);
  EXPECT_EQ(ErrorCode(ClusterKey::Create(SecretBytes(bytes), "", 1).status()),
            "CLUSTER_NAME_INVALID");
  EXPECT_EQ(ErrorCode(ClusterKey::Create(SecretBytes(bytes), std::string(256, 'a'), 1).status()),
            "CLUSTER_NAME_INVALID");
}

TEST(KeyringTest, TheFirstKeySealsAndUseChangesIt) {
  Keyring ring;
  EXPECT_EQ(ring.sealing(), nullptr);
  const ClusterKeyRef a = MakeKey(KeyBytes(32, 1));
  const ClusterKeyRef b = MakeKey(KeyBytes(16, 2), 2);
  ASSERT_TRUE(ring.Install(a).ok());
  ASSERT_TRUE(ring.Install(b).ok());
  EXPECT_EQ(ring.sealing(), a);
  ASSERT_TRUE(ring.Use(b->id()).ok());
  EXPECT_EQ(ring.sealing(), b);
  EXPECT_EQ(ring.Find(a->id()), a);
  EXPECT_EQ(ring.keys(), (std::vector<ClusterKeyRef>{a, b}));
  EXPECT_EQ(ErrorCode(ring.Use(KeyId{1})), "KEY_UNKNOWN");
  EXPECT_EQ(ring.sealing(), b);
}

TEST(KeyringTest, RemoveSparesTheSealingKey) {
  Keyring ring;
  const ClusterKeyRef a = MakeKey(KeyBytes(32, 1));
  const ClusterKeyRef b = MakeKey(KeyBytes(32, 2));
  ASSERT_TRUE(ring.Install(a).ok());
  ASSERT_TRUE(ring.Install(b).ok());
  const absl::Status in_use = ring.Remove(a->id());
  EXPECT_EQ(in_use.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ErrorCode(in_use), "KEY_IN_USE");
  EXPECT_EQ(ring.keys().size(), 2u);
  ASSERT_TRUE(ring.Remove(b->id()).ok());
  EXPECT_EQ(ring.Find(b->id()), nullptr);
  EXPECT_EQ(ring.Remove(b->id()).code(), absl::StatusCode::kNotFound);
}

TEST(KeyringTest, ThePresentKeyAgainIsFineAndAFullRingIsNot) {
  Keyring ring;
  for (uint8_t i = 0; i < Keyring::kKeysMax; ++i) {
    ASSERT_TRUE(ring.Install(MakeKey(KeyBytes(32, i))).ok());
  }
  EXPECT_TRUE(ring.Install(MakeKey(KeyBytes(32, 0), 9)).ok());
  EXPECT_EQ(ring.keys().size(), Keyring::kKeysMax);
  EXPECT_EQ(ring.keys()[0]->generation(), 1u);
  const absl::Status full = ring.Install(MakeKey(KeyBytes(32, 99)));
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorCode(full), "KEY_RING_FULL");
  EXPECT_EQ(ring.keys().size(), Keyring::kKeysMax);
}

TEST(KeyringTest, AnotherKeyOfTheSameIdIsRefused) {
  const auto cases = ReadVectors("frames.txt", "collision");
  ASSERT_EQ(cases.size(), 1u);
  const ClusterKeyRef one = MakeKey(cases[0]["one"]);
  const ClusterKeyRef two = MakeKey(cases[0]["two"]);
  ASSERT_EQ(one->id(), two->id());
  ASSERT_FALSE(one->secret() == two->secret());
  Keyring ring;
  ASSERT_TRUE(ring.Install(one).ok());
  const absl::Status collision = ring.Install(two);
  EXPECT_EQ(collision.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ErrorCode(collision), "KEY_ID_COLLISION");
  EXPECT_EQ(ring.Find(two->id()), one);
}

}  // namespace
}  // namespace sotto
