#include "store/sql_internal.h"

#include <poll.h>

#include <array>
#include <cerrno>

namespace sotto::internal {

int PollUntil(int fd, int events, int wake_fd, SqlTime deadline) {
  while (true) {
    std::array<pollfd, 2> entries{pollfd{fd, static_cast<short>(events), 0},
                                  pollfd{wake_fd, POLLIN, 0}};
    const auto left = std::min<int64_t>(LeftUntil(deadline).count(), 60'000);
    const int ready = poll(entries.data(), entries.size(), static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready > 0) return entries[0].revents;
    if (ready < 0 || LeftUntil(deadline).count() == 0) return 0;
  }
}

}  // namespace sotto::internal
