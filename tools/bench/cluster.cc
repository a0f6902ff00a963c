// Measures a cluster of sotto nodes in one process on loopback, in the way in which
// tools/bench/memberlist measures hashicorp/memberlist, so that the two can be held side by side.
//
//   cluster --nodes 100 --kill 5 --steady 20s [--json] [--loss 0.3] [--no-shared-cache] …
//
// All nodes but one join the first at the same instant. After 5 s of rest comes the steady period,
// then ten user events, then the kills, one after another. What each figure means stands in
// docs/performance.md.
// Exit 0: measured; 1: the nodes could not be made; 2: not understood.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "gossip/base/coded_error.h"
#include "tools/bench/cluster_lab.h"
#include "tools/bench/loss.h"
#include "tools/bench/measure.h"

namespace sotto::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kJoinLimit{120};
constexpr seconds kDeathLimit{60};
constexpr seconds kMessageLimit{10};
constexpr size_t kMessages = 10;
constexpr milliseconds kLook{5};

struct Flags {
  ClusterOptions cluster;
  size_t kill = 5;
  double rest_s = 5;
  double steady_s = 20;
  double loss = 0;
  bool no_shared_cache = false;
  bool log = false;
  bool json = false;
};

// "20s", "500ms", "1m" or a bare number of seconds; negative if it is none of them.
double ParseSeconds(const std::string& text) {
  size_t used = 0;
  double number = -1;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    return -1;
  }
  const std::string unit = text.substr(used);
  if (unit.empty() || unit == "s") return number;
  if (unit == "ms") return number / 1'000;
  if (unit == "m") return number * 60;
  return -1;
}

// Many sockets: as many descriptors as this process may have.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

class Bench {
 public:
  explicit Bench(const Flags& flags) : flags_(flags), lab_(flags.cluster) {}

  absl::Status Run() {
    out_["peer"] = "sotto";
    out_["nodes"] = n();
    out_["threads"] = flags_.cluster.threads;
    out_["shared_cache"] = flags_.cluster.shared_cache;
    out_["loss"] = flags_.loss;
    const absl::Status prepared = lab_.Prepare([this](size_t done) {
      progress_.Say(absl::StrFormat("certificates: %d of %d", done, n()));
    });
    if (!prepared.ok()) return prepared;
    resident_before_ = ResidentBytes();
    const absl::Status created = lab_.Create();
    if (!created.ok()) return created;
    SetLoss(flags_.loss);
    Join();
    Rest("rest after the join", flags_.rest_s);
    Steady();
    const absl::Status told = Messages();
    if (!told.ok()) return told;
    Kills();
    FalseDeaths();
    progress_.Clear();
    return absl::OkStatus();
  }

  const boost::json::object& out() const { return out_; }

 private:
  size_t n() const { return flags_.cluster.nodes; }

