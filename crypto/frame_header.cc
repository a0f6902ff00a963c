#include "crypto/frame_header.h"

#include <algorithm>

namespace sotto {
namespace {

constexpr size_t kKeyIdAt = 1;
constexpr size_t kBootIdAt = 5;
constexpr size_t kSequenceAt = 13;
constexpr size_t kCounterAt = 17;

void PutU32(uint32_t value, std::span<uint8_t> out) {
  out[0] = static_cast<uint8_t>(value >> 24);
  out[1] = static_cast<uint8_t>(value >> 16);
  out[2] = static_cast<uint8_t>(value >> 8);
  out[3] = static_cast<uint8_t>(value);
}

uint32_t GetU32(std::span<const uint8_t> in) {
  return uint32_t{in[0]} << 24 | uint32_t{in[1]} << 16 | uint32_t{in[2]} << 8 | in[3];
}

}  // namespace

SequenceSpace SpaceOf(uint32_t sequence) {
  if ((sequence & kStreamSequenceBit) != 0) return SequenceSpace::kStream;
  return (sequence & kHelloSequenceBit) != 0 ? SequenceSpace::kHello : SequenceSpace::kDatagram;
}

void WriteFrameHeader(const FrameHeader& header, std::span<uint8_t, kFrameHeaderBytes> out) {
  out[0] = static_cast<uint8_t>(kFrameVersion << 3 | static_cast<uint8_t>(header.algorithm) << 1);
  PutU32(header.key_id.value, out.subspan(kKeyIdAt, 4));
  std::copy(header.boot_id.bytes.begin(), header.boot_id.bytes.end(), out.begin() + kBootIdAt);
  PutU32(header.sequence, out.subspan(kSequenceAt, 4));
  PutU32(header.counter, out.subspan(kCounterAt, 4));
}

DropReason ReadFrameHeader(std::span<const uint8_t> frame, FrameHeader& header) {
  if (frame.size() >= kBootIdAt) header.key_id.value = GetU32(frame.subspan(kKeyIdAt, 4));
  if (frame.size() >= kSequenceAt) {
    std::copy_n(frame.begin() + kBootIdAt, header.boot_id.bytes.size(),
                header.boot_id.bytes.begin());
  }
  if (frame.size() <= kFrameOverheadBytes) return DropReason::kTooShort;
  header.sequence = GetU32(frame.subspan(kSequenceAt, 4));
  header.counter = GetU32(frame.subspan(kCounterAt, 4));

  const bool reserved = (frame[0] & 1) != 0;
  const uint8_t algorithm = frame[0] >> 1 & 3;
  if (frame[0] >> 3 != kFrameVersion || reserved) return DropReason::kBadVersion;
  if (algorithm > static_cast<uint8_t>(AeadAlgorithm::kAes256Gcm)) {
    return DropReason::kAlgorithmMismatch;
  }
  header.algorithm = static_cast<AeadAlgorithm>(algorithm);

  const uint32_t space_bits =
      SpaceOf(header.sequence) == SequenceSpace::kStream ? kStreamSequenceBit : kHelloSequenceBit;
  const bool counter_ok = header.counter != 0 && header.counter <= kCounterMax;
  const bool sequence_ok = (header.sequence & ~space_bits) != 0;
  return counter_ok && sequence_ok ? DropReason::kNone : DropReason::kBadCounter;
}

}  // namespace sotto
