// `sotto demo`: see cmd/demo.
#include "cmd/demo/demo.h"

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/context.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/coded_error.h"

namespace sotto::cli {

namespace {

struct Flags {
  bool once = false;
  bool keep = false;
  std::string sottod;
};

int Demo(Context& context, const Flags& flags) {
  DemoOptions options;
  options.sottod = flags.sottod;
  if (options.sottod.empty()) {
    const absl::Status found = FindSottod(&options.sottod);
    if (!found.ok()) return context.Fail(found);
  } else if (std::error_code error; !std::filesystem::is_regular_file(options.sottod, error) ||
                                    access(options.sottod.c_str(), X_OK) != 0) {
    return context.Fail(CodedError(absl::StatusCode::kNotFound, "DEMO_NO_SOTTOD",
                                   options.sottod + " is not a program that can be started"));
  }
  options.interactive =
      !flags.once && context.streams().in_is_terminal && context.streams().out_is_terminal;
  options.keep = flags.keep;
  options.color = context.color_out();
  options.out = &context.out();
  const absl::Status told = RunDemo(options);
  if (told.ok()) return kExitOk;
  if (absl::IsCancelled(told)) {
    context.Note("Stopped before the end.");
    return kExitFailed;
  }
  return context.Fail(told);
}

}  // namespace

void AddDemo(CLI::App& root, Context& context) {
  auto flags = std::make_shared<Flags>();
  Verb(&root, &context)
      .Sub("demo", "five encrypted nodes on this machine: killed, cut apart, healed")
      .Switch("--once", &flags->once, "tell the whole story and end, also on a terminal")
      .Switch("--keep", &flags->keep, "leave the folder with logs and configurations")
      .Text("--sottod", &flags->sottod, "PATH", "the daemon's program (default: beside sotto)")
      .Example("sotto demo", "on a terminal: keys do these things by hand")
      .Example("sotto demo --once", "every step by itself, then clean up")
      .Run([&context, flags] { return Demo(context, *flags); });
}

}  // namespace sotto::cli