  void Rest(const std::string& what, double rest_s) {
    const Clock::time_point end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                     std::chrono::duration<double>(rest_s));
    for (Clock::time_point now = Clock::now(); now < end; now = Clock::now()) {
      progress_.Say(absl::StrFormat("%s: %.0f s", what, Seconds(end - now)));
      std::this_thread::sleep_for(std::min<Clock::duration>(end - now, seconds(1)));
    }
  }

  void Join() {
    const Clock::time_point begun = Clock::now();
    const double cpu = CpuSeconds();
    lab_.Go();
    size_t seen = 0;  // nodes that have been seen to count all
    while (seen < n() && Clock::now() - begun < kJoinLimit) {
      while (seen < n() && lab_.observer(seen).Living() == n()) ++seen;
      if (seen == n() && !AllLiving()) seen = 0;
      if (seen == n()) break;
      progress_.Say(absl::StrFormat("join: %d of %d nodes count %d", seen, n(), n()));
      std::this_thread::sleep_for(kLook);
    }
    if (seen < n()) out_["join_timeout"] = true;
    out_["join_converge_s"] = Seconds(Clock::now() - begun);
    out_["join_retries"] = 0;  // contacts are tried on by the library itself
    out_["join_cpu_s"] = CpuSeconds() - cpu;
    out_["join_totals"] = Totals();
  }

  // What all nodes together have done so far.
  boost::json::object Totals() {
    NodeStats sum;
    for (size_t i = 0; i < n(); ++i) {
      const NodeStats stats = lab_.node(i).Stats();
      sum.frames_sent += stats.frames_sent;
      sum.hellos_sent += stats.hellos_sent;
      sum.udp_bytes_sent += stats.udp_bytes_sent;
      sum.tls_dialed += stats.tls_dialed;
      sum.syncs_merged += stats.syncs_merged;
      sum.syncs_equal += stats.syncs_equal;
      sum.syncs_busy += stats.syncs_busy;
      sum.syncs_failed += stats.syncs_failed;
      sum.send_errors += stats.send_errors;
      for (size_t r = 0; r < kDropReasons; ++r) sum.drops[r] += stats.drops[r];
      sum.protocol.probes += stats.protocol.probes;
      sum.protocol.probes_failed += stats.protocol.probes_failed;
      sum.protocol.refutations += stats.protocol.refutations;
    }
    boost::json::object drops;
    for (size_t r = 0; r < kDropReasons; ++r) {
      const std::string reason(ToString(static_cast<DropReason>(r)));
      if (sum.drops[r] > 0) drops[reason] = sum.drops[r];
    }
    return {{"frames_sent", sum.frames_sent},
            {"hellos_sent", sum.hellos_sent},
            {"udp_bytes_sent", sum.udp_bytes_sent},
            {"send_errors", sum.send_errors},
            {"drops", drops},
            {"tls_dialed", sum.tls_dialed},
            {"syncs_merged", sum.syncs_merged},
            {"syncs_equal", sum.syncs_equal},
            {"syncs_busy", sum.syncs_busy},
            {"syncs_failed", sum.syncs_failed},
            {"probes", sum.protocol.probes},
            {"probes_failed", sum.protocol.probes_failed},
            {"refutations", sum.protocol.refutations}};
  }

  bool AllLiving() const {
    for (size_t i = 0; i < n(); ++i) {
      if (lab_.observer(i).Living() != n()) return false;
    }
    return true;
  }

  void Steady() {
    const Traffic before = LoopbackTraffic();
    const double cpu = CpuSeconds();
    const Clock::time_point begun = Clock::now();
    Rest("steady", flags_.steady_s);
    const Traffic after = LoopbackTraffic();
    const double node_seconds = Seconds(Clock::now() - begun) * static_cast<double>(n());
    out_["steady_cpu_ms_per_node_s"] = (CpuSeconds() - cpu) * 1'000 / node_seconds;
    out_["steady_bytes_per_node_s"] =
        static_cast<double>(after.bytes - before.bytes) / node_seconds;
    out_["steady_packets_per_node_s"] =
        static_cast<double>(after.packets - before.packets) / node_seconds;
    out_["rss_bytes_per_node"] = (ResidentBytes() - resident_before_) / static_cast<int64_t>(n());
    out_["steady_totals"] = Totals();
  }

  // Ten user events from different nodes, of the length that the peer's messages have.
  absl::Status Messages() {
    std::vector<double> each;
    std::vector<double> all;
    for (size_t k = 0; k < kMessages; ++k) {
      const std::string name = absl::StrFormat("message-%d", k);
      const size_t from = k % n();
      progress_.Say(absl::StrFormat("user event %d of %d", k + 1, kMessages));
      const Clock::time_point begun = Clock::now();
      const absl::Status sent = lab_.node(from).SendEvent(name, std::string(64, 'm'), false);
      if (!sent.ok()) return sent;
      double last = 0;
      for (size_t i = 0; i < n() && last >= 0; ++i) {
        if (i == from) continue;
        const double heard =
            Await(begun, kMessageLimit, [&] { return lab_.observer(i).HeardAt(name); });
        if (heard >= 0) each.push_back(heard);
        last = heard < 0 ? -1 : std::max(last, heard);
      }
      all.push_back(last);
    }
    out_["broadcast_p50_s"] = Percentile(each, 0.5);
    out_["broadcast_p99_s"] = Percentile(each, 0.99);
    out_["broadcast_all_median_s"] = Median(all);
    return absl::OkStatus();
  }

  void Kills() {
    std::vector<double> first;
    std::vector<double> all;
    for (size_t k = 0; k < flags_.kill; ++k) {
      const size_t victim = n() - 1 - k;
      const std::string name = ClusterLab::NameOf(victim);
      progress_.Say(absl::StrFormat("kill %d of %d", k + 1, flags_.kill));
      killed_.push_back(name);
      const Clock::time_point begun = Clock::now();
      lab_.Kill(victim);
      double least = kDeathLimit.count();
      double most = 0;
      for (size_t i = 0; i < victim && most >= 0; ++i) {
        const double known =
            Await(begun, kDeathLimit, [&] { return lab_.observer(i).DeadSince(name); });
        least = known < 0 ? least : std::min(least, known);
        most = known < 0 ? -1 : std::max(most, known);
      }
      first.push_back(least);
      all.push_back(most);
    }
    out_["crash_first_dead_median_s"] = Median(first);
    out_["crash_all_dead_median_s"] = Median(all);
  }

  using Answer = std::function<std::optional<Clock::time_point>()>;

  // Seconds from `begun` until what was asked for had happened; -1 if it had not by then.
  static double Await(Clock::time_point begun, Clock::duration limit, const Answer& ask) {
    while (Clock::now() - begun < limit) {
      if (const auto at = ask()) return Seconds(*at - begun);
      std::this_thread::sleep_for(kLook);
    }
    return -1;
  }

  void FalseDeaths() {
    size_t deaths = 0;
    for (size_t i = 0; i + flags_.kill < n(); ++i) deaths += lab_.observer(i).FalseDeaths(killed_);
    out_["false_dead_events"] = deaths;
    out_["datagrams_dropped"] = DatagramsDropped();
  }

  const Flags flags_;
  ClusterLab lab_;
  Progress progress_;
  int64_t resident_before_ = 0;
  std::vector<std::string> killed_;
  boost::json::object out_;
};

