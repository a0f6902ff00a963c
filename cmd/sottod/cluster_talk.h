// What the admin API passes between its clients and the cluster beyond membership: user events,
// queries, pings, who hears whom, and why somebody was suspected. Plain values.
#ifndef SOTTO_CMD_SOTTOD_CLUSTER_TALK_H_
#define SOTTO_CMD_SOTTOD_CLUSTER_TALK_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gossip/member.h"
#include "gossip/statement.h"
#include "gossip/time.h"

namespace sotto {

struct EventOrder {
  std::string name;
  std::string payload;
  bool coalesce = true;
};

struct QueryOrder {
  std::string name;
  std::string payload;
  std::vector<std::string> names;        // globs; empty: everybody
  std::vector<Tag> tags;                 // every one must match; values are globs
  std::chrono::milliseconds timeout{0};  // 0: by the size of the cluster
  bool acks = true;
  int relays = 0;
};

struct QueryReplyItem {
  std::string from;
  bool is_ack = false;
  std::string payload;
};

struct QueryOutcome {
  size_t expected = 0, acked = 0, answered = 0;
  std::vector<std::string> silent;  // sorted
  bool timed_out = false;
};

// Nothing where no answer came in time.
struct PingOutcome {
  std::optional<Duration> udp;
  std::optional<Duration> tcp;
};

// How one member has lately heard another directly.
enum class Hearing : uint8_t { kNotAsked, kUdp, kTcpOnly, kNothing };

// What each member says of the others.
struct ReachReport {
  std::vector<std::string> members;  // the living, sorted
  // By the member who says it; in the order of `members`.
  std::map<std::string, std::vector<Hearing>> rows;
  std::vector<std::string> silent;   // who did not answer
  std::vector<std::string> differs;  // whose table is another one, so that its row cannot be read
};

// What an accuser saw, as it has signed it.
struct CaseEvidence {
  bool direct_failed = false;
  int relays_asked = 0, relays_nacked = 0;
  std::string stream;  // "not_tried", "failed"
  Duration silent_for;
  int health_score = 0;
};

struct CaseAccuser {
  std::string name;
  std::string kind;  // "suspect" or "dead": which statement it signed
  Instant heard;
  std::optional<CaseEvidence> evidence;
};

// One suspicion of one incarnation, from its beginning to its end.
struct CaseSummary {
  Instant began;
  std::optional<Instant> ended;
  Incarnation incarnation;
  std::vector<CaseAccuser> accusers;  // in the order in which they were heard
  std::string end;                    // "open", "refuted", "died", "left", "moot"
  std::optional<Incarnation> answered_with;
};

// "its ping was not answered; 3 others were asked, 1 heard nothing either, 2 did not say; TCP did
// not answer either; it had heard nothing from it for 2.1 s".
std::string EvidenceText(const CaseAccuser& accuser);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_CLUSTER_TALK_H_
