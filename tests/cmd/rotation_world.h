// A cluster on paper for the steps of `sotto keys rotate`: members take a new key and seal with it
// when a test says so, calls fail when it says so, and time is a number.
#ifndef SOTTO_TESTS_CMD_ROTATION_WORLD_H_
#define SOTTO_TESTS_CMD_ROTATION_WORLD_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cmd/sotto/output/text.h"
#include "cmd/sotto/rotation/key_calls.h"
#include "cmd/sotto/rotation/rotation.h"
#include "gossip/base/coded_error.h"

namespace sotto::testing {

constexpr double kNever = std::numeric_limits<double>::infinity();

struct PaperMember {
  std::string name;
  std::string state = "alive";
  double takes_after = 0;  // seconds after the key was prepared
  double seals_after = 0;  // seconds after it was activated
  std::string trouble = {};
  std::optional<uint64_t> key_drops = 0;
};

class RotationWorld final : public cli::KeyCalls, public cli::Pause {
 public:
  RotationWorld() {
    for (const char* name : {"gw-1", "gw-2", "gw-3", "gw-4", "gw-5", "gw-6"}) {
      members.push_back({.name = name});
    }
  }

  PaperMember& member(const std::string& name) {
    for (PaperMember& one : members) {
      if (one.name == name) return one;
    }
    members.push_back({.name = name});
    return members.back();
  }
  // Runs once the clock has passed `seconds`, at the next call.
  void At(double seconds, std::function<void()> run) { events_.emplace(seconds, std::move(run)); }
  // The next `count` calls of that name fail: "look", "prepare", "activate", "remove".
  void Fail(const std::string& call, const absl::Status& status, int count = 1) {
    for (int i = 0; i < count; ++i) failures_[call].push_back(status);
  }
  void PrepareBefore() {
    next = 13;
    prepared_at_ = -60;
  }
  void ActivateBefore(const std::string& when) {
    PrepareBefore();
    DoActivate();
    activated_at = when;
    calls.clear();
  }

  // Pause: as long as the call takes, or the sleep.
  double Now() override { return now; }
  bool Sleep(double seconds) override {
    now += seconds;
    Pass();
    return !stop;
  }
  bool interrupted() const override { return stop; }

  absl::StatusOr<cli::KeyStatus> Look(bool ask) override {
    Pass();
    ++looks;
    asked = asked && ask;
    now += 0.02;
    if (absl::Status failed = Failure("look"); !failed.ok()) return failed;
    cli::KeyStatus status;
    status.cluster = "edge-prod";
    status.as_of = "2026-11-21T14:02:11.000Z";
    status.store_ok = store_code.empty();
    status.store_code = store_code;
    status.active = NameOf(active);
    status.activated_at = activated_at;
    if (next != 0) status.next = NameOf(next);
    for (const uint64_t old : retired) {
      const int64_t at = cli::ParseUtc(activated_at).value_or(0) + retire_after_s_ * 1000;
      status.retiring.push_back({NameOf(old), cli::FormatUtc(at)});
    }
    status.retire_after_s = 86'400;
    for (const PaperMember& one : members) status.members.push_back(HolderOf(one));
    return status;
  }

  absl::StatusOr<cli::PreparedKey> Prepare() override {
    calls.emplace_back("prepare");
    now += 0.02;
    if (absl::Status failed = Failure("prepare"); !failed.ok()) return failed;
    const bool resumed = next != 0;
    if (!resumed) {
      next = active + 1;
      prepared_at_ = now;
    }
    return cli::PreparedKey{NameOf(next), NameOf(active), kek, resumed};
  }

