#include "tests/support/test_pki.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <ctime>
#include <utility>

#include "crypto/certificate_internal.h"
#include "crypto/openssl_internal.h"
#include "gossip/base/check.h"

namespace sotto {
namespace {

constexpr int64_t kDayS = 86'400;

internal::EvpPkeyPtr MakeKey(const OddCertificate& odd) {
  if (odd.key == "RSA") {
    return internal::EvpPkeyPtr(
        EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<size_t>(odd.rsa_bits)));
  }
  return internal::EvpPkeyPtr(
      EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", odd.key == "P-384" ? "P-384" : "P-256"));
}

void AddText(X509* x509, X509* issuer, int nid, const std::string& text) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, text.c_str());
  SOTTO_CHECK(extension != nullptr);
  SOTTO_CHECK(X509_add_ext(x509, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

void PushNames(GENERAL_NAMES* names, int type, const std::vector<std::string>& texts) {
  for (const std::string& value : texts) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    SOTTO_CHECK(ASN1_STRING_set(text, value.data(), static_cast<int>(value.size())) == 1);
    GENERAL_NAME_set0_value(name, type, text);
    sk_GENERAL_NAME_push(names, name);
  }
}

void AddNames(X509* x509, const OddCertificate& odd) {
  GENERAL_NAMES* names = GENERAL_NAMES_new();
  PushNames(names, GEN_URI, odd.uris);
  PushNames(names, GEN_DNS, odd.hosts);
  SOTTO_CHECK(X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, 0) == 1);
  GENERAL_NAMES_free(names);
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);  // NOLINT(runtime/int): OpenSSL's type
  return std::string(data, static_cast<size_t>(size));
}

}  // namespace

TestPki::TestPki(std::string cluster, int64_t now_unix_s, SigningKeyKind kind)
    : cluster_(std::move(cluster)),
      now_(now_unix_s != 0 ? now_unix_s : static_cast<int64_t>(std::time(nullptr))) {
  // Begun long ago, so that it may issue what has expired.
  auto authority = CreateAuthority(cluster_, kind, now_ - 400 * kDayS, 1'200 * kDayS);
  SOTTO_CHECK(authority.ok());
  authority_ = *std::move(authority);
}

IssueRequest TestPki::Request(std::string_view name) const {
  IssueRequest request;
  request.identity = {cluster_, CertificateRole::kNode, std::string(name)};
  request.not_before_unix_s = now_ - 300;
  request.not_after_unix_s = now_ + 30 * kDayS;
  return request;
}

PemPair TestPki::Issue(const IssueRequest& request) const {
  auto pair = IssueCertificate(authority_, request);
  SOTTO_CHECK(pair.ok());
  return *std::move(pair);
}

PemPair TestPki::Make(const OddCertificate& odd) const {
  const internal::EvpPkeyPtr key = MakeKey(odd);
  const internal::X509Ptr x509(X509_new());
  SOTTO_CHECK(key && x509);
  X509_set_version(x509.get(), X509_VERSION_3);
  X509_set_pubkey(x509.get(), key.get());
  static int64_t serial = 1'000;
  ASN1_INTEGER_set_int64(X509_get_serialNumber(x509.get()), ++serial);
  ASN1_TIME_set(X509_getm_notBefore(x509.get()), static_cast<time_t>(now_ - 300));
  ASN1_TIME_set(X509_getm_notAfter(x509.get()), static_cast<time_t>(now_ + 30 * kDayS));
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509.get()), "O", MBSTRING_UTF8,
                             reinterpret_cast<const uint8_t*>(odd.organization.c_str()), -1, -1, 0);
  X509* issuer = x509.get();
  EVP_PKEY* issuer_key = key.get();
  std::vector<internal::X509Ptr> found;
  internal::EvpPkeyPtr read_key;
  if (odd.issuer != nullptr) {
    found = internal::CertificatesFromPem(odd.issuer->certificate_pem, 1);
    auto read = internal::PrivateKeyFromPem(odd.issuer->key_pem);
    SOTTO_CHECK(!found.empty() && read.ok());
    read_key = *std::move(read);
    issuer = found[0].get();
    issuer_key = read_key.get();
  }
  X509_set_issuer_name(x509.get(), X509_get_subject_name(issuer));
  AddText(x509.get(), issuer, NID_basic_constraints,
          odd.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  AddText(x509.get(), issuer, NID_key_usage,
          odd.is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  if (!odd.is_ca && !odd.usage.empty()) AddText(x509.get(), issuer, NID_ext_key_usage, odd.usage);
  AddText(x509.get(), issuer, NID_subject_key_identifier, "hash");
  AddText(x509.get(), issuer, NID_authority_key_identifier, "keyid");
  if (!odd.uris.empty() || !odd.hosts.empty()) AddNames(x509.get(), odd);
  const bool is_ed25519 = internal::IsEd25519(issuer_key);
  SOTTO_CHECK(X509_sign(x509.get(), issuer_key,
                        is_ed25519 ? nullptr
                        : odd.sha1 ? EVP_sha1()
                                   : EVP_sha256()) > 0);
  const internal::BioPtr certificate(BIO_new(BIO_s_mem()));
  const internal::BioPtr secret(BIO_new(BIO_s_mem()));
  SOTTO_CHECK(PEM_write_bio_X509(certificate.get(), x509.get()) == 1);
  SOTTO_CHECK(PEM_write_bio_PKCS8PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                            nullptr) == 1);
  return {TextOf(certificate.get()), TextOf(secret.get())};
}

CredentialsRef TestPki::Use(const PemPair& pair) const {
  auto credentials = Credentials::FromPem(pair.certificate_pem, pair.key_pem);
  SOTTO_CHECK(credentials.ok());
  return *std::move(credentials);
}

CredentialsRef TestPki::Node(std::string_view name) const { return Use(Issue(name)); }

TrustStoreRef TestPki::Trust(std::string_view crl_pem, uint64_t generation) const {
  auto trust = TrustStore::Create(ca_pem(), crl_pem, cluster_, generation);
  SOTTO_CHECK(trust.ok());
  return *std::move(trust);
}

TlsContextRef TestPki::Tls(std::string_view name) const {
  auto tls = TlsContext::Create(Node(name), Trust(), kAlpnSync, now_);
  SOTTO_CHECK(tls.ok());
  return *std::move(tls);
}

std::string TestPki::Revoke(const std::vector<std::string>& serials, int64_t from_unix_s,
                            int64_t valid_s) const {
  auto crl = CreateRevocationList(authority_, serials, from_unix_s, valid_s);
  SOTTO_CHECK(crl.ok());
  return *std::move(crl);
}

}  // namespace sotto
