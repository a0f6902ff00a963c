#include "gossip/broadcast_queue.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include "gossip/base/check.h"
#include "gossip/messages.h"
#include "gossip/row.h"

namespace sotto {
namespace {

// No statement is smaller: a budget below this ends the search.
constexpr size_t kStatementBytesMin = 64;
// So many entries of a class in a row that do not fit, or are left out, end the search in it.
constexpr int kMisfitsMax = 16;
constexpr int kLeftOutMax = 256;
// What a class can save up: longer than any statement.
constexpr size_t kCreditBytesMax = 4'096;

}  // namespace

// ---- what goes in -------------------------------------------------------------------------------

BroadcastQueue::Key BroadcastQueue::KeyOf(const Statement& statement) {
  if (IsSaidKind(statement.kind)) return {statement.hash, {}, {}};
  return {{}, statement.subject, IsOwnersKind(statement.kind) ? std::string() : statement.signer};
}

void BroadcastQueue::Push(BroadcastClass broadcast_class, StatementRef statement) {
  SOTTO_CHECK(IsSaidKind(statement->kind) == (broadcast_class == BroadcastClass::kEvent));
  Key key = KeyOf(*statement);
  if (const auto it = entries_.find(key); it != entries_.end()) {
    if (!Supersedes(*statement, *it->second.statement)) return;
    Erase(it);
  }
  if (IsOwnersKind(statement->kind)) EraseAnsweredBy(*statement);
  const Place place{0, next_age_--};
  const auto it =
      entries_.emplace(std::move(key), Entry{broadcast_class, place, std::move(statement)}).first;
  Of(broadcast_class).order.emplace(place, it);
  KeepBounds(broadcast_class);
}

void BroadcastQueue::EraseAnsweredBy(const Statement& owners) {
  auto it = entries_.lower_bound(Key{{}, owners.subject, {}});
  while (it != entries_.end() && it->first.said == Hash256() &&
         it->first.subject == owners.subject) {
    const auto next = std::next(it);
    if (it->second.statement->incarnation < owners.incarnation) Erase(it);
    it = next;
  }
}

void BroadcastQueue::KeepBounds(BroadcastClass grown) {
  const auto last_of = [](Class& c) { return std::prev(c.order.end())->second; };
  if (grown == BroadcastClass::kEvent && size(grown) > kEntriesKept) Erase(last_of(Of(grown)));
  if (entries_.size() <= kEntriesMax) return;
  const auto over = std::find_if(classes_.rbegin(), classes_.rend(),
                                 [](const Class& c) { return c.order.size() > kEntriesKept; });
  Erase(last_of(*over));
}

// ---- what goes out ------------------------------------------------------------------------------

// One Take under way: how much room is left, and how far each class has been looked through.
class BroadcastQueue::Selection {
 public:
  Selection(const Request& request, const std::array<Class, kBroadcastClasses>& classes)
      : request_(request), classes_(classes), left_(request.bytes) {
    for (size_t c = 0; c < kBroadcastClasses; ++c) {
      next_[c] = classes[c].order.begin();
      if (classes[c].order.empty()) continue;
      const size_t share = request.bytes * kBroadcastShares[c] / 100;
      credits[c] = classes[c].credit;
      credits[c].bytes = std::min(credits[c].bytes + share, std::max(share, kCreditBytesMax));
    }
  }

  void Fill() {
    std::array<size_t, kBroadcastClasses> order{};
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [this](size_t a, size_t b) { return credits[a].waits > credits[b].waits; });
    for (const size_t c : order) TakeGranted(c);
    for (size_t c = 0; c < kBroadcastClasses; ++c) TakeRest(c);
  }

  std::array<std::vector<Entries::iterator>, kBroadcastClasses> taken;
  std::array<Credit, kBroadcastClasses> credits;

 private:
  bool IsFull() const { return left_ < kStatementBytesMin || count_ >= request_.entries_max; }

  // The next entry of a class that is meant for this receiver, or null.
  const Statement* Next(size_t c) {
    for (; next_[c] != classes_[c].order.end(); ++next_[c]) {
      const Statement& statement = *next_[c]->second->second.statement;
      if (statement.signer != request_.to && &statement != request_.except) return &statement;
      if (++left_out_[c] > kLeftOutMax) return nullptr;
    }
    return nullptr;
  }

  void TakeNext(size_t c, size_t size) {
    taken[c].push_back(next_[c]->second);
    ++next_[c];
    ++count_;
    left_ -= size;
  }

  void TakeGranted(size_t c) {
    const size_t share = std::max(request_.entries_max * kBroadcastShares[c] / 100, size_t{1});
    while (taken[c].size() < share) {
      const Statement* statement = Next(c);
      if (statement == nullptr) return;
      const size_t size = WireSizeMax(*statement);
      if (size > credits[c].bytes) return;
      if (IsFull() || size > left_) {
        ++credits[c].waits;
        return;
      }
      credits[c].bytes -= size;
      credits[c].waits = 0;
      TakeNext(c, size);
    }
  }

  void TakeRest(size_t c) {
    for (int misfits = 0; !IsFull() && misfits < kMisfitsMax;) {
      const Statement* statement = Next(c);
      if (statement == nullptr) return;
      const size_t size = WireSizeMax(*statement);
      if (size <= left_) {
        TakeNext(c, size);
        continue;
      }
      ++misfits;
      ++next_[c];
    }
  }

  const Request& request_;
  const std::array<Class, kBroadcastClasses>& classes_;
  size_t left_;
  size_t count_ = 0;
  std::array<Order::const_iterator, kBroadcastClasses> next_;
  std::array<int, kBroadcastClasses> left_out_{};
};

std::vector<StatementRef> BroadcastQueue::Take(const Request& request) {
  std::vector<StatementRef> result;
  if (entries_.empty()) return result;
  Selection selection(request, classes_);
  selection.Fill();
  for (size_t c = 0; c < kBroadcastClasses; ++c) {
    for (const Entries::iterator it : selection.taken[c]) result.push_back(it->second.statement);
    if (!request.count) continue;
    classes_[c].credit = selection.credits[c];
    for (const Entries::iterator it : selection.taken[c]) Count(it, request.transmit_limit);
  }
  return result;
}

void BroadcastQueue::HeardAgain(const Statement& statement, int transmit_limit) {
  const auto it = entries_.find(KeyOf(statement));
  if (it == entries_.end() || it->second.statement->hash != statement.hash) return;
  const BroadcastClass held = it->second.broadcast_class;
  if (held != BroadcastClass::kJoin && held != BroadcastClass::kUpdate) return;
  Count(it, transmit_limit);
}

bool BroadcastQueue::Holds(const Statement& statement) const {
  const auto it = entries_.find(KeyOf(statement));
  return it != entries_.end() && it->second.statement->hash == statement.hash;
}

void BroadcastQueue::DropAccusationsBy(std::string_view signer) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    const auto next = std::next(it);
    if (it->first.accuser == signer) Erase(it);
    it = next;
  }
}

void BroadcastQueue::Erase(Entries::iterator it) {
  Of(it->second.broadcast_class).order.erase(it->second.place);
  entries_.erase(it);
}

void BroadcastQueue::Count(Entries::iterator it, int transmit_limit) {
  Place& place = it->second.place;
  if (place.transmits + 1 >= transmit_limit) {
    Erase(it);
    return;
  }
  Order& order = Of(it->second.broadcast_class).order;
  auto node = order.extract(place);
  ++place.transmits;
  node.key() = place;
  order.insert(std::move(node));
}

}  // namespace sotto
