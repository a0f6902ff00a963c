#include "crypto/certificate.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/certificate_internal.h"
#include "crypto/sha256.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace internal {
namespace {

constexpr size_t kUriBytesMax = 8 + kClusterNameBytesMax + 1 + 5 + 1 + kMemberNameBytesMax;

// OpenSSL asks the terminal where there is no callback.
int NoPassphrase(char*, int, int, void*) { return -1; }

BioPtr ReadOnlyBio(std::string_view text) {
  return BioPtr(
      BIO_new_mem_buf(text.data(), static_cast<int>(std::min<size_t>(text.size(), 1 << 20))));
}

}  // namespace

bool IsP256(EVP_PKEY* key) {
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return false;
  char group[32] = {};
  size_t size = 0;
  if (EVP_PKEY_get_group_name(key, group, sizeof group, &size) != 1) return false;
  return std::string_view(group, size) == SN_X9_62_prime256v1;
}

bool IsEd25519(EVP_PKEY* key) {
  return key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
}

std::string KeyTextOf(EVP_PKEY* key) {
  if (key == nullptr) return "unreadable";
  if (IsP256(key)) return "EC P-256";
  if (IsEd25519(key)) return "ED25519";
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
    char group[32] = {};
    size_t size = 0;
    if (EVP_PKEY_get_group_name(key, group, sizeof group, &size) != 1) return "EC";
    return absl::StrCat("EC ", std::string(group, size));
  }
  const char* type = EVP_PKEY_get0_type_name(key);
  return absl::StrCat(type != nullptr ? type : "unknown", " ", EVP_PKEY_get_bits(key));
}

absl::StatusOr<EvpPkeyPtr> PrivateKeyFromPem(std::string_view pem) {
  ERR_clear_error();
  const BioPtr bio = ReadOnlyBio(pem);
  EvpPkeyPtr key;
  if (bio) key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key) return key;
  return OpenSslError(absl::StatusCode::kInvalidArgument, "KEY_FILE_UNREADABLE",
                      "no private key in PEM form without a passphrase");
}

std::vector<X509Ptr> CertificatesFromPem(std::string_view pem, size_t max) {
  std::vector<X509Ptr> found;
  const BioPtr bio = ReadOnlyBio(pem);
  while (bio && found.size() < max) {
    X509Ptr x509(PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr));
    if (!x509) break;
    found.push_back(std::move(x509));
  }
  ERR_clear_error();  // the end of the text is an error to OpenSSL
  return found;
}

absl::StatusOr<CertificateIdentity> IdentityOf(const X509* x509) {
  const auto free_names = [](GENERAL_NAMES* names) { GENERAL_NAMES_free(names); };
  const std::unique_ptr<GENERAL_NAMES, decltype(free_names)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)),
      free_names);
  ERR_clear_error();
  std::string uri;
  int count = 0;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* value = name->d.uniformResourceIdentifier;
    const std::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                                static_cast<size_t>(ASN1_STRING_length(value)));
    if (!text.starts_with("sotto:")) continue;
    ++count;
    uri.assign(text.substr(0, kUriBytesMax + 1));
  }
  if (count != 1) {
    return CodedError(absl::StatusCode::kInvalidArgument, "CERT_NO_IDENTITY",
                      absl::StrCat("the certificate has ", count,
                                   " URIs of the form sotto://CLUSTER/node/NAME, want exactly 1 "
                                   "(a common name does not count)"));
  }
  return ParseIdentityUri(uri);
}

}  // namespace internal

namespace {

constexpr std::string_view kScheme = "sotto://";

absl::Status Unreadable(std::string_view what) {
  return internal::OpenSslError(absl::StatusCode::kInvalidArgument, "CERT_UNREADABLE", what);
}

absl::StatusOr<int64_t> UnixTime(const ASN1_TIME* time) {
  std::tm tm = {};
  if (time == nullptr || ASN1_TIME_to_tm(time, &tm) != 1) {
    return Unreadable("the certificate's dates cannot be read");
  }
  return static_cast<int64_t>(timegm(&tm));
}

std::string NameText(const X509_NAME* name) {
  const internal::BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return "";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);  // NOLINT(runtime/int)
  return std::string(data, static_cast<size_t>(size));
}

// r || s to the DER that OpenSSL verifies; empty unless both are in range and s is low.
std::string EcdsaDer(std::string_view raw, const BIGNUM* order) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(raw.data());
  using BnPtr = std::unique_ptr<BIGNUM, internal::OpenSslFree<BN_free>>;
  BnPtr r(BN_bin2bn(bytes, 32, nullptr));
  BnPtr s(BN_bin2bn(bytes + 32, 32, nullptr));
  BnPtr half(BN_new());
  if (!r || !s || !half || BN_rshift1(half.get(), order) != 1) return "";
  if (BN_is_zero(r.get()) || BN_is_zero(s.get()) || BN_cmp(r.get(), order) >= 0 ||
      BN_cmp(s.get(), half.get()) > 0) {
    return "";
  }
  const std::unique_ptr<ECDSA_SIG, internal::OpenSslFree<ECDSA_SIG_free>> sig(ECDSA_SIG_new());
  if (!sig || ECDSA_SIG_set0(sig.get(), r.get(), s.get()) != 1) return "";
  (void)r.release();
  (void)s.release();
  uint8_t* der = nullptr;
  const int size = i2d_ECDSA_SIG(sig.get(), &der);
  if (size <= 0) return "";
  std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

}  // namespace

std::string_view ToString(CertificateRole role) {
  return role == CertificateRole::kAdmin ? "admin" : "node";
}

