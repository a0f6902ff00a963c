#include "tests/sim/scenarios.h"

#include <algorithm>

namespace sotto::sim {

std::vector<Scenario> AllScenarios() {
  std::vector<Scenario> all;
  for (const auto* family : {&MembershipScenarios(), &PartitionScenarios(), &FailureScenarios(),
                             &HostileScenarios(), &SaidScenarios()}) {
    all.insert(all.end(), family->begin(), family->end());
  }
  return all;
}

const Scenario* FindScenario(std::string_view name) {
  for (const auto* family : {&MembershipScenarios(), &PartitionScenarios(), &FailureScenarios(),
                             &HostileScenarios(), &SaidScenarios()}) {
    for (const Scenario& scenario : *family) {
      if (scenario.name == name) return &scenario;
    }
  }
  return nullptr;
}

ScenarioResult RunScenario(const Scenario& scenario, uint64_t seed, uint32_t nodes) {
  WorldOptions options;
  options.scenario = scenario.name;
  options.seed = seed;
  options.nodes = nodes == 0 ? scenario.nodes : std::max(nodes, scenario.nodes_min);
  World world(options);
  scenario.run(world);
  ScenarioResult result;
  result.passed = !world.failed();
  result.report = world.Report();
  result.digest = world.digest();
  result.virtual_time = world.now() - Instant::FromNanos(0);
  result.counters = world.counters();
  return result;
}

}  // namespace sotto::sim
