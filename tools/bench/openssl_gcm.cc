#include "tools/bench/openssl_gcm.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace sotto::bench {
namespace {

using Nonce = std::array<uint8_t, 12>;

Nonce NonceOf(uint64_t counter) {
  Nonce nonce{};
  for (size_t i = 0; i < 8; ++i) nonce[4 + i] = static_cast<uint8_t>(counter >> (56 - 8 * i));
  return nonce;
}

const EVP_CIPHER* CipherFor(size_t key_bytes) {
  if (key_bytes == 16) return EVP_aes_128_gcm();
  return key_bytes == 24 ? EVP_aes_192_gcm() : EVP_aes_256_gcm();
}

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

}  // namespace

struct OpenSslGcm::Contexts {
  Context seal{EVP_CIPHER_CTX_new()};
  Context open{EVP_CIPHER_CTX_new()};
};

OpenSslGcm::OpenSslGcm(std::span<const uint8_t> key) : contexts_(std::make_unique<Contexts>()) {
  const EVP_CIPHER* const cipher = CipherFor(key.size());
  EVP_EncryptInit_ex2(contexts_->seal.get(), cipher, key.data(), nullptr, nullptr);
  EVP_DecryptInit_ex2(contexts_->open.get(), cipher, key.data(), nullptr, nullptr);
}

OpenSslGcm::~OpenSslGcm() = default;

bool OpenSslGcm::Seal(uint64_t counter, std::span<const uint8_t> additional,
                      std::span<const uint8_t> plaintext, std::span<uint8_t> out) {
  EVP_CIPHER_CTX* const context = contexts_->seal.get();
  const Nonce nonce = NonceOf(counter);
  const int size = static_cast<int>(plaintext.size());
  int written = 0;
  return EVP_EncryptInit_ex2(context, nullptr, nullptr, nonce.data(), nullptr) == 1 &&
         EVP_EncryptUpdate(context, nullptr, &written, additional.data(),
                           static_cast<int>(additional.size())) == 1 &&
         EVP_EncryptUpdate(context, out.data(), &written, plaintext.data(), size) == 1 &&
         EVP_EncryptFinal_ex(context, out.data() + written, &written) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, out.data() + size) == 1;
}

bool OpenSslGcm::Open(uint64_t counter, std::span<const uint8_t> additional,
                      std::span<const uint8_t> sealed, std::span<uint8_t> out) {
  EVP_CIPHER_CTX* const context = contexts_->open.get();
  const Nonce nonce = NonceOf(counter);
  const size_t size = sealed.size() - kTagBytes;
  std::array<uint8_t, kTagBytes> tag;
  std::copy_n(sealed.begin() + static_cast<std::ptrdiff_t>(size), kTagBytes, tag.begin());
  int written = 0;
  return EVP_DecryptInit_ex2(context, nullptr, nullptr, nonce.data(), nullptr) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1 &&
         EVP_DecryptUpdate(context, nullptr, &written, additional.data(),
                           static_cast<int>(additional.size())) == 1 &&
         EVP_DecryptUpdate(context, out.data(), &written, sealed.data(), static_cast<int>(size)) ==
             1 &&
         EVP_DecryptFinal_ex(context, out.data() + written, &written) == 1;
}

}  // namespace sotto::bench
