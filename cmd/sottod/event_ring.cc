#include "cmd/sottod/event_ring.h"

#include <algorithm>
#include <utility>

namespace sotto {

EventRing::EventRing(size_t capacity) : capacity_(std::max<size_t>(capacity, 1)) {}

uint64_t EventRing::Append(RingEvent event) {
  uint64_t seq = 0;
  {
    std::lock_guard lock(mutex_);
    seq = event.seq = next_++;
    events_.push_back(std::move(event));
    if (events_.size() > capacity_) events_.pop_front();
  }
  std::lock_guard lock(listener_mutex_);
  if (listener_) listener_();
  return seq;
}

EventRing::Page EventRing::Read(uint64_t since, size_t limit) const {
  std::lock_guard lock(mutex_);
  return ReadLocked(since, limit);
}

EventRing::Page EventRing::ReadLast(size_t limit) const {
  std::lock_guard lock(mutex_);
  return ReadLocked(next_ - std::min(limit, events_.size()), limit);
}

EventRing::Page EventRing::ReadLocked(uint64_t since, size_t limit) const {
  Page page;
  const uint64_t oldest = next_ - events_.size();
  since = std::max<uint64_t>(since, 1);
  page.gap = since < oldest;
  const uint64_t first = std::max(since, oldest);
  // A number beyond the next one comes from a former life of the daemon: the reader has missed
  // whatever happened in between.
  if (first > next_) page.gap = true;
  const uint64_t begin = std::min(first, next_);
  const uint64_t end = begin + std::min<uint64_t>(limit, next_ - begin);
  for (uint64_t seq = begin; seq < end; ++seq) page.events.push_back(events_[seq - oldest]);
  page.next = end;
  return page;
}

uint64_t EventRing::next_seq() const {
  std::lock_guard lock(mutex_);
  return next_;
}

void EventRing::SetListener(std::function<void()> listener) {
  std::lock_guard lock(listener_mutex_);
  listener_ = std::move(listener);
}

}  // namespace sotto
