#include "tests/support/fake_signer.h"

#include <memory>
#include <utility>
#include <variant>

#include "gossip/base/check.h"

namespace sotto::testing {
namespace {

// splitmix64's finaliser: every input bit reaches every output bit.
uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9;
  x ^= x >> 27;
  x *= 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t HashText(std::string_view text, uint64_t seed) {
  uint64_t hash = Mix(seed + 0x9e3779b97f4a7c15 * (text.size() + 1));
  for (const char c : text) hash = Mix(hash ^ static_cast<uint8_t>(c)) + 0x9e3779b97f4a7c15;
  return Mix(hash);
}

template <size_t N>
void Fill(std::array<uint8_t, N>& out, std::string_view text, uint64_t seed) {
  for (size_t i = 0; i < N; ++i) {
    out[i] = static_cast<uint8_t>(HashText(text, seed + i / 8) >> (8 * (i % 8)));
  }
}

constexpr size_t kSignatureBytes = 72;      // ECDSA P-256 in DER, at most
constexpr size_t kSaidSignatureBytes = 64;  // as real ones: their sizes are foretold

void Append(std::string& out, std::string_view text) {
  out += std::to_string(text.size());
  out += ':';
  out += text;
}

struct SaidSerializer {
  std::string& out;

  void operator()(const SaidEvent& event) const {
    Append(out, event.name);
    Append(out, event.payload);
    Append(out, std::to_string(event.lamport));
    out += event.coalesce ? 'c' : '-';
  }
  void operator()(const SaidQuery& query) const {
    Append(out, query.name);
    Append(out, query.payload);
    Append(out, std::to_string(query.lamport));
    Append(out, std::to_string(query.timeout_ms));
    for (const std::string& name : query.filter.names) Append(out, name);
    for (const Tag& tag : query.filter.tags) {
      Append(out, tag.key);
      Append(out, tag.value);
    }
    out += query.acks ? 'a' : '-';
    out += static_cast<char>('0' + query.relays);
  }
  void operator()(const SaidAnswer& answer) const {
    out.append(answer.query.begin(), answer.query.end());
    Append(out, answer.origin);
    out += answer.is_ack ? 'a' : '-';
    Append(out, answer.payload);
  }
};

std::string Serialize(const Statement& s) {
  std::string out;
  out += static_cast<char>('0' + static_cast<int>(s.kind));
  Append(out, s.subject);
  if (!IsSaidKind(s.kind)) Append(out, s.signer);
  Append(out, std::to_string(s.incarnation.value()));
  if (s.alive) {
    for (const Endpoint& address : s.alive->addresses) {
      out.append(address.ip.begin(), address.ip.end());
      out += static_cast<char>(address.port >> 8);
      out += static_cast<char>(address.port & 255);
    }
    for (const Tag& tag : s.alive->tags) {
      Append(out, tag.key);
      Append(out, tag.value);
    }
    out.append(s.alive->boot_id.bytes.begin(), s.alive->boot_id.bytes.end());
    out.append(s.alive->boot_nonce.begin(), s.alive->boot_nonce.end());
    out.append(s.alive->x25519_public.begin(), s.alive->x25519_public.end());
    Append(out, std::to_string(s.alive->not_after_unix_s));
  }
  if (s.evidence) {
    const Evidence& e = *s.evidence;
    for (const int64_t value :
         {int64_t{e.direct_failed}, int64_t{e.relays_asked}, int64_t{e.relays_nacked},
          static_cast<int64_t>(e.stream), int64_t{e.health_score}, e.silent_for.nanos()}) {
      Append(out, std::to_string(value));
    }
  }
  if (s.said) std::visit(SaidSerializer{out}, *s.said);
  out.append(s.certificate.bytes.begin(), s.certificate.bytes.end());
  out.append(IsSaidKind(s.kind) ? kSaidSignatureBytes : kSignatureBytes, 's');
  return out;
}

}  // namespace

BootId FakeBootId(std::string_view name, uint32_t life) {
  BootId id;
  Fill(id.bytes, name, 1000 + life);
  return id;
}

Endpoint FakeEndpoint(uint32_t index) {
  Endpoint endpoint;
  endpoint.ip[10] = endpoint.ip[11] = 0xff;
  endpoint.ip[12] = 10;
  endpoint.ip[13] = static_cast<uint8_t>(index >> 16);
  endpoint.ip[14] = static_cast<uint8_t>(index >> 8);
  endpoint.ip[15] = static_cast<uint8_t>(index);
  endpoint.port = 7950;
  return endpoint;
}

FakeProcess MakeFakeProcess(std::string_view name, uint32_t life) {
  const auto index = static_cast<uint32_t>(HashText(name, 7) & 0xffffff);
  return {std::string(name), FakeBootId(name, life), {FakeEndpoint(index)}, 0};
}

StatementRef FakeSign(const StatementDraft& draft, const FakeProcess& by) {
  auto s = std::make_shared<Statement>();
  s->kind = draft.kind;
  s->subject = draft.subject;
  s->signer = by.name;
  s->incarnation = draft.incarnation;
  Fill(s->certificate.bytes, by.name, 2000);
  s->evidence = draft.evidence;
  if (IsOfItself(draft.kind)) SOTTO_CHECK(draft.subject == by.name);
  SOTTO_CHECK(IsSaidKind(draft.kind) == (draft.said != nullptr));
  s->said = draft.said;
  if (draft.kind == StatementKind::kAlive) {
    AliveClaims claims;
    claims.addresses = by.addresses;
    claims.tags = draft.tags;
    claims.boot_id = by.boot_id;
    const std::string_view boot(reinterpret_cast<const char*>(by.boot_id.bytes.data()),
                                by.boot_id.bytes.size());
    Fill(claims.boot_nonce, boot, 3000);
    Fill(claims.x25519_public, boot, 4000);
    claims.not_after_unix_s = by.not_after_unix_s;
    s->alive = std::move(claims);
  }
  s->bytes = Serialize(*s);
  Fill(s->hash.bytes, s->bytes, 5000);
  return s;
}

StatementRef FakeSign(const StatementDraft& draft, std::string_view name, const BootId& boot_id,
                      const std::vector<Endpoint>& addresses, int64_t not_after_unix_s) {
  return FakeSign(draft, FakeProcess{std::string(name), boot_id, addresses, not_after_unix_s});
}

StatementRef FakeSign(const SelfIdentity& by, const StatementDraft& draft) {
  return FakeSign(draft, FakeProcess{by.name, by.boot_id, by.addresses, 0});
}

StatementRef FakeAlive(const FakeProcess& by, Incarnation incarnation, std::vector<Tag> tags) {
  return FakeSign({StatementKind::kAlive, by.name, incarnation, std::move(tags)}, by);
}

StatementRef FakeLeave(const FakeProcess& by, Incarnation incarnation) {
  return FakeSign({StatementKind::kLeave, by.name, incarnation, {}}, by);
}

StatementRef FakeSaid(const FakeProcess& by, Said said, Incarnation incarnation) {
  const StatementKind kind = std::holds_alternative<SaidEvent>(said)   ? StatementKind::kUserEvent
                             : std::holds_alternative<SaidQuery>(said) ? StatementKind::kQuery
                                                                       : StatementKind::kAnswer;
  return FakeSign(
      {kind, by.name, incarnation, {}, {}, std::make_shared<const Said>(std::move(said))}, by);
}

StatementRef FakeAccusation(StatementKind kind, std::string_view subject, Incarnation incarnation,
                            std::string_view by) {
  return FakeSign({kind, std::string(subject), incarnation, {}}, MakeFakeProcess(by));
}

}  // namespace sotto::testing
