#include "crypto/authority.h"

#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/certificate_internal.h"
#include "crypto/openssl_internal.h"
#include "crypto/secure_random.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

using internal::BioPtr;
using internal::EvpPkeyPtr;
using internal::OpenSslFree;
using internal::X509CrlPtr;
using internal::X509Ptr;

using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpenSslFree<X509_EXTENSION_free>>;
using BitStringPtr = std::unique_ptr<ASN1_BIT_STRING, OpenSslFree<ASN1_BIT_STRING_free>>;
using IntegerPtr = std::unique_ptr<ASN1_INTEGER, OpenSslFree<ASN1_INTEGER_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, OpenSslFree<ASN1_TIME_free>>;
using BnPtr = std::unique_ptr<BIGNUM, OpenSslFree<BN_free>>;

constexpr int64_t kClockSlackS = 300;

absl::Status Failed(std::string_view what) {
  return internal::OpenSslError(absl::StatusCode::kInternal, "CERT_MAKE_FAILED", what);
}

absl::StatusOr<EvpPkeyPtr> MakeKey(SigningKeyKind kind) {
  EvpPkeyPtr key(kind == SigningKeyKind::kEd25519
                     ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                     : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  if (!key) return Failed("no key could be made");
  return key;
}

// Ed25519 signs without a digest of its own; the others with SHA-256.
const EVP_MD* DigestFor(EVP_PKEY* key) { return internal::IsEd25519(key) ? nullptr : EVP_sha256(); }

absl::StatusOr<std::string> TakeText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);  // NOLINT(runtime/int): OpenSSL's type
  if (size <= 0) return Failed("nothing was written");
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<PemPair> ToPem(X509* x509, EVP_PKEY* key) {
  const BioPtr certificate(BIO_new(BIO_s_mem()));
  const BioPtr secret(BIO_new(BIO_s_secmem()));
  if (!certificate || !secret || PEM_write_bio_X509(certificate.get(), x509) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(secret.get(), key, nullptr, nullptr, 0, nullptr, nullptr) !=
          1) {
    return Failed("PEM cannot be written");
  }
  PemPair pair;
  SOTTO_ASSIGN_OR_RETURN(pair.certificate_pem, TakeText(certificate.get()));
  SOTTO_ASSIGN_OR_RETURN(pair.key_pem, TakeText(secret.get()));
  return pair;
}

// 127 random bits: positive in DER, and never twice.
absl::Status SetRandomSerial(X509* x509) {
  std::array<uint8_t, 16> bytes{};
  SOTTO_RETURN_IF_ERROR(FillRandom(bytes));
  bytes[0] = static_cast<uint8_t>((bytes[0] & 0x7f) | 0x40);
  const BnPtr number(BN_bin2bn(bytes.data(), bytes.size(), nullptr));
  if (!number || BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x509)) == nullptr) {
    return Failed("the serial number was not taken");
  }
  return absl::OkStatus();
}

absl::Status SetDates(X509* x509, int64_t not_before, int64_t not_after) {
  if (ASN1_TIME_set(X509_getm_notBefore(x509), static_cast<time_t>(not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(x509), static_cast<time_t>(not_after)) == nullptr) {
    return Failed("the dates were not taken");
  }
  return absl::OkStatus();
}

absl::Status AddNameEntry(X509_NAME* name, const char* field, std::string_view value) {
  if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                 reinterpret_cast<const uint8_t*>(value.data()),
                                 static_cast<int>(value.size()), -1, 0) != 1) {
    return Failed("a part of the subject was not taken");
  }
  return absl::OkStatus();
}

absl::Status AddExtension(X509* x509, int nid, bool critical, void* value) {
  if (value == nullptr || X509_add1_ext_i2d(x509, nid, value, critical ? 1 : 0, 0) != 1) {
    return Failed(absl::StrCat("extension ", OBJ_nid2sn(nid), " was not taken"));
  }
  return absl::OkStatus();
}

absl::Status AddBasicConstraints(X509* x509, bool is_ca) {
  const std::unique_ptr<BASIC_CONSTRAINTS, OpenSslFree<BASIC_CONSTRAINTS_free>> value(
      BASIC_CONSTRAINTS_new());
  if (!value) return Failed("out of memory");
  value->ca = is_ca ? 0xff : 0;
  if (is_ca) {
    value->pathlen = ASN1_INTEGER_new();
    if (value->pathlen == nullptr || ASN1_INTEGER_set(value->pathlen, 0) != 1) {
      return Failed("out of memory");
    }
  }
  return AddExtension(x509, NID_basic_constraints, true, value.get());
}

