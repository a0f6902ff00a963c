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

uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::vector<Run> DefaultRuns() {
  const uint64_t first = NumberFrom("SIM_SEED", 0);
  const uint64_t count = NumberFrom("SIM_SEEDS", 1);
  std::vector<Run> runs;
  for (const Scenario& scenario : AllScenarios()) {
    const uint64_t fixed = scenario.nodes >= 32 ? kLargeSeeds : kSmallSeeds;
    const uint64_t seeds = first == 0 ? fixed : count;
    for (uint64_t i = 0; i < seeds; ++i) {
      runs.push_back({scenario, first == 0 ? i + 1 : first + i});
    }
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
