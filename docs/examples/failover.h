// The code under test in failover_test.cc: which of two or more copies of a service is the active
// one. Yours will be longer; what matters is that it hears of the cluster by WatchItems alone, so
// that a real node and a simulated cluster can drive it.
#ifndef SOTTO_DOCS_EXAMPLES_FAILOVER_H_
#define SOTTO_DOCS_EXAMPLES_FAILOVER_H_

#include <sotto/node.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>

// Active is the lowest name alive, among a majority. Whoever is to become active waits first, so
// that a former one on the other side of a partition has noticed that it is cut off.
class Failover {
 public:
  using Timer = std::function<void(std::chrono::nanoseconds, std::function<void()>)>;

  // `members`: how many there are when all is well. `timer` calls back once, after a delay.
  Failover(std::string self, size_t members, std::chrono::nanoseconds wait, Timer timer)
      : self_(std::move(self)), members_(members), wait_(wait), timer_(std::move(timer)) {}

  void Handle(const sotto::WatchItem& item) {
    const bool chosen = item.view->leader == self_ && HasMajority(*item.view);
    if (chosen == chosen_) return;
    chosen_ = chosen;
    active_ = false;
    if (!chosen) return;
    const int turn = ++turns_;
    timer_(wait_, [this, turn] { active_ = chosen_ && turn == turns_; });
  }

  bool active() const { return active_; }

 private:
  bool HasMajority(const sotto::NodeView& view) const {
    size_t alive = 0;
    for (const sotto::MemberInfo& member : view.members) {
      alive += member.state == sotto::MemberState::kAlive;
    }
    return !view.standing.isolated && alive * 2 > members_;
  }

  std::string self_;
  size_t members_;
  std::chrono::nanoseconds wait_;
  Timer timer_;
  bool chosen_ = false;
  bool active_ = false;
  int turns_ = 0;
};

#endif  // SOTTO_DOCS_EXAMPLES_FAILOVER_H_
