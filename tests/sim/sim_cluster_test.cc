// The test kit: that it shows what a real node would show, and that a run can be had again.
#include "tests/sim/sim_cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <variant>
#include <vector>

namespace sotto::testing {
namespace {

using namespace std::chrono_literals;

const Event* EventOf(const WatchItem& item) { return std::get_if<Event>(&item.body); }
const UserEvent* SaidIn(const WatchItem& item) { return std::get_if<UserEvent>(&item.body); }
bool IsSnapshot(const WatchItem& item) { return std::holds_alternative<WatchSnapshot>(item.body); }

// "died n2", …, for each event.
std::string Words(const WatchItem& item) {
  if (IsSnapshot(item)) return "snapshot";
  if (SaidIn(item)) return SaidIn(item)->from + " says " + SaidIn(item)->payload;
  return std::string(ToString(EventOf(item)->kind)) + " " + EventOf(item)->member;
}

bool Joined(SimCluster& cluster) {
  cluster.StartAll();
  return cluster.RunUntil([&] { return cluster.Agreed(); }, 30s);
}

TEST(SimClusterTest, NodesMeetAndSeeEachOther) {
  SimCluster cluster(3);
  EXPECT_EQ(nullptr, cluster.View(0));
  EXPECT_FALSE(cluster.Agreed()) << "nobody runs, so nobody agrees";
  ASSERT_TRUE(Joined(cluster)) << cluster.Report();
  const auto view = cluster.View(1);
  ASSERT_EQ(3u, view->members.size());
  EXPECT_EQ("n0", view->leader);
  EXPECT_TRUE(view->members[1].is_self);
  EXPECT_EQ(MemberState::kAlive, cluster.StateAt(0, "n2"));
  EXPECT_EQ(std::nullopt, cluster.StateAt(0, "n7"));
  // `since` is on the view's clock.
  EXPECT_LE(view->members[2].since, view->now);
  EXPECT_LT(view->now - view->members[2].since, Duration::Seconds(31));
}

TEST(SimClusterTest, CallbacksGetASnapshotThenEveryEventInOrder) {
  SimCluster cluster(3);
  std::vector<WatchItem> items;
  cluster.OnEvent(0, [&](const WatchItem& item) { items.push_back(item); });
  ASSERT_TRUE(Joined(cluster)) << cluster.Report();
  cluster.SetTags(2, {{"zone", "a"}});
  cluster.RunFor(5s);
  ASSERT_GT(items.size(), 3u);
  EXPECT_TRUE(IsSnapshot(items[0]));
  for (size_t i = 1; i < items.size(); ++i) {
    EXPECT_FALSE(IsSnapshot(items[i]));
    EXPECT_EQ(items[i - 1].sequence + 1, items[i].sequence);
    EXPECT_EQ(1u, items[i].epoch);
    EXPECT_GE(items[i].view->last_item, items[i].sequence);
  }
  EXPECT_EQ("updated n2", Words(items.back()));
  // A later listener hears the same from then on, after a picture that has it all.
  std::vector<std::string> later;
  cluster.OnEvent(0, [&](const WatchItem& item) { later.push_back(Words(item)); });
  cluster.RunFor(1ms);
  EXPECT_EQ(std::vector<std::string>{"snapshot"}, later);
}

TEST(SimClusterTest, WhatIsSaidIsHeardOnceByAllThatCan) {
  SimCluster cluster(4);
  EXPECT_FALSE(cluster.SendEvent(0, "deploy", "v0")) << "it does not run";
  ASSERT_TRUE(Joined(cluster)) << cluster.Report();
  std::vector<std::string> heard;
  for (uint32_t node = 0; node < cluster.size(); ++node) {
    cluster.OnEvent(node, [&, node](const WatchItem& item) {
      if (SaidIn(item)) heard.push_back(cluster.Name(node) + ": " + Words(item));
    });
  }
  cluster.Partition({{0, 1, 2}, {3}});
  EXPECT_TRUE(cluster.SendEvent(1, "deploy", "v1"));
  cluster.RunFor(5s);
  std::sort(heard.begin(), heard.end());
  EXPECT_EQ((std::vector<std::string>{"n0: n1 says v1", "n1: n1 says v1", "n2: n1 says v1"}), heard)
      << cluster.Report();
  // The one that was away is told when it is back.
  cluster.Heal();
  EXPECT_TRUE(cluster.RunUntil([&] { return heard.size() == 4; }, cluster.HealBound()))
      << cluster.Report();
  EXPECT_EQ("n3: n1 says v1", heard.back());
  EXPECT_FALSE(cluster.SendEvent(1, "_sotto/x", "")) << "a reserved name";
}

TEST(SimClusterTest, ARestartBeginsANewEpochWithASnapshot) {
  SimCluster cluster(3);
  std::vector<uint64_t> epochs;
  cluster.OnEvent(2, [&](const WatchItem& item) {
    if (IsSnapshot(item)) epochs.push_back(item.epoch);
  });
  ASSERT_TRUE(Joined(cluster)) << cluster.Report();
  cluster.Crash(2);
  EXPECT_FALSE(cluster.running(2));
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.StateAt(0, "n2") == MemberState::kDead; },
                               cluster.DetectionBound()))
      << cluster.Report();
  EXPECT_EQ(std::vector<uint64_t>{1}, epochs);
  cluster.Restart(2);
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Agreed(); }, 30s)) << cluster.Report();
  EXPECT_EQ((std::vector<uint64_t>{1, 2}), epochs);
}