std::string ToUri(const CertificateIdentity& identity) {
  return absl::StrCat("sotto://", identity.cluster, "/", std::string(ToString(identity.role)), "/",
                      identity.name);
}

absl::StatusOr<CertificateIdentity> ParseIdentityUri(std::string_view uri) {
  const auto malformed = [] {
    return CodedError(absl::StatusCode::kInvalidArgument, "CERT_NO_IDENTITY",
                      "the certificate's URI is not sotto://CLUSTER/node/NAME or "
                      "sotto://CLUSTER/admin/NAME");
  };
  if (!uri.starts_with(kScheme)) return malformed();
  uri.remove_prefix(kScheme.size());
  const size_t first = uri.find('/');
  if (first == std::string_view::npos) return malformed();
  const size_t second = uri.find('/', first + 1);
  if (second == std::string_view::npos) return malformed();
  const std::string_view role = uri.substr(first + 1, second - first - 1);
  CertificateIdentity identity;
  identity.cluster = uri.substr(0, first);
  identity.name = uri.substr(second + 1);
  if (role == "node") {
    identity.role = CertificateRole::kNode;
  } else if (role == "admin") {
    identity.role = CertificateRole::kAdmin;
  } else {
    return malformed();
  }
  if (!IsValidClusterName(identity.cluster) || !IsValidMemberName(identity.name)) {
    return malformed();
  }
  return identity;
}

Certificate::Certificate() : native_(std::make_unique<Native>()) {}
Certificate::~Certificate() = default;

absl::StatusOr<CertificateRef> Certificate::FromDer(std::span<const uint8_t> der) {
  if (der.empty() || der.size() > kDerBytesMax) {
    return CodedError(
        absl::StatusCode::kInvalidArgument, "CERT_UNREADABLE",
        absl::StrCat("a certificate of ", der.size(), " bytes, want 1 to ", kDerBytesMax));
  }
  ERR_clear_error();
  const uint8_t* at = der.data();
  std::shared_ptr<Certificate> certificate(new Certificate());
  certificate->native_->x509.reset(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  X509* x509 = certificate->native_->x509.get();
  if (x509 == nullptr) return Unreadable("not a certificate");
  if (at != der.data() + der.size()) return Unreadable("bytes follow the certificate");
  if (X509_get0_pubkey(x509) == nullptr) return Unreadable("the certificate's key is unknown");
  // Parses the extensions into the object now: later readers only read.
  X509_check_purpose(x509, -1, 0);
  certificate->der_.assign(reinterpret_cast<const char*>(der.data()), der.size());
  certificate->sha256_ = Sha256(certificate->der_);
  SOTTO_ASSIGN_OR_RETURN(certificate->not_before_, UnixTime(X509_get0_notBefore(x509)));
  SOTTO_ASSIGN_OR_RETURN(certificate->not_after_, UnixTime(X509_get0_notAfter(x509)));
  ERR_clear_error();
  return CertificateRef(std::move(certificate));
}

absl::StatusOr<CertificateRef> Certificate::FromPem(std::string_view pem) {
  const std::vector<internal::X509Ptr> found = internal::CertificatesFromPem(pem, 1);
  if (found.empty()) {
    return CodedError(absl::StatusCode::kInvalidArgument, "CERT_UNREADABLE",
                      "no certificate in PEM form");
  }
  uint8_t* der = nullptr;
  const int size = i2d_X509(found[0].get(), &der);
  if (size <= 0) return Unreadable("the certificate cannot be encoded");
  const std::unique_ptr<uint8_t, decltype([](uint8_t* p) { OPENSSL_free(p); })> owner(der);
  return FromDer({der, static_cast<size_t>(size)});
}

absl::StatusOr<CertificateIdentity> Certificate::Identity() const {
  return internal::IdentityOf(native_->x509.get());
}

std::string Certificate::SubjectText() const {
  return NameText(X509_get_subject_name(native_->x509.get()));
}

std::string Certificate::IssuerText() const {
  return NameText(X509_get_issuer_name(native_->x509.get()));
}

std::string Certificate::SerialHex() const {
  const std::unique_ptr<BIGNUM, internal::OpenSslFree<BN_free>> serial(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(native_->x509.get()), nullptr));
  char* hex = serial ? BN_bn2hex(serial.get()) : nullptr;
  if (hex == nullptr) return "";
  std::string text(hex);
  OPENSSL_free(hex);
  for (char& c : text) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

std::string Certificate::KeyText() const {
  return internal::KeyTextOf(X509_get0_pubkey(native_->x509.get()));
}

bool Certificate::VerifySignature(std::string_view message, std::string_view signature) const {
  if (signature.size() != 64) return false;
  EVP_PKEY* key = X509_get0_pubkey(native_->x509.get());
  const bool is_ec = internal::IsP256(key);
  if (!is_ec && !internal::IsEd25519(key)) return false;
  std::string der;
  if (is_ec) {
    const std::unique_ptr<EC_GROUP, internal::OpenSslFree<EC_GROUP_free>> group(
        EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
    if (!group) return false;
    der = EcdsaDer(signature, EC_GROUP_get0_order(group.get()));
    if (der.empty()) return false;
    signature = der;
  }
  const internal::EvpMdCtxPtr context(EVP_MD_CTX_new());
  const bool good =
      context &&
      EVP_DigestVerifyInit(context.get(), nullptr, is_ec ? EVP_sha256() : nullptr, nullptr, key) ==
          1 &&
      EVP_DigestVerify(context.get(), reinterpret_cast<const uint8_t*>(signature.data()),
                       signature.size(), reinterpret_cast<const uint8_t*>(message.data()),
                       message.size()) == 1;
  ERR_clear_error();
  return good;
}

}  // namespace sotto
