#include <openssl/bn.h>
#include <openssl/ec.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/certificate.h"
#include "crypto/certificate_internal.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

absl::Status SignFailed() {
  return internal::OpenSslError(absl::StatusCode::kInternal, "SIGN_FAILED",
                                "the certificate's key cannot sign");
}

// DER to r || s with the low s: of the two signatures (r, s) and (r, n - s), one is ours.
absl::StatusOr<std::string> EcdsaRaw(std::string_view der) {
  const auto* at = reinterpret_cast<const uint8_t*>(der.data());
  const std::unique_ptr<ECDSA_SIG, internal::OpenSslFree<ECDSA_SIG_free>> sig(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  const std::unique_ptr<EC_GROUP, internal::OpenSslFree<EC_GROUP_free>> group(
      EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  const std::unique_ptr<BIGNUM, internal::OpenSslFree<BN_free>> low(BN_new());
  if (!sig || !group || !low) return SignFailed();
  const BIGNUM* order = EC_GROUP_get0_order(group.get());
  const BIGNUM* s = ECDSA_SIG_get0_s(sig.get());
  if (BN_sub(low.get(), order, s) != 1) return SignFailed();
  if (BN_cmp(low.get(), s) < 0) s = low.get();
  std::string raw(64, '\0');
  auto* out = reinterpret_cast<uint8_t*>(raw.data());
  if (BN_bn2binpad(ECDSA_SIG_get0_r(sig.get()), out, 32) != 32 ||
      BN_bn2binpad(s, out + 32, 32) != 32) {
    return SignFailed();
  }
  return raw;
}

}  // namespace

Credentials::Credentials() : native_(std::make_unique<Native>()) {}
Credentials::~Credentials() = default;

absl::StatusOr<CredentialsRef> Credentials::FromPem(std::string_view cert_pem,
                                                    std::string_view key_pem) {
  std::shared_ptr<Credentials> credentials(new Credentials());
  std::vector<internal::X509Ptr> found =
      internal::CertificatesFromPem(cert_pem, internal::kChainMax + 1);
  if (found.empty() || found.size() > internal::kChainMax) {
    return CodedError(absl::StatusCode::kInvalidArgument, "CERT_UNREADABLE",
                      absl::StrCat("want 1 to ", internal::kChainMax,
                                   " certificates in PEM form, the leaf first; found ",
                                   found.size() > internal::kChainMax ? "more" : "none"));
  }
  for (const internal::X509Ptr& x509 : found) {
    uint8_t* der = nullptr;
    const int size = i2d_X509(x509.get(), &der);
    const std::unique_ptr<uint8_t, decltype([](uint8_t* p) { OPENSSL_free(p); })> owner(der);
    if (size <= 0) {
      return internal::OpenSslError(absl::StatusCode::kInvalidArgument, "CERT_UNREADABLE",
                                    "the certificate cannot be encoded");
    }
    SOTTO_ASSIGN_OR_RETURN(CertificateRef certificate,
                           Certificate::FromDer({der, static_cast<size_t>(size)}));
    if (!credentials->certificate_) {
      credentials->certificate_ = std::move(certificate);
    } else {
      credentials->chain_.push_back(std::move(certificate));
    }
  }
  SOTTO_ASSIGN_OR_RETURN(credentials->native_->key, internal::PrivateKeyFromPem(key_pem));
  if (X509_check_private_key(credentials->certificate_->native().x509.get(),
                             credentials->native_->key.get()) != 1) {
    ERR_clear_error();
    return CodedError(absl::StatusCode::kInvalidArgument, "CERT_KEY_MISMATCH",
                      "the private key is not the certificate's");
  }
  return CredentialsRef(std::move(credentials));
}

absl::StatusOr<std::string> Credentials::Sign(std::string_view message) const {
  ERR_clear_error();
  EVP_PKEY* key = native_->key.get();
  const bool is_ec = internal::IsP256(key);
  if (!is_ec && !internal::IsEd25519(key)) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "CERT_KEY_KIND",
                      absl::StrCat("a key of kind ", internal::KeyTextOf(key),
                                   " signs no statements; want EC P-256 or ED25519"));
  }
  const internal::EvpMdCtxPtr context(EVP_MD_CTX_new());
  std::string out(static_cast<size_t>(EVP_PKEY_get_size(key)), '\0');
  size_t size = out.size();
  if (!context ||
      EVP_DigestSignInit(context.get(), nullptr, is_ec ? EVP_sha256() : nullptr, nullptr, key) !=
          1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<uint8_t*>(out.data()), &size,
                     reinterpret_cast<const uint8_t*>(message.data()), message.size()) != 1) {
    return SignFailed();
  }
  out.resize(size);
  if (is_ec) return EcdsaRaw(out);
  return out;
}

}  // namespace sotto
