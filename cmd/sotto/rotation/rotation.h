// `sotto keys rotate` as a machine of four steps: a new key is prepared, spreads, seals, and the
// old one retires (design K5). The daemon does each step; this looks, waits, and says when to go
// on.
//
// Every step lasts: whoever runs it again goes on where the last one stopped, also after it was
// killed. Nothing is activated before every living member holds the new key, but those to skip.
// Units: seconds. Threads: none. Errors: in the record; the calls are tried again for kPatience
// where time may heal them.
#ifndef SOTTO_CMD_SOTTO_ROTATION_ROTATION_H_
#define SOTTO_CMD_SOTTO_ROTATION_ROTATION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cmd/sotto/rotation/key_calls.h"

namespace sotto::cli {

enum class Step { kPrepare = 1, kSpread, kActivate, kRetire };

struct RotationOrder {
  std::vector<std::string> skip;  // living members that are not waited for
  double timeout_s = 60;          // for the spread, and again for the sealing
  std::optional<int64_t> retire_after_s;
  bool now = false;  // remove the old key in the end
};

struct NodeProgress {
  enum class Kind { kOk, kWaiting, kSkipped, kAbsent };
  KeyHolder member;
  Kind kind = Kind::kWaiting;
  double seconds = 0;  // of the step: until it was through, or until now
};

// Where the known members stand in one step.
struct Picture {
  Step step = Step::kSpread;
  std::vector<NodeProgress> nodes;  // by name
  size_t reached = 0;               // of all known ones
  size_t living = 0;                // that are waited for
  size_t living_reached = 0;
  std::string store_code;  // why the daemon cannot look into its database; or empty

  std::vector<const NodeProgress*> Of(NodeProgress::Kind kind) const;
  // Every living member that counts is through.
  bool IsThrough() const;
};
Picture PictureOf(const KeyStatus& status, Step step, uint64_t generation,
                  const std::vector<std::string>& skip);

enum class RotationEnd { kDone, kStalled, kInterrupted, kFailed };

// All that is known of the rotation, as it goes on and when it has ended.
struct RotationRecord {
  std::string cluster;
  KeyName from, to;      // generation 0 of `to`: nothing was begun
  std::string kek;       // that wraps the new key in the store; or empty
  bool resumed = false;  // the key waited there already, or was active already
  bool activated = false;
  bool removed = false;
  Step step = Step::kPrepare;
  std::string retire_at;  // of the old key, UTC; or empty
  int64_t retire_after_s = 0;
  Picture picture;  // of the last look
  // Frames that members dropped for key reasons meanwhile, and how many members told.
  uint64_t key_drops = 0;
  size_t key_drops_members = 0;
  double seconds = 0;
  RotationEnd end = RotationEnd::kFailed;
  absl::Status status;  // kFailed: why; kStalled: why it cannot be activated, where that was said
};

// Sees the rotation go by.
class RotationView {
 public:
  virtual ~RotationView() = default;
  // Both keys are known.
  virtual void Begin(const RotationRecord& record) = 0;
  // After each look in steps 2 and 3.
  virtual void Look(const RotationRecord& record) = 0;
  virtual void StepDone(Step step, double seconds, const RotationRecord& record) = 0;
  virtual void End(const RotationRecord& record) = 0;
};

class Pause {
 public:
  virtual ~Pause() = default;
  virtual double Now() = 0;                // never goes back
  virtual bool Sleep(double seconds) = 0;  // false: the user wants to stop
  virtual bool interrupted() const = 0;
};

class Rotation {
 public:
  // How long a call that fails is tried again: the daemon restarts, the row was just written.
  static constexpr double kPatience = 5;
  // How long ago a key may have been activated for `rotate` to take that for its own, unfinished.
  static constexpr double kResumeWithin = 3600;

  // All borrowed.
  Rotation(KeyCalls* calls, Pause* pause, RotationView* view, RotationOrder order);

  RotationRecord Run();

 private:
  bool Open();
  bool ResumeActivated();
  bool Spread();
  bool Seal();
  bool Retire();

  bool Look(Step step);
  bool Wait();
  bool Stop(RotationEnd end, absl::Status status = absl::OkStatus());
  void BeginStep(Step step);
  double StepSeconds() const { return pause_->Now() - step_began_; }
  void CountDrops();
  template <typename Call>
  auto Patiently(const Call& call);

  KeyCalls* const calls_;
  Pause* const pause_;
  RotationView* const view_;
  const RotationOrder order_;
  RotationRecord record_;
  KeyStatus status_;  // of the last look
  double step_began_ = 0;
  std::map<std::string, double> through_;  // of this step: when each was first seen to be through
  std::map<std::string, uint64_t> drops_;  // the counter of each member that told
};

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_ROTATION_ROTATION_H_
