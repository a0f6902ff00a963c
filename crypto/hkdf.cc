#include "crypto/hkdf.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "crypto/openssl_internal.h"
#include "gossip/base/coded_error.h"

namespace sotto {
namespace {

// A fetch takes OpenSSL's global lock and a microsecond; once for a process is enough.
EVP_KDF* Hkdf() {
  static EVP_KDF* const kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  return kdf;
}

// OpenSSL's parameters are not const, though it only reads these.
OSSL_PARAM Octets(const char* name, std::span<const uint8_t> bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace

absl::Status HkdfSha256(std::span<const uint8_t> ikm, std::span<const uint8_t> salt,
                        std::span<const uint8_t> info, std::span<uint8_t> out) {
  if (ikm.empty() || out.empty() || out.size() > kHkdfBytesMax) {
    return absl::InvalidArgumentError("HKDF: sizes out of range");
  }
  char digest[] = "SHA256";
  OSSL_PARAM params[5];
  size_t count = 0;
  params[count++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
  params[count++] = Octets(OSSL_KDF_PARAM_KEY, ikm);
  if (!salt.empty()) params[count++] = Octets(OSSL_KDF_PARAM_SALT, salt);
  if (!info.empty()) params[count++] = Octets(OSSL_KDF_PARAM_INFO, info);
  params[count] = OSSL_PARAM_construct_end();

  ERR_clear_error();
  const internal::EvpKdfCtxPtr context(Hkdf() == nullptr ? nullptr : EVP_KDF_CTX_new(Hkdf()));
  if (context != nullptr && EVP_KDF_derive(context.get(), out.data(), out.size(), params) == 1) {
    return absl::OkStatus();
  }
  OPENSSL_cleanse(out.data(), out.size());
  return internal::OpenSslError(absl::StatusCode::kInternal, "CRYPTO_FAILED", "HKDF-SHA256");
}

}  // namespace sotto
