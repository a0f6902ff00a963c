#include "cmd/sottod/process.h"

#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include <csignal>
#include <ctime>

#include "crypto/secret_bytes.h"

namespace sotto {

bool HardenProcess() {
  umask(077);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
#ifndef SOTTO_SANITIZER
  // A sanitizer's leak check traces its own process.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
  // A reader that goes away is an error of one write, not the end of the daemon.
  std::signal(SIGPIPE, SIG_IGN);
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
  return InitSecureHeap();
}

void NotifyReady() { sd_notify(0, "READY=1"); }

void NotifyReloading() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const long long usec = static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1'000;
  sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", usec);
}

void NotifyStopping() { sd_notify(0, "STOPPING=1"); }

void NotifyStatus(const char* text) { sd_notifyf(0, "STATUS=%s", text); }

}  // namespace sotto
