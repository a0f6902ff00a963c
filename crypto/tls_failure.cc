#include <openssl/ssl.h>
#include <openssl/sslerr.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "crypto/openssl_internal.h"
#include "crypto/tls_context.h"
#include "gossip/base/coded_error.h"

namespace sotto {
namespace {

struct Cause {
  int reason;
  absl::StatusCode kind;
  std::string_view code;
  std::string_view text;
};

constexpr std::string_view kItsLog = "; its log has the reason";

constexpr Cause kCauses[] = {
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, absl::StatusCode::kUnauthenticated, "CERT_MISSING",
     "the other end showed no certificate"},
    {SSL_R_EXCESSIVE_MESSAGE_SIZE, absl::StatusCode::kUnauthenticated, "CERT_CHAIN_TOO_LONG",
     "the other end sent a message beyond the limit, as a certificate chain of megabytes"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, absl::StatusCode::kPermissionDenied, "TLS_REFUSED_UNKNOWN_CA",
     "the other end does not trust the CA of our certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, absl::StatusCode::kPermissionDenied,
     "TLS_REFUSED_EXPIRED",
     "the other end takes our certificate for expired (or its clock differs)"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, absl::StatusCode::kPermissionDenied,
     "TLS_REFUSED_REVOKED", "the other end has our certificate on its revocation list"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, absl::StatusCode::kPermissionDenied,
     "TLS_REFUSED_NO_CERT", "the other end wants a certificate, and we showed none"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, absl::StatusCode::kPermissionDenied, "TLS_REFUSED",
     "the other end refused our certificate (name, dates or strength)"},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, absl::StatusCode::kPermissionDenied, "TLS_REFUSED",
     "the other end refused our certificate for its usage"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, absl::StatusCode::kPermissionDenied, "TLS_REFUSED",
     "the other end refused our certificate"},
    {SSL_R_TLSV1_ALERT_ACCESS_DENIED, absl::StatusCode::kPermissionDenied, "TLS_REFUSED",
     "the other end refused us"},
    {SSL_R_TLSV1_ALERT_DECRYPT_ERROR, absl::StatusCode::kPermissionDenied, "TLS_REFUSED",
     "the other end refused our signature or certificate"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, absl::StatusCode::kPermissionDenied, "TLS_REFUSED",
     "the other end refused the handshake (identity in the certificate, or no suite in common)"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, absl::StatusCode::kFailedPrecondition, "TLS_ALPN",
     "the other end speaks TLS, but another protocol inside"},
    {SSL_R_NO_APPLICATION_PROTOCOL, absl::StatusCode::kFailedPrecondition, "TLS_ALPN",
     "the other end speaks TLS, but another protocol inside"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, absl::StatusCode::kFailedPrecondition, "TLS_VERSION",
     "the other end does not speak TLS 1.3"},
    {SSL_R_UNSUPPORTED_PROTOCOL, absl::StatusCode::kFailedPrecondition, "TLS_VERSION",
     "the other end does not speak TLS 1.3"},
    {SSL_R_WRONG_SSL_VERSION, absl::StatusCode::kFailedPrecondition, "TLS_VERSION",
     "the other end does not speak TLS 1.3"},
    {SSL_R_NO_PROTOCOLS_AVAILABLE, absl::StatusCode::kFailedPrecondition, "TLS_VERSION",
     "no version of TLS is left to speak"},
    {SSL_R_WRONG_VERSION_NUMBER, absl::StatusCode::kFailedPrecondition, "TLS_NOT_TLS",
     "the other end does not speak TLS"},
    {SSL_R_HTTP_REQUEST, absl::StatusCode::kFailedPrecondition, "TLS_NOT_TLS",
     "the other end speaks plain HTTP"},
    {SSL_R_HTTPS_PROXY_REQUEST, absl::StatusCode::kFailedPrecondition, "TLS_NOT_TLS",
     "the other end speaks to an HTTP proxy"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, absl::StatusCode::kFailedPrecondition, "TLS_NOT_TLS",
     "the other end does not speak TLS"},
    {SSL_R_RECORD_TOO_SMALL, absl::StatusCode::kFailedPrecondition, "TLS_NOT_TLS",
     "the other end does not speak TLS"},
    {SSL_R_BAD_RECORD_TYPE, absl::StatusCode::kFailedPrecondition, "TLS_NOT_TLS",
     "the other end does not speak TLS"},
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, absl::StatusCode::kUnavailable, "TLS_PEER_CLOSED",
     "the other end hung up"},
};

const Cause* CauseOf(unsigned long error) {  // NOLINT(runtime/int): OpenSSL's type
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return nullptr;
  for (const Cause& cause : kCauses) {
    if (cause.reason == ERR_GET_REASON(error)) return &cause;
  }
  return nullptr;
}

}  // namespace

absl::Status DescribeTlsFailure(std::string_view what, const TlsPeer& peer,
                                unsigned long openssl_error) {
  std::vector<unsigned long> errors;
  if (openssl_error != 0) errors.push_back(openssl_error);
  while (const unsigned long error = ERR_get_error()) {
    if (errors.size() < 4) errors.push_back(error);
  }
  if (!peer.verdict.ok() && !ErrorCode(peer.verdict).empty()) {
    return WithContext(peer.verdict, what);
  }
  for (const unsigned long error : errors) {
    const Cause* cause = CauseOf(error);
    if (cause == nullptr) continue;
    return CodedError(
        cause->kind, cause->code,
        absl::StrCat(
            std::string(what), ": ", std::string(cause->text),
            std::string(cause->kind == absl::StatusCode::kPermissionDenied ? kItsLog : "")));
  }
  if (errors.empty()) {
    return CodedError(absl::StatusCode::kUnavailable, "TLS_PEER_CLOSED",
                      absl::StrCat(std::string(what), ": the other end hung up"));
  }
  const char* reason = ERR_reason_error_string(errors.front());
  return CodedError(absl::StatusCode::kUnavailable, "TLS_FAILED",
                    absl::StrCat(std::string(what), ": ",
                                 reason != nullptr ? reason : "OpenSSL gives no reason"));
}

}  // namespace sotto
