// The verbs of `sotto`, one a file. Each adds itself to the tree: its sub-verbs, flags and
// examples, and through Context::OnRun what it does.
#ifndef SOTTO_CMD_SOTTO_COMMANDS_COMMANDS_H_
#define SOTTO_CMD_SOTTO_COMMANDS_COMMANDS_H_

#include "cmd/sotto/context.h"

namespace CLI {
class App;
}

namespace sotto::cli {

class Verb;

void AddCerts(Verb& root);
void AddCompletion(Verb& root);
void AddConfig(Verb& root);
void AddEvent(Verb& root);
void AddEvents(Verb& root);
void AddExplain(Verb& root);
void AddForget(Verb& root);
void AddJoin(Verb& root);
void AddKek(Verb& root);
void AddKeys(Verb& root);
void AddLeave(Verb& root);
void AddMembers(Verb& root);
void AddPing(Verb& root);
void AddQuery(Verb& root);
void AddReach(Verb& root);
void AddRtt(Verb& root);
void AddStatus(Verb& root);
void AddStore(Verb& root);
void AddTags(Verb& root);
void AddTop(Verb& root);
void AddVersion(Verb& root);
void AddWait(Verb& root);
void AddWatch(Verb& root);

// In demo.cc:
//   CLI::App* demo = root.add_subcommand("demo", "five encrypted nodes on this machine, in a
//   second"); context.OnRun(demo, [&context, flags] { return RunDemo(context, *flags); });   // the
//   exit code context.AddExample(demo, "sotto demo --once", "every step by itself, then clean up");
void AddDemo(CLI::App& root, Context& context);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMMANDS_COMMANDS_H_
