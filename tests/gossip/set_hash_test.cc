// The set hash against values computed by an independent implementation of SipHash-2-4.
#include "gossip/set_hash.h"

#include <string>
#include <vector>

#include "gossip/rng.h"
#include "gtest/gtest.h"

namespace sotto {
namespace {

Hash256 Counting() {
  Hash256 hash;
  for (size_t i = 0; i < hash.bytes.size(); ++i) hash.bytes[i] = static_cast<uint8_t>(i);
  return hash;
}

TEST(SetHash, MatchesAnIndependentImplementation) {
  SetHasher hasher("edge");
  EXPECT_EQ(hasher.value(), SetHash());
  hasher.Add("gw-1", Counting());
  EXPECT_EQ(hasher.value(), (SetHash{0xc54ea5bdf1ed3056, 0x1bfbe840f658c093}));
  hasher.Add("gw-2", Hash256());
  EXPECT_EQ(hasher.value(), (SetHash{0x14203e6cf866c19e, 0x187f047af0c51070}));
}

TEST(SetHash, DependsOnTheSetAndNotOnItsHistory) {
  SetHasher one("edge"), other("edge");
  const std::vector<std::string> names = {"a", "b", "c", "d"};
  for (const std::string& name : names) one.Add(name, Counting());
  for (auto it = names.rbegin(); it != names.rend(); ++it) other.Add(*it, Counting());
  other.Add("e", Hash256());
  EXPECT_NE(one.value(), other.value());
  other.Remove("e", Hash256());
  EXPECT_EQ(one.value(), other.value());
  for (const std::string& name : names) one.Remove(name, Counting());
  EXPECT_EQ(one.value(), SetHash());
}

TEST(SetHash, TellsClustersNamesAndStatementsApart) {
  Hash256 flipped = Counting();
  flipped.bytes[31] ^= 1;
  SetHasher base("edge"), cluster("edgf"), name("edge"), statement("edge");
  base.Add("ab", Counting());
  cluster.Add("ab", Counting());
  name.Add("abb", Counting());
  statement.Add("ab", flipped);
  EXPECT_NE(base.value(), cluster.value());
  EXPECT_NE(base.value(), name.value());
  EXPECT_NE(base.value(), statement.value());
  EXPECT_NE(base.value().low, base.value().high);
}

TEST(SetHash, RandomChangesUndoneLeaveNothing) {
  SetHasher hasher("c");
  Rng rng(1);
  std::vector<std::pair<std::string, Hash256>> held;
  for (int i = 0; i < 2'000; ++i) {
    if (held.empty() || rng.Chance(2, 3)) {
      Hash256 hash;
      for (uint8_t& byte : hash.bytes) byte = static_cast<uint8_t>(rng.Next());
      held.emplace_back(std::to_string(i), hash);
      hasher.Add(held.back().first, hash);
    } else {
      std::swap(held[rng.Below(held.size())], held.back());
      hasher.Remove(held.back().first, held.back().second);
      held.pop_back();
    }
  }
  ASSERT_FALSE(held.empty());
  EXPECT_NE(hasher.value(), SetHash());
  for (const auto& [name, hash] : held) hasher.Remove(name, hash);
  EXPECT_EQ(hasher.value(), SetHash());
}

}  // namespace
}  // namespace sotto
