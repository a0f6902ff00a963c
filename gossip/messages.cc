#include "gossip/messages.h"

namespace sotto {
namespace {

// A field of eight fixed bytes with its tag, and the tag and length around the message.
constexpr size_t kFixed64Bytes = 9;
constexpr size_t kFrameBytes = 6;

struct SizeOf {
  size_t operator()(const Ping&) const { return kFrameBytes + kFixed64Bytes; }
  size_t operator()(const Ack& ack) const {
    return kFrameBytes + (ack.events == 0 ? 2 : 3) * kFixed64Bytes;
  }
  size_t operator()(const Nack&) const { return kFrameBytes + kFixed64Bytes; }
  size_t operator()(const IndirectPing& ping) const {
    return kFrameBytes + kFixed64Bytes + 3 + ping.target.size();
  }
  size_t operator()(const AnswerReceipt&) const { return kFrameBytes + kFixed64Bytes; }
  size_t operator()(const WantOwner& want) const { return kFrameBytes + 3 + want.name.size(); }
};

}  // namespace

size_t WireSizeMax(const Message& message) { return std::visit(SizeOf{}, message); }

size_t WireSizeMax(const Statement& statement) {
  return kStatementFrameBytes + statement.bytes.size();
}

}  // namespace sotto
