#include "gossip/queries.h"

#include <algorithm>
#include <utility>

#include "gossip/base/check.h"
#include "gossip/user_events.h"

namespace sotto {
namespace {

constexpr int kSilent = 0;
constexpr int kAcked = 1;
constexpr int kAnswered = 2;

}  // namespace

// ---- own ----------------------------------------------------------------------------------------

void OwnQueries::Open(const StatementRef& query, std::vector<std::string> expected,
                      Instant ends_at) {
  Query entry{query->hash, ends_at, {}, 0, 0};
  for (std::string& name : expected) entry.members.emplace(std::move(name), kSilent);
  open_.insert_or_assign(KeyOfQuery(query->hash), std::move(entry));
}

OwnQueries::Heard OwnQueries::Hear(const QueryKey& query, std::string_view from, bool is_ack,
                                   Hash256* id) {
  const auto it = open_.find(query);
  if (it == open_.end()) return Heard::kLate;
  const auto member = it->second.members.find(from);
  if (member == it->second.members.end()) return Heard::kUnasked;
  const int state = is_ack ? kAcked : kAnswered;
  if (member->second >= state) return Heard::kDuplicate;
  if (member->second == kSilent) ++it->second.acked;
  if (!is_ack) ++it->second.answered;
  member->second = state;
  *id = it->second.id;
  return is_ack ? Heard::kAck : Heard::kAnswer;
}

QuerySummary OwnQueries::SummaryOf(const Query& query) {
  QuerySummary summary;
  summary.expected = query.members.size();
  summary.acked = query.acked;
  summary.answered = query.answered;
  for (const auto& [name, state] : query.members) {
    if (state == kSilent) summary.silent.push_back(name);
  }
  summary.timed_out = query.answered < query.members.size();
  return summary;
}

std::vector<OwnQueries::Ended> OwnQueries::TakeEnded(Instant now) {
  std::vector<Ended> ended;
  std::erase_if(open_, [&](const auto& entry) {
    const Query& query = entry.second;
    if (query.answered < query.members.size() && now < query.ends_at) return false;
    ended.push_back({query.id, SummaryOf(query)});
    return true;
  });
  return ended;
}

Instant OwnQueries::NextEnd() const {
  Instant next = Instant::Never();
  for (const auto& [key, query] : open_) next = std::min(next, query.ends_at);
  return next;
}

// ---- heard --------------------------------------------------------------------------------------

bool HeardQueries::Admit(const Statement& query) {
  SOTTO_CHECK(query.said && std::holds_alternative<SaidQuery>(*query.said));
  const uint64_t lamport = std::get<SaidQuery>(*query.said).lamport;
  const uint32_t boot_number = query.incarnation.boot_number();
  auto it = origins_.find(query.signer);
  if (it == origins_.end()) {
    if (origins_.size() >= kOriginsMax) {
      origins_.erase(std::min_element(
          origins_.begin(), origins_.end(),
          [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
    }
    it = origins_.emplace(query.signer, Record{boot_number, 0, {}, 0}).first;
  }
  Record& record = it->second;
  record.used = next_use_++;
  if (boot_number < record.boot_number) return false;
  if (boot_number > record.boot_number) record = {boot_number, 0, {}, record.used};
  if (lamport <= record.floor || !record.recent.insert(lamport).second) return false;
  if (record.recent.size() > kRecentMax) {
    record.floor = *record.recent.begin();
    record.recent.erase(record.recent.begin());
  }
  return true;
}

void HeardQueries::DropEnded(Instant now) {
  std::erase_if(open_, [now](const auto& entry) { return entry.second.deadline <= now; });
}

bool HeardQueries::Keep(Instant now, const StatementRef& query, Instant deadline) {
  DropEnded(now);
  const auto of_origin = std::count_if(open_.begin(), open_.end(), [&](const auto& entry) {
    return entry.second.query->signer == query->signer;
  });
  if (open_.size() >= kOpenMax || of_origin >= static_cast<std::ptrdiff_t>(kOpenPerOriginMax)) {
    return false;
  }
  open_.insert_or_assign(KeyOfQuery(query->hash), Open{query, deadline, false});
  return true;
}

void HeardQueries::Close(const QueryKey& query) { open_.erase(query); }

HeardQueries::Open* HeardQueries::Find(Instant now, const QueryKey& query) {
  DropEnded(now);
  const auto it = open_.find(query);
  return it == open_.end() ? nullptr : &it->second;
}

// ---- outbox -------------------------------------------------------------------------------------

void AnswerOutbox::Add(Instant now, StatementRef answer, int relays, Instant deadline,
                       Duration interval) {
  const auto& said = std::get<SaidAnswer>(*answer->said);
  const auto ack = entries_.find({said.query, true});
  if (!said.is_ack && ack != entries_.end()) entries_.erase(ack);
  const auto of_origin = std::count_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return std::get<SaidAnswer>(*entry.second.answer->said).origin == said.origin;
  });
  if (entries_.size() >= kEntriesMax || of_origin >= static_cast<std::ptrdiff_t>(kPerOriginMax)) {
    return;
  }
  entries_.insert_or_assign({said.query, said.is_ack},
                            Entry{std::move(answer), relays, deadline, now, interval, 0});
}

void AnswerOutbox::DropOf(std::string_view origin) {
  std::erase_if(entries_, [&](const auto& entry) {
    return std::get<SaidAnswer>(*entry.second.answer->said).origin == origin;
  });
}

void AnswerOutbox::Confirm(uint64_t prefix, std::string_view origin) {
  std::erase_if(entries_, [&](const auto& entry) {
    const Statement& answer = *entry.second.answer;
    return PrefixOf(answer.hash) == prefix && std::get<SaidAnswer>(*answer.said).origin == origin;
  });
}

std::vector<AnswerOutbox::Due> AnswerOutbox::TakeDue(Instant now) {
  std::vector<Due> due;
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = it->second;
    const auto next = std::next(it);
    if (entry.due > now) {
      it = next;
      continue;
    }
    if (now >= entry.deadline && entry.sends > 0) {
      entries_.erase(it);
    } else {
      const auto& said = std::get<SaidAnswer>(*entry.answer->said);
      ++entry.sends;
      const int relays = entry.sends <= kRelayedSendsMax ? entry.relays : 0;
      due.push_back({entry.answer, said.origin, relays, entry.sends});
      entry.due = std::min(now + entry.interval, std::max(entry.deadline, now));
      entry.interval = entry.interval * 2;
      // What is due at its deadline is only taken out.
      if (entry.due <= now || entry.sends >= kSendsMax) entries_.erase(it);
    }
    it = next;
  }
  return due;
}

Instant AnswerOutbox::NextDue() const {
  Instant next = Instant::Never();
  for (const auto& [key, entry] : entries_) next = std::min(next, entry.due);
  return next;
}

}  // namespace sotto
