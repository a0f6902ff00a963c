#include <openssl/pem.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/certificate.h"
#include "crypto/certificate_internal.h"
#include "crypto/sha256.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace internal {
namespace {

constexpr size_t kAuthoritiesMax = 64;

struct CodeOfError {
  int x509_error;
  absl::StatusCode kind;
  std::string_view code;
};

// What is not listed is CERT_UNTRUSTED.
constexpr CodeOfError kCodes[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, absl::StatusCode::kUnauthenticated, "CERT_EXPIRED"},
    {X509_V_ERR_CERT_NOT_YET_VALID, absl::StatusCode::kUnauthenticated, "CERT_NOT_YET_VALID"},
    {X509_V_ERR_CERT_REVOKED, absl::StatusCode::kUnauthenticated, "CERT_REVOKED"},
    {X509_V_ERR_CRL_HAS_EXPIRED, absl::StatusCode::kUnauthenticated, "CRL_EXPIRED"},
    {X509_V_ERR_CRL_NOT_YET_VALID, absl::StatusCode::kUnauthenticated, "CRL_EXPIRED"},
    {X509_V_ERR_UNABLE_TO_GET_CRL, absl::StatusCode::kUnauthenticated, "CRL_MISSING"},
    {X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, absl::StatusCode::kUnauthenticated, "CRL_MISSING"},
    {X509_V_ERR_CRL_SIGNATURE_FAILURE, absl::StatusCode::kUnauthenticated, "CRL_MISSING"},
    {X509_V_ERR_EE_KEY_TOO_SMALL, absl::StatusCode::kUnauthenticated, "CERT_WEAK_KEY"},
    {X509_V_ERR_CA_KEY_TOO_SMALL, absl::StatusCode::kUnauthenticated, "CERT_WEAK_KEY"},
    {X509_V_ERR_CA_MD_TOO_WEAK, absl::StatusCode::kUnauthenticated, "CERT_WEAK_KEY"},
    {X509_V_ERR_INVALID_PURPOSE, absl::StatusCode::kPermissionDenied, "CERT_WRONG_USAGE"},
    {X509_V_ERR_PERMITTED_VIOLATION, absl::StatusCode::kPermissionDenied, "CERT_OTHER_CLUSTER"},
    {X509_V_ERR_EXCLUDED_VIOLATION, absl::StatusCode::kPermissionDenied, "CERT_OTHER_CLUSTER"},
};

Refusal ChainRefusal(X509_STORE_CTX* context) {
  const int error = X509_STORE_CTX_get_error(context);
  const std::string text = absl::StrCat(X509_verify_cert_error_string(error), " (at depth ",
                                        X509_STORE_CTX_get_error_depth(context), ")");
  for (const CodeOfError& entry : kCodes) {
    if (entry.x509_error == error) return {CodedError(entry.kind, entry.code, text), error};
  }
  return {CodedError(absl::StatusCode::kUnauthenticated, "CERT_UNTRUSTED", text), error};
}

Refusal OwnRefusal(std::string_view code, std::string_view text,
                   int error = X509_V_ERR_APPLICATION_VERIFICATION) {
  return {CodedError(absl::StatusCode::kPermissionDenied, code, text), error};
}

// The end of validity that is still let pass; the rest of OpenSSL's verdict stands.
struct Grace {
  int64_t now_unix_s = 0;
  int64_t grace_s = 0;
};

