#include "cmd/sottod/handler_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"

namespace sotto {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kErrorTextBytesMax = 1024;
// A program that has ended may have left its pipes to others of its group, which are being killed.
constexpr milliseconds kDrainMax{200};
constexpr int kExecFailed = 127;

// Closed at the end of its scope.
class Fd {
 public:
  Fd() = default;
  ~Fd() { Close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  void Set(int fd) {
    Close();
    fd_ = fd;
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  int Release() { return std::exchange(fd_, -1); }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read, write;
  bool Open() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    read.Set(ends[0]);
    write.Set(ends[1]);
    return true;
  }
};

// What the child gets; made before fork, because after it nothing may allocate.
struct Launch {
  const char* program = nullptr;
  std::vector<char*> argv, envp;
  std::vector<std::string> variables;
  int in = -1, out = -1, err = -1, failure = -1;
  pid_t parent = 0;
};

// Between fork and exec: only calls that are safe there.
[[noreturn]] void BecomeProgram(const Launch& launch) {
  const auto fail = [&](int fd) {
    const int error = errno;
    const ssize_t ignored = write(fd, &error, sizeof error);
    static_cast<void>(ignored);
    _exit(kExecFailed);
  };
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != launch.parent) _exit(kExecFailed);  // it died before the kernel was told
  // The daemon ignores SIGPIPE; a program must not inherit that.
  for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // First out of the way of 0 to 3, then to their places.
  const int in = fcntl(launch.in, F_DUPFD, 10);
  const int out = fcntl(launch.out, F_DUPFD, 10);
  const int err = fcntl(launch.err, F_DUPFD, 10);
  const int failure = fcntl(launch.failure, F_DUPFD, 10);
  if (in < 0 || out < 0 || err < 0 || failure < 0) fail(launch.failure);
  if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 || dup2(failure, 3) < 0) {
    fail(failure);
  }
  fcntl(3, F_SETFD, FD_CLOEXEC);
  if (syscall(SYS_close_range, 4u, ~0u, 0u) != 0) fail(3);
  if (chdir("/") != 0) fail(3);
  execve(launch.program, launch.argv.data(), launch.envp.data());
  fail(3);
  _exit(kExecFailed);
}

class Run {
 public:
  Run(const ProgramRun& run, const StopSignal& stop) : run_(run), stop_(stop) {}

  ProgramResult Do() {
    if (const int error = Start(); error != 0) {
      result_.status =
          CodedError(absl::StatusCode::kUnavailable, "HANDLER_NOT_STARTED",
                     absl::StrCat(run_.argv.front(), ": can't be started: ", std::strerror(error)));
      return std::move(result_);
    }
    const Clock::time_point limit = Clock::now() + run_.timeout;
    Watch(limit);
    if (!ended_) EndGroup();
    // Nobody of the group outlives the program: it is a zombie still, so its number is its own.
    kill(-pid_, SIGKILL);
    Drain();
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    Judge(status);
    return std::move(result_);
  }

