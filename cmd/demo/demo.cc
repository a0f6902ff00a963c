#include "cmd/demo/demo.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <ostream>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cmd/demo/keyboard.h"
#include "cmd/demo/lab.h"
#include "cmd/demo/process.h"
#include "cmd/demo/story.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {

namespace {

volatile std::sig_atomic_t stop_asked = 0;

void OnSignal(int) { stop_asked = 1; }

// SIGINT, SIGTERM and SIGHUP ask the story to end; what they did before comes back at the end.
class StopSignals {
 public:
  StopSignals() {
    stop_asked = 0;
    struct sigaction action {};
    action.sa_handler = OnSignal;
    for (size_t i = 0; i < kSignals.size(); i++) sigaction(kSignals[i], &action, &before_[i]);
  }
  ~StopSignals() {
    for (size_t i = 0; i < kSignals.size(); i++) sigaction(kSignals[i], &before_[i], nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  const std::vector<int> kSignals{SIGINT, SIGTERM, SIGHUP};
  std::vector<struct sigaction> before_{kSignals.size()};
};

absl::StatusOr<std::string> MakeFolder() {
  std::string path = "/tmp/sotto-demo.XXXXXX";  // short: Unix sockets lie below it
  if (mkdtemp(path.data()) == nullptr) {
    return CodedError(absl::StatusCode::kInternal, "LAB_FILE",
                      absl::StrCat("cannot make ", path, ": ", std::strerror(errno)));
  }
  return path;
}

absl::Status TellAll(const DemoOptions& options, Lab& lab, Narrator& say) {
  Story story(lab, say);
  SOTTO_RETURN_IF_ERROR(story.Begin());
  SOTTO_RETURN_IF_ERROR(story.ShowCipher());
  if (!options.interactive) return story.Tell();
  Keyboard(lab, story, say).Run();
  return absl::OkStatus();
}

}  // namespace

absl::Status FindSottod(std::string* path) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& candidate : {self / "sottod", self.parent_path() / "sottod" / "sottod"}) {
    if (std::filesystem::is_regular_file(candidate, error) &&
        access(candidate.c_str(), X_OK) == 0) {
      *path = candidate.string();
      return absl::OkStatus();
    }
  }
  return CodedError(absl::StatusCode::kNotFound, "DEMO_NO_SOTTOD",
                    absl::StrCat("no sottod beside ", self.string(), "; name it with --sottod"));
}

absl::Status RunDemo(const DemoOptions& options) {
  StopSignals signals;
  SOTTO_ASSIGN_OR_RETURN(const std::string folder, MakeFolder());
  FolderGuard guard(folder);
  LabOptions lab_options;
  lab_options.folder = folder;
  lab_options.sottod = options.sottod;
  Narrator say(*options.out, options.color);
  absl::Status told;
  {
    SOTTO_ASSIGN_OR_RETURN(const std::unique_ptr<Lab> lab, Lab::Create(lab_options));
    lab->interrupted = [] { return stop_asked != 0; };
    told = TellAll(options, *lab, say);
    say.Step(told.ok() ? "Done. Stopping the daemons." : "Stopping the daemons.");
  }
  if (options.keep) {
    guard.Release();
    say.Say(absl::StrCat("The folder stays: ", folder));
  } else {
    say.Say(absl::StrCat("Nothing is left: no process, and ", folder, " is removed."));
  }
  if (stop_asked != 0) return absl::CancelledError("stopped");
  return told;
}

}  // namespace sotto
