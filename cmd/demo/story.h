// The steps of the demo: each does one thing to the cluster, and tells what the daemons say of it.
// Threads: the main thread. Errors: DEMO_STEP_MISSED, or what the step itself could not do.
#ifndef SOTTO_CMD_DEMO_STORY_H_
#define SOTTO_CMD_DEMO_STORY_H_

#include <chrono>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cmd/demo/lab.h"

namespace sotto {

// Prints lines with the time since the beginning.
class Narrator {
 public:
  Narrator(std::ostream& out, bool color) : out_(out), color_(color) {}
  // A heading: what is done now.
  void Step(std::string_view text);
  // What was seen.
  void Say(std::string_view text);
  // A line as it is, without a time.
  void Plain(std::string_view text);
  std::chrono::duration<double> Elapsed() const { return Lab::Clock::now() - begin_; }

 private:
  std::string Stamp() const;

  std::ostream& out_;
  bool color_;
  Lab::Clock::time_point begin_ = Lab::Clock::now();
};

class Story {
 public:
  static constexpr int kNodes = 5;

  Story(Lab& lab, Narrator& say) : lab_(lab), say_(say) {}

  // In the order of the story.
  absl::Status Begin();
  absl::Status ShowCipher();
  absl::Status KillOne(int victim);
  absl::Status Restart(int node);
  absl::Status CutAndHeal();
  absl::Status RotateWithoutOne(int absent);
  absl::Status RawUpdate();
  absl::Status LeaveOne(int node);
  absl::Status Foreigners();
  absl::Status Tell();

  // Pieces that keys call too.
  void ShowMembers(int observer);
  absl::Status Partition();
  absl::Status Heal();
  // Nodes whose process runs.
  std::vector<int> Running();

 private:
  absl::Status Missed(std::string_view what);
  // Waits until each of `observers` shows `member` as `state`, and says when each did.
  absl::Status WaitState(const std::vector<int>& observers, int member, std::string_view state,
                         Lab::Millis limit, Lab::Clock::time_point begin);
  absl::Status AwaitSealing(const std::vector<int>& nodes, const std::string& id);
  absl::StatusOr<int> AddForeigner(bool foreign_certificate);
  // What the five say of refusals: code to count.
  std::map<std::string, int64_t> Refusals();

  Lab& lab_;
  Narrator& say_;
};

// "2.1 s".
std::string SecondsText(std::chrono::duration<double> seconds);

}  // namespace sotto

#endif  // SOTTO_CMD_DEMO_STORY_H_
