#include "cmd/sotto/rotation/rotation.h"

#include <algorithm>
#include <utility>

#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/text.h"
#include "gossip/base/coded_error.h"

namespace sotto::cli {
namespace {

constexpr double kPollInterval = 0.5;
constexpr double kFirstPollInterval = 0.2;  // within the first second most are through
// Frames that are under way under the old key arrive before it goes.
constexpr double kSettle = 1;

bool Contains(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool IsThere(const KeyHolder& member, Step step, uint64_t generation) {
  const auto& has = step == Step::kActivate ? member.sealing : member.held;
  return has.value_or(0) >= generation;
}

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

absl::Status CheckSkipped(const KeyStatus& status, const std::vector<std::string>& skip) {
  std::vector<std::string> names;
  for (const KeyHolder& member : status.members) names.push_back(member.name);
  for (const std::string& name : skip) {
    if (Contains(names, name)) continue;
    const std::string near = Nearest(name, names);
    return WithLine(CodedError(absl::StatusCode::kNotFound, "MEMBER_UNKNOWN",
                               "--skip names \"" + name + "\", and there is no such member" +
                                   (near.empty() ? "" : "; did you mean \"" + near + "\"?")),
                    "state", "nothing was done");
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<const NodeProgress*> Picture::Of(NodeProgress::Kind kind) const {
  std::vector<const NodeProgress*> found;
  for (const NodeProgress& node : nodes) {
    if (node.kind == kind) found.push_back(&node);
  }
  return found;
}

bool Picture::IsThrough() const {
  // A daemon that knows nobody yet, not even itself, proves nothing.
  const bool somebody = living > 0 || !Of(NodeProgress::Kind::kSkipped).empty();
  return somebody && living_reached == living;
}

Picture PictureOf(const KeyStatus& status, Step step, uint64_t generation,
                  const std::vector<std::string>& skip) {
  Picture picture;
  picture.step = step;
  if (!status.store_ok) picture.store_code = status.store_code;
  for (const KeyHolder& member : status.members) {
    if (!IsKnown(member)) continue;
    using Kind = NodeProgress::Kind;
    const bool there = IsThere(member, step, generation);
    const bool skipped = Contains(skip, member.name);
    picture.reached += there ? 1 : 0;
    if (member.living && !skipped) {
      ++picture.living;
      picture.living_reached += there ? 1 : 0;
    }
    const Kind kind = there            ? Kind::kOk
                      : !member.living ? Kind::kAbsent
                      : skipped        ? Kind::kSkipped
                                       : Kind::kWaiting;
    picture.nodes.push_back({member, kind, 0});
  }
  std::sort(picture.nodes.begin(), picture.nodes.end(),
            [](const auto& a, const auto& b) { return a.member.name < b.member.name; });
  return picture;
}

Rotation::Rotation(KeyCalls* calls, Pause* pause, RotationView* view, RotationOrder order)
    : calls_(calls), pause_(pause), view_(view), order_(std::move(order)) {}

RotationRecord Rotation::Run() {
  const double began = pause_->Now();
  BeginStep(Step::kPrepare);
  if (Open() && (record_.activated || Spread()) && Seal() && Retire()) {
    record_.end = RotationEnd::kDone;
  }
  record_.seconds = pause_->Now() - began;
  view_->End(record_);
  return record_;
}

template <typename Call>
auto Rotation::Patiently(const Call& call) {
  const double began = pause_->Now();
  while (true) {
    auto result = call();
    const absl::Status& status = StatusOf(result);
    if (status.ok() || !MayPass(status) || pause_->Now() - began >= kPatience ||
        !pause_->Sleep(kPollInterval)) {
      return result;
    }
  }
}

bool Rotation::Stop(RotationEnd end, absl::Status status) {
  record_.end = pause_->interrupted() ? RotationEnd::kInterrupted : end;
  record_.status = std::move(status);
  return false;
}

void Rotation::BeginStep(Step step) {
  record_.step = step;
  step_began_ = pause_->Now();
  through_.clear();
}

bool Rotation::Open() {
  auto first = calls_->Look(/*ask=*/true);
  if (!first.ok()) return Stop(RotationEnd::kFailed, first.status());
  status_ = *std::move(first);
  record_.cluster = status_.cluster;
  record_.retire_after_s = order_.retire_after_s.value_or(status_.retire_after_s);
  CountDrops();
  const absl::Status named = CheckSkipped(status_, order_.skip);
  if (!named.ok()) return Stop(RotationEnd::kFailed, named);
  if (pause_->interrupted()) return Stop(RotationEnd::kInterrupted);
  if (ResumeActivated()) return true;
  const auto prepared = Patiently([this] { return calls_->Prepare(); });
  if (!prepared.ok()) return Stop(RotationEnd::kFailed, prepared.status());
  if (prepared->key.generation == 0) {
    return Stop(RotationEnd::kFailed, CodedError(absl::StatusCode::kInternal, "API_BAD_ANSWER",
                                                 "the daemon's answer names no generation"));
  }
  record_.from = prepared->active;
  record_.to = prepared->key;
  record_.kek = prepared->kek;
  record_.resumed = prepared->resumed;
  view_->Begin(record_);
  view_->StepDone(Step::kPrepare, StepSeconds(), record_);
  return !pause_->interrupted() || Stop(RotationEnd::kInterrupted);
}

// A rotation that was stopped after its activation: it is brought to its end, and no further key is
// made. One of long ago is over; whoever still lags behind it has another trouble.
bool Rotation::ResumeActivated() {
  if (status_.next.generation != 0 || status_.active.generation == 0) return false;
  // An old backup shows a rotation of long ago as if it were under way; its key never seals again.
  if (status_.store_code == "KEY_ROLLBACK") return false;
  const auto at = ParseUtc(status_.activated_at), now = ParseUtc(status_.as_of);
  if (!at || !now || static_cast<double>(*now - *at) > kResumeWithin * 1000) return false;
  const RetiringKey* from = nullptr;
  for (const RetiringKey& old : status_.retiring) {
    if (from == nullptr || old.key.generation > from->key.generation) from = &old;
  }
  if (from == nullptr) return false;
  const Picture picture =
      PictureOf(status_, Step::kActivate, status_.active.generation, order_.skip);
  if (picture.Of(NodeProgress::Kind::kWaiting).empty()) return false;
  record_.from = from->key;
  record_.to = status_.active;
  record_.resumed = record_.activated = true;
  BeginStep(Step::kActivate);
  view_->Begin(record_);
  return true;
}

// One look, and what it shows of the step. False: it cannot go on.
bool Rotation::Look(Step step) {
  auto look = Patiently([this] { return calls_->Look(/*ask=*/true); });
  if (!look.ok()) return Stop(RotationEnd::kFailed, look.status());
  status_ = *std::move(look);
  CountDrops();
  record_.picture = PictureOf(status_, step, record_.to.generation, order_.skip);
  for (NodeProgress& node : record_.picture.nodes) {
    node.seconds = StepSeconds();
    if (node.kind != NodeProgress::Kind::kOk) continue;
    node.seconds = through_.emplace(node.member.name, node.seconds).first->second;
  }
  view_->Look(record_);
  return !pause_->interrupted() || Stop(RotationEnd::kInterrupted);
}

// Until the next look. False: the time is over, or the user wants to stop.
bool Rotation::Wait() {
  const double left = order_.timeout_s - StepSeconds();
  if (left <= 0) return Stop(RotationEnd::kStalled, record_.status);
  const double interval = StepSeconds() < 1 ? kFirstPollInterval : kPollInterval;
  return pause_->Sleep(std::min(interval, left)) || Stop(RotationEnd::kInterrupted);
}

bool Rotation::Spread() {
  BeginStep(Step::kSpread);
  do {
    if (!Look(Step::kSpread)) return false;
    const double seconds = StepSeconds();
    // The leader, or another operator, was faster.
    bool activated = status_.active.generation >= record_.to.generation;
    if (!activated && status_.store_ok && status_.next.generation != record_.to.generation) {
      return Stop(RotationEnd::kFailed,
                  CodedError(absl::StatusCode::kFailedPrecondition, "KEY_STATE",
                             "generation " + std::to_string(record_.to.generation) +
                                 " waits no longer: somebody removed it, or prepared another"));
    }
    const double activation_began = pause_->Now();
    if (!activated && record_.picture.IsThrough()) {
      const std::optional<int64_t> retire_after =
          order_.now ? std::optional<int64_t>(0) : order_.retire_after_s;
      const absl::Status status = Patiently(
          [&] { return calls_->Activate(record_.to.generation, order_.skip, retire_after); });
      activated = status.ok();
      // Somebody has come to life since, or its word has not arrived everywhere.
      if (!status.ok() && ErrorCode(status) != "KEY_NOT_SPREAD") {
        record_.step = Step::kActivate;
        return Stop(RotationEnd::kFailed, status);
      }
      record_.status = status;
    }
    if (activated) {
      record_.status = absl::OkStatus();
      record_.activated = true;
      view_->StepDone(Step::kSpread, seconds, record_);
      BeginStep(Step::kActivate);
      step_began_ = activation_began;
      return !pause_->interrupted() || Stop(RotationEnd::kInterrupted);
    }
  } while (Wait());
  return false;
}

bool Rotation::Seal() {
  do {
    if (!Look(Step::kActivate)) return false;
    if (record_.picture.IsThrough()) {
      view_->StepDone(Step::kActivate, StepSeconds(), record_);
      return true;
    }
  } while (Wait());
  return false;
}

bool Rotation::Retire() {
  BeginStep(Step::kRetire);
  for (const RetiringKey& old : status_.retiring) {
    if (old.key.generation != record_.from.generation) continue;
    record_.retire_at = old.retire_at;
    const auto from = ParseUtc(status_.activated_at), to = ParseUtc(old.retire_at);
    if (from && to) record_.retire_after_s = std::max<int64_t>(*to - *from, 0) / 1000;
  }
  if (order_.now && record_.from.generation != 0) {
    if (!pause_->Sleep(kSettle)) return Stop(RotationEnd::kInterrupted);
    const absl::Status status =
        Patiently([this] { return calls_->Remove(record_.from.generation); });
    if (!status.ok()) return Stop(RotationEnd::kFailed, status);
    record_.removed = true;
  }
  view_->StepDone(Step::kRetire, StepSeconds(), record_);
  return true;
}

void Rotation::CountDrops() {
  for (const KeyHolder& member : status_.members) {
    if (!member.key_drops) continue;
    const auto [told, is_first] = drops_.emplace(member.name, *member.key_drops);
    if (is_first) continue;
    // A lower number is a restart: all of it is new.
    record_.key_drops +=
        *member.key_drops < told->second ? *member.key_drops : *member.key_drops - told->second;
    told->second = *member.key_drops;
  }
  record_.key_drops_members = drops_.size();
}

}  // namespace sotto::cli