TEST(SimClusterTest, LeavingIsNotDying) {
  SimCluster cluster(3);
  std::vector<std::string> heard;
  cluster.OnEvent(0, [&](const WatchItem& item) { heard.push_back(Words(item)); });
  ASSERT_TRUE(Joined(cluster)) << cluster.Report();
  cluster.Leave(2);
  cluster.RunFor(60s);
  EXPECT_EQ(MemberState::kLeft, cluster.StateAt(0, "n2"));
  EXPECT_EQ(1, std::count(heard.begin(), heard.end(), "left n2"));
  EXPECT_EQ(0, std::count(heard.begin(), heard.end(), "died n2"));
}

TEST(SimClusterTest, APartitionIsSeenFromBothSidesAndHeals) {
  SimCluster cluster(5);
  ASSERT_TRUE(Joined(cluster)) << cluster.Report();
  cluster.Partition({{0, 1}, {2, 3, 4}});
  cluster.RunFor(cluster.DetectionBound());
  EXPECT_EQ(MemberState::kDead, cluster.StateAt(0, "n4"));
  EXPECT_EQ(MemberState::kAlive, cluster.StateAt(0, "n1"));
  EXPECT_EQ(MemberState::kDead, cluster.StateAt(4, "n0"));
  EXPECT_EQ(MemberState::kAlive, cluster.StateAt(4, "n3"));
  EXPECT_TRUE(cluster.View(0)->standing.minority);
  EXPECT_EQ("n2", cluster.View(4)->leader);
  // Another partition replaces the first.
  cluster.Partition({{0, 1, 2, 3}, {4}});
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.StateAt(0, "n3") == MemberState::kAlive; },
                               cluster.HealBound()))
      << cluster.Report();
  cluster.Heal();
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Agreed(); }, cluster.HealBound()))
      << cluster.Report();
  EXPECT_FALSE(cluster.broken()) << cluster.Report();
}

TEST(SimClusterTest, OneDirectionCutKillsNobody) {
  SimCluster cluster(5);
  ASSERT_TRUE(Joined(cluster)) << cluster.Report();
  std::vector<std::string> deaths;
  for (uint32_t node = 0; node < cluster.size(); ++node) {
    cluster.OnEvent(node, [&](const WatchItem& item) {
      if (!IsSnapshot(item) && EventOf(item)->kind == EventKind::kDied) {
        deaths.push_back(Words(item));
      }
    });
  }
  cluster.CutOneWay(0, 1);
  cluster.RunFor(120s);
  EXPECT_TRUE(deaths.empty()) << deaths.front() << "\n" << cluster.Report();
  // That the cut is real: with every path to n1 cut, it is lost.
  for (const uint32_t from : {2u, 3u, 4u}) cluster.CutOneWay(from, 1);
  cluster.RunFor(cluster.DetectionBound());
  EXPECT_EQ(MemberState::kDead, cluster.StateAt(0, "n1")) << cluster.Report();
}

