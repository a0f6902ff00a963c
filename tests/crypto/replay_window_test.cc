#include "crypto/replay_window.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <set>

namespace sotto {
namespace {

using Verdict = ReplayWindow::Verdict;

Verdict Take(ReplayWindow& window, uint32_t counter) {
  const Verdict verdict = window.Check(counter);
  if (verdict == Verdict::kFresh) window.Commit(counter);
  return verdict;
}

TEST(ReplayWindowTest, TheWindowsEdge) {
  constexpr uint32_t kNewest = 5000;
  ReplayWindow window;
  ASSERT_EQ(Take(window, kNewest), Verdict::kFresh);
  EXPECT_EQ(window.Check(kNewest), Verdict::kDuplicate);
  EXPECT_EQ(window.Check(kNewest - 1022), Verdict::kFresh);
  EXPECT_EQ(window.Check(kNewest - 1023), Verdict::kFresh);
  EXPECT_EQ(window.Check(kNewest - 1024), Verdict::kOld);
  EXPECT_EQ(window.Check(kNewest - 1025), Verdict::kOld);
  EXPECT_EQ(Take(window, kNewest - 1023), Verdict::kFresh);
  EXPECT_EQ(Take(window, kNewest - 1023), Verdict::kDuplicate);
  EXPECT_EQ(Take(window, kNewest + 1), Verdict::kFresh);
  EXPECT_EQ(Take(window, kNewest - 1023), Verdict::kOld);
  EXPECT_EQ(Take(window, kNewest), Verdict::kDuplicate);
}

TEST(ReplayWindowTest, ZeroIsNeverFresh) {
  ReplayWindow window;
  EXPECT_EQ(window.Check(0), Verdict::kOld);
  EXPECT_EQ(Take(window, 1), Verdict::kFresh);
  EXPECT_EQ(window.Check(0), Verdict::kOld);
}

TEST(ReplayWindowTest, ReverseOrderAndHugeJumps) {
  ReplayWindow window;
  for (uint32_t counter = 1024; counter >= 1; --counter) {
    ASSERT_EQ(Take(window, counter), Verdict::kFresh) << counter;
  }
  for (uint32_t counter = 1024; counter >= 1; --counter) {
    ASSERT_EQ(Take(window, counter), Verdict::kDuplicate) << counter;
  }
  for (const uint32_t counter : {1u << 22, (1u << 23) - 1, 1u << 31, UINT32_MAX}) {
    ASSERT_EQ(Take(window, counter), Verdict::kFresh);
    ASSERT_EQ(Take(window, counter), Verdict::kDuplicate);
    ASSERT_EQ(window.Check(counter - 1), Verdict::kFresh);
    ASSERT_EQ(window.Check(counter - 1024), Verdict::kOld);
  }
  EXPECT_EQ(Take(window, UINT32_MAX - 1023), Verdict::kFresh);
}

TEST(ReplayWindowTest, CheckingMovesNothing) {
  ReplayWindow window;
  ASSERT_EQ(Take(window, 10), Verdict::kFresh);
  EXPECT_EQ(window.Check(UINT32_MAX), Verdict::kFresh);
  EXPECT_EQ(window.newest(), 10u);
  EXPECT_EQ(window.Check(9), Verdict::kFresh);
}

// Against the plainest model there is: the set of all counters ever taken.
TEST(ReplayWindowTest, AgreesWithASet) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    ReplayWindow window;
    std::set<uint32_t> taken;
    uint32_t newest = 0;
    for (int step = 0; step < 4000; ++step) {
      uint32_t counter = 0;
      switch (random() % 8) {
        case 0:
          counter = newest + 1 + random() % 3000;  // loss, and jumps over several words
          break;
        case 1:
          counter = newest - std::min<uint32_t>(newest, 1000 + random() % 60);  // the far edge
          break;
        case 2:
          counter = random() % 100 == 0 ? newest + 1'000'000 + random() % 128 : newest + 64;
          break;
        case 3:
          counter = newest;
          break;
        default:
          counter = newest + 1 - std::min<uint32_t>(newest + 1, random() % 70);
          break;
      }
      Verdict expected = Verdict::kFresh;
      if (counter == 0 || (newest >= counter && newest - counter >= ReplayWindow::kWidth)) {
        expected = Verdict::kOld;
      } else if (taken.contains(counter)) {
        expected = Verdict::kDuplicate;
      }
      ASSERT_EQ(Take(window, counter), expected)
          << "seed " << seed << " step " << step << " counter " << counter << " newest " << newest;
      if (expected == Verdict::kFresh) taken.insert(counter);
      newest = std::max(newest, counter);
      ASSERT_EQ(window.newest(), newest);
    }
  }
}

}  // namespace
}  // namespace sotto
