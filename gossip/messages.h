// The messages of the protocol as plain values. `wire.h` turns them into bytes and back.
#ifndef SOTTO_GOSSIP_MESSAGES_H_
#define SOTTO_GOSSIP_MESSAGES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "gossip/statement.h"

namespace sotto {

// "Are you there?" The nonce is 64 random bits; only an ack with the same bits answers it, so a
// recorded or delayed ack proves nothing.
struct Ping {
  uint64_t nonce = 0;
  friend bool operator==(const Ping&, const Ping&) = default;
};

// "I am." Carries 64 bits of the sender's set hash, by which tables are compared for nothing (W10),
// and while its user events are young the digest of these; 0 otherwise, which takes no byte.
struct Ack {
  uint64_t nonce = 0;
  uint64_t set_hash = 0;
  uint64_t events = 0;
  friend bool operator==(const Ack&, const Ack&) = default;
};

// "Ping `target` for me, and answer me with this nonce."
struct IndirectPing {
  uint64_t nonce = 0;
  std::string target;
  friend bool operator==(const IndirectPing&, const IndirectPing&) = default;
};

// "I asked as you wished, and heard nothing yet": its absence tells on the prober, not the target.
struct Nack {
  uint64_t nonce = 0;
  friend bool operator==(const Nack&, const Nack&) = default;
};

// "Send me what `name` says of itself": an accusation above the known incarnation came (M3).
struct WantOwner {
  std::string name;
  friend bool operator==(const WantOwner&, const WantOwner&) = default;
};

// "I have your answer": the first 8 bytes of its hash. It is not sent again.
struct AnswerReceipt {
  uint64_t answer = 0;
  friend bool operator==(const AnswerReceipt&, const AnswerReceipt&) = default;
};

using Message = std::variant<Ping, Ack, IndirectPing, Nack, WantOwner, AnswerReceipt>;

// One datagram's content. Statements ride behind the messages.
struct Packet {
  std::vector<Message> messages;
  std::vector<StatementRef> statements;
};

// Upper bounds of what each part takes on the wire, by which the core fills a byte budget without
// knowing the encoding; a test of wire.h holds them against real encodings.
size_t WireSizeMax(const Message& message);
size_t WireSizeMax(const Statement& statement);
inline constexpr size_t kPacketOverheadBytes = 4;
inline constexpr size_t kStatementFrameBytes = 6;  // around a statement's own bytes

}  // namespace sotto

#endif  // SOTTO_GOSSIP_MESSAGES_H_
