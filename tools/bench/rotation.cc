// Changes the key of a running cluster again and again while datagrams are lost, and counts what
// was dropped for a key reason. Zero is the claim (docs/performance.md).
//
//   rotation --nodes 50 --rotations 20 --loss 0.2 [--aes mix] [--partitions]
//            [--without-database K] [--cut] [--json]
//
// Real nodes on loopback, each with the daemon's key keeper, over one SQLite database; tables and
// steps are those of an operator. With --cut, one more rotation follows while the last node is cut
// off from all others and from the database, and it has to come back within 15 s; what is dropped
// from then on is counted apart: until it has looked, it and the others have no key in common.
// Exit 0: done, and no frame was dropped for a key reason; 1: else; 2: not understood.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gossip/base/coded_error.h"
#include "tools/bench/loss.h"
#include "tools/bench/measure.h"
#include "tools/bench/rotation_lab.h"

namespace sotto::bench {
namespace {

constexpr double kBackLimitS = 15;
constexpr std::chrono::seconds kPartEvery{4};
constexpr std::chrono::seconds kPartFor{1};

struct Flags {
  RotationOptions lab;
  size_t rotations = 20;
  double loss = 0.2;
  std::string aes = "256";
  bool partitions = false;
  bool log = false;
  bool json = false;
};

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t KeyDrops(const NodeStats& stats) {
  return stats.drops[static_cast<size_t>(DropReason::kUnknownKey)] +
         stats.drops[static_cast<size_t>(DropReason::kBadTag)];
}

class Bench {
 public:
  explicit Bench(const Flags& flags) : flags_(flags), lab_(Options(flags)) {}

  absl::Status Run() {
    const absl::Status status = Measure();
    progress_.Clear();
    return status;
  }
  bool clean() const { return key_drops_ == 0; }
  const boost::json::object& out() const { return out_; }

 private:
  RotationOptions Options(const Flags& flags) {
    RotationOptions options = flags.lab;
    options.progress = [this](const std::string& text) {
      Part();
      progress_.Say(text);
    };
    return options;
  }

  // Every few seconds the network falls into two halves for a second, shorter than anybody dies.
  void Part() {
    if (!flags_.partitions || !may_part_) return;
    const Clock::time_point now = Clock::now();
    if (now - changed_ < (is_parted_ ? kPartFor : kPartEvery - kPartFor)) return;
    changed_ = now;
    is_parted_ = !is_parted_;
    if (is_parted_) {
      lab_.PartHalves(++partitions_);
    } else {
      lab_.JoinHalves();
    }
  }

  absl::Status Measure() {
    SetLoss(flags_.loss);
    if (const absl::Status up = lab_.Start(); !up.ok()) return up;
    may_part_ = true;
    boost::json::array seconds;
    for (size_t r = 0; r < flags_.rotations; ++r) {
      const absl::StatusOr<double> took = lab_.Rotate();
      if (!took.ok()) return took.status();
      seconds.push_back(*took);
    }
    may_part_ = false;
    lab_.JoinHalves();
    absl::Status status;
    if (flags_.lab.cut) status = CutOneOff(&seconds);
    const NodeStats totals = lab_.Totals();
    if (!cut_done_) key_drops_ = KeyDrops(totals);
    out_["rotation_s"] = seconds;
    Report(totals);
    return status;
  }

  absl::Status CutOneOff(boost::json::array* seconds) {
    if (const absl::Status cut = lab_.Cut(); !cut.ok()) return cut;
    const absl::StatusOr<double> took = lab_.Rotate();
    if (!took.ok()) return took.status();
    seconds->push_back(*took);
    key_drops_ = KeyDrops(lab_.Totals());
    cut_done_ = true;
    const absl::StatusOr<double> back = lab_.Heal();
    if (!back.ok()) return back.status();
    out_["back_s"] = *back;
    out_["key_drops_coming_back"] = KeyDrops(lab_.Totals()) - key_drops_;
    if (*back <= kBackLimitS) return absl::OkStatus();
    return absl::DeadlineExceededError(
        absl::StrCat("the node that was cut off took ", *back, " s to come back"));
  }

