// The parts of a World that only its own sources see.
#ifndef SOTTO_TESTS_SIM_WORLD_INTERNAL_H_
#define SOTTO_TESTS_SIM_WORLD_INTERNAL_H_

#include <bitset>
#include <map>

#include "tests/sim/world.h"

namespace sotto::sim {

inline constexpr size_t kReplayWindow = 1024;

// The frame layer's replay window of one session (design W6).
class Window {
 public:
  // True if this counter is new, and then marks it.
  bool Accept(uint64_t counter) {
    if (counter + kReplayWindow <= highest_) return false;
    while (highest_ < counter) seen_.reset(++highest_ % kReplayWindow);
    if (seen_.test(counter % kReplayWindow)) return false;
    seen_.set(counter % kReplayWindow);
    return true;
  }

 private:
  uint64_t highest_ = 0;
  std::bitset<kReplayWindow> seen_;
};

// One datagram under way. Bound to the receiving process by its boot id, as its subkey is.
struct World::Datagram {
  uint32_t from = 0, to = 0;
  BootId from_boot, to_boot;
  uint64_t counter = 0;
  StatementRef hello;                    // a hello carries only this
  std::shared_ptr<const Packet> packet;  // else
};

struct World::Node {
  uint32_t index = 0;
  std::string name;
  std::vector<uint32_t> contacts;
  std::unique_ptr<Protocol> core;  // null while no process runs
  uint64_t process = 0;            // unique among all processes of the run
  SelfIdentity identity;
  StatementRef own_alive;
  Hash256 last_said;
  bool paused = false;
  bool leaving = false;
  bool left = false;
  uint32_t disk_boot = 0;
  bool disk_fails = false;
  int busy_percent = 0;
  std::set<uint32_t> refuses;  // addresses to which this machine lets nothing out
  int serving = 0;
  Duration clock_offset;
  Instant booted_at;
  Instant timer_at = Instant::Never();
  Instant last_timer = Instant::Never();
  int spins = 0;
  uint64_t steps = 0;

  std::deque<std::shared_ptr<const Datagram>> held;  // while paused: the socket's queue
  std::deque<std::function<void()>> held_results;    // while paused: what streams have to say
  std::map<BootId, Window> windows;
  std::map<BootId, uint64_t> counters;

  struct TraceEntry {
    Instant at;
    const char* what;
    uint32_t peer;
    std::shared_ptr<const Packet> packet;
    std::string text;
  };
  std::deque<TraceEntry> trace;
};

// One state sync between two processes.
struct World::Exchange {
  SyncId id;
  uint32_t client = 0, server = 0;
  uint64_t client_process = 0, server_process = 0;
  Instant deadline;
  SetHash client_hash;
  SyncTable server_table, client_table;
  std::vector<StatementRef> tombstones;
  std::vector<uint64_t> event_ids;
  EventDifference events;
  uint64_t server_events = 0;
  uint64_t event_clock = 0;
  bool events_only = false;
  bool counted = false;  // among the server's sessions
  bool ping = false;     // a direct probe: silence needs no report
};

inline constexpr uint32_t kNobody = UINT32_MAX;

Endpoint AddressOfNode(uint32_t node);
std::optional<uint32_t> NodeAtAddress(const Endpoint& address);
std::string Describe(const Packet& packet);
std::string Describe(const Statement& statement);

}  // namespace sotto::sim

#endif  // SOTTO_TESTS_SIM_WORLD_INTERNAL_H_
