// What a member says to the cluster beyond membership: user events, queries, answers.
//
// Contents of statements of the kinds kUserEvent, kQuery, kAnswer (statement.h): signed, relayed
// and verified as they are, and never part of a row, of the set hash or of a table. Also what the
// application hears and asks in these matters. Plain values; one rule for what is sound, for what
// is sent and for what comes in.
#ifndef SOTTO_GOSSIP_SAID_H_
#define SOTTO_GOSSIP_SAID_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gossip/member.h"
#include "gossip/time.h"

namespace sotto {

// ---- limits -------------------------------------------------------------------------------------

inline constexpr size_t kSaidNameBytesMax = 64;
inline constexpr size_t kUserEventBytesMax = 1024;  // name and payload together; queries too
inline constexpr size_t kAnswerBytesMax = 1024;
inline constexpr size_t kFilterNamesMax = 32;
inline constexpr size_t kFilterTagsMax = 16;
inline constexpr size_t kFilterBytesMax = 512;  // globs, keys and values together
inline constexpr int kQueryRelaysMax = 5;
inline constexpr size_t kOpenQueriesMax = 64;  // of one node's own, at once
inline constexpr int64_t kQueryTimeoutMsMax = 300'000;
// A Lamport time from here on is refused: nobody can bring the clock to its end.
inline constexpr uint64_t kLamportEnd = uint64_t{1} << 62;
// Names under this prefix are the node's own business; users cannot say them.
inline constexpr std::string_view kInternalPrefix = "_sotto/";
// Asked of every member's shell, which KeyCourier answers; its payload is a generation, decimal.
inline constexpr std::string_view kKeysQueryName = "_sotto/keys";

// ---- contents of statements ---------------------------------------------------------------------

struct SaidEvent {
  std::string name;
  std::string payload;
  uint64_t lamport = 0;
  bool coalesce = true;  // of several of this name, the newest may stand for all
  friend bool operator==(const SaidEvent&, const SaidEvent&) = default;
};

// Who is asked: members whose name matches one of the globs (or any, if there is none) and whose
// tags match every one here, the value being a glob. Globs know `*` and `?`; there are no regular
// expressions, whose cost their sender would choose.
struct QueryFilter {
  std::vector<std::string> names;
  std::vector<Tag> tags;
  friend bool operator==(const QueryFilter&, const QueryFilter&) = default;
};

struct SaidQuery {
  std::string name;
  std::string payload;
  uint64_t lamport = 0;
  uint32_t timeout_ms = 0;
  QueryFilter filter;
  bool acks = true;
  uint8_t relays = 0;
  friend bool operator==(const SaidQuery&, const SaidQuery&) = default;
};

// The first 16 bytes of a query's hash.
using QueryKey = std::array<uint8_t, 16>;
QueryKey KeyOfQuery(const Hash256& query);

struct SaidAnswer {
  QueryKey query{};
  std::string origin;  // who asked
  bool is_ack = false;
  std::string payload;  // empty for an ack
  friend bool operator==(const SaidAnswer&, const SaidAnswer&) = default;
};

using Said = std::variant<SaidEvent, SaidQuery, SaidAnswer>;

// 1 to 64 bytes of the alphabet of member names and `:` and `/`; the first a letter or a digit, or
// the internal prefix.
bool IsValidSaidName(std::string_view name);
bool IsInternalName(std::string_view name);
bool IsValidFilter(const QueryFilter& filter);
// What holds for anything said, whoever says it.
bool IsSoundSaid(const Said& said);

// `*` stands for any bytes, `?` for one; the rest for itself. Linear in their product, no
// recursion.
bool MatchesGlob(std::string_view glob, std::string_view text);
bool Matches(const QueryFilter& filter, std::string_view name, const std::vector<Tag>& tags);

// An upper bound of a statement's size on the wire, before it is signed; a test of the codec holds
// it against real ones. `name` is the speaker's.
size_t SaidStatementBytesMax(const Said& said, size_t cluster_bytes, size_t name_bytes);

// ---- what the application hears and asks --------------------------------------------------------

struct UserEvent {
  std::string from;
  std::string name;
  std::string payload;
  uint64_t lamport = 0;
  bool coalesce = false;
  // Said before this process, or the present process of its sender, began: history, not news.
  bool replayed = false;
  Hash256 id;
};

// Answer it once, until the deadline. `deadline` is on the driver's clock.
struct ReceivedQuery {
  std::string from;
  std::string name;
  std::string payload;
  Hash256 id;
  Instant deadline;
};

struct QueryReply {
  std::string from;
  bool is_ack = false;
  std::string payload;
};

struct QuerySummary {
  size_t expected = 0;              // living members, as this node saw them, that were asked
  size_t acked = 0;                 // of these, who have it: by an ack or by an answer
  size_t answered = 0;              // of these, who answered
  std::vector<std::string> silent;  // the others, sorted
  bool timed_out = false;           // not all answered in time
};

// What a query asks, as the core takes it.
struct QueryRequest {
  std::string name;
  std::string payload;
  QueryFilter filter;
  Duration timeout;  // zero: gossip interval * 16 * digits(n), as serf has it
  bool acks = true;
  int relays = 0;
};

// Why something cannot be said, or that it can.
enum class SayVerdict : uint8_t {
  kOk,
  kInvalid,      // a name, filter, timeout or number of relays that cannot be
  kReserved,     // a name under the internal prefix that means nothing
  kTooLarge,     // beyond the limit, or no packet of this node holds it
  kRateLimited,  // this node has said as much as it may; see `wait`
  kNotReady,     // not announced, or leaving
  kTooMany,      // as many queries are open as may be
  kUnknown,      // an answer to a query that is not open here
};

struct SayResult {
  SayVerdict verdict = SayVerdict::kOk;
  Duration wait;           // kRateLimited: until it may be said
  size_t payload_max = 0;  // kTooLarge: what would fit with this name
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_SAID_H_