  void Report(const NodeStats& totals) {
    boost::json::object dropped;
    for (size_t r = 1; r < kDropReasons; ++r) {
      dropped[std::string(ToString(static_cast<DropReason>(r)))] = totals.drops[r];
    }
    out_["nodes"] = flags_.lab.cluster.nodes;
    out_["rotations"] = out_.at("rotation_s").as_array().size();
    out_["loss"] = flags_.loss;
    out_["aes"] = flags_.aes;
    out_["without_database"] = flags_.lab.without_database;
    out_["partitions"] = partitions_;
    out_["frames_sent"] = totals.frames_sent;
    out_["frames_received"] = totals.frames_received;
    out_["datagrams_lost"] = DatagramsDropped();
    out_["dropped"] = dropped;
    out_["key_drops"] = key_drops_;
    out_["false_deaths"] = lab_.FalseDeaths();
  }

  const Flags flags_;
  Progress progress_;
  bool may_part_ = false;
  bool is_parted_ = false;
  uint64_t partitions_ = 0;
  Clock::time_point changed_ = Clock::now();
  bool cut_done_ = false;
  uint64_t key_drops_ = 0;
  boost::json::object out_;
  RotationLab lab_;
};

std::string ForPeople(const boost::json::object& out) {
  std::string text;
  for (const auto& [key, value] : out) {
    if (key == "rotation_s" || key == "dropped") continue;
    absl::StrAppendFormat(&text, "%-24s %s\n", std::string(key), boost::json::serialize(value));
  }
  for (const auto& [reason, count] : out.at("dropped").as_object()) {
    if (count.to_number<uint64_t>() == 0) continue;
    absl::StrAppendFormat(&text, "dropped, %-15s %s\n", std::string(reason),
                          boost::json::serialize(count));
  }
  std::vector<double> seconds;
  for (const auto& value : out.at("rotation_s").as_array()) {
    seconds.push_back(value.to_number<double>());
  }
  absl::StrAppendFormat(&text, "%-24s median %.2f s, longest %.2f s\n", "a rotation",
                        Median(seconds), Percentile(seconds, 1));
  return text;
}

int Main(int argc, char** argv) {
  Flags flags;
  flags.lab.cluster.nodes = 50;
  CLI::App app{"Rotates the key of a lossy cluster and counts frames dropped for a key reason."};
  app.add_option("--nodes", flags.lab.cluster.nodes, "nodes (50)")->check(CLI::Range(2, 500));
  app.add_option("--rotations", flags.rotations, "rotations, one after another (20)")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--loss", flags.loss, "part of all datagrams that is lost, 0 to 1 (0.2)")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--aes", flags.aes, "256, or mix: keys of 128, 192 and 256 bits in turn (256)")
      ->check(CLI::IsMember({"256", "mix"}));
  app.add_flag("--partitions", flags.partitions,
               "every 4 s no datagram passes between two random halves, for 1 s");
  app.add_option("--without-database", flags.lab.without_database,
                 "so many nodes lose the database before the first rotation (0)");
  app.add_flag("--cut", flags.lab.cut, "cut one node off during one more rotation, then heal it");
  app.add_option("--limit", flags.lab.limit_s, "seconds that each step may take (90)")
      ->check(CLI::Range(1.0, 3'600.0));
  app.add_option("--threads", flags.lab.cluster.threads, "threads for the nodes (1)")
      ->check(CLI::Range(1, 64));
  app.add_flag("--log", flags.log, "print what nodes and keepers log to standard error");
  app.add_flag("--json", flags.json, "print one JSON object instead of a table");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  flags.lab.aes_mix = flags.aes == "mix";
  if (flags.lab.without_database + 2 + (flags.lab.cut ? 1 : 0) > flags.lab.cluster.nodes) {
    std::fputs("--without-database: two nodes must keep it, beside the one of --cut\n", stderr);
    return 2;
  }
  if (flags.log) {
    flags.lab.cluster.log = [begun = Clock::now()](const LogRecord& record) {
      std::fprintf(stderr, "%.3f %s\n", Seconds(Clock::now() - begun),
                   FormatRecord(record).c_str());
    };
  }
  RaiseDescriptorLimit();
  Bench bench(flags);
  const absl::Status status = bench.Run();
  if (!status.ok()) std::fprintf(stderr, "%s\n", Describe(status).c_str());
  if (!bench.out().contains("dropped")) return 1;
  if (flags.json) {
    std::cout << boost::json::serialize(bench.out()) << std::endl;
  } else {
    std::fputs(ForPeople(bench.out()).c_str(), stdout);
  }
  if (!bench.clean()) std::fputs("frames were dropped for a key reason\n", stderr);
  return status.ok() && bench.clean() ? 0 : 1;
}

}  // namespace
}  // namespace sotto::bench

int main(int argc, char** argv) { return sotto::bench::Main(argc, argv); }