// Bits are numbered as in RFC 5280: digitalSignature 0, keyCertSign 5, cRLSign 6.
absl::Status AddKeyUsage(X509* x509, std::initializer_list<int> bits) {
  const BitStringPtr value(ASN1_BIT_STRING_new());
  if (!value) return Failed("out of memory");
  for (const int bit : bits) {
    if (ASN1_BIT_STRING_set_bit(value.get(), bit, 1) != 1) return Failed("out of memory");
  }
  return AddExtension(x509, NID_key_usage, true, value.get());
}

absl::Status AddExtendedKeyUsage(X509* x509, bool server, bool client) {
  const std::unique_ptr<EXTENDED_KEY_USAGE, OpenSslFree<EXTENDED_KEY_USAGE_free>> value(
      EXTENDED_KEY_USAGE_new());
  if (!value) return Failed("out of memory");
  if (server) sk_ASN1_OBJECT_push(value.get(), OBJ_nid2obj(NID_server_auth));
  if (client) sk_ASN1_OBJECT_push(value.get(), OBJ_nid2obj(NID_client_auth));
  return AddExtension(x509, NID_ext_key_usage, false, value.get());
}

// Through the GeneralName API: a text form would let a name bring further names with it.
std::unique_ptr<GENERAL_NAME, OpenSslFree<GENERAL_NAME_free>> UriName(std::string_view uri) {
  std::unique_ptr<GENERAL_NAME, OpenSslFree<GENERAL_NAME_free>> name(GENERAL_NAME_new());
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  if (!name || text == nullptr ||
      ASN1_STRING_set(text, uri.data(), static_cast<int>(uri.size())) != 1) {
    ASN1_IA5STRING_free(text);
    return nullptr;
  }
  GENERAL_NAME_set0_value(name.get(), GEN_URI, text);
  return name;
}

absl::Status AddUri(X509* x509, std::string_view uri) {
  const std::unique_ptr<GENERAL_NAMES, OpenSslFree<GENERAL_NAMES_free>> names(GENERAL_NAMES_new());
  auto name = UriName(uri);
  if (!names || !name || sk_GENERAL_NAME_push(names.get(), name.get()) <= 0) {
    return Failed("the URI was not taken");
  }
  (void)name.release();
  return AddExtension(x509, NID_subject_alt_name, false, names.get());
}

// URIs whose host part is this cluster, and no others.
absl::Status AddNameConstraints(X509* x509, std::string_view cluster) {
  const std::unique_ptr<NAME_CONSTRAINTS, OpenSslFree<NAME_CONSTRAINTS_free>> value(
      NAME_CONSTRAINTS_new());
  auto base = UriName(cluster);
  GENERAL_SUBTREE* subtree = GENERAL_SUBTREE_new();
  if (!value || !base || subtree == nullptr) {
    GENERAL_SUBTREE_free(subtree);
    return Failed("out of memory");
  }
  GENERAL_NAME_free(subtree->base);
  subtree->base = base.release();
  value->permittedSubtrees = sk_GENERAL_SUBTREE_new_null();
  if (value->permittedSubtrees == nullptr ||
      sk_GENERAL_SUBTREE_push(value->permittedSubtrees, subtree) <= 0) {
    GENERAL_SUBTREE_free(subtree);
    return Failed("out of memory");
  }
  return AddExtension(x509, NID_name_constraints, true, value.get());
}

absl::Status AddKeyIds(X509* x509, X509* issuer) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
  const ExtensionPtr subject(
      X509V3_EXT_conf_nid(nullptr, &context, NID_subject_key_identifier, "hash"));
  if (!subject || X509_add_ext(x509, subject.get(), -1) != 1) return Failed("no subject key id");
  // Chains are found by it where two CAs have one name, as during a roll-over.
  const ExtensionPtr authority(
      X509V3_EXT_conf_nid(nullptr, &context, NID_authority_key_identifier, "keyid"));
  if (!authority || X509_add_ext(x509, authority.get(), -1) != 1) {
    return Failed("no authority key id");
  }
  return absl::OkStatus();
}

struct Issuer {
  X509Ptr x509;
  EvpPkeyPtr key;
};

