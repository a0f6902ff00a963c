// The last changes of the cluster as this daemon saw them, numbered, for `events` and `stream`.
//
// Units: `seq` starts at 1 and rises by one; times are wall clock in milliseconds.
// Ownership: events move in; reads are copies.
// Threads: safe. The listener runs on the appending thread, no lock held.
// Invariant: at most `capacity` events are held; the oldest fall out first.
#ifndef SOTTO_CMD_SOTTOD_EVENT_RING_H_
#define SOTTO_CMD_SOTTOD_EVENT_RING_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "gossip/member.h"

namespace sotto {

struct RingSaid {
  std::string name;
  std::string payload;
  uint64_t lamport = 0;
  bool replayed = false;  // history, not news
};

struct RingEvent {
  uint64_t seq = 0;  // given by the ring
  int64_t unix_ms = 0;
  std::string event;  // "suspected", the words of ToString(EventKind); "user_event", "query"
  std::string member;
  std::vector<std::string> by;
  Incarnation incarnation;
  std::string detail;
  // User events and queries: what was said; nothing for other events.
  std::optional<RingSaid> said;
};

class EventRing {
 public:
  static constexpr size_t kCapacity = 10'000;

  struct Page {
    std::vector<RingEvent> events;  // oldest first
    uint64_t next = 1;              // what to ask for after this page
    bool gap = false;               // events that were asked for have fallen out of the ring
  };

  explicit EventRing(size_t capacity = kCapacity);

  // The number that the event was given.
  uint64_t Append(RingEvent event);
  // Up to `limit` events from number `since` on.
  Page Read(uint64_t since, size_t limit) const;
  // The newest `limit` events.
  Page ReadLast(size_t limit) const;
  // The number that the next event will have.
  uint64_t next_seq() const;

  // Called after each Append; null for none. Returns once no call of the former listener runs.
  void SetListener(std::function<void()> listener);

 private:
  Page ReadLocked(uint64_t since, size_t limit) const;

  const size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<RingEvent> events_;
  uint64_t next_ = 1;
  std::mutex listener_mutex_;
  std::function<void()> listener_;
};

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_EVENT_RING_H_
