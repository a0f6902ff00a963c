// What the operating system counts about this process and about loopback, and the order statistics
// of a few samples.
//
// Units: seconds and bytes. Threads: none of their own; call from anywhere.
#ifndef SOTTO_TOOLS_BENCH_MEASURE_H_
#define SOTTO_TOOLS_BENCH_MEASURE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sotto::bench {

using Clock = std::chrono::steady_clock;

inline double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// User and system time of the whole process since it began.
double CpuSeconds();

// Resident memory of the process.
int64_t ResidentBytes();

// What the loopback interface of this network namespace has received: whole IP packets, headers
// included, of everybody in it. Zero where there is none.
struct Traffic {
  int64_t bytes = 0;
  int64_t packets = 0;
};
Traffic LoopbackTraffic();

// The sample at this part of the sorted samples, rounded down; -1 without samples.
double Percentile(std::vector<double> samples, double part);
inline double Median(std::vector<double> samples) { return Percentile(std::move(samples), 0.5); }

// One line on standard error that redraws itself, on a terminal only.
class Progress {
 public:
  Progress();
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Say(const std::string& text);
  void Clear();

 private:
  bool terminal_;
  bool open_ = false;
};

}  // namespace sotto::bench

#endif  // SOTTO_TOOLS_BENCH_MEASURE_H_