absl::StatusOr<Issuer> ReadIssuer(const PemPair& authority, bool unchecked) {
  Issuer issuer;
  std::vector<X509Ptr> found = internal::CertificatesFromPem(authority.certificate_pem, 1);
  if (found.empty()) {
    return CodedError(absl::StatusCode::kInvalidArgument, "CA_UNREADABLE",
                      "no certificate in PEM form");
  }
  issuer.x509 = std::move(found[0]);
  SOTTO_ASSIGN_OR_RETURN(issuer.key, internal::PrivateKeyFromPem(authority.key_pem));
  if (X509_check_private_key(issuer.x509.get(), issuer.key.get()) != 1) {
    ERR_clear_error();
    return CodedError(absl::StatusCode::kInvalidArgument, "CERT_KEY_MISMATCH",
                      "the private key is not the CA's");
  }
  if (!unchecked && X509_check_ca(issuer.x509.get()) != 1) {
    return CodedError(absl::StatusCode::kInvalidArgument, "CA_UNREADABLE",
                      "the issuing certificate is not a CA");
  }
  return issuer;
}

absl::Status CheckRequest(const IssueRequest& request, const X509* issuer) {
  if (!IsValidClusterName(request.identity.cluster) || !IsValidMemberName(request.identity.name)) {
    return CodedError(
        absl::StatusCode::kInvalidArgument, "MEMBER_NAME_INVALID",
        absl::StrCat("names have 1 to ", kMemberNameBytesMax, " (clusters: ", kClusterNameBytesMax,
                     ") characters of A-Z a-z 0-9 . _ - and begin with a letter or "
                     "a digit"));
  }
  time_t end = static_cast<time_t>(request.not_after_unix_s);
  if (request.not_after_unix_s <= request.not_before_unix_s ||
      X509_cmp_time(X509_get0_notAfter(issuer), &end) < 0) {
    return CodedError(absl::StatusCode::kInvalidArgument, "CERT_VALIDITY_INVALID",
                      "the certificate would end before it begins, or after its CA");
  }
  return absl::OkStatus();
}

absl::StatusOr<EvpPkeyPtr> MakeLeafKey(const IssueRequest& request) {
  if (!request.weak_rsa) return MakeKey(request.kind);
  EvpPkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{1024}));
  if (!key) return Failed("no key could be made");
  return key;
}

absl::Status FillLeaf(X509* x509, const IssueRequest& request, X509* issuer) {
  SOTTO_RETURN_IF_ERROR(SetRandomSerial(x509));
  SOTTO_RETURN_IF_ERROR(SetDates(x509, request.not_before_unix_s, request.not_after_unix_s));
  // The name is not put into the subject: OpenSSL refuses common names of more than 64 characters.
  SOTTO_RETURN_IF_ERROR(AddNameEntry(X509_get_subject_name(x509), "O", request.identity.cluster));
  if (request.common_name_only) {
    SOTTO_RETURN_IF_ERROR(AddNameEntry(X509_get_subject_name(x509), "CN", request.identity.name));
  }
  if (X509_set_issuer_name(x509, X509_get_subject_name(issuer)) != 1) return Failed("no issuer");
  SOTTO_RETURN_IF_ERROR(AddBasicConstraints(x509, false));
  SOTTO_RETURN_IF_ERROR(AddKeyUsage(x509, {0}));
  if (!request.omit_usage) {
    SOTTO_RETURN_IF_ERROR(
        AddExtendedKeyUsage(x509, !request.client_usage_only, !request.server_usage_only));
  }
  if (!request.common_name_only) {
    SOTTO_RETURN_IF_ERROR(AddUri(
        x509, request.uri_override.empty() ? ToUri(request.identity) : request.uri_override));
  }
  return AddKeyIds(x509, issuer);
}

}  // namespace

absl::StatusOr<PemPair> CreateAuthority(std::string_view cluster, SigningKeyKind kind,
                                        int64_t now_unix_s, int64_t valid_s) {
  ERR_clear_error();
  if (!IsValidClusterName(cluster)) {
    return CodedError(absl::StatusCode::kInvalidArgument, "CLUSTER_NAME_INVALID",
                      absl::StrCat("a cluster's name has 1 to ", kClusterNameBytesMax,
                                   " characters of A-Z a-z 0-9 . _ - and begins with a letter or a "
                                   "digit"));
  }
  SOTTO_ASSIGN_OR_RETURN(const EvpPkeyPtr key, MakeKey(kind));
  const X509Ptr x509(X509_new());
  if (!x509 || X509_set_version(x509.get(), X509_VERSION_3) != 1 ||
      X509_set_pubkey(x509.get(), key.get()) != 1) {
    return Failed("no certificate could be made");
  }
  SOTTO_RETURN_IF_ERROR(SetRandomSerial(x509.get()));
  SOTTO_RETURN_IF_ERROR(SetDates(x509.get(), now_unix_s - kClockSlackS, now_unix_s + valid_s));
  SOTTO_RETURN_IF_ERROR(AddNameEntry(X509_get_subject_name(x509.get()), "O", cluster));
  if (X509_set_issuer_name(x509.get(), X509_get_subject_name(x509.get())) != 1) {
    return Failed("no issuer");
  }
  SOTTO_RETURN_IF_ERROR(AddBasicConstraints(x509.get(), true));
  SOTTO_RETURN_IF_ERROR(AddKeyUsage(x509.get(), {5, 6}));
  SOTTO_RETURN_IF_ERROR(AddNameConstraints(x509.get(), cluster));
  SOTTO_RETURN_IF_ERROR(AddKeyIds(x509.get(), x509.get()));
  if (X509_sign(x509.get(), key.get(), DigestFor(key.get())) <= 0) return Failed("not signed");
  return ToPem(x509.get(), key.get());
}

