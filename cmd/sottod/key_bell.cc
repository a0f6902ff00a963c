#include "cmd/sottod/key_bell.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "gossip/base/check.h"
#include "store/key_table.h"

namespace sotto {
namespace {

constexpr std::chrono::seconds kListenDeadline{3};
constexpr std::chrono::seconds kListenAgain{30};

}  // namespace

KeyBell::KeyBell() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { SOTTO_CHECK(fd_ >= 0); }

KeyBell::~KeyBell() { close(fd_); }

void KeyBell::Ring(KeyWake wake) {
  const auto wanted = static_cast<int64_t>(wake);
  int64_t held = wish_ms_.load();
  while ((held < 0 || wanted < held) && !wish_ms_.compare_exchange_weak(held, wanted)) {
  }
  // A counter that is full has woken already.
  static_cast<void>(eventfd_write(fd_, 1));
}

void KeyBell::Stop() {
  stopped_ = true;
  static_cast<void>(eventfd_write(fd_, 1));
}

KeyBell::Clock::time_point KeyBell::Due(Clock::time_point last,
                                        std::chrono::milliseconds interval) const {
  const int64_t wish_ms = wish_ms_.load();
  if (wish_ms < 0) return last + interval;
  return last + std::min(interval, std::chrono::milliseconds(wish_ms));
}

void KeyBell::Wait(Clock::time_point last, std::chrono::milliseconds interval, Database* database,
                   const std::string& cluster) {
  while (!stopped_) {
    const Clock::time_point due = Due(last, interval);
    if (Clock::now() >= due) break;
    Sleep(due, database, cluster);
    Drain();
  }
  wish_ms_ = -1;
}

void KeyBell::Sleep(Clock::time_point until, Database* database, const std::string& cluster) {
  if (database != nullptr && database->dialect() == SqlDialect::kPostgres) Listen(database);
  if (listener_ == nullptr) {
    pollfd wait{fd_, POLLIN, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    poll(&wait, 1, static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000)));
    return;
  }
  const absl::StatusOr<std::optional<SqlNotification>> note =
      listener_->WaitForNotification(until, fd_);
  if (!note.ok()) {
    listener_ = nullptr;
    return;
  }
  if (note->has_value() && (*note)->payload == cluster) Ring(KeyWake::kNotified);
}

void KeyBell::Listen(Database* database) {
  if (listener_ != nullptr && listener_->IsUsable()) return;
  listener_ = nullptr;
  if (Clock::now() < listen_after_) return;
  listen_after_ = Clock::now() + kListenAgain;
  absl::StatusOr<std::unique_ptr<SqlConnection>> made =
      database->Connect(Clock::now() + kListenDeadline);
  if (!made.ok()) return;
  if (!(*made)->Listen(kKeysChannel, Clock::now() + kListenDeadline).ok()) return;
  listener_ = *std::move(made);
}

void KeyBell::Drain() {
  eventfd_t ignored = 0;
  static_cast<void>(eventfd_read(fd_, &ignored));
}

}  // namespace sotto
