#include "store/node_state.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <limits>
#include <string>

#include "gossip/base/coded_error.h"
#include "tests/support/other_user.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

TEST(NodeState, CountsLives) {
  const TempDir dir;
  for (uint32_t life = 1; life <= 3; ++life) {
    const auto state = NodeState::Open(dir.File("state"), "c", "n");
    SOTTO_ASSERT_OK(state);
    EXPECT_EQ((*state)->boot_number(), life - 1);
    EXPECT_THAT((*state)->Bump(), IsOkAndHolds(testing::Eq(life)));
    SOTTO_EXPECT_OK((*state)->recovered());
  }
}

TEST(NodeState, RaisesAndNeverFalls) {
  const TempDir dir;
  {
    const auto state = NodeState::Open(dir.path(), "c", "n");
    SOTTO_ASSERT_OK(state);
    SOTTO_EXPECT_OK((*state)->RaiseTo(41));
    SOTTO_EXPECT_OK((*state)->RaiseTo(7));
    EXPECT_EQ((*state)->boot_number(), 41u);
  }
  const auto state = NodeState::Open(dir.path(), "c", "n");
  SOTTO_ASSERT_OK(state);
  EXPECT_THAT((*state)->Bump(), IsOkAndHolds(testing::Eq(42u)));
  SOTTO_EXPECT_OK((*state)->RaiseTo(std::numeric_limits<uint32_t>::max()));
  EXPECT_THAT((*state)->Bump(), HasCode("STATE_EXHAUSTED"));
}

TEST(NodeState, RemembersTheHighestGenerationOfTheKey) {
  const TempDir dir;
  {
    const auto state = NodeState::Open(dir.path(), "c", "n");
    SOTTO_ASSERT_OK(state);
    EXPECT_EQ((*state)->key_generation(), 0u);
    SOTTO_EXPECT_OK((*state)->Bump());
    EXPECT_EQ(Read(dir.File("node.state")).substr(0, 18), "sotto-node-state 1")
        << "without a wrapped key, as older releases read it";
    SOTTO_EXPECT_OK((*state)->RaiseKeyGenerationTo(7));
    SOTTO_EXPECT_OK((*state)->RaiseKeyGenerationTo(3));
    EXPECT_EQ((*state)->key_generation(), 7u);
  }
  {
    const auto state = NodeState::Open(dir.path(), "c", "n");
    SOTTO_ASSERT_OK(state);
    SOTTO_EXPECT_OK((*state)->recovered());
    EXPECT_EQ((*state)->key_generation(), 7u);
    EXPECT_EQ((*state)->boot_number(), 1u);
    EXPECT_THAT((*state)->Bump(), IsOkAndHolds(testing::Eq(2u)));
    EXPECT_EQ((*state)->key_generation(), 7u);
    SOTTO_EXPECT_OK((*state)->AcceptRollbackTo(2));
    SOTTO_EXPECT_OK((*state)->RaiseTo(9));
  }
  const auto state = NodeState::Open(dir.path(), "c", "n");
  SOTTO_ASSERT_OK(state);
  EXPECT_EQ((*state)->key_generation(), 2u);
  EXPECT_EQ((*state)->boot_number(), 9u);
}

TEST(NodeState, RemembersRemovedKeys) {
  const TempDir dir;
  {
    const auto state = NodeState::Open(dir.path(), "c", "n");
    SOTTO_ASSERT_OK(state);
    SOTTO_EXPECT_OK((*state)->Bump());
    SOTTO_EXPECT_OK((*state)->AddRemovedKeys({}));
    EXPECT_EQ(Read(dir.File("node.state")).substr(0, 18), "sotto-node-state 1");
    SOTTO_EXPECT_OK((*state)->AddRemovedKeys({{1, KeyId{0x9f3c21aa}}}));
    SOTTO_EXPECT_OK((*state)->AddRemovedKeys({{2, KeyId{0x41d077be}}}));
    SOTTO_EXPECT_OK((*state)->RaiseKeyGenerationTo(3));
  }
  {
    const auto state = NodeState::Open(dir.path(), "c", "n");
    SOTTO_ASSERT_OK(state);
    SOTTO_EXPECT_OK((*state)->recovered());
    EXPECT_EQ((*state)->removed_keys(),
              (KeyGenerations{{1, KeyId{0x9f3c21aa}}, {2, KeyId{0x41d077be}}}));
    EXPECT_EQ((*state)->key_generation(), 3u);
    // Bounded: those of the lowest generations go.
    KeyGenerations many;
    for (uint32_t i = 0; i < NodeState::kRemovedKeysMax + 10; ++i) many[100 + i] = KeyId{i};
    SOTTO_EXPECT_OK((*state)->AddRemovedKeys(many));
    EXPECT_EQ((*state)->removed_keys().size(), NodeState::kRemovedKeysMax);
    EXPECT_EQ((*state)->removed_keys().begin()->first, 110u);
    // Whoever was first keeps the place: nobody displaces what is remembered.
    SOTTO_EXPECT_OK((*state)->AddRemovedKeys({{200, KeyId{0xbad}}}));
    EXPECT_EQ((*state)->removed_keys().at(200), KeyId{100});
    // The same again changes no file.
    struct stat before {};
    struct stat after {};
    ASSERT_EQ(stat(dir.File("node.state").c_str(), &before), 0);
    SOTTO_EXPECT_OK((*state)->AddRemovedKeys(many));
    ASSERT_EQ(stat(dir.File("node.state").c_str(), &after), 0);
    EXPECT_EQ(before.st_ino, after.st_ino);
  }
  {
    const auto state = NodeState::Open(dir.path(), "c", "n");
    SOTTO_ASSERT_OK(state);
    SOTTO_EXPECT_OK((*state)->recovered());
    EXPECT_EQ((*state)->removed_keys().size(), NodeState::kRemovedKeysMax);
    SOTTO_EXPECT_OK((*state)->AcceptRollbackTo(3));
  }
  const auto state = NodeState::Open(dir.path(), "c", "n");
  SOTTO_ASSERT_OK(state);
  EXPECT_TRUE((*state)->removed_keys().empty());
}

