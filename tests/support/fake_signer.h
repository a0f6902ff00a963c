// Statements for tests of the core: everything a signed statement has, without cryptography.
//
// Deterministic: the same draft by the same process gives the same statement, hash and bytes.
// Hashes are mixed 64-bit hashes spread over 32 bytes; `bytes` has about the size of a real
// statement, so that byte budgets mean something.
#ifndef SOTTO_TESTS_SUPPORT_FAKE_SIGNER_H_
#define SOTTO_TESTS_SUPPORT_FAKE_SIGNER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gossip/member.h"
#include "gossip/protocol.h"
#include "gossip/statement.h"

namespace sotto::testing {

// The process that signs: what a real one adds to each draft.
struct FakeProcess {
  std::string name;
  BootId boot_id;
  std::vector<Endpoint> addresses;
  int64_t not_after_unix_s = 0;  // 0: the certificate never ends
};

// A boot id that differs for each (name, life).
BootId FakeBootId(std::string_view name, uint32_t life = 1);

// 10.x.y.z, made from `index`, port 7950.
Endpoint FakeEndpoint(uint32_t index);

// A process whose addresses come from a hash of its name; one address for all of its lives.
FakeProcess MakeFakeProcess(std::string_view name, uint32_t life = 1);

// What `by` says. For an owner's kind the draft's subject must be `by.name`.
StatementRef FakeSign(const StatementDraft& draft, const FakeProcess& by);
StatementRef FakeSign(const StatementDraft& draft, std::string_view name, const BootId& boot_id,
                      const std::vector<Endpoint>& addresses, int64_t not_after_unix_s = 0);

// What the process described by `by` says: the answer to a core's SignStatement.
StatementRef FakeSign(const SelfIdentity& by, const StatementDraft& draft);

// Shorthands.
StatementRef FakeAlive(const FakeProcess& by, Incarnation incarnation, std::vector<Tag> tags = {});
StatementRef FakeLeave(const FakeProcess& by, Incarnation incarnation);
StatementRef FakeSaid(const FakeProcess& by, Said said, Incarnation incarnation);
StatementRef FakeAccusation(StatementKind kind, std::string_view subject, Incarnation incarnation,
                            std::string_view by);

}  // namespace sotto::testing

#endif  // SOTTO_TESTS_SUPPORT_FAKE_SIGNER_H_
