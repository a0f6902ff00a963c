#include "cmd/sotto/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include "gossip/base/check.h"

namespace sotto::cli {
namespace {

// The handler's only way to the rest of the process.
volatile sig_atomic_t g_raised = 0;
volatile sig_atomic_t g_event = -1;

extern "C" void OnSignal(int) {
  const int error = errno;
  g_raised = 1;
  const uint64_t one = 1;
  // The flag counts; the event only ends a wait.
  [[maybe_unused]] const ssize_t written = write(g_event, &one, sizeof one);
  errno = error;
}

void Catch(int signal, struct sigaction* before) {
  sigaction(signal, nullptr, before);
  if (before->sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(signal, &action, nullptr);
}

}  // namespace

Interrupt::Interrupt() {
  SOTTO_CHECK(g_event < 0);
  g_raised = 0;
  g_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  SOTTO_CHECK(g_event >= 0);
  Catch(SIGINT, &int_before_);
  Catch(SIGTERM, &term_before_);
}

Interrupt::~Interrupt() {
  sigaction(SIGINT, &int_before_, nullptr);
  sigaction(SIGTERM, &term_before_, nullptr);
  close(g_event);
  g_event = -1;
}

bool Interrupt::raised() const { return g_raised != 0; }

bool Interrupt::Sleep(double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(seconds));
  while (g_raised == 0) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) return true;
    pollfd entry{g_event, POLLIN, 0};
    poll(&entry, 1, static_cast<int>(std::min<int64_t>(left, 60'000)));
  }
  return false;
}

}  // namespace sotto::cli
