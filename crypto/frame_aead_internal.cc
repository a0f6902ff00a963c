#include "crypto/frame_aead_internal.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <limits>

#include "crypto/hkdf.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"

namespace sotto::internal {
namespace {

constexpr size_t kBootIdBytes = 8;
constexpr size_t kAgreedBytesMax = 32;
constexpr size_t kSaltBytes = kBootIdBytes + 4;
constexpr size_t kInfoBytesMax = 32 + 1 + 1 + 1 + 255 + kBootIdBytes;
using Nonce = std::array<uint8_t, 12>;
using AdditionalData = std::array<uint8_t, kFrameHeaderBytes + kBootIdBytes>;

// Fetched once for a process: a fetch takes a lock that all threads share.
const EVP_CIPHER* CipherFor(AeadAlgorithm algorithm) {
  static const std::array<EVP_CIPHER*, 3> kCiphers = {
      EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr),
      EVP_CIPHER_fetch(nullptr, "AES-192-GCM", nullptr),
      EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr)};
  return kCiphers[static_cast<size_t>(algorithm)];
}

std::string_view LabelOf(SequenceSpace space) {
  switch (space) {
    case SequenceSpace::kHello:
      return "sotto/1 hello";
    case SequenceSpace::kStream:
      return "sotto/1 stream";
    case SequenceSpace::kDatagram:
      break;
  }
  return "sotto/1 frame";
}

Nonce NonceOf(const Subkey& subkey, uint32_t counter) {
  Nonce nonce = subkey.iv;
  nonce[8] ^= static_cast<uint8_t>(counter >> 24);
  nonce[9] ^= static_cast<uint8_t>(counter >> 16);
  nonce[10] ^= static_cast<uint8_t>(counter >> 8);
  nonce[11] ^= static_cast<uint8_t>(counter);
  return nonce;
}

AdditionalData AdditionalDataOf(std::span<const uint8_t> header, const BootId& receiver) {
  AdditionalData data;
  std::copy_n(header.begin(), kFrameHeaderBytes, data.begin());
  std::copy(receiver.bytes.begin(), receiver.bytes.end(), data.begin() + kFrameHeaderBytes);
  return data;
}

// Writes into a buffer of fixed size; all parts are bounded by what ClusterKey accepts.
class Appender {
 public:
  explicit Appender(std::span<uint8_t> out) : out_(out) {}
  void Byte(uint8_t byte) {
    SOTTO_CHECK(size_ < out_.size());
    out_[size_++] = byte;
  }
  template <typename Bytes>
  void All(const Bytes& bytes) {
    for (const auto byte : bytes) Byte(static_cast<uint8_t>(byte));
  }
  std::span<const uint8_t> view() const { return out_.first(size_); }

 private:
  std::span<uint8_t> out_;
  size_t size_ = 0;
};

}  // namespace

void Subkey::Wipe() {
  OPENSSL_cleanse(key.data(), key.size());
  OPENSSL_cleanse(iv.data(), iv.size());
  key_size = 0;
}

void Subkey::TakeFrom(Subkey& other) {
  key = other.key;
  iv = other.iv;
  key_size = other.key_size;
  algorithm = other.algorithm;
  other.Wipe();
}

absl::Status DeriveSubkey(const ClusterKey& cluster_key, std::span<const uint8_t> agreed,
                          const FrameHeader& header, const BootId& receiver, Subkey& subkey) {
  std::array<uint8_t, 32 + kAgreedBytesMax> ikm_bytes;
  std::array<uint8_t, kSaltBytes> salt_bytes;
  std::array<uint8_t, kInfoBytesMax> info_bytes;
  std::array<uint8_t, 32 + 12> out;

  Appender ikm(ikm_bytes);
  ikm.All(cluster_key.secret().view());
  ikm.All(agreed);
  Appender salt(salt_bytes);
  salt.All(header.boot_id.bytes);
  for (int shift = 24; shift >= 0; shift -= 8) {
    salt.Byte(static_cast<uint8_t>(header.sequence >> shift));
  }
  Appender info(info_bytes);
  info.All(LabelOf(SpaceOf(header.sequence)));
  info.Byte(0);
  info.Byte(static_cast<uint8_t>(cluster_key.algorithm()));
  info.Byte(static_cast<uint8_t>(cluster_key.cluster().size()));
  info.All(cluster_key.cluster());
  info.All(receiver.bytes);

  const size_t key_size = cluster_key.size();
  const absl::Status derived =
      HkdfSha256(ikm.view(), salt.view(), info.view(), std::span(out).first(key_size + 12));
  subkey.Wipe();
  if (derived.ok()) {
    std::copy_n(out.begin(), key_size, subkey.key.begin());
    std::copy_n(out.begin() + key_size, subkey.iv.size(), subkey.iv.begin());
    subkey.key_size = static_cast<uint8_t>(key_size);
    subkey.algorithm = cluster_key.algorithm();
  }
  OPENSSL_cleanse(ikm_bytes.data(), ikm_bytes.size());
  OPENSSL_cleanse(out.data(), out.size());
  return derived;
}

