#include "cmd/demo/process.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"

extern char** environ;

namespace sotto {

namespace {

constexpr std::chrono::milliseconds kReapPoll{5};
constexpr int kExecFailed = 127;

absl::Status StartError(std::string_view what) {
  return CodedError(absl::StatusCode::kInternal, "PROCESS_START_FAILED",
                    absl::StrCat(std::string(what), ": ", std::strerror(errno)));
}

std::vector<std::string> EnvironmentOf(const ChildProcess::Options& options) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; entry++) {
    if (!std::string_view(*entry).starts_with("SOTTO_")) out.emplace_back(*entry);
  }
  for (const auto& [name, value] : options.env) out.push_back(absl::StrCat(name, "=", value));
  return out;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// Between fork and exec: only what is safe in a child of a process with threads.
[[noreturn]] void BecomeChild(char* const* argv, char* const* env, int in, int out, pid_t parent,
                              const ChildProcess::Options& options) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kExecFailed);
  // A group of its own: a terminal's Ctrl-C is for us, who then end our children in order.
  setpgid(0, 0);
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  if (options.net_namespace >= 0 && setns(options.net_namespace, CLONE_NEWNET) != 0) {
    _exit(kExecFailed);
  }
  if (options.uid.has_value()) {
    const uid_t uid = *options.uid;
    const gid_t gid = uid;
    if (setgroups(0, nullptr) != 0 || setgid(gid) != 0 || setuid(uid) != 0) _exit(kExecFailed);
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a change of the user clears it
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
  signal(SIGPIPE, SIG_DFL);
  execve(argv[0], argv, env);
  _exit(kExecFailed);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const Options& options) {
  std::vector<std::string> argv_texts = options.argv, env_texts = EnvironmentOf(options);
  const std::vector<char*> argv = Pointers(argv_texts), env = Pointers(env_texts);
  const int in = options.input >= 0 ? fcntl(options.input, F_DUPFD_CLOEXEC, 0)
                                    : open("/dev/null", O_RDONLY | O_CLOEXEC);
  const std::string& path = options.output.empty() ? std::string("/dev/null") : options.output;
  const int out = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (in < 0 || out < 0) {
    absl::Status failed = StartError(absl::StrCat("cannot open ", path));
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    return failed;
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) BecomeChild(argv.data(), env.data(), in, out, parent, options);
  const absl::Status failed = pid < 0 ? StartError("fork") : absl::OkStatus();
  close(in);
  close(out);
  if (!failed.ok()) return failed;
  return std::unique_ptr<ChildProcess>(new ChildProcess(pid));
}

ChildProcess::~ChildProcess() {
  if (Reap(false)) return;
  kill(pid_, SIGKILL);
  Reap(true);
}

bool ChildProcess::Reap(bool block) {
  if (exit_.has_value()) return true;
  int status = 0;
  pid_t got;
  do {
    got = waitpid(pid_, &status, block ? 0 : WNOHANG);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return false;
  if (got < 0) {
    exit_ = -1;
  } else {
    exit_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return true;
}

bool ChildProcess::Running() { return !Reap(false); }

void ChildProcess::Signal(int signal) {
  if (!Reap(false)) kill(pid_, signal);
}

std::optional<int> ChildProcess::Wait(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!Reap(false)) {
    if (std::chrono::steady_clock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(kReapPoll);
  }
  return exit_;
}

FolderGuard::FolderGuard(const std::string& folder) : folder_(folder) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return;
  child_ = fork();
  if (child_ == 0) {
    setsid();
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    const int wait_on = dup2(ends[0], STDIN_FILENO);
    close_range(3, ~0U, 0);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    char word = 0;
    ssize_t got;
    do {
      got = read(wait_on, &word, 1);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
      // The daemons die by the kernel's hand at the same moment; they may still be writing.
      std::error_code ignored;
      for (int tries = 0; tries < 20 && std::filesystem::exists(folder_, ignored); tries++) {
        std::filesystem::remove_all(folder_, ignored);
        usleep(100'000);
      }
    }
    _exit(0);
  }
  close(ends[0]);
  pipe_ = ends[1];
}

void FolderGuard::EndChild(char word) {
  if (pipe_ >= 0) {
    (void)!write(pipe_, &word, 1);
    close(pipe_);
    pipe_ = -1;
  }
  if (child_ > 0) waitpid(child_, nullptr, 0);
  child_ = -1;
}

void FolderGuard::Release() {
  EndChild('k');
  folder_.clear();
}

FolderGuard::~FolderGuard() {
  EndChild('d');
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

}  // namespace sotto
