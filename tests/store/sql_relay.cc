#include "tests/store/sql_relay.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "gossip/base/check.h"

namespace sotto {
namespace {

constexpr int kLookMs = 20;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  return true;
}

// The statement "COMMIT" as the last thing that a client has sent. PostgreSQL's has a NUL after it.
bool EndsInCommit(std::string_view bytes) {
  if (bytes.ends_with('\0')) bytes.remove_suffix(1);
  return bytes.ends_with("COMMIT");
}

}  // namespace

SqlRelay::SqlRelay(uint16_t target) : target_(target) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  SOTTO_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
  SOTTO_CHECK(listen(listener_, 16) == 0);
  SOTTO_CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

SqlRelay::~SqlRelay() {
  is_stopping_ = true;
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  close(listener_);
}

void SqlRelay::Accept() {
  while (!is_stopping_) {
    pollfd entry{listener_, POLLIN, 0};
    if (poll(&entry, 1, kLookMs) <= 0) continue;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    const std::lock_guard<std::mutex> lock(mutex_);
    threads_.emplace_back([this, client] { Serve(client); });
  }
}

void SqlRelay::Serve(int client) {
  const int server = target_ == 0 ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(target_);
  bool is_open = server < 0 ||
                 connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  bool is_losing = false;
  while (is_open && !is_stopping_) {
    const bool is_silent = is_mute_ || server < 0;
    std::array<pollfd, 2> entries{pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
    if (poll(entries.data(), is_silent ? 0 : 2, kLookMs) <= 0) continue;
    for (size_t side = 0; side < entries.size() && is_open; ++side) {
      if (entries[side].revents == 0) continue;
      std::array<char, 16'384> space{};
      const ssize_t got = recv(entries[side].fd, space.data(), space.size(), 0);
      const std::string_view bytes(space.data(), got > 0 ? static_cast<size_t>(got) : 0);
      if (side == 0 && EndsInCommit(bytes) && commits_to_lose_ > 0) {
        --commits_to_lose_;
        is_losing = true;
      }
      // The server has committed and says so: this is where the line breaks.
      if (side == 1 && is_losing) {
        ++lost_;
        is_open = false;
        break;
      }
      is_open = got > 0 && SendAll(side == 0 ? server : client, bytes);
    }
  }
  close(client);
  if (server >= 0) close(server);
}

}  // namespace sotto