bool AeadContext::Rekey(const Subkey& subkey) {
  const EVP_CIPHER* const cipher = CipherFor(subkey.algorithm);
  if (context_ == nullptr) context_.reset(EVP_CIPHER_CTX_new());
  // OpenSSL reads as many bytes as the cipher wants, whatever is there.
  const bool fits = cipher != nullptr && EVP_CIPHER_get_key_length(cipher) == subkey.key_size;
  // The same cipher again is not named, so that the context keeps its memory and takes the key
  // only.
  const bool keyed = context_ != nullptr && fits &&
                     EVP_EncryptInit_ex2(context_.get(), cipher == cipher_ ? nullptr : cipher,
                                         subkey.key.data(), nullptr, nullptr) == 1;
  if (keyed) {
    cipher_ = cipher;
  } else {
    Clear();
  }
  return keyed;
}

void AeadContext::Clear() {
  if (context_ != nullptr) EVP_CIPHER_CTX_reset(context_.get());
  cipher_ = nullptr;
}

bool AeadContext::Seal(const Subkey& subkey, const FrameHeader& header, const BootId& receiver,
                       std::span<const uint8_t> plaintext, std::span<uint8_t> out) {
  SOTTO_CHECK(cipher_ != nullptr && out.size() == plaintext.size() + kFrameOverheadBytes);
  SOTTO_CHECK(plaintext.size() <= std::numeric_limits<uint16_t>::max());
  WriteFrameHeader(header, out.first<kFrameHeaderBytes>());
  const AdditionalData data = AdditionalDataOf(out, receiver);
  const Nonce nonce = NonceOf(subkey, header.counter);
  const int size = static_cast<int>(plaintext.size());
  uint8_t* const ciphertext = out.data() + kFrameHeaderBytes;
  EVP_CIPHER_CTX* const context = context_.get();
  int written = 0;
  int final_written = 0;
  const bool sealed =
      EVP_EncryptInit_ex2(context, nullptr, nullptr, nonce.data(), nullptr) == 1 &&
      EVP_EncryptUpdate(context, nullptr, &written, data.data(), static_cast<int>(data.size())) ==
          1 &&
      EVP_EncryptUpdate(context, ciphertext, &written, plaintext.data(), size) == 1 &&
      EVP_EncryptFinal_ex(context, ciphertext + written, &final_written) == 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kFrameTagBytes, ciphertext + size) == 1;
  const bool whole = sealed && written == size && final_written == 0;
  if (!whole) OPENSSL_cleanse(out.data(), out.size());
  return whole;
}

bool AeadContext::Open(const Subkey& subkey, const FrameHeader& header, const BootId& receiver,
                       std::span<const uint8_t> frame, std::span<uint8_t> out) {
  SOTTO_CHECK(cipher_ != nullptr && frame.size() == out.size() + kFrameOverheadBytes);
  SOTTO_CHECK(out.size() <= std::numeric_limits<uint16_t>::max());
  const AdditionalData data = AdditionalDataOf(frame, receiver);
  const Nonce nonce = NonceOf(subkey, header.counter);
  const int size = static_cast<int>(out.size());
  const uint8_t* const ciphertext = frame.data() + kFrameHeaderBytes;
  std::array<uint8_t, kFrameTagBytes> tag;
  std::copy_n(ciphertext + size, tag.size(), tag.begin());
  EVP_CIPHER_CTX* const context = context_.get();
  int written = 0;
  int final_written = 0;
  // The tag is set for every frame: a kept context would pass with the tag of the one before.
  const bool opened =
      EVP_DecryptInit_ex2(context, nullptr, nullptr, nonce.data(), nullptr) == 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kFrameTagBytes, tag.data()) == 1 &&
      EVP_DecryptUpdate(context, nullptr, &written, data.data(), static_cast<int>(data.size())) ==
          1 &&
      EVP_DecryptUpdate(context, out.data(), &written, ciphertext, size) == 1 &&
      EVP_DecryptFinal_ex(context, out.data() + written, &final_written) == 1;
  const bool whole = opened && written == size && final_written == 0;
  if (!whole) OPENSSL_cleanse(out.data(), out.size());
  return whole;
}

AeadContext* AeadPool::For(const Subkey& subkey) {
  Slot* oldest = &slots_[0];
  for (Slot& slot : slots_) {
    if (slot.subkey == &subkey) {
      slot.used = ++uses_;
      return &slot.context;
    }
    if (slot.used < oldest->used) oldest = &slot;
  }
  ++rekeys_;
  oldest->subkey = nullptr;
  if (!oldest->context.Rekey(subkey)) return nullptr;
  oldest->subkey = &subkey;
  oldest->used = ++uses_;
  return &oldest->context;
}

void AeadPool::Forget(const Subkey& subkey) {
  for (Slot& slot : slots_) {
    if (slot.subkey != &subkey) continue;
    slot.context.Clear();
    slot.subkey = nullptr;
    slot.used = 0;
  }
}

}  // namespace sotto::internal
