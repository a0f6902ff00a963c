#include "crypto/kek_box.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "crypto/hkdf.h"
#include "crypto/openssl_internal.h"
#include "crypto/secure_random.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

using absl::StatusCode;

constexpr size_t kCommitmentBytes = 32;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
static_assert(kKekBoxOverheadBytes == kCommitmentBytes + kNonceBytes + kTagBytes);

struct Labels {
  std::string_view data, commit, key;
};

Labels LabelsOf(KekUse use) {
  switch (use) {
    case KekUse::kClusterKey:
      return {"sotto/1 wrap", "sotto/1 commit", "sotto/1 wrap-key"};
    case KekUse::kKeyCache:
      break;
  }
  return {"sotto/1 cache", "sotto/1 cache-commit", "sotto/1 cache-key"};
}

const EVP_CIPHER* Cipher() {
  static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  return cipher;
}

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string AdditionalData(std::string_view label, BoundFields fields) {
  std::string data;
  const auto add = [&data](std::string_view field) {
    SOTTO_CHECK(field.size() <= std::numeric_limits<uint16_t>::max());
    data += static_cast<char>(field.size() >> 8);
    data += static_cast<char>(field.size() & 0xff);
    data += field;
  };
  add(label);
  for (const std::string_view field : fields) add(field);
  return data;
}

// `label` says which of the two is wanted.
absl::StatusOr<SecretBytes> Derive(const Kek& kek, std::span<const uint8_t> nonce,
                                   std::string_view label) {
  SecretBytes out(32);
  SOTTO_RETURN_IF_ERROR(HkdfSha256(kek.secret().view(), nonce, BytesOf(label), out.mutable_view()));
  return out;
}

absl::Status CipherFailed() {
  return internal::OpenSslError(StatusCode::kInternal, "CRYPTO_FAILED", "AES-256-GCM");
}

absl::Status Corrupt(std::string_view what) {
  return CodedError(StatusCode::kDataLoss, "KEY_CORRUPT", what);
}

}  // namespace

absl::StatusOr<std::vector<uint8_t>> SealUnderKek(const Kek& kek, KekUse use, BoundFields fields,
                                                  std::span<const uint8_t> plaintext) {
  if (plaintext.empty() || plaintext.size() > kKekBoxPlaintextBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("a box for ", plaintext.size(), " bytes"));
  }
  const Labels labels = LabelsOf(use);
  std::vector<uint8_t> box(kKekBoxOverheadBytes + plaintext.size());
  const std::span<uint8_t> nonce = std::span(box).subspan(kCommitmentBytes, kNonceBytes);
  SOTTO_RETURN_IF_ERROR(FillRandom(nonce));
  SOTTO_ASSIGN_OR_RETURN(const SecretBytes commitment, Derive(kek, nonce, labels.commit));
  std::copy_n(commitment.view().begin(), kCommitmentBytes, box.begin());
  SOTTO_ASSIGN_OR_RETURN(const SecretBytes key, Derive(kek, nonce, labels.key));

  const std::string data = AdditionalData(labels.data, fields);
  uint8_t* const ciphertext = box.data() + kCommitmentBytes + kNonceBytes;
  const int size = static_cast<int>(plaintext.size());
  int written = 0, final_written = 0;
  ERR_clear_error();
  const internal::EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  const bool sealed =
      context != nullptr && Cipher() != nullptr &&
      EVP_EncryptInit_ex2(context.get(), Cipher(), key.view().data(), nonce.data(), nullptr) == 1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &written, BytesOf(data).data(),
                        static_cast<int>(data.size())) == 1 &&
      EVP_EncryptUpdate(context.get(), ciphertext, &written, plaintext.data(), size) == 1 &&
      EVP_EncryptFinal_ex(context.get(), ciphertext + written, &final_written) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, ciphertext + size) == 1;
  if (!sealed || written != size || final_written != 0) {
    OPENSSL_cleanse(box.data(), box.size());
    return CipherFailed();
  }
  return box;
}

absl::StatusOr<SecretBytes> OpenUnderKek(const Kek& kek, KekUse use, BoundFields fields,
                                         std::span<const uint8_t> box) {
  if (box.size() <= kKekBoxOverheadBytes ||
      box.size() > kKekBoxOverheadBytes + kKekBoxPlaintextBytesMax) {
    return Corrupt(absl::StrCat("the sealed part has ", box.size(), " bytes"));
  }
  const Labels labels = LabelsOf(use);
  const std::span<const uint8_t> nonce = box.subspan(kCommitmentBytes, kNonceBytes);
  SOTTO_ASSIGN_OR_RETURN(const SecretBytes commitment, Derive(kek, nonce, labels.commit));
  if (CRYPTO_memcmp(commitment.view().data(), box.data(), kCommitmentBytes) != 0) {
    return CodedError(StatusCode::kUnauthenticated, "KEK_MISMATCH",
                      absl::StrCat("it names the key-encryption key ", ToString(kek.id()),
                                   " and was not sealed under it"));
  }
  SOTTO_ASSIGN_OR_RETURN(const SecretBytes key, Derive(kek, nonce, labels.key));

  const std::string data = AdditionalData(labels.data, fields);
  const std::span<const uint8_t> ciphertext =
      box.subspan(kCommitmentBytes + kNonceBytes, box.size() - kKekBoxOverheadBytes);
  std::array<uint8_t, kTagBytes> tag;
  std::copy_n(box.end() - kTagBytes, kTagBytes, tag.begin());
  SecretBytes plaintext(ciphertext.size());
  int written = 0, final_written = 0;
  ERR_clear_error();
  const internal::EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  const bool decrypted =
      context != nullptr && Cipher() != nullptr &&
      EVP_DecryptInit_ex2(context.get(), Cipher(), key.view().data(), nonce.data(), nullptr) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &written, BytesOf(data).data(),
                        static_cast<int>(data.size())) == 1 &&
      EVP_DecryptUpdate(context.get(), plaintext.mutable_view().data(), &written, ciphertext.data(),
                        static_cast<int>(ciphertext.size())) == 1;
  if (!decrypted || written != static_cast<int>(ciphertext.size())) return CipherFailed();
  if (EVP_DecryptFinal_ex(context.get(), plaintext.mutable_view().data() + written,
                          &final_written) != 1) {
    return Corrupt("it was changed after it was sealed, or it was sealed for another place");
  }
  return plaintext;
}

}  // namespace sotto
