// Queries: those this node has asked, those it has heard, and answers on their way.
//
// OwnQueries holds each open query with the members it expects to answer, and ends it when all
// have. HeardQueries lets each query of an origin in once: its Lamport times rise within one boot
// number, so that a record of the last ones and a floor below them tell a replay for ever.
// AnswerOutbox sends acks and answers again until their origin confirms them.
// All are bounded. Ownership: shared, const statements. Threads: none. No clock, no randomness.
#ifndef SOTTO_GOSSIP_QUERIES_H_
#define SOTTO_GOSSIP_QUERIES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gossip/statement.h"
#include "gossip/time.h"

namespace sotto {

// ---- what this node has asked -------------------------------------------------------------------

class OwnQueries {
 public:
  static constexpr size_t kOpenMax = kOpenQueriesMax;

  struct Ended {
    Hash256 id;
    QuerySummary summary;
  };
  enum class Heard : uint8_t {
    kLate,       // no such query is open: it has ended, or never was
    kUnasked,    // its sender was not expected to answer
    kDuplicate,  // said before
    kAck,
    kAnswer,
  };

  bool full() const { return open_.size() >= kOpenMax; }
  size_t size() const { return open_.size(); }

  // `expected`: names, each once.
  void Open(const StatementRef& query, std::vector<std::string> expected, Instant ends_at);
  // An ack or answer of `from`; `*id` is the query's where it was expected.
  Heard Hear(const QueryKey& query, std::string_view from, bool is_ack, Hash256* id);
  // Takes out those that are answered by all or whose time is over.
  std::vector<Ended> TakeEnded(Instant now);
  Instant NextEnd() const;

 private:
  struct Query {
    Hash256 id;
    Instant ends_at;
    std::map<std::string, int, std::less<>> members;  // 0 silent, 1 has acked, 2 has answered
    size_t acked = 0, answered = 0;
  };
  static QuerySummary SummaryOf(const Query& query);

  std::map<QueryKey, Query> open_;
};

// ---- what this node has been asked --------------------------------------------------------------

class HeardQueries {
 public:
  static constexpr size_t kOpenMax = 1'024;
  static constexpr size_t kOpenPerOriginMax = 64;
  static constexpr size_t kOriginsMax = 4'096;
  static constexpr size_t kRecentMax = 64;

  struct Open {
    StatementRef query;
    Instant deadline;
    bool answered = false;
  };

  // Whether this query is heard for the first time; remembers it.
  bool Admit(const Statement& query);
  // Keeps it until `deadline`, so that it can be answered. False if there is no room.
  bool Keep(Instant now, const StatementRef& query, Instant deadline);
  // Null if it is not open, or its time is over.
  Open* Find(Instant now, const QueryKey& query);
  // It is answered: its place is free. Admit() knows it all the same.
  void Close(const QueryKey& query);
  size_t size() const { return open_.size(); }

 private:
  struct Record {
    uint32_t boot_number = 0;
    uint64_t floor = 0;         // at or below it nothing is new
    std::set<uint64_t> recent;  // above it: what has been heard
    uint64_t used = 0;
  };

  void DropEnded(Instant now);

  std::map<std::string, Record, std::less<>> origins_;
  std::map<QueryKey, Open> open_;
  uint64_t next_use_ = 1;
};

// ---- answers on their way -----------------------------------------------------------------------

class AnswerOutbox {
 public:
  static constexpr size_t kEntriesMax = 2'048;
  static constexpr size_t kPerOriginMax = 256;
  // The first and five more; relays see the first two. Who confirms none of these is not there.
  static constexpr int kSendsMax = 6;
  static constexpr int kRelayedSendsMax = 2;

  struct Due {
    StatementRef answer;
    std::string origin;
    int relays = 0;
    int sends = 0;  // this one included
  };

  // Sends `answer` at once, and again after `interval`, doubled each time, until `deadline` or
  // kSendsMax. An answer takes the place of its query's ack.
  void Add(Instant now, StatementRef answer, int relays, Instant deadline, Duration interval);
  // Its origin has it.
  void Confirm(uint64_t prefix, std::string_view origin);
  // Its origin is dead or has left.
  void DropOf(std::string_view origin);
  std::vector<Due> TakeDue(Instant now);
  Instant NextDue() const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    StatementRef answer;
    int relays = 0;
    Instant deadline;
    Instant due;
    Duration interval;
    int sends = 0;
  };
  std::map<std::pair<QueryKey, bool>, Entry> entries_;  // (query, whether it is an ack)
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_QUERIES_H_
