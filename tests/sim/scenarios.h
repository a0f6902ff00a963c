// The named scenarios: what is done to a cluster, and what must hold.
//
// A scenario drives a World and tells it what it expects; the world records the first failure. Each
// has the size it runs with by default and a promise in one line.
#ifndef SOTTO_TESTS_SIM_SCENARIOS_H_
#define SOTTO_TESTS_SIM_SCENARIOS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/world.h"

namespace sotto::sim {

struct Scenario {
  const char* name;
  const char* promise;
  uint32_t nodes;
  uint32_t nodes_min;  // fewer make no sense
  void (*run)(World&);
};

// By name, sorted as they are listed in the sources.
std::vector<Scenario> AllScenarios();
const Scenario* FindScenario(std::string_view name);

struct ScenarioResult {
  bool passed = false;
  std::string report;  // empty when it passed
  uint64_t digest = 0;
  Duration virtual_time;
  WorldCounters counters;
};

// `nodes` 0 is the scenario's own size.
ScenarioResult RunScenario(const Scenario& scenario, uint64_t seed, uint32_t nodes = 0);

// The families, one source each.
const std::vector<Scenario>& MembershipScenarios();
const std::vector<Scenario>& PartitionScenarios();
const std::vector<Scenario>& FailureScenarios();
const std::vector<Scenario>& HostileScenarios();
const std::vector<Scenario>& SaidScenarios();

}  // namespace sotto::sim

#endif  // SOTTO_TESTS_SIM_SCENARIOS_H_
