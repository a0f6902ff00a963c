// Owners for OpenSSL's objects, and its error queue as a Status. For crypto/'s .cc files only.
#ifndef SOTTO_CRYPTO_OPENSSL_INTERNAL_H_
#define SOTTO_CRYPTO_OPENSSL_INTERNAL_H_

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "gossip/base/coded_error.h"

namespace sotto::internal {

template <auto kFree>
struct OpenSslFree {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using BioPtr = std::unique_ptr<BIO, OpenSslFree<BIO_free_all>>;
using EvpCipherPtr = std::unique_ptr<EVP_CIPHER, OpenSslFree<EVP_CIPHER_free>>;
using EvpCipherCtxPtr = std::unique_ptr<EVP_CIPHER_CTX, OpenSslFree<EVP_CIPHER_CTX_free>>;
using EvpKdfPtr = std::unique_ptr<EVP_KDF, OpenSslFree<EVP_KDF_free>>;
using EvpKdfCtxPtr = std::unique_ptr<EVP_KDF_CTX, OpenSslFree<EVP_KDF_CTX_free>>;
using EvpMdCtxPtr = std::unique_ptr<EVP_MD_CTX, OpenSslFree<EVP_MD_CTX_free>>;
using EvpPkeyPtr = std::unique_ptr<EVP_PKEY, OpenSslFree<EVP_PKEY_free>>;
using EvpPkeyCtxPtr = std::unique_ptr<EVP_PKEY_CTX, OpenSslFree<EVP_PKEY_CTX_free>>;
using X509Ptr = std::unique_ptr<X509, OpenSslFree<X509_free>>;
using X509StorePtr = std::unique_ptr<X509_STORE, OpenSslFree<X509_STORE_free>>;
using X509StoreCtxPtr = std::unique_ptr<X509_STORE_CTX, OpenSslFree<X509_STORE_CTX_free>>;
using X509CrlPtr = std::unique_ptr<X509_CRL, OpenSslFree<X509_CRL_free>>;

// Takes this thread's error queue and joins the reasons of its oldest entries, at most 4; "no
// reason given" where it is empty. OpenSSL's reasons hold no secrets.
inline std::string DrainOpenSslErrors() {
  std::string text;
  int taken = 0;
  while (const unsigned long error = ERR_get_error()) {  // NOLINT(runtime/int): OpenSSL's type
    if (taken++ >= 4) continue;
    const char* reason = ERR_reason_error_string(error);
    if (!text.empty()) text += "; ";
    text += reason != nullptr ? reason : "unknown error";
  }
  return text.empty() ? "no reason given" : text;
}

// `code` with "<what>: <OpenSSL's reasons>". Empties the error queue.
inline absl::Status OpenSslError(absl::StatusCode kind, std::string_view code,
                                 std::string_view what) {
  return CodedError(kind, code, std::string(what) + ": " + DrainOpenSslErrors());
}

}  // namespace sotto::internal

#endif  // SOTTO_CRYPTO_OPENSSL_INTERNAL_H_
