#include "crypto/frame_codec.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "crypto/frame_codec_internal.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"

namespace sotto {

using absl::StatusCode;
using internal::SealSession;

std::string_view ToString(DropReason reason) {
  static constexpr std::array<std::string_view, kDropReasons> kNames = {
      "none",          "too_short",           "too_long",     "bad_version", "algorithm_mismatch",
      "own_frame",     "unknown_key",         "unknown_boot", "session_old", "bad_counter",
      "bad_tag",       "replay_duplicate",    "replay_old",   "decode",      "semantic",
      "bad_signature", "unknown_certificate", "rate_limited"};
  const auto index = static_cast<size_t>(reason);
  return index < kNames.size() ? kNames[index] : "unknown";
}

absl::Status FrameCodec::Impl::Agree(const ProcessIdentity& identity,
                                     const std::array<uint8_t, 32>& other_public, Pair& pair) {
  if (pair.agreement != Pair::Agreement::kNone && pair.other_public != other_public) {
    // Its member signed another public key for the same life: no honest one does. Counters and
    // windows stay, so that going to and fro repeats no nonce and admits no recording.
    UnkeyPair(pair);
  }
  if (pair.agreement == Pair::Agreement::kNone) {
    ++counters_.agreements;
    pair.other_public = other_public;
    const absl::StatusOr<SecretBytes> agreed = identity.Agree(other_public);
    if (agreed.ok()) {
      const std::span<const uint8_t> bytes = agreed->view();
      std::copy(bytes.begin(), bytes.end(), pair.agreed.begin());
      pair.agreement = Pair::Agreement::kDone;
    } else if (absl::IsInvalidArgument(agreed.status())) {
      pair.agreement = Pair::Agreement::kImpossible;
    } else {
      return agreed.status();
    }
  }
  if (pair.agreement == Pair::Agreement::kDone) return absl::OkStatus();
  return CodedError(StatusCode::kInvalidArgument, "PEER_KEY_BAD",
                    "the other process's X25519 key is a point of small order");
}

absl::Status FrameCodec::Impl::Derive(const ClusterKey& key, std::span<const uint8_t> agreed,
                                      const FrameHeader& header, const BootId& receiver,
                                      Subkey& subkey) {
  ++counters_.subkeys_derived;
  return internal::DeriveSubkey(key, agreed, header, receiver, subkey);
}

// Contexts know subkeys by address: theirs go before the subkey does.
void FrameCodec::Impl::Unkey(Subkey& subkey) {
  pool_.Forget(subkey);
  subkey.Wipe();
}

void FrameCodec::Impl::UnkeyPair(Pair& pair) {
  Unkey(pair.seal.subkey);
  for (const auto& session : pair.open) Unkey(session->subkey);
  OPENSSL_cleanse(pair.agreed.data(), pair.agreed.size());
  pair.agreement = Pair::Agreement::kNone;
}

void FrameCodec::Impl::DropPair(Life& life, const BootId& boot_id) {
  const auto at = life.pairs.find(boot_id);
  if (at == life.pairs.end()) return;
  const SealSession& seal = at->second.seal;
  if (&life == &present_ && seal.sequence == sequence_) {
    counter_floor_ = std::max(counter_floor_, seal.next_counter - 1);
  }
  UnkeyPair(at->second);
  life.pairs.erase(at);
}

void FrameCodec::Impl::DropFormer() {
  for (auto& [boot_id, pair] : former_->pairs) UnkeyPair(pair);
  former_.reset();
}

void FrameCodec::Impl::Rebind(ProcessIdentityRef self, Instant keep_until) {
  SOTTO_CHECK(self->boot_id() != present_.identity->boot_id());
  if (former_.has_value()) DropFormer();
  former_.emplace(std::move(present_));
  former_until_ = keep_until;
  for (auto& [boot_id, pair] : former_->pairs) Unkey(pair.seal.subkey);
  present_ = Life{};
  present_.identity = std::move(self);
}

void FrameCodec::Impl::ForgetPeer(const BootId& boot_id) {
  DropPair(present_, boot_id);
  if (former_.has_value()) DropPair(*former_, boot_id);
}

void FrameCodec::Impl::ForgetKey(KeyId id) {
  const auto forget_in = [&](Life& life) {
    for (auto& [boot_id, pair] : life.pairs) {
      if (pair.seal.key_id == id) Unkey(pair.seal.subkey);
      for (const auto& session : pair.open) {
        if (session->key_id == id) Unkey(session->subkey);
      }
    }
  };
  forget_in(present_);
  if (former_.has_value()) forget_in(*former_);
}

size_t FrameCodec::Impl::sessions() const {
  size_t count = 0;
  const auto count_in = [&count](const Life& life) {
    for (const auto& [boot_id, pair] : life.pairs) {
      if (pair.seal.subkey.keyed()) ++count;
      count += static_cast<size_t>(
          std::count_if(pair.open.begin(), pair.open.end(),
                        [](const auto& session) { return session->subkey.keyed(); }));
    }
  };
  count_in(present_);
  if (former_.has_value()) count_in(*former_);
  return count;
}

FrameCodec::FrameCodec(ProcessIdentityRef self, const Keyring* ring, PeerLookup lookup)
    : impl_(std::make_unique<Impl>(std::move(self), ring, std::move(lookup))) {}
FrameCodec::~FrameCodec() = default;

absl::StatusOr<size_t> FrameCodec::Seal(Instant now, const FramePeer& to,
                                        std::span<const uint8_t> plaintext,
                                        std::span<uint8_t> out) {
  return impl_->Seal(now, to, plaintext, out);
}

absl::StatusOr<size_t> FrameCodec::SealHello(Instant /*now*/, const BootId& to,
                                             std::span<const uint8_t> plaintext,
                                             std::span<uint8_t> out) {
  return impl_->SealHello(to, plaintext, out);
}

OpenedFrame FrameCodec::Open(Instant now, std::span<const uint8_t> datagram,
                             std::span<uint8_t> out) {
  return impl_->Open(now, datagram, out);
}

void FrameCodec::Rebind(ProcessIdentityRef self, Instant keep_until) {
  impl_->Rebind(std::move(self), keep_until);
}

void FrameCodec::ForgetPeer(const BootId& boot_id) { impl_->ForgetPeer(boot_id); }

void FrameCodec::ForgetKey(KeyId id) { impl_->ForgetKey(id); }

const ProcessIdentity& FrameCodec::self() const { return impl_->self(); }

uint64_t FrameCodec::FramesSealed(KeyId id) const { return impl_->FramesSealed(id); }

void FrameCodec::SpendCountersForTest(uint32_t counter) { impl_->SpendCountersForTest(counter); }

size_t FrameCodec::sessions() const { return impl_->sessions(); }

const FrameCodecCounters& FrameCodec::counters() const { return impl_->counters(); }

}  // namespace sotto