int GraceIndex() {
  static const int index = X509_STORE_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

int AllowGrace(int preverified, X509_STORE_CTX* context) {
  if (preverified == 1) return 1;
  if (X509_STORE_CTX_get_error(context) != X509_V_ERR_CERT_HAS_EXPIRED ||
      X509_STORE_CTX_get_error_depth(context) != 0) {
    return 0;
  }
  const auto* grace = static_cast<const Grace*>(X509_STORE_CTX_get_ex_data(context, GraceIndex()));
  const X509* leaf = X509_STORE_CTX_get_current_cert(context);
  if (grace == nullptr || leaf == nullptr) return 0;
  time_t earlier = static_cast<time_t>(grace->now_unix_s - grace->grace_s);
  if (X509_cmp_time(X509_get0_notAfter(leaf), &earlier) <= 0) return 0;
  X509_STORE_CTX_set_error(context, X509_V_OK);
  return 1;
}

// The key's kind and the usages of the leaf and of every CA above it.
Refusal CheckUsage(X509* leaf, STACK_OF(X509) * chain) {
  const uint32_t flags = X509_get_extension_flags(leaf);
  if ((flags & EXFLAG_INVALID) != 0) {
    return OwnRefusal("CERT_UNTRUSTED", "the certificate's extensions cannot be read");
  }
  if (X509_check_ca(leaf) != 0) {
    return OwnRefusal("CERT_WRONG_USAGE", "a CA's certificate does not speak for a member",
                      X509_V_ERR_INVALID_PURPOSE);
  }
  // Without the extension OpenSSL takes every purpose as granted.
  if ((flags & EXFLAG_XKUSAGE) == 0) {
    return OwnRefusal("CERT_NO_USAGE",
                      "the certificate names no extended key usage, want serverAuth and clientAuth",
                      X509_V_ERR_INVALID_PURPOSE);
  }
  const uint32_t usage = X509_get_extended_key_usage(leaf);
  if ((usage & XKU_SSL_SERVER) == 0 || (usage & XKU_SSL_CLIENT) == 0) {
    return OwnRefusal("CERT_WRONG_USAGE",
                      "the extended key usage lacks serverAuth or clientAuth, want both",
                      X509_V_ERR_INVALID_PURPOSE);
  }
  if ((X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) == 0) {
    return OwnRefusal("CERT_WRONG_USAGE", "the key usage lacks digitalSignature",
                      X509_V_ERR_INVALID_PURPOSE);
  }
  for (int i = 1; i < sk_X509_num(chain); ++i) {
    X509* authority = sk_X509_value(chain, i);
    if (X509_check_purpose(authority, X509_PURPOSE_SSL_SERVER, 1) <= 0 ||
        X509_check_purpose(authority, X509_PURPOSE_SSL_CLIENT, 1) <= 0) {
      return OwnRefusal("CERT_WRONG_USAGE", "a CA above it may not issue for servers and clients",
                        X509_V_ERR_INVALID_PURPOSE);
    }
  }
  EVP_PKEY* key = X509_get0_pubkey(leaf);
  if (!IsP256(key) && !IsEd25519(key)) {
    return OwnRefusal("CERT_KEY_KIND",
                      absl::StrCat("a key of kind ", KeyTextOf(key), ", want EC P-256 or ED25519"));
  }
  return {};
}

Refusal CheckIdentity(const TrustStore& trust, CertificateRole role,
                      const absl::StatusOr<CertificateIdentity>& identity) {
  if (!identity.ok()) {
    return {CodedError(absl::StatusCode::kPermissionDenied, "CERT_NO_IDENTITY",
                       std::string(identity.status().message())),
            X509_V_ERR_APPLICATION_VERIFICATION};
  }
  if (identity->cluster != trust.cluster()) {
    return OwnRefusal("CERT_OTHER_CLUSTER",
                      absl::StrCat("the certificate is of cluster ", identity->cluster,
                                   ", ours is ", trust.cluster()));
  }
  if (identity->role != role) {
    return OwnRefusal("CERT_WRONG_ROLE", absl::StrCat("the certificate is of role ",
                                                      std::string(ToString(identity->role)),
                                                      ", want ", std::string(ToString(role))));
  }
  return {};
}

}  // namespace

absl::StatusOr<CertificateIdentity> VerifyX509(const TrustStore& trust, X509* leaf,
                                               STACK_OF(X509) * untrusted, CertificateRole role,
                                               int64_t now_unix_s, int64_t grace_s,
                                               Refusal* refusal) {
  ERR_clear_error();
  const X509StoreCtxPtr context(X509_STORE_CTX_new());
  if (leaf == nullptr || !context ||
      X509_STORE_CTX_init(context.get(), trust.native().store.get(), leaf, untrusted) != 1) {
    refusal->x509_error = X509_V_ERR_UNSPECIFIED;
    refusal->status =
        OpenSslError(absl::StatusCode::kInternal, "CERT_UNTRUSTED", "verification could not begin");
    return refusal->status;
  }
  if (untrusted != nullptr && sk_X509_num(untrusted) > kChainMax) {
    *refusal = {CodedError(absl::StatusCode::kUnauthenticated, "CERT_UNTRUSTED",
                           absl::StrCat("a chain of more than ", kChainMax, " certificates")),
                X509_V_ERR_CERT_CHAIN_TOO_LONG};
    return refusal->status;
  }
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(param, static_cast<time_t>(now_unix_s));
  X509_VERIFY_PARAM_set_depth(param, kVerifyDepth);
  X509_VERIFY_PARAM_set_auth_level(param, kSecurityLevel);
  Grace grace{now_unix_s, grace_s};
  if (grace_s > 0) {
    X509_STORE_CTX_set_ex_data(context.get(), GraceIndex(), &grace);
    X509_STORE_CTX_set_verify_cb(context.get(), AllowGrace);
  }
  const bool chain_ok = X509_verify_cert(context.get()) == 1;
  *refusal = chain_ok ? CheckUsage(leaf, X509_STORE_CTX_get0_chain(context.get()))
                      : ChainRefusal(context.get());
  ERR_clear_error();
  if (!refusal->status.ok()) return refusal->status;
  absl::StatusOr<CertificateIdentity> identity = IdentityOf(leaf);
  *refusal = CheckIdentity(trust, role, identity);
  if (!refusal->status.ok()) return refusal->status;
  return identity;
}

}  // namespace internal

