#include "gossip/statement_codec.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/sha256.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/endpoint_text.h"
#include "gossip/wire.h"
#include "gossip/wire.pb.h"

namespace sotto {
namespace {

static_assert(kWireCertificateBytesMax == Certificate::kDerBytesMax);

// What is signed: a kind's signature never fits another kind, nor anything else signed by this key.
std::string SignedText(StatementKind kind, std::string_view body) {
  std::string text = absl::StrCat("sotto/1 ", std::string(ToString(kind)));
  text.push_back('\0');
  text.append(body);
  return text;
}

std::string EncodeEndpoint(const Endpoint& endpoint) {
  const size_t skip = IsV4(endpoint) ? 12 : 0;
  std::string out(reinterpret_cast<const char*>(endpoint.ip.data()) + skip,
                  endpoint.ip.size() - skip);
  out.push_back(static_cast<char>(endpoint.port >> 8));
  out.push_back(static_cast<char>(endpoint.port & 0xff));
  return out;
}

// One encoding for each address: IPv4 in the long form is refused.
bool DecodeEndpoint(const std::string& bytes, Endpoint* out) {
  if (bytes.size() != 6 && bytes.size() != 18) return false;
  const size_t address = bytes.size() - 2;
  if (address == 4) {
    out->ip = {};
    out->ip[10] = out->ip[11] = 0xff;
  }
  std::memcpy(out->ip.data() + (16 - address), bytes.data(), address);
  if (address == 16 && IsV4(*out)) return false;
  out->port = static_cast<uint16_t>(static_cast<uint8_t>(bytes[address]) << 8 |
                                    static_cast<uint8_t>(bytes[address + 1]));
  return true;
}

// UTF-8 without control characters (C0, DEL, C1): fit for a terminal and for JSON.
bool IsPrintableUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    if (lead < 0x80) {
      if (lead < 0x20 || lead == 0x7f) return false;
      ++i;
      continue;
    }
    const size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || i + size > text.size()) return false;
    uint32_t point = lead & (0x7fu >> size);
    for (size_t k = 1; k < size; ++k) {
      const auto next = static_cast<uint8_t>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      point = point << 6 | (next & 0x3fu);
    }
    constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < kLeast[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ||
        point < 0xa0) {
      return false;
    }
    i += size;
  }
  return true;
}

bool AreValidClaims(const AliveClaims& claims) {
  if (claims.addresses.empty() || claims.addresses.size() > kAddressesMax) return false;
  for (const Endpoint& endpoint : claims.addresses) {
    if (IsUnroutable(endpoint)) return false;
  }
  const bool has_x25519 = std::any_of(claims.x25519_public.begin(), claims.x25519_public.end(),
                                      [](uint8_t byte) { return byte != 0; });
  return has_x25519 && claims.version_min >= 1 && claims.version_min <= claims.version_max &&
         AreValidTags(claims.tags);
}

// Evidence in 64 bits, from the lowest: present 1, direct 1, stream 1, relays asked 5, nacked 5,
// score 7, zero 12, silence in milliseconds 32.
uint64_t PackEvidence(const Evidence& evidence) {
  return 1 | uint64_t{evidence.direct_failed} << 1 | static_cast<uint64_t>(evidence.stream) << 2 |
         uint64_t{evidence.relays_asked} << 3 | uint64_t{evidence.relays_nacked} << 8 |
         uint64_t{evidence.health_score} << 13 |
         static_cast<uint64_t>(evidence.silent_for.millis()) << 32;
}

Evidence UnpackEvidence(uint64_t bits) {
  Evidence evidence;
  evidence.direct_failed = (bits >> 1 & 1) != 0;
  evidence.stream = static_cast<Evidence::Stream>(bits >> 2 & 1);
  evidence.relays_asked = static_cast<uint8_t>(bits >> 3 & 31);
  evidence.relays_nacked = static_cast<uint8_t>(bits >> 8 & 31);
  evidence.health_score = static_cast<uint8_t>(bits >> 13 & 127);
  evidence.silent_for = Duration::Millis(static_cast<int64_t>(bits >> 32));
  return evidence;
}

bool IsPossible(const Evidence& evidence) {
  return evidence.relays_nacked <= evidence.relays_asked &&
         evidence.relays_asked <= kEvidenceRelaysMax &&
         evidence.health_score <= kEvidenceScoreMax && evidence.silent_for >= Duration() &&
         evidence.silent_for <= kEvidenceSilenceMax &&
         evidence.silent_for == Duration::Millis(evidence.silent_for.millis());
}

bool MayCarryEvidence(StatementKind kind) {
  return kind == StatementKind::kSuspect || kind == StatementKind::kDead;
}

