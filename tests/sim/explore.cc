// Runs scenarios over chosen seeds and sizes: replays a failure, or looks for one.
//
//   explore --list
//   explore --scenario=split_2_3 --seed=7 [--nodes=64] [--verbose]
//   explore --all --seeds=1000 [--first-seed=1]
//   explore --scenario=join --nodes=1000 --seeds=3
// Exit 0: all passed; 1: one failed; 2: not understood.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/scenarios.h"

namespace sotto::sim {
namespace {

struct Arguments {
  std::string scenario;
  uint64_t first_seed = 1;
  uint64_t seeds = 1;
  uint32_t nodes = 0;
  bool all = false;
  bool list = false;
  bool verbose = false;
};

std::optional<uint64_t> ParseNumber(std::string_view text) {
  if (text.empty() || text.size() > 19) return std::nullopt;
  uint64_t number = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

bool SetNumber(Arguments& arguments, std::string_view name, uint64_t number) {
  if (name == "--seed" || name == "--first-seed") {
    arguments.first_seed = number;
  } else if (name == "--seeds") {
    arguments.seeds = number;
  } else if (name == "--nodes" && number <= 100'000) {
    arguments.nodes = static_cast<uint32_t>(number);
  } else {
    return false;
  }
  return true;
}

std::optional<Arguments> Parse(const std::vector<std::string_view>& words) {
  Arguments arguments;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view name = words[i].substr(0, words[i].find('='));
    if (name == "--all") {
      arguments.all = true;
    } else if (name == "--list") {
      arguments.list = true;
    } else if (name == "--verbose") {
      arguments.verbose = true;
    } else {
      std::string_view value;
      if (name.size() < words[i].size()) {
        value = words[i].substr(name.size() + 1);
      } else if (i + 1 < words.size()) {
        value = words[++i];
      }
      if (name == "--scenario") {
        arguments.scenario = value;
        continue;
      }
      std::optional<uint64_t> number = ParseNumber(value);
      if (!number || !SetNumber(arguments, name, *number)) return std::nullopt;
    }
  }
  return arguments;
}

int64_t Milliseconds() {
  using std::chrono::steady_clock;
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             steady_clock::now().time_since_epoch())
      .count();
}

void PrintCounters(const WorldCounters& c) {
  auto line = [](const char* name, uint64_t value) {
    if (value > 0) std::printf("    %-16s %llu\n", name, static_cast<unsigned long long>(value));
  };
  line("events", c.events);
  line("datagrams", c.datagrams);
  line("delivered", c.delivered);
  line("lost", c.lost);
  line("cut", c.cut);
  line("duplicated", c.duplicated);
  line("unknown_boot", c.unknown_boot);
  line("wrong_boot", c.wrong_boot);
  line("replayed", c.replayed);
  line("replays_dropped", c.replays_dropped);
  line("queue_full", c.queue_full);
  line("hellos", c.hellos);
  line("stream_pings", c.stream_pings);
  line("syncs_equal", c.syncs_equal);
  line("syncs_merged", c.syncs_merged);
  line("syncs_failed", c.syncs_failed);
  line("syncs_busy", c.syncs_busy);
  line("syncs_self", c.syncs_self);
  line("suspected", c.suspected);
  line("refuted", c.refuted);
  line("accused", c.accused);
  line("true_deaths", c.true_deaths);
  line("false_deaths", c.false_deaths);
  line("returned", c.returned);
  line("left", c.left);
  line("forgotten", c.forgotten);
  line("conflicts", c.conflicts);
  line("pauses_noticed", c.pauses_noticed);
  line("boots_persisted", c.boots_persisted);
}

bool RunOne(const Scenario& scenario, uint64_t seed, const Arguments& arguments) {
  int64_t before = Milliseconds();
  ScenarioResult result = RunScenario(scenario, seed, arguments.nodes);
  int64_t took = Milliseconds() - before;
  std::printf("%-6s %-18s seed %-6llu %8lld s virtual  %6lld ms  digest %016llx\n",
              result.passed ? "ok" : "FAILED", scenario.name, static_cast<unsigned long long>(seed),
              static_cast<long long>(result.virtual_time.seconds()), static_cast<long long>(took),
              static_cast<unsigned long long>(result.digest));
  if (arguments.verbose) PrintCounters(result.counters);
  if (!result.passed) std::printf("%s\n", result.report.c_str());
  std::fflush(stdout);
  return result.passed;
}

int Main(const std::vector<std::string_view>& words) {
  std::optional<Arguments> arguments = Parse(words);
  const Scenario* scenario = arguments ? FindScenario(arguments->scenario) : nullptr;
  if (!arguments || (!scenario && !arguments->all && !arguments->list)) {
    std::fprintf(stderr,
                 "usage: sim --scenario=NAME|--all [--seed=N] [--seeds=COUNT] [--nodes=N] "
                 "[--verbose]\n       sim --list\n");
    return 2;
  }
  if (arguments->list) {
    for (const Scenario& each : AllScenarios()) {
      std::printf("%-18s %4u nodes  %s\n", each.name, each.nodes, each.promise);
    }
    return 0;
  }
  uint64_t failed = 0;
  for (uint64_t i = 0; i < arguments->seeds; ++i) {
    uint64_t seed = arguments->first_seed + i;
    if (!arguments->all) {
      failed += !RunOne(*scenario, seed, *arguments);
      continue;
    }
    for (const Scenario& each : AllScenarios()) failed += !RunOne(each, seed, *arguments);
  }
  if (failed > 0) std::printf("%llu failed\n", static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace sotto::sim

int main(int argc, char** argv) {
  return sotto::sim::Main(std::vector<std::string_view>(argv + 1, argv + argc));
}
