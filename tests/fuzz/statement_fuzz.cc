// Any bytes as a signed statement: what parses is sound by itself, and keeps its bytes.
#include <cstdint>
#include <string_view>

#include "gossip/base/check.h"
#include "gossip/endpoint_text.h"
#include "gossip/statement_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sotto::DropReason;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  sotto::UnverifiedStatement parsed;
  const DropReason reason = sotto::ParseStatement(bytes, &parsed);
  if (reason != DropReason::kNone) {
    SOTTO_CHECK(reason == DropReason::kDecode || reason == DropReason::kSemantic);
    return 0;
  }
  const sotto::Statement& statement = parsed.statement;
  SOTTO_CHECK(statement.bytes == bytes);
  SOTTO_CHECK(parsed.signature().size() == sotto::kStatementSignatureBytes);
  SOTTO_CHECK(parsed.body().size() + parsed.signature().size() == bytes.size());
  SOTTO_CHECK(sotto::IsValidMemberName(statement.subject));
  SOTTO_CHECK(sotto::IsValidMemberName(statement.signer));
  SOTTO_CHECK(sotto::IsOfItself(statement.kind) == (statement.subject == statement.signer));
  SOTTO_CHECK(sotto::IsSaidKind(statement.kind) == (statement.said != nullptr));
  if (statement.said) SOTTO_CHECK(sotto::IsSoundSaid(*statement.said));
  SOTTO_CHECK(statement.incarnation.boot_number() >= 1);
  SOTTO_CHECK(statement.alive.has_value() == (statement.kind == sotto::StatementKind::kAlive));
  if (!statement.alive) return 0;
  SOTTO_CHECK(sotto::AreValidTags(statement.alive->tags));
  SOTTO_CHECK(!statement.alive->addresses.empty() &&
              statement.alive->addresses.size() <= sotto::kAddressesMax);
  for (const sotto::Endpoint& endpoint : statement.alive->addresses) {
    SOTTO_CHECK(!sotto::IsUnroutable(endpoint));
  }
  SOTTO_CHECK(statement.alive->boot_id ==
              sotto::MakeBootId(parsed.cluster, statement.subject, statement.alive->boot_nonce));
  return 0;
}
