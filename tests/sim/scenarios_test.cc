// Every scenario, each over a few fixed seeds. SIM_SEED=N in the environment runs that seed
// instead.
#include "tests/sim/scenarios.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"

namespace sotto::sim {
namespace {

constexpr uint64_t kLargeSeeds = 2;  // for worlds of 32 nodes and more
constexpr uint64_t kSmallSeeds = 3;

struct Run {
  Scenario scenario;
  uint64_t seed;
};

std::vector<Run> DefaultRuns() {
  std::vector<Run> runs;
  const char* only = std::getenv("SIM_SEED");
  for (const Scenario& scenario : AllScenarios()) {
    if (only != nullptr) {
      runs.push_back({scenario, std::strtoull(only, nullptr, 10)});
      continue;
    }
    uint64_t seeds = scenario.nodes >= 32 ? kLargeSeeds : kSmallSeeds;
    for (uint64_t seed = 1; seed <= seeds; ++seed) runs.push_back({scenario, seed});
  }
  return runs;
}

class ScenarioTest : public ::testing::TestWithParam<Run> {};

TEST_P(ScenarioTest, HoldsItsPromise) {
  ScenarioResult result = RunScenario(GetParam().scenario, GetParam().seed);
  EXPECT_TRUE(result.passed) << GetParam().scenario.promise << "\n" << result.report;
  // A world in which nothing moved would prove nothing.
  EXPECT_GT(result.counters.delivered, 0u);
  RecordProperty("digest", std::to_string(result.digest));
}

INSTANTIATE_TEST_SUITE_P(All, ScenarioTest, ::testing::ValuesIn(DefaultRuns()),
                         [](const ::testing::TestParamInfo<Run>& run) {
                           return std::string(run.param.scenario.name) + "_" +
                                  std::to_string(run.param.seed);
                         });

}  // namespace
}  // namespace sotto::sim
