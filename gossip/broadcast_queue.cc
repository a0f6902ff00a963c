#include "gossip/broadcast_queue.h"

#include <iterator>

#include "gossip/messages.h"
#include "gossip/row.h"

namespace sotto {
namespace {

// No statement is smaller: a budget below this ends the search.
constexpr size_t kStatementBytesMin = 64;
// So many entries in a row that do not fit end it too; the budget is nearly spent by then.
constexpr int kMisfitsMax = 16;

}  // namespace

BroadcastQueue::Key BroadcastQueue::KeyOf(const Statement& statement) {
  return {statement.subject, IsOwnersKind(statement.kind) ? std::string() : statement.signer};
}

void BroadcastQueue::Push(BroadcastClass broadcast_class, StatementRef statement) {
  const Key key = KeyOf(*statement);
  auto it = entries_.find(key);
  if (it != entries_.end()) {
    if (!Supersedes(*statement, *it->second.statement)) return;
    Erase(it);
  }
  if (key.second.empty()) {
    it = entries_.lower_bound(key);
    while (it != entries_.end() && it->first.first == key.first) {
      const auto next = std::next(it);
      if (it->second.statement->incarnation < statement->incarnation) Erase(it);
      it = next;
    }
  }
  const Place place{broadcast_class, 0, next_age_--};
  it = entries_.emplace(key, Entry{place, std::move(statement)}).first;
  order_.emplace(place, it);
  if (entries_.size() > kEntriesMax) Erase(std::prev(order_.end())->second);
}

std::vector<StatementRef> BroadcastQueue::Take(const Request& request) {
  std::vector<StatementRef> taken;
  std::vector<Entries::iterator> counted;
  size_t left = request.bytes;
  int misfits = 0;
  for (const auto& [place, it] : order_) {
    if (left < kStatementBytesMin || misfits >= kMisfitsMax) break;
    if (taken.size() >= request.entries_max) break;
    const StatementRef& statement = it->second.statement;
    if (statement->signer == request.to || statement.get() == request.except) continue;
    const size_t size = WireSizeMax(*statement);
    if (size > left) {
      ++misfits;
      continue;
    }
    left -= size;
    taken.push_back(statement);
    counted.push_back(it);
  }
  if (request.count) {
    for (const Entries::iterator it : counted) Count(it, request.transmit_limit);
  }
  return taken;
}

void BroadcastQueue::HeardAgain(const Statement& statement, int transmit_limit) {
  const auto it = entries_.find(KeyOf(statement));
  if (it == entries_.end() || it->second.statement->hash != statement.hash) return;
  if (it->second.place.broadcast_class < BroadcastClass::kJoin) return;
  Count(it, transmit_limit);
}

bool BroadcastQueue::Holds(const Statement& statement) const {
  const auto it = entries_.find(KeyOf(statement));
  return it != entries_.end() && it->second.statement->hash == statement.hash;
}

void BroadcastQueue::DropAccusationsBy(std::string_view signer) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    const auto next = std::next(it);
    if (it->first.second == signer) Erase(it);
    it = next;
  }
}

void BroadcastQueue::Erase(Entries::iterator it) {
  order_.erase(it->second.place);
  entries_.erase(it);
}

void BroadcastQueue::Count(Entries::iterator it, int transmit_limit) {
  Place& place = it->second.place;
  if (place.transmits + 1 >= transmit_limit) {
    Erase(it);
    return;
  }
  auto node = order_.extract(place);
  ++place.transmits;
  node.key() = place;
  order_.insert(std::move(node));
}

}  // namespace sotto
