// What every verb of `sotto` works with: where to write, what the global flags say, how to fail.
//
// Data goes to out(), talk and errors to err(); nothing else writes to the terminal.
// Threads: none; one command runs at a time.
#ifndef SOTTO_CMD_SOTTO_CONTEXT_H_
#define SOTTO_CMD_SOTTO_CONTEXT_H_

#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/sotto/exit_code.h"

namespace CLI {
class App;
}

namespace sotto::cli {

class ApiClient;

enum class Format { kTable, kWide, kJson, kJsonl, kTsv };

// Where a command reads and writes, and what stands behind it.
struct Streams {
  std::istream* in = nullptr;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  int columns = 80;  // of the terminal behind `out`
};

// The global flags as they were given.
struct GlobalFlags {
  std::string target;    // empty: the default socket
  std::string config;    // empty: the default file
  double timeout_s = 0;  // 0: what the verb thinks fit
  std::string format = "table";
  std::string color = "auto";
  std::string progress = "auto";
  bool no_headers = false;
  bool yes = false;
  bool quiet = false;
};

// Why a command did not do what was asked, as the user reads it:
//   error DAEMON_UNREACHABLE: no sottod answers on /run/sotto/admin.sock
//     tried   socket exists: no
//     do      systemctl status sottod
struct Complaint {
  ExitCode exit = kExitFailed;
  std::string code;
  std::string message;
  // tried, what, why, state, do: in this order, each one line.
  std::vector<std::pair<std::string, std::string>> lines;

  Complaint& Add(std::string label, std::string text);
};

// The complaint that a status of the library makes: its code's page gives the why and the do.
Complaint ComplaintOf(const absl::Status& status);
// The exit code that fits a status.
ExitCode ExitCodeOf(const absl::Status& status);

class Context {
 public:
  explicit Context(Streams streams);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  std::istream& in() { return *streams_.in; }
  std::ostream& out() { return *streams_.out; }
  std::ostream& err() { return *streams_.err; }
  const Streams& streams() const { return streams_; }
  GlobalFlags& flags() { return flags_; }
  const GlobalFlags& flags() const { return flags_; }

  Format format() const;
  bool color_out() const;  // whether escape sequences may be written to out()
  bool color_err() const;

  // Prints at most eight lines to err() and returns the exit code.
  int Fail(const Complaint& complaint);
  int Fail(const absl::Status& status) { return Fail(ComplaintOf(status)); }
  // A line of talk to err(); silent with --quiet.
  void Note(std::string_view text);
  // Asks on the terminal. True without asking with --yes; false where there is no terminal.
  bool Confirm(std::string_view question);
  // What to fail with after Confirm() said false: NOT_CONFIRMED, or CONFIRMATION_NEEDED if nobody
  // could be asked.
  Complaint NotConfirmed() const;

  // The daemon to talk to, by --target, SOTTO_TARGET, the configuration's admin.socket, the
  // default.
  absl::StatusOr<std::string> SocketPath() const;
  // The configuration file that verbs read: --config, else the default path.
  std::string ConfigPath() const;
  // A client of that daemon; the deadline is --timeout, or five seconds.
  absl::StatusOr<ApiClient> Client() const;
  // --timeout, or `fallback_s` if it was not given.
  double TimeoutOr(double fallback_s) const {
    return flags_.timeout_s > 0 ? flags_.timeout_s : fallback_s;
  }

  // What runs if `app` is the innermost verb on the command line; the result is the exit code.
  // Verbs call this instead of CLI11's callbacks, which would run the outer verb as well.
  void OnRun(const CLI::App* app, std::function<int()> run);
  // Shown at the head of the verb's help, in order: a command line and what it does.
  void AddExample(const CLI::App* app, std::string command, std::string meaning);

  const std::function<int()>* FindRun(const CLI::App* app) const;
  struct Example {
    std::string command, meaning;
  };
  const std::vector<Example>& ExamplesOf(const CLI::App* app) const;

 private:
  bool Color(bool terminal) const;

  Streams streams_;
  GlobalFlags flags_;
  std::map<const CLI::App*, std::function<int()>> runs_;
  std::map<const CLI::App*, std::vector<Example>> examples_;
};

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_CONTEXT_H_