// What holds for a statement whoever signed it; one rule for drafts and for what comes in.
bool IsSound(const UnverifiedStatement& parsed) {
  const Statement& statement = parsed.statement;
  if (!IsValidClusterName(parsed.cluster) || !IsValidMemberName(statement.subject) ||
      !IsValidMemberName(statement.signer) || statement.incarnation.boot_number() == 0) {
    return false;
  }
  if (IsOfItself(statement.kind) != (statement.subject == statement.signer)) return false;
  if (IsSaidKind(statement.kind) != (statement.said != nullptr)) return false;
  if (statement.said && !IsSoundSaid(*statement.said)) return false;
  if (statement.alive.has_value() != (statement.kind == StatementKind::kAlive)) return false;
  if (statement.evidence &&
      (!MayCarryEvidence(statement.kind) || !IsPossible(*statement.evidence))) {
    return false;
  }
  return !statement.alive || AreValidClaims(*statement.alive);
}

DropReason DecodeClaims(const wire::StatementBody& body, AliveClaims* claims) {
  // Nobody has vouched for these yet, and the boot id below is made from them.
  if (!IsValidClusterName(body.cluster()) || !IsValidMemberName(body.subject())) {
    return DropReason::kSemantic;
  }
  if (body.addresses_size() > static_cast<int>(kAddressesMax) || body.tags_size() % 2 != 0) {
    return DropReason::kSemantic;
  }
  for (const std::string& address : body.addresses()) {
    if (!DecodeEndpoint(address, &claims->addresses.emplace_back())) return DropReason::kSemantic;
  }
  for (int i = 0; i + 1 < body.tags_size(); i += 2) {
    claims->tags.push_back(Tag{body.tags(i), body.tags(i + 1)});
  }
  if (body.boot_nonce().size() != claims->boot_nonce.size() ||
      body.x25519().size() != claims->x25519_public.size() || body.version_min() > 255 ||
      body.version_max() > 255) {
    return DropReason::kSemantic;
  }
  std::memcpy(claims->boot_nonce.data(), body.boot_nonce().data(), claims->boot_nonce.size());
  std::memcpy(claims->x25519_public.data(), body.x25519().data(), claims->x25519_public.size());
  claims->boot_id = MakeBootId(body.cluster(), body.subject(), claims->boot_nonce);
  claims->version_min = static_cast<uint8_t>(body.version_min());
  claims->version_max = static_cast<uint8_t>(body.version_max());
  claims->not_after_unix_s = body.not_after();
  return DropReason::kNone;
}

struct SaidEncoder {
  wire::StatementBody* body;

  void operator()(const SaidEvent& event) const {
    wire::SaidEvent* out = body->mutable_event();
    out->set_name(event.name);
    out->set_payload(event.payload);
    out->set_lamport(event.lamport);
    out->set_coalesce(event.coalesce);
  }
  void operator()(const SaidQuery& query) const {
    wire::SaidQuery* out = body->mutable_query();
    out->set_name(query.name);
    out->set_payload(query.payload);
    out->set_lamport(query.lamport);
    out->set_timeout_ms(query.timeout_ms);
    for (const std::string& name : query.filter.names) out->add_names(name);
    for (const Tag& tag : query.filter.tags) {
      out->add_tags(tag.key);
      out->add_tags(tag.value);
    }
    out->set_acks(query.acks);
    out->set_relays(query.relays);
  }
  void operator()(const SaidAnswer& answer) const {
    wire::SaidAnswer* out = body->mutable_answer();
    out->set_query(answer.query.data(), answer.query.size());
    out->set_origin(answer.origin);
    out->set_is_ack(answer.is_ack);
    out->set_payload(answer.payload);
  }
};

DropReason DecodeQuery(const wire::SaidQuery& in, SaidQuery* query) {
  if (in.names_size() > static_cast<int>(kFilterNamesMax) || in.tags_size() % 2 != 0 ||
      in.tags_size() > static_cast<int>(2 * kFilterTagsMax) || in.relays() > kQueryRelaysMax) {
    return DropReason::kSemantic;
  }
  *query = {in.name(),
            in.payload(),
            in.lamport(),
            in.timeout_ms(),
            {},
            in.acks(),
            static_cast<uint8_t>(in.relays())};
  query->filter.names.assign(in.names().begin(), in.names().end());
  for (int i = 0; i + 1 < in.tags_size(); i += 2) {
    query->filter.tags.push_back(Tag{in.tags(i), in.tags(i + 1)});
  }
  return DropReason::kNone;
}

