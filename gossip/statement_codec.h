// Statements to signed bytes and back (design W8).
//
//   bytes = body || signature of 64 bytes over "sotto/1 <kind>\0" || body
//
// The body is protobuf, serialised once, by its signer; relays pass the bytes on as they are. Body
// and signature have one encoding each (ECDSA as r || s with the low s), so nobody but the signer
// can give the same statement another hash. Threads: pure functions.
#ifndef SOTTO_GOSSIP_STATEMENT_CODEC_H_
#define SOTTO_GOSSIP_STATEMENT_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/certificate.h"
#include "crypto/frame_codec.h"
#include "gossip/statement.h"

namespace sotto {

inline constexpr size_t kStatementSignatureBytes = 64;
// How long past its certificate's end a statement is still taken, for clocks that differ (W8).
inline constexpr int64_t kCertificateGraceS = 3'600;

// What a signer adds to a draft.
struct StatementContext {
  std::string cluster;
  std::string name;  // our own
  ProcessIdentityRef identity;
  std::vector<Endpoint> addresses;
  CredentialsRef credentials;
  uint8_t version_min = kFrameVersion;
  uint8_t version_max = kFrameVersion;
};

// "alive", "leave", "suspect", "dead", "forget"; "event", "query", "answer".
std::string_view ToString(StatementKind kind);

// Signs. INVALID_ARGUMENT STATEMENT_INVALID: a draft that no receiver would take (names, addresses,
// tags, an accusation of ourselves); INTERNAL: the signature failed.
absl::StatusOr<StatementRef> SignDraft(const StatementDraft& draft,
                                       const StatementContext& context);

// Parsed, and sound by itself; nobody has vouched for it yet.
struct UnverifiedStatement {
  Statement statement;
  std::string cluster;

  std::string_view body() const {
    return std::string_view(statement.bytes)
        .substr(0, statement.bytes.size() - kStatementSignatureBytes);
  }
  std::string_view signature() const {
    return std::string_view(statement.bytes)
        .substr(statement.bytes.size() - kStatementSignatureBytes);
  }
};

// kNone, kDecode (not our encoding) or kSemantic: names, addresses, tags, versions or a boot id
// that cannot be; an owner's kind about another, an accusation of oneself; incarnation of boot
// number 0.
DropReason ParseStatement(std::string_view bytes, UnverifiedStatement* parsed);

// Whether `certificate`, which `trust` accepts for a node at `now_unix_s`, made this statement.
//   kUnknownCertificate: it is not the one named, or `trust` refuses it (`*why` then has the code)
//   kBadSignature
//   kSemantic: another cluster, a signer other than the certificate's, another end of validity
DropReason VerifyStatement(const UnverifiedStatement& parsed, const Certificate& certificate,
                           const TrustStore& trust, int64_t now_unix_s,
                           absl::Status* why = nullptr);

// The part of VerifyStatement that follows the verdict on the certificate: `identity` is what
// TrustStore::Verify returned for it.
DropReason VerifyStatementBy(const UnverifiedStatement& parsed, const Certificate& certificate,
                             const CertificateIdentity& identity, const TrustStore& trust);

// Tags as statements carry them: sorted by key, each key once and of the alphabet of member names,
// values of printable UTF-8, at most kTagsBytesMax in all.
bool AreValidTags(const std::vector<Tag>& tags);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_STATEMENT_CODEC_H_
