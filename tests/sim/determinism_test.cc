// The same seed gives the same run, event for event; another seed gives another.
#include "gtest/gtest.h"
#include "tests/sim/scenarios.h"

namespace sotto::sim {
namespace {

TEST(Determinism, SameSeedSameDigest) {
  for (const char* name : {"chaos", "split_2_3", "loss", "mass_restart", "replay"}) {
    const Scenario* scenario = FindScenario(name);
    ASSERT_NE(scenario, nullptr) << name;
    ScenarioResult first = RunScenario(*scenario, 11);
    ScenarioResult second = RunScenario(*scenario, 11);
    EXPECT_EQ(first.digest, second.digest) << name;
    EXPECT_EQ(first.counters.events, second.counters.events) << name;
    EXPECT_EQ(first.virtual_time, second.virtual_time) << name;
  }
}

TEST(Determinism, AnotherSeedAnotherDigest) {
  const Scenario* scenario = FindScenario("split_2_3");
  ASSERT_NE(scenario, nullptr);
  EXPECT_NE(RunScenario(*scenario, 1).digest, RunScenario(*scenario, 2).digest);
}

TEST(Determinism, AFailureSaysHowToReplayIt) {
  Scenario broken{"broken", "fails on purpose", 3, 1, [](World& world) {
                    world.StartAll();
                    world.RunFor(Duration::Seconds(3));
                    world.Fail("L3", "on purpose", {0, 2});
                    world.RunFor(Duration::Seconds(3));
                  }};
  ScenarioResult result = RunScenario(broken, 77);
  EXPECT_FALSE(result.passed);
  EXPECT_NE(result.report.find("replay: tools/sim --scenario=broken --seed=77 --nodes=3"),
            std::string::npos)
      << result.report;
  EXPECT_NE(result.report.find("at 3000 ms"), std::string::npos) << result.report;
  EXPECT_NE(result.report.find("n0 boot"), std::string::npos) << result.report;
  EXPECT_NE(result.report.find("n2 event: announced"), std::string::npos) << result.report;
  EXPECT_EQ(result.report.find("n1 boot"), std::string::npos) << "n1 is not concerned";
  EXPECT_EQ(result.virtual_time, Duration::Seconds(3)) << "a failure stops the run";
}

}  // namespace
}  // namespace sotto::sim
