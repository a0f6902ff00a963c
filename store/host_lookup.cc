#include "store/host_lookup.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "store/sql_internal.h"

namespace sotto {
namespace {

struct Answer {
  int error = 0;  // of getaddrinfo
  std::vector<std::string> addresses;
};

Answer Ask(const std::string& host) {
  Answer answer;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  answer.error = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (answer.error != 0) return answer;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) != 0) {
      continue;
    }
    const std::string address = text.data();
    if (std::find(answer.addresses.begin(), answer.addresses.end(), address) ==
        answer.addresses.end()) {
      answer.addresses.push_back(address);
    }
  }
  freeaddrinfo(list);
  return answer;
}

// Shared with the thread that may be left behind.
struct Question {
  std::mutex mutex;
  std::condition_variable done;
  std::optional<Answer> answer;
};

bool IsIp(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> space{};
  return inet_pton(AF_INET, host.c_str(), space.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), space.data()) == 1;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> LookUpHost(const std::string& host,
                                                    const std::string& where, SqlTime deadline) {
  if (IsIp(host)) return std::vector<std::string>{host};
  const auto question = std::make_shared<Question>();
  std::thread([question, host] {
    Answer answer = Ask(host);
    const std::lock_guard<std::mutex> lock(question->mutex);
    question->answer = std::move(answer);
    question->done.notify_all();
  }).detach();
  std::unique_lock<std::mutex> lock(question->mutex);
  if (!question->done.wait_until(lock, deadline, [&] { return question->answer.has_value(); })) {
    return internal::DbTimeout(where, absl::StrCat("the name ", host, " was looked up"));
  }
  Answer answer = *std::move(question->answer);
  if (answer.error != 0 || answer.addresses.empty()) {
    return internal::DbError(absl::StatusCode::kUnavailable, "DB_HOST_UNKNOWN", where,
                             absl::StrCat("the host ", host, " has no address: ",
                                          answer.error != 0 ? gai_strerror(answer.error)
                                                            : "none of a kind in use here"));
  }
  return std::move(answer.addresses);
}

}  // namespace sotto