namespace {

absl::Status CrlUnreadable(std::string_view text) {
  ERR_clear_error();
  return CodedError(absl::StatusCode::kInvalidArgument, "CRL_UNREADABLE", text);
}

// A forged list is refused here, when it is loaded, rather than at each handshake.
bool SignedByOneOf(X509_CRL* crl, const std::vector<CertificateRef>& authorities) {
  for (const CertificateRef& authority : authorities) {
    X509* issuer = authority->native().x509.get();
    if (X509_NAME_cmp(X509_get_subject_name(issuer), X509_CRL_get_issuer(crl)) != 0) continue;
    if (X509_CRL_verify(crl, X509_get0_pubkey(issuer)) == 1) return true;
  }
  return false;
}

absl::StatusOr<int> AddRevocationLists(std::string_view pem, X509_STORE* store,
                                       const std::vector<CertificateRef>& authorities) {
  const internal::BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  int count = 0;
  while (bio) {
    const internal::X509CrlPtr crl(PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr));
    if (!crl) break;
    if (!SignedByOneOf(crl.get(), authorities)) {
      return CrlUnreadable("the revocation list is not signed by a CA of the bundle");
    }
    if (X509_STORE_add_crl(store, crl.get()) != 1) {
      return CrlUnreadable("the revocation list was not taken");
    }
    ++count;
  }
  ERR_clear_error();
  if (count == 0) return CrlUnreadable("no revocation list in PEM form");
  return count;
}

}  // namespace

TrustStore::TrustStore() : native_(std::make_unique<Native>()) {}
TrustStore::~TrustStore() = default;

absl::StatusOr<TrustStoreRef> TrustStore::Create(std::string_view ca_pem, std::string_view crl_pem,
                                                 std::string_view cluster, uint64_t generation) {
  const auto unreadable = [](std::string_view text) {
    return CodedError(absl::StatusCode::kInvalidArgument, "CA_UNREADABLE", text);
  };
  if (ca_pem.size() > (1 << 20) || crl_pem.size() > (16 << 20)) {
    return unreadable("the CA bundle or the revocation list is too long");
  }
  std::shared_ptr<TrustStore> trust(new TrustStore());
  trust->cluster_ = cluster;
  trust->generation_ = generation;
  // The lengths in front: the three parts have one reading.
  trust->fingerprint_ =
      Sha256(absl::StrCat(cluster.size(), " ", ca_pem.size(), " ", std::string(cluster),
                          std::string(ca_pem), std::string(crl_pem)));
  // Never the system's roots: any public CA could then make members.
  trust->native_->store.reset(X509_STORE_new());
  X509_STORE* store = trust->native_->store.get();
  if (store == nullptr) return unreadable("out of memory");
  for (const internal::X509Ptr& x509 :
       internal::CertificatesFromPem(ca_pem, internal::kAuthoritiesMax)) {
    uint8_t* der = nullptr;
    const int size = i2d_X509(x509.get(), &der);
    const std::unique_ptr<uint8_t, decltype([](uint8_t* p) { OPENSSL_free(p); })> owner(der);
    if (size <= 0) return unreadable("a certificate of the CA bundle cannot be read");
    absl::StatusOr<CertificateRef> authority =
        Certificate::FromDer({der, static_cast<size_t>(size)});
    if (!authority.ok()) return unreadable(std::string(authority.status().message()));
    if (X509_check_ca(x509.get()) != 1) {
      return unreadable(absl::StrCat((*authority)->SubjectText(), " is not a CA"));
    }
    if (X509_STORE_add_cert(store, (*authority)->native().x509.get()) != 1) {
      return unreadable("a certificate of the CA bundle was not taken");
    }
    trust->authorities_.push_back(*std::move(authority));
  }
  if (trust->authorities_.empty()) return unreadable("no certificate in PEM form");
  if (!crl_pem.empty()) {
    SOTTO_RETURN_IF_ERROR(AddRevocationLists(crl_pem, store, trust->authorities_).status());
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    trust->native_->has_revocation_list = true;
  }
  return TrustStoreRef(std::move(trust));
}

absl::StatusOr<CertificateIdentity> TrustStore::Verify(const Certificate& certificate,
                                                       std::span<const CertificateRef> chain,
                                                       CertificateRole role, int64_t now_unix_s,
                                                       int64_t grace_s) const {
  const internal::X509StackView untrusted(sk_X509_new_null());
  for (const CertificateRef& intermediate : chain) {
    if (!untrusted || sk_X509_push(untrusted.get(), intermediate->native().x509.get()) <= 0) {
      return CodedError(absl::StatusCode::kInternal, "CERT_UNTRUSTED", "out of memory");
    }
  }
  internal::Refusal refusal;
  return internal::VerifyX509(*this, certificate.native().x509.get(), untrusted.get(), role,
                              now_unix_s, grace_s, &refusal);
}

}  // namespace sotto
