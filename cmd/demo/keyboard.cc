#include "cmd/demo/keyboard.h"

#include <signal.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"

namespace sotto {

namespace {
constexpr std::chrono::milliseconds kKeyPoll{150};
}  // namespace

void Keyboard::Help() {
  say_.Plain("");
  say_.Plain("[p] partition 2|3   [k] kill one     [f] freeze one   [h] heal and thaw");
  say_.Plain("[l] one leaves      [r] restart      [m] members      [x] strangers knock");
  say_.Plain("[t] the whole story [q] stop and clean up");
  say_.Plain(absl::StrCat("In another terminal: sotto --target unix:", lab_.File(0, "admin.sock"),
                          " members"));
}

int Keyboard::Victim() {
  const std::vector<int> running = story_.Running();
  for (size_t i = running.size(); i-- > 1;) {
    if (!frozen_.contains(running[i])) return running[i];
  }
  return -1;
}

void Keyboard::Kill() {
  const int victim = Victim();
  if (victim < 0) return say_.Say("Only one is left; [r] starts the others again.");
  say_.Step(absl::StrCat("SIGKILL to ", lab_.name(victim), "."));
  lab_.Kill(victim);
}

void Keyboard::Freeze() {
  const int victim = Victim();
  if (victim < 0) return say_.Say("Only one is left; [r] starts the others again.");
  say_.Step(absl::StrCat("SIGSTOP to ", lab_.name(victim), ": it hangs, and [h] lets it go on."));
  lab_.process(victim)->Signal(SIGSTOP);
  frozen_.insert(victim);
}

void Keyboard::Leave() {
  const int node = Victim();
  if (node < 0) return say_.Say("Only one is left; [r] starts the others again.");
  say_.Step(absl::StrCat(lab_.name(node), " leaves."));
  const auto left = lab_.Post(node, "/v1/leave", boost::json::object{{"timeout_s", 5}});
  if (!left.ok()) say_.Say(Describe(left.status()));
}

void Keyboard::Restart() {
  for (int node = 0; node < Story::kNodes; node++) {
    if (lab_.process(node)->Running()) continue;
    say_.Step(absl::StrCat("Starting ", lab_.name(node), "."));
    next_event_.erase(node);
    const absl::Status started = lab_.Start(node);
    if (!started.ok()) say_.Say(Describe(started));
  }
}

void Keyboard::HealAll() {
  say_.Step("Healing the network, thawing the frozen.");
  for (const int node : frozen_) lab_.process(node)->Signal(SIGCONT);
  frozen_.clear();
  lab_.relay()->Heal();
}

bool Keyboard::Act(char key) {
  switch (key) {
    case 'q':
      return false;
    case 'p':
      (void)story_.Partition();
      break;
    case 'k':
      Kill();
      break;
    case 'f':
      Freeze();
      break;
    case 'h':
      HealAll();
      break;
    case 'l':
      Leave();
      break;
    case 'r':
      Restart();
      break;
    case 'm':
      for (const int node : story_.Running()) {
        if (!frozen_.contains(node)) return story_.ShowMembers(node), true;
      }
      break;
    case 'x': {
      const absl::Status done = story_.Foreigners();
      if (!done.ok()) say_.Say(Describe(done));
      break;
    }
    case 't': {
      HealAll();
      Restart();
      const absl::Status told = story_.Tell();
      if (!told.ok()) say_.Say(Describe(told));
      Help();
      break;
    }
    default:
      Help();
  }
  return true;
}

// What each daemon reports since we last asked. A frozen one is not asked: it would not answer.
void Keyboard::PrintNews() {
  for (const int node : story_.Running()) {
    if (frozen_.contains(node)) continue;
    const int64_t since = next_event_.contains(node) ? next_event_[node] : 0;
    const auto answer = lab_.Get(node, absl::StrCat("/v1/events?since=", since, "&limit=200"));
    if (!answer.ok() || !answer->is_object()) continue;
    const auto* data = answer->as_object().if_contains("data");
    const auto* next = answer->as_object().if_contains("next");
    if (next == nullptr || !next->is_number() || data == nullptr || !data->is_array()) continue;
    next_event_[node] = next->to_number<int64_t>();
    if (since == 0) continue;  // what was before the keys is told already
    for (const auto& event : data->as_array()) {
      const auto* object = event.if_object();
      const auto* word = object == nullptr ? nullptr : object->if_contains("event");
      const auto* member = object == nullptr ? nullptr : object->if_contains("member");
      if (word == nullptr || !word->is_string()) continue;
      const bool named = member != nullptr && member->is_string();
      say_.Say(absl::StrCat(lab_.name(node), ": ", named ? member->as_string().c_str() : "", " ",
                            word->as_string().c_str()));
    }
  }
}

void Keyboard::Run() {
  Help();
  RawTerminal terminal;
  PrintNews();
  while (!lab_.interrupted || !lab_.interrupted()) {
    const char key = terminal.Key(kKeyPoll);
    if (key != 0 && !Act(key)) return;
    PrintNews();
  }
}

}  // namespace sotto