std::string ForPeople(const boost::json::object& out) {
  const auto number = [&out](const char* key) { return out.at(key).to_number<double>(); };
  return absl::StrFormat(
      "%.0f nodes: joined in %.2f s (%.2f s CPU); at rest %.3f ms CPU/s, %.0f B/s, %.2f packets/s "
      "and %.0f KB each; an event heard by 99 %% after %.2f s; a crash known first after %.1f s, "
      "everywhere after %.1f s; "
      "%.0f false deaths\n",
      number("nodes"), number("join_converge_s"), number("join_cpu_s"),
      number("steady_cpu_ms_per_node_s"), number("steady_bytes_per_node_s"),
      number("steady_packets_per_node_s"), number("rss_bytes_per_node") / 1'000,
      number("broadcast_p99_s"), number("crash_first_dead_median_s"),
      number("crash_all_dead_median_s"), number("false_dead_events"));
}

int Main(int argc, char** argv) {
  Flags flags;
  std::string rest = "5s";
  std::string steady = "20s";
  CLI::App app{"Measures a cluster of sotto nodes in one process on loopback."};
  app.add_option("--nodes", flags.cluster.nodes, "nodes (100)")->check(CLI::Range(2, 2'000));
  app.add_option("--kill", flags.kill, "nodes killed, one after another (5)");
  app.add_option("--steady", steady, "how long the resting cluster is measured: 20s, 500ms, 1m");
  app.add_option("--rest", rest, "how long the join is left to settle before that (5s)");
  app.add_option("--loss", flags.loss, "part of all datagrams that is lost, 0 to 1 (0)")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--threads", flags.cluster.threads,
                 "threads, each with an io_context and its part of the nodes (1)")
      ->check(CLI::Range(1, 64));
  app.add_option("--key-bytes", flags.cluster.key_bytes, "of the cluster key: 16, 24 or 32 (32)")
      ->check(CLI::IsMember({16, 24, 32}));
  app.add_flag("--no-shared-cache", flags.no_shared_cache,
               "each node verifies and keeps every certificate and statement for itself");
  app.add_flag("--log", flags.log, "print what the nodes log to standard error");
  app.add_flag("--json", flags.json, "print one JSON object instead of a line");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  flags.rest_s = ParseSeconds(rest);
  flags.steady_s = ParseSeconds(steady);
  if (flags.rest_s < 0 || flags.steady_s <= 0) {
    std::fputs("--rest, --steady: want a time such as 20s, 500ms or 1m\n", stderr);
    return 2;
  }
  if (flags.kill + 2 > flags.cluster.nodes) {
    std::fputs("--kill: at least two nodes must be left\n", stderr);
    return 2;
  }
  if (flags.log) {
    flags.cluster.log = [begun = Clock::now()](const LogRecord& record) {
      std::fprintf(stderr, "%.3f %s\n", Seconds(Clock::now() - begun),
                   FormatRecord(record).c_str());
    };
  }
  flags.cluster.shared_cache = !flags.no_shared_cache;
  RaiseDescriptorLimit();
  Bench bench(flags);
  const absl::Status status = bench.Run();
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", Describe(status).c_str());
    return 1;
  }
  if (flags.json) {
    std::cout << boost::json::serialize(bench.out()) << std::endl;
  } else {
    std::cout << ForPeople(bench.out()) << std::flush;
  }
  return 0;
}

}  // namespace
}  // namespace sotto::bench

int main(int argc, char** argv) { return sotto::bench::Main(argc, argv); }
