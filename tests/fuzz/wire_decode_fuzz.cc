// Any bytes as a packet, a hello, a preamble or a stream's message (the first byte says which): a
// value within the limits, which encodes and decodes to itself, or a reason.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "gossip/wire.h"

namespace {

using sotto::DropReason;

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void TryPacket(std::span<const uint8_t> input) {
  sotto::WirePacket in;
  const DropReason reason = sotto::DecodePacket(input, &in);
  SOTTO_CHECK(reason == DropReason::kNone || reason == DropReason::kDecode ||
              reason == DropReason::kSemantic);
  if (reason != DropReason::kNone) return;
  sotto::Packet packet;
  packet.messages = in.messages;
  for (const std::string& bytes : in.statements) {
    auto statement = std::make_shared<sotto::Statement>();
    statement->bytes = bytes;
    packet.statements.push_back(std::move(statement));
  }
  sotto::WirePacket again;
  const std::string bytes = sotto::EncodePacket(packet, in.want_certificates, in.certificates);
  // Our own encoding is never longer than what we took, so that it fits a datagram again.
  if (bytes.size() > sotto::kDatagramBytesMax) return;
  SOTTO_CHECK(sotto::DecodePacket(Bytes(bytes), &again) == DropReason::kNone);
  SOTTO_CHECK(again.messages == in.messages && again.statements == in.statements &&
              again.want_certificates == in.want_certificates &&
              again.certificates == in.certificates);
}

void TryHello(std::span<const uint8_t> input) {
  sotto::WireHello in, again;
  if (sotto::DecodeHello(input, &in) != DropReason::kNone) return;
  const std::string bytes = sotto::EncodeHello(in.alive, in.certificate, sotto::kDatagramBytesMax);
  SOTTO_CHECK(sotto::DecodeHello(Bytes(bytes), &again) == DropReason::kNone);
  SOTTO_CHECK(again.alive == in.alive);
}

void TryPreamble(std::string_view input) {
  const auto in = sotto::DecodePreamble(input);
  if (!in.ok()) {
    SOTTO_CHECK(sotto::ErrorCode(in.status()) == "PREAMBLE_INVALID");
    return;
  }
  const auto again = sotto::DecodePreamble(sotto::EncodePreamble(*in));
  SOTTO_CHECK(again.ok() && *again == *in);
}

void TryStreamMessage(std::string_view input) {
  const auto in = sotto::DecodeStreamMessage(input);
  if (!in.ok()) {
    SOTTO_CHECK(!sotto::ErrorCode(in.status()).empty());
    return;
  }
  const auto bytes = sotto::EncodeStreamMessage(*in);
  SOTTO_CHECK(bytes.ok());
  const auto again = sotto::DecodeStreamMessage(*bytes);
  SOTTO_CHECK(again.ok() && *again == *in);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span<const uint8_t> input(data + 1, size - 1);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      TryPacket(input);
      break;
    case 1:
      TryHello(input);
      break;
    case 2:
      TryPreamble(text);
      break;
    default:
      TryStreamMessage(text);
      break;
  }
  return 0;
}
