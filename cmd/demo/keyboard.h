// The demo's keys: a terminal that gives single keys, and what each key does.
#ifndef SOTTO_CMD_DEMO_KEYBOARD_H_
#define SOTTO_CMD_DEMO_KEYBOARD_H_

#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "cmd/demo/lab.h"
#include "cmd/demo/story.h"
#include "cmd/sotto/terminal.h"

namespace sotto {

// Runs until the user quits: keys act, and what the daemons report is printed as it comes.
class Keyboard {
 public:
  Keyboard(Lab& lab, Story& story, Narrator& say) : lab_(lab), story_(story), say_(say) {}
  void Run();

 private:
  void Help();
  bool Act(char key);
  void Kill();
  void Freeze();
  void Leave();
  void Restart();
  void HealAll();
  void PrintNews();
  // The last running node that is not frozen; -1 if only one is left.
  int Victim();

  Lab& lab_;
  Story& story_;
  Narrator& say_;
  std::set<int> frozen_;
  std::map<int, int64_t> next_event_;
};

}  // namespace sotto

#endif  // SOTTO_CMD_DEMO_KEYBOARD_H_
