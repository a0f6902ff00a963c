// The 21 bytes in front of every frame, without any cryptography.
#ifndef SOTTO_CRYPTO_FRAME_HEADER_H_
#define SOTTO_CRYPTO_FRAME_HEADER_H_

#include <cstdint>
#include <span>

#include "crypto/frame_codec.h"
#include "crypto/keyring.h"
#include "gossip/member.h"

namespace sotto {

enum class SequenceSpace : uint8_t { kDatagram, kHello, kStream };

SequenceSpace SpaceOf(uint32_t sequence);

struct FrameHeader {
  AeadAlgorithm algorithm = AeadAlgorithm::kAes256Gcm;
  KeyId key_id;
  BootId boot_id;  // the sender's
  uint32_t sequence = 0;
  uint32_t counter = 0;
};

void WriteFrameHeader(const FrameHeader& header, std::span<uint8_t, kFrameHeaderBytes> out);

// Reads as far as `frame` goes, whatever it finds, and says what is wrong with the header alone:
// kTooShort (no room for one byte and a tag), kBadVersion, kAlgorithmMismatch (no such algorithm),
// kBadCounter (a counter of 0 or over kCounterMax, or the 0 of its sequence space), or kNone.
DropReason ReadFrameHeader(std::span<const uint8_t> frame, FrameHeader& header);

}  // namespace sotto

#endif  // SOTTO_CRYPTO_FRAME_HEADER_H_
