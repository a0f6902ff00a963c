// A signed statement about a member, as the core sees it: verified, immutable, relayed byte for
// byte.
//
// The shell makes statements (from the network after their signature passed, or from a draft that
// the core asked it to sign); the core compares them, keeps them and hands them on, and never looks
// into `bytes`. Ownership: shared and const; one statement may sit in the tables of many nodes at
// once.
#ifndef SOTTO_GOSSIP_STATEMENT_H_
#define SOTTO_GOSSIP_STATEMENT_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gossip/member.h"
#include "gossip/said.h"
#include "gossip/time.h"

namespace sotto {

// Alive and Leave are said by the member itself, Suspect and Dead by an accuser, Forget by the node
// whose operator asked for it (design W8). The last three are no membership: what a member says to
// all, asks of all, and answers to one (said.h).
enum class StatementKind : uint8_t {
  kAlive = 1,
  kLeave = 2,
  kSuspect = 3,
  kDead = 4,
  kForget = 5,
  kUserEvent = 6,
  kQuery = 7,
  kAnswer = 8,
};

constexpr bool IsOwnersKind(StatementKind kind) {
  return kind == StatementKind::kAlive || kind == StatementKind::kLeave;
}
// Kinds that no row, set hash or table holds.
constexpr bool IsSaidKind(StatementKind kind) {
  return kind == StatementKind::kUserEvent || kind == StatementKind::kQuery ||
         kind == StatementKind::kAnswer;
}
// Kinds whose signer is their subject.
constexpr bool IsOfItself(StatementKind kind) { return IsOwnersKind(kind) || IsSaidKind(kind); }

inline constexpr size_t kTagsBytesMax = 512;  // keys and values together, as memberlist's metadata
inline constexpr size_t kAddressesMax = 4;

// What an Alive says beyond its incarnation.
struct AliveClaims {
  std::vector<Endpoint> addresses;  // 1 to kAddressesMax, in the order of preference
  std::vector<Tag> tags;
  BootId boot_id;
  std::array<uint8_t, 16> boot_nonce{};     // boot_id = first 8 B of SHA-256(cluster, name, nonce)
  std::array<uint8_t, 32> x25519_public{};  // made anew with each boot id
  uint8_t version_min = 1;                  // frame versions that the member opens
  uint8_t version_max = 1;
  int64_t not_after_unix_s = 0;  // end of the signing certificate's validity

  friend bool operator==(const AliveClaims&, const AliveClaims&) = default;
};

// What an accuser saw of the accused, signed by it: the failed probe behind its word.
struct Evidence {
  enum class Stream : uint8_t { kNotTried = 0, kFailed = 1 };

  bool direct_failed = false;  // a ping of its own went out, and was not answered
  uint8_t relays_asked = 0;    // members asked to ping on its behalf,
  uint8_t relays_nacked = 0;   // and how many of them said that they heard nothing either
  Stream stream = Stream::kNotTried;
  uint8_t health_score = 0;  // the accuser's own at that time; 0 is healthy
  Duration silent_for;       // since it last heard the accused itself; whole milliseconds

  friend bool operator==(const Evidence&, const Evidence&) = default;
};

inline constexpr uint8_t kEvidenceRelaysMax = 16;
inline constexpr uint8_t kEvidenceScoreMax = 64;
inline constexpr Duration kEvidenceSilenceMax = Duration::Millis(UINT32_MAX);

struct Statement {
  StatementKind kind = StatementKind::kAlive;
  std::string subject;      // the member spoken of
  std::string signer;       // the member that speaks; the subject itself for an owner's kind
  Incarnation incarnation;  // the subject's; of what is said, the speaker's at that moment
  Hash256 hash;             // of `bytes`: identity, and the last tie-break of the merge
  Hash256 certificate;      // SHA-256 of the signer's certificate (DER)
  std::optional<AliveClaims> alive;            // present exactly for kAlive
  std::optional<Evidence> evidence;            // of Suspect and Dead, where the accuser has any
  std::shared_ptr<const Said> said = nullptr;  // present exactly for the said kinds
  std::string bytes;  // exactly what was signed, with its signature; opaque to the core
};
using StatementRef = std::shared_ptr<const Statement>;

// What the core wants said. The shell adds addresses, boot id, keys and certificate, and signs.
struct StatementDraft {
  StatementKind kind = StatementKind::kAlive;
  std::string subject;
  Incarnation incarnation;
  std::vector<Tag> tags;                       // for kAlive
  std::optional<Evidence> evidence;            // for kSuspect and kDead
  std::shared_ptr<const Said> said = nullptr;  // for the said kinds
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_STATEMENT_H_