// Exactly the part that the kind calls for, or kSemantic.
DropReason DecodeSaid(const wire::StatementBody& body, StatementKind kind,
                      std::shared_ptr<const Said>* said) {
  if (body.has_event() != (kind == StatementKind::kUserEvent) ||
      body.has_query() != (kind == StatementKind::kQuery) ||
      body.has_answer() != (kind == StatementKind::kAnswer)) {
    return DropReason::kSemantic;
  }
  if (body.has_event()) {
    const wire::SaidEvent& in = body.event();
    *said = std::make_shared<const Said>(
        SaidEvent{in.name(), in.payload(), in.lamport(), in.coalesce()});
  } else if (body.has_query()) {
    SaidQuery query;
    const DropReason reason = DecodeQuery(body.query(), &query);
    if (reason != DropReason::kNone) return reason;
    *said = std::make_shared<const Said>(std::move(query));
  } else if (body.has_answer()) {
    const wire::SaidAnswer& in = body.answer();
    SaidAnswer answer{{}, in.origin(), in.is_ack(), in.payload()};
    if (in.query().size() != answer.query.size()) return DropReason::kSemantic;
    std::memcpy(answer.query.data(), in.query().data(), answer.query.size());
    *said = std::make_shared<const Said>(std::move(answer));
  }
  return DropReason::kNone;
}

wire::StatementBody EncodeBody(const UnverifiedStatement& parsed) {
  const Statement& statement = parsed.statement;
  wire::StatementBody body;
  body.set_kind(static_cast<uint32_t>(statement.kind));
  body.set_cluster(parsed.cluster);
  body.set_subject(statement.subject);
  if (!IsOfItself(statement.kind)) body.set_signer(statement.signer);
  body.set_incarnation(statement.incarnation.value());
  body.set_certificate(statement.certificate.bytes.data(), statement.certificate.bytes.size());
  if (statement.evidence) body.set_evidence(PackEvidence(*statement.evidence));
  if (statement.said) std::visit(SaidEncoder{&body}, *statement.said);
  if (!statement.alive) return body;
  const AliveClaims& claims = *statement.alive;
  for (const Endpoint& endpoint : claims.addresses) body.add_addresses(EncodeEndpoint(endpoint));
  for (const Tag& tag : claims.tags) {
    body.add_tags(tag.key);
    body.add_tags(tag.value);
  }
  body.set_boot_nonce(claims.boot_nonce.data(), claims.boot_nonce.size());
  body.set_x25519(claims.x25519_public.data(), claims.x25519_public.size());
  body.set_version_min(claims.version_min);
  body.set_version_max(claims.version_max);
  body.set_not_after(claims.not_after_unix_s);
  return body;
}

}  // namespace

std::string_view ToString(StatementKind kind) {
  switch (kind) {
    case StatementKind::kAlive:
      return "alive";
    case StatementKind::kLeave:
      return "leave";
    case StatementKind::kSuspect:
      return "suspect";
    case StatementKind::kDead:
      return "dead";
    case StatementKind::kForget:
      return "forget";
    case StatementKind::kUserEvent:
      return "event";
    case StatementKind::kQuery:
      return "query";
    case StatementKind::kAnswer:
      return "answer";
  }
  return "unknown";
}

bool AreValidTags(const std::vector<Tag>& tags) {
  size_t bytes = 0;
  const std::string* previous = nullptr;
  for (const Tag& tag : tags) {
    if (!IsValidMemberName(tag.key) || !IsPrintableUtf8(tag.value)) return false;
    if (previous != nullptr && *previous >= tag.key) return false;
    previous = &tag.key;
    bytes += tag.key.size() + tag.value.size();
    if (bytes > kTagsBytesMax) return false;
  }
  return true;
}

absl::StatusOr<StatementRef> SignDraft(const StatementDraft& draft,
                                       const StatementContext& context) {
  UnverifiedStatement made;
  Statement& statement = made.statement;
  made.cluster = context.cluster;
  statement.kind = draft.kind;
  statement.subject = draft.subject;
  statement.signer = context.name;
  statement.incarnation = draft.incarnation;
  statement.evidence = draft.evidence;
  statement.certificate = context.credentials->certificate()->sha256();
  statement.said = draft.said;
  if (draft.kind == StatementKind::kAlive) {
    AliveClaims& claims = statement.alive.emplace();
    claims.addresses = context.addresses;
    claims.tags = draft.tags;
    claims.boot_nonce = context.identity->nonce();
    claims.boot_id = MakeBootId(context.cluster, context.name, claims.boot_nonce);
    claims.x25519_public = context.identity->x25519_public();
    claims.version_min = context.version_min;
    claims.version_max = context.version_max;
    claims.not_after_unix_s = context.credentials->certificate()->not_after_unix_s();
  }
  if (!IsSound(made)) {
    return CodedError(absl::StatusCode::kInvalidArgument, "STATEMENT_INVALID",
                      absl::StrCat("no receiver would take this ",
                                   std::string(ToString(draft.kind)), " about ", draft.subject));
  }
  const std::string body = EncodeBody(made).SerializeAsString();
  SOTTO_ASSIGN_OR_RETURN(const std::string signature,
                         context.credentials->Sign(SignedText(draft.kind, body)));
  SOTTO_CHECK(signature.size() == kStatementSignatureBytes);
  statement.bytes = body + signature;
  SOTTO_CHECK(statement.bytes.size() <= kStatementBytesMax);
  statement.hash = Sha256(statement.bytes);
  return std::make_shared<const Statement>(std::move(statement));
}

