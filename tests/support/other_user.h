// Runs code of a test as an ordinary user, in a process of its own: permissions mean nothing to
// root.
#ifndef SOTTO_TESTS_SUPPORT_OTHER_USER_H_
#define SOTTO_TESTS_SUPPORT_OTHER_USER_H_

#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>

#include "gossip/base/check.h"

namespace sotto {

inline constexpr unsigned kOtherUser = 65'534;  // nobody

// What `body` returns there; "no child" if the process could not be made or did not end well. A
// test that is not run by root stays the user that it is.
inline std::string AsOtherUser(const std::function<std::string()>& body) {
  std::array<int, 2> ends{};
  SOTTO_CHECK(pipe(ends.data()) == 0);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    if (geteuid() == 0) {
      SOTTO_CHECK(setgroups(0, nullptr) == 0);
      SOTTO_CHECK(setresgid(kOtherUser, kOtherUser, kOtherUser) == 0);
      SOTTO_CHECK(setresuid(kOtherUser, kOtherUser, kOtherUser) == 0);
    }
    const std::string text = body();
    size_t put = 0;
    while (put < text.size()) {
      const ssize_t n = write(ends[1], text.data() + put, text.size() - put);
      if (n <= 0) _exit(1);
      put += static_cast<size_t>(n);
    }
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 4096> chunk{};
  for (ssize_t n = 0; (n = read(ends[0], chunk.data(), chunk.size())) > 0;) {
    text.append(chunk.data(), static_cast<size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return "no child";
  return text;
}

}  // namespace sotto

#endif  // SOTTO_TESTS_SUPPORT_OTHER_USER_H_