 private:
  // 0, or the error.
  int Start() {
    Pipe in, out, err, failure;
    if (!in.Open() || !out.Open() || !err.Open() || !failure.Open()) return errno;
    Launch launch;
    launch.program = (run_.program.empty() ? run_.argv.front() : run_.program).c_str();
    for (const std::string& word : run_.argv)
      launch.argv.push_back(const_cast<char*>(word.c_str()));
    launch.argv.push_back(nullptr);
    for (const auto& [name, value] : run_.environment) {
      launch.variables.push_back(absl::StrCat(name, "=", value));
    }
    for (std::string& variable : launch.variables) launch.envp.push_back(variable.data());
    launch.envp.push_back(nullptr);
    launch.in = in.read.get();
    launch.out = out.write.get();
    launch.err = err.write.get();
    launch.failure = failure.write.get();
    launch.parent = getpid();
    pid_ = fork();
    if (pid_ < 0) return errno;
    if (pid_ == 0) BecomeProgram(launch);
    setpgid(pid_, pid_);  // whoever comes first; the other's attempt does no harm
    failure.write.Close();
    int error = 0;
    ssize_t got = 0;
    do {
      got = read(failure.read.get(), &error, sizeof error);
    } while (got < 0 && errno == EINTR);
    pidfd_.Set(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    if (got == sizeof error || !pidfd_.open()) {
      if (got != sizeof error) error = errno;
      kill(-pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      return error;
    }
    in_.Set(in.write.Release());
    out_.Set(out.read.Release());
    err_.Set(err.read.Release());
    for (const Fd* fd : {&in_, &out_, &err_}) fcntl(fd->get(), F_SETFL, O_NONBLOCK);
    return 0;
  }

  // Feeds and reads until the program has ended, `until`, a stop, or too much output.
  void Watch(Clock::time_point until) {
    while (!ended_) {
      const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
      if (left.count() <= 0) {
        if (why_.ok()) {
          why_ = CodedError(absl::StatusCode::kDeadlineExceeded, "HANDLER_TIMEOUT",
                            absl::StrCat(run_.argv.front(), ": still running after ",
                                         run_.timeout.count(), " ms"));
        }
        return;
      }
      Poll(left);
      if (!why_.ok() && !ending_) return;
    }
  }

  void Poll(milliseconds patience) {
    if (in_.open() && written_ == run_.input.size()) in_.Close();
    std::array<pollfd, 5> fds{pollfd{pidfd_.get(), POLLIN, 0}, pollfd{out_.get(), POLLIN, 0},
                              pollfd{err_.get(), POLLIN, 0}, pollfd{in_.get(), POLLOUT, 0},
                              pollfd{ending_ ? -1 : stop_.fd(), POLLIN, 0}};
    const auto wait = std::min<int64_t>(patience.count(), 60'000);
    if (poll(fds.data(), fds.size(), static_cast<int>(wait)) <= 0) return;
    if (fds[3].revents != 0) Feed();
    if (fds[1].revents != 0) ReadOutput();
    if (fds[2].revents != 0) ReadErrors();
    ended_ = (fds[0].revents & POLLIN) != 0;
    if (fds[4].revents != 0 && why_.ok()) {
      why_ = CodedError(absl::StatusCode::kCancelled, "HANDLER_STOPPED",
                        absl::StrCat(run_.argv.front(),
                                     ": ended, because the daemon ends or its "
                                     "handler was taken out"));
    }
  }

  void Feed() {
    const std::string_view rest = std::string_view(run_.input).substr(written_);
    const ssize_t n = write(in_.get(), rest.data(), rest.size());
    if (n > 0) {
      written_ += static_cast<size_t>(n);
    } else if (errno != EAGAIN && errno != EINTR) {
      in_.Close();  // it does not want its input, which is its own affair
    }
  }

  void ReadOutput() {
    std::array<char, 4096> buffer;
    const ssize_t n = read(out_.get(), buffer.data(), buffer.size());
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return out_.Close();
    if (n < 0 || run_.output_bytes_max == 0) return;
    if (result_.output.size() + static_cast<size_t>(n) > run_.output_bytes_max) {
      if (why_.ok()) {
        why_ = CodedError(absl::StatusCode::kResourceExhausted, "HANDLER_OUTPUT_TOO_LONG",
                          absl::StrCat(run_.argv.front(), ": more than ", run_.output_bytes_max,
                                       " bytes of answer; nothing of it is used"));
      }
      return;
    }
    result_.output.append(buffer.data(), static_cast<size_t>(n));
  }

  void ReadErrors() {
    std::array<char, 4096> buffer;
    const ssize_t n = read(err_.get(), buffer.data(), buffer.size());
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return err_.Close();
    if (n < 0) return;
    std::string& text = result_.error_text;
    text.append(buffer.data(), static_cast<size_t>(n));
    if (text.size() > kErrorTextBytesMax) text.erase(0, text.size() - kErrorTextBytesMax);
  }

  // SIGTERM, and SIGKILL for whoever does not heed it.
  void EndGroup() {
    ending_ = true;
    kill(-pid_, SIGTERM);
    Watch(Clock::now() + run_.grace);
    if (ended_) return;
    kill(-pid_, SIGKILL);
    Watch(Clock::now() + std::chrono::hours(1));  // SIGKILL cannot be refused
  }

  void Drain() {
    const Clock::time_point until = Clock::now() + kDrainMax;
    while (out_.open() || err_.open()) {
      const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
      if (left.count() <= 0) return;
      std::array<pollfd, 2> fds{pollfd{out_.get(), POLLIN, 0}, pollfd{err_.get(), POLLIN, 0}};
      if (poll(fds.data(), fds.size(), static_cast<int>(left.count())) <= 0) continue;
      if (fds[0].revents != 0) ReadOutput();
      if (fds[1].revents != 0) ReadErrors();
    }
  }

  void Judge(int status) {
    if (!why_.ok()) {
      result_.status = why_;
    } else if (WIFSIGNALED(status)) {
      result_.status =
          CodedError(absl::StatusCode::kInternal, "HANDLER_FAILED",
                     absl::StrCat(run_.argv.front(), ": ended by signal ", WTERMSIG(status)));
    } else if (WEXITSTATUS(status) != 0) {
      result_.status =
          CodedError(absl::StatusCode::kInternal, "HANDLER_FAILED",
                     absl::StrCat(run_.argv.front(), ": exit code ", WEXITSTATUS(status)));
    }
    if (!result_.status.ok()) result_.output.clear();
  }

  const ProgramRun& run_;
  const StopSignal& stop_;
  ProgramResult result_;
  absl::Status why_;  // what we ended it for
  pid_t pid_ = -1;
  Fd pidfd_, in_, out_, err_;
  size_t written_ = 0;
  bool ended_ = false;
  bool ending_ = false;
};

}  // namespace

StopSignal::StopSignal() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { SOTTO_CHECK(fd_ >= 0); }

StopSignal::~StopSignal() { close(fd_); }

void StopSignal::Stop() {
  const uint64_t one = 1;
  const ssize_t ignored = write(fd_, &one, sizeof one);
  static_cast<void>(ignored);
}

ProgramResult RunProgram(const ProgramRun& run, const StopSignal& stop) {
  return Run(run, stop).Do();
}

}  // namespace sotto
