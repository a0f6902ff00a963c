// sotto completion: scripts for the shells.
#include "cmd/sotto/completion.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>
#include <string>

#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/verb.h"

namespace sotto::cli {

void AddCompletion(Verb& root) {
  Context& context = root.context();
  const CLI::App* tree = root.app();
  Verb verb = root.Sub("completion", "a script that completes verbs, flags and members' names");
  const auto add = [&](const char* shell, std::string (*make)(const CLI::App&)) {
    verb.Sub(shell, std::string("for ") + shell).Run([&context, tree, shell, make] {
      const std::string script = make(*tree);
      const boost::json::value envelope =
          LocalEnvelope("sotto.completion/1", {{"shell", shell}, {"script", script}});
      return PrintOne(context, envelope, [&](std::ostream& out) { out << script; });
    });
  };
  verb.Example("source <(sotto completion bash)", "in ~/.bashrc")
      .Example("sotto completion zsh > \"${fpath[1]}/_sotto\"", "once")
      .Example("sotto completion fish | source", "in config.fish");
  add("bash", BashCompletion);
  add("zsh", ZshCompletion);
  add("fish", FishCompletion);
}

}  // namespace sotto::cli
