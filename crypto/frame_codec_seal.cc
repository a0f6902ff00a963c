// FrameCodec: sequences, counters and sealing.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "crypto/frame_codec_internal.h"
#include "crypto/openssl_internal.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

using absl::StatusCode;
using internal::SealSession;

constexpr uint32_t kDatagramSequenceMax = kHelloSequenceBit - 1;

}  // namespace

absl::Status FrameCodec::Impl::CheckSizes(std::span<const uint8_t> plaintext,
                                          std::span<uint8_t> out) const {
  constexpr size_t kMax = kDatagramBytesMax - kFrameOverheadBytes;
  if (plaintext.empty() || plaintext.size() > kMax) {
    return CodedError(
        StatusCode::kInvalidArgument, "FRAME_SIZE",
        absl::StrCat("a datagram's content of ", plaintext.size(), " bytes, want 1 to ", kMax));
  }
  if (out.size() < plaintext.size() + kFrameOverheadBytes) {
    return CodedError(StatusCode::kInvalidArgument, "FRAME_SIZE",
                      absl::StrCat("a buffer of ", out.size(), " bytes for a frame of ",
                                   plaintext.size() + kFrameOverheadBytes));
  }
  return absl::OkStatus();
}

absl::Status FrameCodec::Impl::NextSequence(Instant now) {
  if (sequence_ >= kDatagramSequenceMax) {
    return CodedError(StatusCode::kResourceExhausted, "FRAME_COUNTER_EXHAUSTED",
                      "this process has used every datagram sequence");
  }
  ++sequence_;
  counter_floor_ = 0;
  sequence_until_ = now + kSequenceTurn;
  return absl::OkStatus();
}

absl::Status FrameCodec::Impl::TurnSequence(Instant now, KeyId sealing) {
  const bool first = sequence_ == 0;
  // Back to an earlier key counts as a change too: its counters in this sequence are forgotten.
  if (first || now >= sequence_until_ || sealing != sequence_key_) {
    SOTTO_RETURN_IF_ERROR(NextSequence(now));
    sequence_key_ = sealing;
  }
  return absl::OkStatus();
}

FrameHeader FrameCodec::Impl::HeaderFor(const ClusterKey& key, uint32_t sequence,
                                        uint32_t counter) const {
  return {.algorithm = key.algorithm(),
          .key_id = key.id(),
          .boot_id = present_.identity->boot_id(),
          .sequence = sequence,
          .counter = counter};
}

// Makes the pair's sealing session one of the present sequence.
absl::Status FrameCodec::Impl::KeySealSession(const ClusterKey& key, const BootId& to, Pair& pair) {
  SealSession& seal = pair.seal;
  if (seal.sequence != sequence_) {
    Unkey(seal.subkey);
    seal.key_id = key.id();
    seal.sequence = sequence_;
    seal.next_counter = counter_floor_ + 1;
  }
  if (seal.subkey.keyed()) return absl::OkStatus();
  return Derive(key, pair.agreed, HeaderFor(key, sequence_, 0), to, seal.subkey);
}

absl::StatusOr<size_t> FrameCodec::Impl::Seal(Instant now, const FramePeer& to,
                                              std::span<const uint8_t> plaintext,
                                              std::span<uint8_t> out) {
  const ClusterKeyRef key = ring_->sealing();
  if (key == nullptr) {
    return CodedError(StatusCode::kFailedPrecondition, "KEYRING_EMPTY", "no key to seal with");
  }
  SOTTO_RETURN_IF_ERROR(CheckSizes(plaintext, out));
  ExpireFormer(now);
  SOTTO_RETURN_IF_ERROR(TurnSequence(now, key->id()));
  Pair& pair = present_.pairs[to.boot_id];
  SOTTO_RETURN_IF_ERROR(Agree(*present_.identity, to.x25519_public, pair));
  SOTTO_RETURN_IF_ERROR(KeySealSession(*key, to.boot_id, pair));
  if (pair.seal.next_counter >= kCounterTurn) {
    SOTTO_RETURN_IF_ERROR(NextSequence(now));
    SOTTO_RETURN_IF_ERROR(KeySealSession(*key, to.boot_id, pair));
  }
  // Spent even where OpenSSL fails below.
  const uint32_t counter = pair.seal.next_counter++;
  SOTTO_CHECK(counter <= kCounterMax);
  const size_t size = plaintext.size() + kFrameOverheadBytes;
  AeadContext* const context = pool_.For(pair.seal.subkey);
  if (context == nullptr ||
      !context->Seal(pair.seal.subkey, HeaderFor(*key, pair.seal.sequence, counter), to.boot_id,
                     plaintext, out.first(size))) {
    return internal::OpenSslError(StatusCode::kInternal, "CRYPTO_FAILED", "sealing a datagram");
  }
  ++frames_sealed_[key->id()];
  return size;
}

absl::StatusOr<size_t> FrameCodec::Impl::SealHello(const BootId& to,
                                                   std::span<const uint8_t> plaintext,
                                                   std::span<uint8_t> out) {
  const ClusterKeyRef key = ring_->sealing();
  if (key == nullptr) {
    return CodedError(StatusCode::kFailedPrecondition, "KEYRING_EMPTY", "no key to seal with");
  }
  SOTTO_RETURN_IF_ERROR(CheckSizes(plaintext, out));
  if (hello_counter_ >= kCounterTurn) {
    if (hello_sequence_ + 1 >= kStreamSequenceBit) {
      return CodedError(StatusCode::kResourceExhausted, "FRAME_COUNTER_EXHAUSTED",
                        "this process has used every hello sequence");
    }
    ++hello_sequence_;
    hello_counter_ = 1;
  }
  const FrameHeader header = HeaderFor(*key, hello_sequence_, hello_counter_++);
  Subkey subkey;
  SOTTO_RETURN_IF_ERROR(Derive(*key, {}, header, to, subkey));
  const size_t size = plaintext.size() + kFrameOverheadBytes;
  const bool sealed =
      scratch_.Rekey(subkey) && scratch_.Seal(subkey, header, to, plaintext, out.first(size));
  if (!sealed) {
    return internal::OpenSslError(StatusCode::kInternal, "CRYPTO_FAILED", "sealing a hello");
  }
  ++frames_sealed_[key->id()];
  return size;
}

}  // namespace sotto
