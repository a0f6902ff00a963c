// HTTP/1.1 on the admin socket: framing, limits, deadlines, permissions, and the event stream.
// What the calls mean is in admin_routes.h.
//
// Threads: one for all connections, which never blocks; one for status, four for commands. Made and
// stopped by one thread.
// Ownership: backend and events are borrowed and outlive the server.
// Invariant: memory is bounded, whatever clients do: connections, header, body, commands waiting
// and what one stream has not taken yet.
#ifndef SOTTO_CMD_SOTTOD_ADMIN_SERVER_H_
#define SOTTO_CMD_SOTTOD_ADMIN_SERVER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "cmd/sottod/admin_backend.h"
#include "cmd/sottod/admin_socket.h"
#include "cmd/sottod/event_ring.h"

namespace sotto {

class AdminServer {
 public:
  static constexpr uint32_t kHeaderBytesMax = 8 * 1024;
  static constexpr uint64_t kBodyBytesMax = 64 * 1024;

  struct Options {
    size_t connections_max = 64;
    size_t streams_max = 32;   // of the connections, so that commands always get through
    size_t commands_max = 16;  // running or waiting
    // For a client to send its whole request, and to take the answer.
    std::chrono::milliseconds deadline = std::chrono::seconds(10);
    // For a stream's client to take what was written to it.
    std::chrono::milliseconds stream_deadline = std::chrono::seconds(60);
    std::chrono::milliseconds comment_interval = std::chrono::seconds(15);
  };

  // Begins to accept on `socket`, which others may have connected to before.
  AdminServer(Options options, std::unique_ptr<AdminSocket> socket, AdminBackend* backend,
              EventRing* events);
  // Stops, and waits for commands that still run.
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  // Accepts nobody any more, lets answers that are under way go out for up to `grace`, then cuts
  // all. False if a command still runs.
  bool Stop(std::chrono::milliseconds grace);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_ADMIN_SERVER_H_