absl::StatusOr<PemPair> IssueCertificate(const PemPair& authority, const IssueRequest& request) {
  ERR_clear_error();
  SOTTO_ASSIGN_OR_RETURN(const Issuer issuer, ReadIssuer(authority, request.issuer_unchecked));
  SOTTO_RETURN_IF_ERROR(CheckRequest(request, issuer.x509.get()));
  SOTTO_ASSIGN_OR_RETURN(const EvpPkeyPtr key, MakeLeafKey(request));
  const X509Ptr x509(X509_new());
  if (!x509 || X509_set_version(x509.get(), X509_VERSION_3) != 1 ||
      X509_set_pubkey(x509.get(), key.get()) != 1) {
    return Failed("no certificate could be made");
  }
  SOTTO_RETURN_IF_ERROR(FillLeaf(x509.get(), request, issuer.x509.get()));
  if (X509_sign(x509.get(), issuer.key.get(), DigestFor(issuer.key.get())) <= 0) {
    return Failed("not signed");
  }
  return ToPem(x509.get(), key.get());
}

absl::StatusOr<std::string> CreateRevocationList(const PemPair& authority,
                                                 const std::vector<std::string>& serials_hex,
                                                 int64_t now_unix_s, int64_t valid_s) {
  ERR_clear_error();
  SOTTO_ASSIGN_OR_RETURN(const Issuer issuer, ReadIssuer(authority, false));
  const X509CrlPtr crl(X509_CRL_new());
  const TimePtr from(ASN1_TIME_set(nullptr, static_cast<time_t>(now_unix_s - kClockSlackS)));
  const TimePtr until(ASN1_TIME_set(nullptr, static_cast<time_t>(now_unix_s + valid_s)));
  if (!crl || !from || !until || X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2) != 1 ||
      X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.x509.get())) != 1 ||
      X509_CRL_set1_lastUpdate(crl.get(), from.get()) != 1 ||
      X509_CRL_set1_nextUpdate(crl.get(), until.get()) != 1) {
    return Failed("no revocation list could be made");
  }
  for (const std::string& hex : serials_hex) {
    BIGNUM* parsed = nullptr;
    const bool whole = !hex.empty() && hex.size() <= 40 &&
                       BN_hex2bn(&parsed, hex.c_str()) == static_cast<int>(hex.size());
    const BnPtr number(parsed);
    if (!whole || BN_is_negative(number.get())) {
      return CodedError(absl::StatusCode::kInvalidArgument, "SERIAL_INVALID",
                        "a serial number is 1 to 40 hexadecimal digits");
    }
    std::unique_ptr<X509_REVOKED, OpenSslFree<X509_REVOKED_free>> entry(X509_REVOKED_new());
    const IntegerPtr serial(BN_to_ASN1_INTEGER(number.get(), nullptr));
    if (!entry || !serial || X509_REVOKED_set_serialNumber(entry.get(), serial.get()) != 1 ||
        X509_REVOKED_set_revocationDate(entry.get(), from.get()) != 1 ||
        X509_CRL_add0_revoked(crl.get(), entry.get()) != 1) {
      return Failed("a serial number was not taken");
    }
    (void)entry.release();
  }
  X509_CRL_sort(crl.get());
  if (X509_CRL_sign(crl.get(), issuer.key.get(), DigestFor(issuer.key.get())) <= 0) {
    return Failed("not signed");
  }
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509_CRL(bio.get(), crl.get()) != 1) return Failed("not written");
  return TakeText(bio.get());
}

}  // namespace sotto
