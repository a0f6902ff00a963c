// StreamSealer and StreamOpener: one direction of one stream, counters strictly in order.
#include <openssl/crypto.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/frame_aead_internal.h"
#include "crypto/frame_codec.h"
#include "crypto/frame_header.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

using absl::StatusCode;

std::span<uint8_t> TailOf(std::string& bytes, size_t size) {
  return {reinterpret_cast<uint8_t*>(bytes.data()) + bytes.size() - size, size};
}

}  // namespace

class StreamSealer::Impl {
 public:
  BootId to;
  FrameHeader next;  // the header of the frame to come
  internal::Subkey subkey;
  internal::AeadContext context;
};

StreamSealer::StreamSealer() : impl_(std::make_unique<Impl>()) {}
StreamSealer::~StreamSealer() = default;

absl::StatusOr<std::unique_ptr<StreamSealer>> StreamSealer::Create(ClusterKeyRef key,
                                                                   const BootId& self,
                                                                   const BootId& to,
                                                                   uint32_t sequence) {
  return CreateForTest(std::move(key), self, to, sequence, 1);
}

absl::StatusOr<std::unique_ptr<StreamSealer>> StreamSealer::CreateForTest(ClusterKeyRef key,
                                                                          const BootId& self,
                                                                          const BootId& to,
                                                                          uint32_t sequence,
                                                                          uint32_t first_counter) {
  if (SpaceOf(sequence) != SequenceSpace::kStream) {
    return absl::InvalidArgumentError("not a stream's sequence");
  }
  std::unique_ptr<StreamSealer> made(new StreamSealer());
  Impl& impl = *made->impl_;
  impl.to = to;
  impl.next = {.algorithm = key->algorithm(),
               .key_id = key->id(),
               .boot_id = self,
               .sequence = sequence,
               .counter = first_counter};
  SOTTO_RETURN_IF_ERROR(internal::DeriveSubkey(*key, {}, impl.next, to, impl.subkey));
  if (!impl.context.Rekey(impl.subkey)) {
    return internal::OpenSslError(StatusCode::kInternal, "CRYPTO_FAILED", "keying a stream");
  }
  return made;
}

absl::Status StreamSealer::Seal(std::span<const uint8_t> plaintext, std::string& out) {
  if (plaintext.empty() || plaintext.size() > kStreamChunkBytesMax) {
    return CodedError(StatusCode::kInvalidArgument, "FRAME_SIZE",
                      absl::StrCat("a stream chunk of ", plaintext.size(), " bytes, want 1 to ",
                                   kStreamChunkBytesMax));
  }
  if (impl_->next.counter > kCounterMax) {
    return CodedError(StatusCode::kResourceExhausted, "FRAME_COUNTER_EXHAUSTED",
                      "the stream has carried as many frames as one key may seal");
  }
  const size_t frame_size = plaintext.size() + kFrameOverheadBytes;
  out.resize(out.size() + frame_size);
  // The counter is spent even where sealing fails.
  const FrameHeader header = impl_->next;
  ++impl_->next.counter;
  if (impl_->context.Seal(impl_->subkey, header, impl_->to, plaintext, TailOf(out, frame_size))) {
    return absl::OkStatus();
  }
  out.resize(out.size() - frame_size);
  return internal::OpenSslError(StatusCode::kInternal, "CRYPTO_FAILED", "sealing a stream frame");
}

class StreamOpener::Impl {
 public:
  Impl(const Keyring* ring, const BootId& self, const BootId& from)
      : ring_(ring), self_(self), from_(from) {}

  DropReason Open(std::span<const uint8_t> frame, std::string& out) {
    if (over_ == DropReason::kNone) over_ = OpenNext(frame, out);
    return over_;
  }

 private:
  DropReason OpenNext(std::span<const uint8_t> frame, std::string& out) {
    FrameHeader header;
    const DropReason malformed = ReadFrameHeader(frame, header);
    if (malformed == DropReason::kTooShort) return malformed;
    if (frame.size() > kStreamChunkBytesMax + kFrameOverheadBytes) return DropReason::kTooLong;
    if (malformed != DropReason::kNone) return malformed;
    if (header.boot_id == self_) return DropReason::kOwnFrame;
    if (const DropReason refused = CheckSession(header); refused != DropReason::kNone) {
      return refused;
    }
    if (header.counter < next_counter_) return DropReason::kReplayDuplicate;
    if (header.counter > next_counter_) return DropReason::kBadCounter;

    const size_t size = frame.size() - kFrameOverheadBytes;
    out.resize(out.size() + size);
    if (!context_.Open(subkey_, header, self_, frame, TailOf(out, size))) {
      out.resize(out.size() - size);
      return DropReason::kBadTag;
    }
    ++next_counter_;
    return DropReason::kNone;
  }

  // The first frame sets the session, provisionally: if its tag is wrong, the stream is over
  // anyway.
  DropReason CheckSession(const FrameHeader& header) {
    if (subkey_.keyed()) {
      const bool same = header.key_id == session_.key_id && header.boot_id == session_.boot_id &&
                        header.sequence == session_.sequence;
      if (!same) return DropReason::kSessionOld;
      return header.algorithm == session_.algorithm ? DropReason::kNone
                                                    : DropReason::kAlgorithmMismatch;
    }
    const ClusterKeyRef key = ring_->Find(header.key_id);
    if (key == nullptr) return DropReason::kUnknownKey;
    if (header.algorithm != key->algorithm()) return DropReason::kAlgorithmMismatch;
    if (SpaceOf(header.sequence) != SequenceSpace::kStream) return DropReason::kBadCounter;
    if (header.boot_id != from_) return DropReason::kUnknownBoot;
    session_ = header;
    const bool keyed =
        internal::DeriveSubkey(*key, {}, header, self_, subkey_).ok() && context_.Rekey(subkey_);
    return keyed ? DropReason::kNone : DropReason::kBadTag;
  }

  const Keyring* const ring_;
  const BootId self_;
  const BootId from_;
  FrameHeader session_;
  internal::Subkey subkey_;
  internal::AeadContext context_;
  uint32_t next_counter_ = 1;
  DropReason over_ = DropReason::kNone;
};

StreamOpener::StreamOpener(const Keyring* ring, const BootId& self, const BootId& from)
    : impl_(std::make_unique<Impl>(ring, self, from)) {}
StreamOpener::~StreamOpener() = default;

DropReason StreamOpener::Open(std::span<const uint8_t> frame, std::string& out) {
  return impl_->Open(frame, out);
}

}  // namespace sotto
