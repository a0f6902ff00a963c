#include "store/key_cache.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "gossip/base/coded_error.h"
#include "store/crc32.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDay = 86'400;

SecretBytes Counting(size_t size, uint8_t from) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<uint8_t>(from + i));
  return SecretBytes(bytes);
}

KekRef KekFrom(uint8_t from) { return *Kek::Create(Counting(32, from), /*allow_weak=*/true); }
KekRingRef RingOf(uint8_t from) { return *KekRing::Create(KekFrom(from), {}); }
ClusterKeyRef KeyFrom(uint8_t from, uint64_t generation) {
  return *ClusterKey::Create(Counting(32, from), "edge", generation, /*allow_weak=*/true);
}

class KeyCacheTest : public testing::Test {
 protected:
  KeyCacheTest() : place_{dir_.path(), "edge", "gw-1"}, keks_(RingOf(0)) {}

  void SetUp() override {
    const KeyCache cache{kNow,
                         {{KeyFrom(40, 7), KeyState::kRetired},
                          {KeyFrom(80, 8), KeyState::kActive},
                          {KeyFrom(120, 9), KeyState::kPrepared}}};
    SOTTO_ASSERT_OK(WriteKeyCache(place_, *keks_, cache));
  }

  std::string Text() const {
    std::ifstream file(place_.path());
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void SetText(const std::string& text) const { std::ofstream(place_.path()) << text; }
  // As Text, its checksum made to fit: what somebody would do who may write the file.
  void SetTextWithItsChecksum(std::string text) const {
    text.resize(text.rfind("crc32 "));
    char line[32];
    snprintf(line, sizeof line, "crc32 %08x\n", Crc32(text));
    SetText(text + line);
  }
  absl::StatusOr<KeyCache> Read(int64_t now = kNow) const {
    return ReadKeyCache(place_, *keks_, now);
  }

  TempDir dir_;
  KeyCachePlace place_;
  KekRingRef keks_;
};

TEST_F(KeyCacheTest, HoldsKeysGenerationsAndStates) {
  const auto cache = Read(kNow + 60);
  SOTTO_ASSERT_OK(cache);
  EXPECT_EQ(cache->written_unix_s, kNow);
  ASSERT_EQ(cache->keys.size(), 3u);
  EXPECT_EQ(cache->keys[0].state, KeyState::kRetired);
  EXPECT_EQ(cache->keys[2].state, KeyState::kPrepared);
  EXPECT_EQ(cache->keys[2].key->generation(), 9u);
  EXPECT_EQ(cache->active()->generation(), 8u);
  EXPECT_TRUE(cache->active()->secret() == KeyFrom(80, 8)->secret());
  struct stat info {};
  ASSERT_EQ(stat(place_.path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(KeyCacheTest, ReplacesItselfWholeAndTakesOnlyARing) {
  const std::string before = Text();
  SOTTO_EXPECT_OK(WriteKeyCache(place_, *keks_, {kNow, {{KeyFrom(80, 8), KeyState::kActive}}}));
  EXPECT_NE(Text(), before);
  EXPECT_EQ(Read()->keys.size(), 1u);
  const CachedKey active{KeyFrom(80, 8), KeyState::kActive};
  const CachedKey retired{KeyFrom(40, 7), KeyState::kRetired};
  EXPECT_FALSE(WriteKeyCache(place_, *keks_, {kNow, {}}).ok());
  EXPECT_FALSE(WriteKeyCache(place_, *keks_, {kNow, {retired}}).ok());
  EXPECT_FALSE(WriteKeyCache(place_, *keks_, {kNow, {active, active}}).ok());
  EXPECT_FALSE(
      WriteKeyCache(place_, *keks_, {kNow, {active, retired, retired, retired, retired}}).ok());
  EXPECT_FALSE(WriteKeyCache(place_, *keks_, {kNow, {{nullptr, KeyState::kActive}}}).ok());
  KeyCachePlace nowhere = place_;
  nowhere.folder = dir_.File("none");
  EXPECT_THAT(WriteKeyCache(nowhere, *keks_, {kNow, {active}}), HasCode("KEY_CACHE_UNWRITABLE"));
  EXPECT_EQ(Read()->keys.size(), 1u);
}

TEST_F(KeyCacheTest, CountsForSevenDays) {
  SOTTO_EXPECT_OK(Read(kNow + 7 * kDay));
  EXPECT_THAT(Read(kNow + 7 * kDay + 1), HasCode("KEY_CACHE_TOO_OLD"));
  SOTTO_EXPECT_OK(Read(kNow - 3600));
  EXPECT_THAT(Read(kNow - 3601), HasCode("KEY_CACHE_TOO_OLD"));
  EXPECT_THAT(Read(0), HasCode("KEY_CACHE_TOO_OLD")) << "a clock that begins at 1970";
}

TEST_F(KeyCacheTest, AFlippedBitIsRefusedWhereverItIs) {
  const std::string text = Text();
  std::set<std::string> codes;
  for (size_t bit = 0; bit < text.size() * 8; bit += 5) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    SetText(flipped);
    const auto cache = Read();
    ASSERT_FALSE(cache.ok()) << bit;
    codes.insert(ErrorCode(cache.status()));
  }
  EXPECT_EQ(codes, std::set<std::string>{"KEY_CACHE_CORRUPT"});
}

TEST_F(KeyCacheTest, AFittingChecksumDoesNotHelp) {
  const std::string text = Text();
  std::set<std::string> codes;
  for (size_t at = 0; at < text.rfind("crc32 "); ++at) {
    std::string changed = text;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    SetTextWithItsChecksum(changed);
    const auto cache = Read();
    ASSERT_FALSE(cache.ok()) << at;
    codes.insert(ErrorCode(cache.status()));
  }
  EXPECT_EQ(codes, (std::set<std::string>{"KEK_MISMATCH", "KEK_MISSING", "KEY_CACHE_CORRUPT",
                                          "KEY_CACHE_OTHER_NODE"}));
}

TEST_F(KeyCacheTest, BelongsToOneNodeOfOneCluster) {
  const std::string text = Text();
  KeyCachePlace other = place_;
  other.node = "gw-2";
  EXPECT_THAT(ReadKeyCache(other, *keks_, kNow), HasCode("KEY_CACHE_OTHER_NODE"));
  other = place_;
  other.cluster = "edge2";
  EXPECT_THAT(ReadKeyCache(other, *keks_, kNow), HasCode("KEY_CACHE_OTHER_NODE"));
  // Its head rewritten for the other node: the seal names the right one.
  std::string rewritten = text;
  rewritten.replace(rewritten.find("gw-1"), 4, "gw-2");
  SetTextWithItsChecksum(rewritten);
  other = place_;
  other.node = "gw-2";
  EXPECT_THAT(ReadKeyCache(other, *keks_, kNow), HasCode("KEY_CACHE_CORRUPT"));
}

TEST_F(KeyCacheTest, NeedsTheKekThatSealedIt) {
  EXPECT_THAT(ReadKeyCache(place_, *RingOf(1), kNow), HasCode("KEK_MISSING"));
  const KekRingRef both = *KekRing::Create(KekFrom(1), {KekFrom(0)});
  SOTTO_EXPECT_OK(ReadKeyCache(place_, *both, kNow));
}

TEST_F(KeyCacheTest, EveryOddFileHasItsCode) {
  const std::string text = Text();
  ASSERT_EQ(chmod(place_.path().c_str(), 0640), 0);
  EXPECT_THAT(Read(), HasCode("SECRET_READABLE"));
  ASSERT_EQ(chmod(place_.path().c_str(), 0600), 0);
  for (const std::string& odd :
       {std::string(), std::string("\n\n\n\n\n\n"), text.substr(0, text.size() / 2), text + "\n",
        "x" + text, std::string(4096, '\0'), std::string(20'000, 'x')}) {
    SetText(odd);
    EXPECT_THAT(Read(), HasCode("KEY_CACHE_CORRUPT")) << odd.size();
  }
  std::string later = text;
  later.replace(later.find("cache 1"), 7, "cache 2");
  SetTextWithItsChecksum(later);
  EXPECT_THAT(Read(), HasCode("KEY_CACHE_CORRUPT"));
  ASSERT_EQ(unlink(place_.path().c_str()), 0);
  EXPECT_THAT(Read(), HasCode("KEY_CACHE_MISSING"));
  ASSERT_EQ(mkdir(place_.path().c_str(), 0700), 0);
  EXPECT_THAT(Read(), HasCode("FILE_NOT_REGULAR"));
}

}  // namespace
}  // namespace sotto
