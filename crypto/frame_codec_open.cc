// FrameCodec: opening, and what a good frame leaves behind.
#include <openssl/crypto.h>

#include <algorithm>

#include "crypto/frame_codec_internal.h"
#include "gossip/base/check.h"

namespace sotto {
namespace {

using internal::OpenSession;
using internal::Pair;

// Windows kept of one peer: two for each key of a full ring, and some of keys that left.
constexpr size_t kWindowsMax = 2 * Keyring::kKeysMax + 4;

OpenSession* FindSession(Pair& pair, KeyId key_id, uint32_t sequence) {
  for (const auto& session : pair.open) {
    if (session->key_id == key_id && session->sequence == sequence) return session.get();
  }
  return nullptr;
}

uint32_t NewestSequence(const Pair& pair, KeyId key_id) {
  uint32_t newest = 0;
  for (const auto& session : pair.open) {
    if (session->key_id == key_id) newest = std::max(newest, session->sequence);
  }
  return newest;
}

DropReason Judge(const ReplayWindow& window, uint32_t counter) {
  switch (window.Check(counter)) {
    case ReplayWindow::Verdict::kDuplicate:
      return DropReason::kReplayDuplicate;
    case ReplayWindow::Verdict::kOld:
      return DropReason::kReplayOld;
    case ReplayWindow::Verdict::kFresh:
      break;
  }
  return DropReason::kNone;
}

}  // namespace

bool FrameCodec::Impl::IsOurs(const BootId& boot_id) const {
  return boot_id == present_.identity->boot_id() ||
         (former_.has_value() && boot_id == former_->identity->boot_id());
}

OpenedFrame FrameCodec::Impl::Open(Instant now, std::span<const uint8_t> datagram,
                                   std::span<uint8_t> out) {
  SOTTO_CHECK(out.size() >= datagram.size());
  ExpireFormer(now);
  OpenedFrame opened;
  FrameHeader header;
  const auto dropped = [&opened](DropReason reason) {
    opened.drop = reason;
    return opened;
  };
  const DropReason malformed = ReadFrameHeader(datagram, header);
  opened.key_id = header.key_id;
  opened.boot_id = header.boot_id;
  if (datagram.size() > kDatagramBytesMax) return dropped(DropReason::kTooLong);
  if (malformed != DropReason::kNone) return dropped(malformed);
  if (IsOurs(header.boot_id)) return dropped(DropReason::kOwnFrame);

  const SequenceSpace space = SpaceOf(header.sequence);
  opened.kind = space == SequenceSpace::kHello ? FrameKind::kHello : FrameKind::kDatagram;
  const FramePeer* const from = lookup_(header.boot_id);
  opened.known_boot = from != nullptr;
  const ClusterKeyRef key = ring_->Find(header.key_id);
  if (key == nullptr) return dropped(DropReason::kUnknownKey);
  if (header.algorithm != key->algorithm()) return dropped(DropReason::kAlgorithmMismatch);
  if (space == SequenceSpace::kStream) return dropped(DropReason::kBadCounter);
  if (space == SequenceSpace::kDatagram && from == nullptr) {
    return dropped(DropReason::kUnknownBoot);
  }
  const std::span<uint8_t> plaintext = out.first(datagram.size() - kFrameOverheadBytes);
  opened.drop = space == SequenceSpace::kHello
                    ? OpenHello(now, *key, header, datagram, plaintext)
                    : OpenDatagram(now, *key, *from, header, datagram, plaintext);
  if (opened.drop == DropReason::kNone) opened.plaintext = plaintext;
  return opened;
}

DropReason FrameCodec::Impl::OpenDatagram(Instant now, const ClusterKey& key, const FramePeer& from,
                                          const FrameHeader& header,
                                          std::span<const uint8_t> datagram,
                                          std::span<uint8_t> plaintext) {
  const DropReason present = OpenInLife(now, present_, key, from, header, datagram, plaintext);
  if (present == DropReason::kNone || !former_.has_value()) return present;
  // Both lives of ours share the sender's sequences and counters, so that even a duplicate here may
  // be the first of its kind there.
  const DropReason former = OpenInLife(now, *former_, key, from, header, datagram, plaintext);
  const bool former_decides = former == DropReason::kNone || present == DropReason::kBadTag;
  return former_decides ? former : present;
}

DropReason FrameCodec::Impl::OpenInLife(Instant now, Life& life, const ClusterKey& key,
                                        const FramePeer& from, const FrameHeader& header,
                                        std::span<const uint8_t> datagram,
                                        std::span<uint8_t> plaintext) {
  Pair& pair = life.pairs[header.boot_id];
  if (pair.agreement == Pair::Agreement::kDone && pair.other_public != from.x25519_public) {
    UnkeyPair(pair);
  }
  if (header.sequence + 1 < NewestSequence(pair, header.key_id)) return DropReason::kSessionOld;
  OpenSession* const session = FindSession(pair, header.key_id, header.sequence);
  if (session != nullptr) {
    const DropReason replayed = Judge(session->window, header.counter);
    if (replayed != DropReason::kNone) return replayed;
  }
  if (session == nullptr || !session->subkey.keyed()) {
    return OpenUnproven(now, life, key, from, header, pair, datagram, plaintext);
  }
  AeadContext* const context = pool_.For(session->subkey);
  const bool good =
      context != nullptr &&
      context->Open(session->subkey, header, life.identity->boot_id(), datagram, plaintext);
  if (!good) return DropReason::kBadTag;
  session->window.Commit(header.counter);
  return DropReason::kNone;
}

// A frame of a session that no good frame has shown us yet: its subkey is kept only if its tag is
// good.
DropReason FrameCodec::Impl::OpenUnproven(Instant now, const Life& life, const ClusterKey& key,
                                          const FramePeer& from, const FrameHeader& header,
                                          Pair& pair, std::span<const uint8_t> datagram,
                                          std::span<uint8_t> plaintext) {
  if (!datagram_tries_.Take(now)) return DropReason::kRateLimited;
  const BootId& receiver = life.identity->boot_id();
  Subkey subkey;
  const bool good = Agree(*life.identity, from.x25519_public, pair).ok() &&
                    Derive(key, pair.agreed, header, receiver, subkey).ok() &&
                    scratch_.Rekey(subkey) &&
                    scratch_.Open(subkey, header, receiver, datagram, plaintext);
  scratch_.Clear();
  if (!good) return DropReason::kBadTag;
  datagram_tries_.Return();
  Keep(header, subkey, pair);
  return DropReason::kNone;
}

// Takes over a session whose first frame has just proved it, and drops what that makes too old.
void FrameCodec::Impl::Keep(const FrameHeader& header, Subkey& subkey, Pair& pair) {
  OpenSession* session = FindSession(pair, header.key_id, header.sequence);
  if (session == nullptr) {
    pair.open.push_back(std::make_unique<OpenSession>());
    session = pair.open.back().get();
    session->key_id = header.key_id;
    session->sequence = header.sequence;
  }
  session->subkey.TakeFrom(subkey);
  session->window.Commit(header.counter);

  const uint32_t newest = NewestSequence(pair, header.key_id);
  std::erase_if(pair.open, [&](const std::unique_ptr<OpenSession>& old) {
    const bool too_old = old->key_id == header.key_id && old->sequence + 1 < newest;
    if (too_old) Unkey(old->subkey);
    return too_old;
  });
  while (pair.open.size() > kWindowsMax) {
    // First the windows of keys that are gone, the lowest sequence first. Keyed ones never reach
    // the limit alone, since a ring holds few keys.
    const auto victim =
        std::min_element(pair.open.begin(), pair.open.end(), [](const auto& a, const auto& b) {
          return std::pair(a->subkey.keyed(), a->sequence) <
                 std::pair(b->subkey.keyed(), b->sequence);
        });
    Unkey((*victim)->subkey);
    pair.open.erase(victim);
  }
}

DropReason FrameCodec::Impl::OpenHello(Instant now, const ClusterKey& key,
                                       const FrameHeader& header, std::span<const uint8_t> datagram,
                                       std::span<uint8_t> plaintext) {
  if (!hello_tries_.Take(now)) return DropReason::kRateLimited;
  const bool good =
      OpenHelloInLife(present_, key, header, datagram, plaintext) ||
      (former_.has_value() && OpenHelloInLife(*former_, key, header, datagram, plaintext));
  scratch_.Clear();
  if (!good) return DropReason::kBadTag;
  if (hellos_.Take(now)) return DropReason::kNone;
  OPENSSL_cleanse(plaintext.data(), plaintext.size());
  return DropReason::kRateLimited;
}

bool FrameCodec::Impl::OpenHelloInLife(const Life& life, const ClusterKey& key,
                                       const FrameHeader& header, std::span<const uint8_t> datagram,
                                       std::span<uint8_t> plaintext) {
  const BootId& receiver = life.identity->boot_id();
  Subkey subkey;
  return Derive(key, {}, header, receiver, subkey).ok() && scratch_.Rekey(subkey) &&
         scratch_.Open(subkey, header, receiver, datagram, plaintext);
}

}  // namespace sotto