DropReason ParseStatement(std::string_view bytes, UnverifiedStatement* parsed) {
  *parsed = UnverifiedStatement();
  if (bytes.size() <= kStatementSignatureBytes || bytes.size() > kStatementBytesMax) {
    return DropReason::kDecode;
  }
  wire::StatementBody body;
  const size_t body_size = bytes.size() - kStatementSignatureBytes;
  if (!body.ParseFromArray(bytes.data(), static_cast<int>(body_size))) return DropReason::kDecode;
  Statement& statement = parsed->statement;
  if (body.kind() < static_cast<uint32_t>(StatementKind::kAlive) ||
      body.kind() > static_cast<uint32_t>(StatementKind::kAnswer) ||
      body.certificate().size() != statement.certificate.bytes.size()) {
    return DropReason::kSemantic;
  }
  statement.kind = static_cast<StatementKind>(body.kind());
  parsed->cluster = body.cluster();
  statement.subject = body.subject();
  // Who speaks of itself is left out; naming it, even rightly, is not our encoding.
  const bool is_owner = IsOfItself(statement.kind);
  if (is_owner != body.signer().empty()) return DropReason::kSemantic;
  statement.signer = is_owner ? body.subject() : body.signer();
  statement.incarnation = Incarnation(body.incarnation());
  std::memcpy(statement.certificate.bytes.data(), body.certificate().data(),
              statement.certificate.bytes.size());
  if (const uint64_t bits = body.evidence(); bits != 0) {
    // One encoding: no other bits, and no evidence that does not say that it is there.
    statement.evidence = UnpackEvidence(bits);
    if (PackEvidence(*statement.evidence) != bits) return DropReason::kSemantic;
  }
  if (statement.kind == StatementKind::kAlive) {
    const DropReason reason = DecodeClaims(body, &statement.alive.emplace());
    if (reason != DropReason::kNone) return reason;
  }
  const DropReason said = DecodeSaid(body, statement.kind, &statement.said);
  if (said != DropReason::kNone) return said;
  if (!IsSound(*parsed)) return DropReason::kSemantic;
  statement.bytes.assign(bytes);
  statement.hash = Sha256(statement.bytes);
  return DropReason::kNone;
}

DropReason VerifyStatementBy(const UnverifiedStatement& parsed, const Certificate& certificate,
                             const CertificateIdentity& identity, const TrustStore& trust) {
  const Statement& statement = parsed.statement;
  if (certificate.sha256() != statement.certificate) return DropReason::kUnknownCertificate;
  if (parsed.cluster != trust.cluster() || identity.cluster != parsed.cluster ||
      identity.role != CertificateRole::kNode || identity.name != statement.signer) {
    return DropReason::kSemantic;
  }
  if (statement.alive && statement.alive->not_after_unix_s != certificate.not_after_unix_s()) {
    return DropReason::kSemantic;
  }
  if (!certificate.VerifySignature(SignedText(statement.kind, parsed.body()), parsed.signature())) {
    return DropReason::kBadSignature;
  }
  return DropReason::kNone;
}

DropReason VerifyStatement(const UnverifiedStatement& parsed, const Certificate& certificate,
                           const TrustStore& trust, int64_t now_unix_s, absl::Status* why) {
  if (certificate.sha256() != parsed.statement.certificate) {
    return DropReason::kUnknownCertificate;
  }
  const absl::StatusOr<CertificateIdentity> identity =
      trust.Verify(certificate, {}, CertificateRole::kNode, now_unix_s, kCertificateGraceS);
  if (!identity.ok()) {
    if (why != nullptr) *why = identity.status();
    return DropReason::kUnknownCertificate;
  }
  return VerifyStatementBy(parsed, certificate, *identity, trust);
}

}  // namespace sotto