  absl::Status Activate(uint64_t generation, const std::vector<std::string>& skip,
                        std::optional<int64_t> retire_after_s) override {
    std::string call = "activate " + std::to_string(generation);
    for (const std::string& name : skip) call += " without " + name;
    if (retire_after_s) call += " retire " + std::to_string(*retire_after_s);
    calls.push_back(call);
    now += 0.02;
    if (absl::Status failed = Failure("activate"); !failed.ok()) return failed;
    retire_after_s_ = retire_after_s.value_or(86'400);
    DoActivate();
    return absl::OkStatus();
  }

  absl::Status Remove(uint64_t generation) override {
    calls.push_back("remove " + std::to_string(generation));
    now += 0.02;
    if (absl::Status failed = Failure("remove"); !failed.ok()) return failed;
    std::erase(retired, generation);
    return absl::OkStatus();
  }

  void DoActivate() {
    retired.push_back(active);
    active = std::exchange(next, 0);
    activated_at = "2026-11-21T14:02:10.000Z";
    active_since_ = now;
  }

  std::vector<PaperMember> members;
  std::vector<std::string> calls;
  uint64_t active = 12;
  uint64_t next = 0;
  std::vector<uint64_t> retired;
  std::string activated_at = "2026-10-22T09:10:00.000Z";
  std::string kek = "main";
  std::string store_code;
  double now = 1000;
  bool stop = false;
  int looks = 0;
  bool asked = true;  // every look so far asked the members

 private:
  static cli::KeyName NameOf(uint64_t generation) {
    return {generation, generation == 12   ? "9f3c-21aa"
                        : generation == 13 ? "41d0-77be"
                                           : "0000-0000"};
  }

  cli::KeyHolder HolderOf(const PaperMember& one) const {
    cli::KeyHolder holder;
    holder.name = one.name;
    holder.state = one.state;
    holder.living = one.state == "alive" || one.state == "suspect";
    // The key of the rotation, prepared or active by now.
    const uint64_t newest = next != 0 ? next : active;
    const bool takes = newest > 12 && now - prepared_at_ >= one.takes_after;
    holder.held = takes ? newest : 12;
    holder.sealing = 12;
    if (takes && active > 12 && now - active_since_ >= one.seals_after) holder.sealing = active;
    if (holder.held < newest) holder.trouble = one.trouble;
    holder.seen_s = holder.living ? 0.5 : 7200;
    holder.in_store = true;
    if (holder.living) holder.key_drops = one.key_drops;
    return holder;
  }

  void Pass() {
    while (!events_.empty() && events_.begin()->first <= now - 1000) {
      const auto run = events_.extract(events_.begin()).mapped();
      run();
    }
  }

  absl::Status Failure(const std::string& call) {
    std::vector<absl::Status>& failures = failures_[call];
    if (failures.empty()) return absl::OkStatus();
    const absl::Status status = failures.front();
    failures.erase(failures.begin());
    return status;
  }

  std::multimap<double, std::function<void()>> events_;
  std::map<std::string, std::vector<absl::Status>> failures_;
  double prepared_at_ = 0, active_since_ = 0;
  int64_t retire_after_s_ = 86'400;
};

// What a terminal shows after these bytes: lines, and of escape sequences the ones for up, clear to
// the end and colours.
class PaperScreen {
 public:
  explicit PaperScreen(const std::string& bytes) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] == '\n') {
        ++row_;
        column_ = 0;
      } else if (bytes[i] == '\r') {
        column_ = 0;
      } else if (bytes[i] == '\x1b') {
        i = Sequence(bytes, i + 2);
      } else {
        Put(bytes[i]);
      }
    }
  }

  std::string Text() const {
    std::string text;
    for (const std::string& line : lines_) {
      text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return text;
  }

 private:
  size_t Sequence(const std::string& bytes, size_t at) {
    size_t number = 0;
    while (at < bytes.size() && bytes[at] >= '0' && bytes[at] <= '9') {
      number = number * 10 + static_cast<size_t>(bytes[at++] - '0');
    }
    if (bytes[at] == 'A') row_ = number > row_ ? 0 : row_ - number;
    if (bytes[at] == 'J' && lines_.size() > row_) lines_.resize(row_);
    return at;
  }
  void Put(char c) {
    if (lines_.size() <= row_) lines_.resize(row_ + 1);
    if (lines_[row_].size() <= column_) lines_[row_].resize(column_ + 1, ' ');
    lines_[row_][column_++] = c;
  }

  std::vector<std::string> lines_;
  size_t row_ = 0, column_ = 0;
};

}  // namespace sotto::testing

#endif  // SOTTO_TESTS_CMD_ROTATION_WORLD_H_