TEST(SimClusterTest, LossIsLived) {
  SimCluster cluster(5);
  ASSERT_TRUE(Joined(cluster)) << cluster.Report();
  cluster.SetLoss(100);
  cluster.RunFor(1s);
  const std::string before = cluster.Report();
  cluster.SetLoss(0);
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Agreed(); }, cluster.HealBound())) << before;
}

TEST(SimClusterTest, AStoppedNodesCallbacksWait) {
  SimCluster cluster(3);
  std::vector<std::string> heard;
  ASSERT_TRUE(Joined(cluster)) << cluster.Report();
  cluster.OnEvent(0, [&](const WatchItem& item) { heard.push_back(Words(item)); });
  cluster.Pause(0);
  cluster.RunFor(100ms);
  EXPECT_TRUE(heard.empty());
  cluster.Resume(0);
  cluster.RunFor(100ms);
  ASSERT_FALSE(heard.empty());
  EXPECT_EQ("snapshot", heard.front());
}

TEST(SimClusterTest, ACallbackMayDoAnythingButRun) {
  SimCluster cluster(3);
  int inner = 0;
  cluster.OnEvent(0, [&](const WatchItem& item) {
    if (IsSnapshot(item) || EventOf(item)->member != "n2") return;
    if (EventOf(item)->kind == EventKind::kJoined) {
      cluster.SetTags(0, {{"seen", "n2"}});
      cluster.OnEvent(0, [&](const WatchItem&) { ++inner; });
      cluster.After(1s, [&] { cluster.Crash(2); });
    }
    if (EventOf(item)->kind == EventKind::kDied) cluster.Restart(0);
  });
  cluster.StartAll();
  EXPECT_TRUE(cluster.RunUntil(
      [&] { return cluster.View(0) && cluster.View(0)->epoch == 2 && cluster.Agreed(); }, 60s))
      << cluster.Report();
  EXPECT_GE(inner, 2) << "a snapshot in each life";
  EXPECT_FALSE(cluster.running(2));
}

// What happened, as a text.
std::string History(uint64_t seed) {
  SimCluster cluster(5, seed);
  std::string history;
  for (uint32_t node = 0; node < cluster.size(); ++node) {
    cluster.OnEvent(node, [&, node](const WatchItem& item) {
      history += std::to_string(cluster.Now().count()) + " " + cluster.Name(node) + " " +
                 Words(item) + "\n";
    });
  }
  cluster.StartAll();
  cluster.RunFor(20s);
  cluster.Partition({{0, 1}, {2, 3, 4}});
  cluster.RunFor(30s);
  cluster.Heal();
  cluster.RunFor(30s);
  return history + cluster.Report();
}

TEST(SimClusterTest, ASeedIsARun) {
  const std::string history = History(7);
  EXPECT_EQ(history, History(7));
  EXPECT_NE(history, History(8));
  EXPECT_NE(history.find("to run it again: SOTTO_SIM_SEED=7\n"), std::string::npos) << history;
  EXPECT_NE(history.find("partition | n0 n1 | n2 n3 n4 |"), std::string::npos) << history;
  ASSERT_EQ(0, setenv("SOTTO_SIM_SEED", "7", 1));
  EXPECT_EQ(history, History(8)) << "the environment's seed wins";
  ASSERT_EQ(0, unsetenv("SOTTO_SIM_SEED"));
}

TEST(SimClusterDeathTest, BrokenTestsEndTheProcess) {
  SimCluster cluster(3);
  EXPECT_DEATH(cluster.Start(3), "broken promise");
  EXPECT_DEATH(cluster.Partition({{0}, {0, 1}}), "broken promise");
  EXPECT_DEATH(cluster.CutOneWay(1, 1), "broken promise");
  cluster.Start(0);
  EXPECT_DEATH(cluster.Start(0), "broken promise");
}

}  // namespace
}  // namespace sotto::testing
