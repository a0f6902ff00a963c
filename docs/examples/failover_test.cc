// A unit test of your own failover code, under partitions, with sotto's simulator: minutes of a
// cluster's life in some milliseconds, the same on every run.
#include "failover.h"

#include <gtest/gtest.h>
#include <sotto/testing.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

namespace {

using namespace std::chrono_literals;

// Five nodes, each with its copy of the service.
class Services {
 public:
  Services(uint64_t seed, std::chrono::nanoseconds wait) : cluster_(5, seed) {
    for (uint32_t node = 0; node < cluster_.size(); ++node) {
      services_.push_back(std::make_unique<Failover>(
          cluster_.Name(node), cluster_.size(), wait,
          [this](auto delay, auto action) { cluster_.After(delay, action); }));
      cluster_.OnEvent(node, [this, node](const auto& item) { services_[node]->Handle(item); });
    }
    cluster_.StartAll();
  }

  sotto::testing::SimCluster& cluster() { return cluster_; }

  int Active() const {
    int active = 0;
    for (uint32_t node = 0; node < cluster_.size(); ++node) {
      active += cluster_.running(node) && services_[node]->active();
    }
    return active;
  }

  bool BecomesActive() {
    return cluster_.RunUntil([this] { return Active() == 1; }, 120s);
  }

  // The greatest number of active services at any moment of this time.
  int MostActive(std::chrono::seconds span) {
    int most = 0;
    for (const auto end = cluster_.Now() + span; cluster_.Now() < end; cluster_.RunFor(50ms)) {
      most = std::max(most, Active());
    }
    return most;
  }

 private:
  sotto::testing::SimCluster cluster_;
  std::vector<std::unique_ptr<Failover>> services_;
};

TEST(FailoverTest, AnotherTakesOverWhenTheActiveOneCrashes) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Services services(seed, 15s);
    ASSERT_TRUE(services.BecomesActive()) << services.cluster().Report();
    services.cluster().Crash(0);
    EXPECT_EQ(0, services.Active());
    EXPECT_TRUE(services.BecomesActive()) << services.cluster().Report();
  }
}

TEST(FailoverTest, APartitionNeverMakesTwoActive) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Services services(seed, 15s);
    ASSERT_TRUE(services.BecomesActive()) << services.cluster().Report();
    services.cluster().Partition({{0, 1}, {2, 3, 4}});
    EXPECT_EQ(1, services.MostActive(90s)) << services.cluster().Report();
    EXPECT_EQ(1, services.Active()) << "the larger side has one\n" << services.cluster().Report();
    services.cluster().Heal();
    EXPECT_LE(services.MostActive(90s), 1) << services.cluster().Report();
    EXPECT_EQ(1, services.Active()) << services.cluster().Report();
  }
}

// Why the wait is there. A test like this one also shows that the one above can fail.
TEST(FailoverTest, WithoutTheWaitAPartitionMakesTwoActive) {
  int twice = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Services services(seed, 0s);
    ASSERT_TRUE(services.BecomesActive()) << services.cluster().Report();
    services.cluster().Partition({{0, 1}, {2, 3, 4}});
    twice += services.MostActive(90s) > 1;
  }
  EXPECT_GT(twice, 0);
}

}  // namespace