TEST(NodeState, OneDaemonAFolder) {
  const TempDir dir;
  auto first = NodeState::Open(dir.path(), "c", "n");
  SOTTO_ASSERT_OK(first);
  EXPECT_THAT(NodeState::Open(dir.path(), "c", "n"), HasCode("STATE_IN_USE"));
  first->reset();
  SOTTO_EXPECT_OK(NodeState::Open(dir.path(), "c", "n"));
}

TEST(NodeState, RefusesTheFolderOfAnother) {
  const TempDir dir;
  {
    const auto state = NodeState::Open(dir.path(), "c", "n");
    SOTTO_ASSERT_OK(state);
    SOTTO_ASSERT_OK((*state)->Bump());
  }
  EXPECT_THAT(NodeState::Open(dir.path(), "c", "other"), HasCode("STATE_OTHER_NODE"));
  EXPECT_THAT(NodeState::Open(dir.path(), "d", "n"), HasCode("STATE_OTHER_NODE"));
  SOTTO_EXPECT_OK(NodeState::Open(dir.path(), "c", "n"));
}

// Every flipped bit, every truncation and an extension are noticed, told, and kept for a look.
TEST(NodeState, NoticesEveryDamage) {
  const TempDir dir;
  const std::string path = dir.File("node.state");
  {
    const auto state = NodeState::Open(dir.path(), "edge", "gw-1");
    SOTTO_ASSERT_OK(state);
    SOTTO_ASSERT_OK((*state)->RaiseTo(7));
    SOTTO_ASSERT_OK((*state)->AddRemovedKeys({{1, KeyId{0x9f3c21aa}}}));
  }
  const std::string good = Read(path);
  std::vector<std::string> damaged;
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string text = good;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    damaged.push_back(text);
  }
  for (size_t size = 0; size < good.size(); ++size) damaged.push_back(good.substr(0, size));
  damaged.push_back(good + "\n");
  damaged.push_back(std::string(100'000, 'x'));
  for (const std::string& text : damaged) {
    Write(path, text);
    const auto state = NodeState::Open(dir.path(), "edge", "gw-1");
    SOTTO_ASSERT_OK(state);
    ASSERT_THAT((*state)->recovered(), HasCode("STATE_CORRUPT")) << text.substr(0, 200);
    ASSERT_EQ((*state)->boot_number(), 0u);
    ASSERT_EQ(Read(path + ".corrupt"), text);
  }
}

TEST(NodeState, SaysWhenItCannotWrite) {
  const TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  EXPECT_EQ(
      AsOtherUser([&] { return ErrorCode(NodeState::Open(dir.File("state"), "c", "n").status()); }),
      geteuid() == 0 ? "STATE_UNWRITABLE" : "");
  Write(dir.File("file"), "");
  EXPECT_THAT(NodeState::Open(dir.File("file"), "c", "n"), HasCode("STATE_UNWRITABLE"));
}

TEST(NodeState, KeepsTheOldNumberWhenAWriteFails) {
  const TempDir dir;
  auto state = NodeState::Open(dir.File("state"), "c", "n");
  SOTTO_ASSERT_OK(state);
  SOTTO_ASSERT_OK((*state)->Bump());
  ASSERT_EQ(rename(dir.File("state").c_str(), dir.File("away").c_str()), 0);
  EXPECT_THAT((*state)->Bump(), HasCode("STATE_UNWRITABLE"));
  EXPECT_EQ((*state)->boot_number(), 1u);
  ASSERT_EQ(rename(dir.File("away").c_str(), dir.File("state").c_str()), 0);
  EXPECT_THAT((*state)->Bump(), IsOkAndHolds(testing::Eq(2u)));
}

}  // namespace
}  // namespace sotto
