#include "tests/sim/invariants.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace sotto::sim {
namespace {

// Pings for others, and the answers to stale words, each carry a statement beyond the broadcasts.
constexpr size_t kSendsSlack = 8;

bool IsGone(MemberState state) {
  return state == MemberState::kDead || state == MemberState::kForgotten ||
         state == MemberState::kLeft;
}

size_t Digits(size_t n) {
  size_t digits = 1;
  for (; n >= 10; n /= 10) ++digits;
  return digits;
}

}  // namespace

std::string Show(Incarnation incarnation) {
  return std::to_string(incarnation.boot_number()) + "." + std::to_string(incarnation.counter());
}

uint64_t Key(const Hash256& hash) {
  uint64_t key = 0;
  for (int i = 0; i < 8; ++i) key = key << 8 | hash.bytes[static_cast<size_t>(i)];
  return key;
}

void Invariants::Fail(std::string invariant, uint32_t node, const std::string& member,
                      std::string text) {
  if (violation_) return;
  violation_ = Violation{std::move(invariant), std::move(text), node, member};
}

Invariants::Process& Invariants::At(uint32_t node) {
  if (processes_.size() <= node) processes_.resize(size_t{node} + 1);
  return processes_[node];
}

void Invariants::OnStart(uint32_t node, const std::string& name) {
  At(node) = Process{};
  At(node).name = name;
  At(node).started = true;
}

void Invariants::OnSigned(std::string_view signer, const Statement& statement) {
  signed_.emplace(Key(statement.hash), signer);
}

bool Invariants::IsSigned(const Statement& statement) const {
  auto found = signed_.find(Key(statement.hash));
  if (found == signed_.end() || found->second != statement.signer) return false;
  return !IsOwnersKind(statement.kind) || statement.signer == statement.subject;
}

void Invariants::OnEvent(uint32_t node, const Event& event) {
  Process& process = At(node);
  if (event.kind >= EventKind::kAnnounced) return;  // about the node itself
  if (event.member == process.name) {
    if (event.kind == EventKind::kDied || event.kind == EventKind::kForgotten) {
      Fail("S5", node, event.member, "tells its own " + std::string(ToString(event.kind)));
    }
    return;
  }
  Seen& seen = process.seen[event.member];
  switch (event.kind) {
    case EventKind::kJoined:
    case EventKind::kReturned:
    case EventKind::kRefuted:
    case EventKind::kUpdated:
      return OnAliveEvent(node, event, seen);
    case EventKind::kSuspected:
      if (!seen.known || seen.gone) {
        Fail("S4", node, event.member, "suspected although it is not among the living");
      } else if (event.incarnation < seen.incarnation) {
        Fail("S1", node, event.member,
             "suspected at " + Show(event.incarnation) + " below " + Show(seen.incarnation));
      }
      seen.state = MemberState::kSuspect;
      seen.incarnation = std::max(seen.incarnation, event.incarnation);
      return;
    case EventKind::kDied:
    case EventKind::kLeft:
    case EventKind::kForgotten:
      return OnGoneEvent(node, event, seen);
    default:
      return;
  }
}

void Invariants::OnAliveEvent(uint32_t node, const Event& event, Seen& seen) {
  const std::string said(ToString(event.kind));
  if (seen.known && event.incarnation < seen.incarnation) {
    Fail("S1", node, event.member,
         said + " at " + Show(event.incarnation) + " below " + Show(seen.incarnation));
  }
  if (seen.gone_at != Incarnation() && event.incarnation <= seen.gone_at) {
    Fail("S2", node, event.member,
         said + " at " + Show(event.incarnation) + " although gone at " + Show(seen.gone_at));
  }
  bool legal = true;
  switch (event.kind) {
    case EventKind::kJoined:
      legal = !seen.known || seen.gone;
      break;
    case EventKind::kReturned:
      legal = (seen.known && seen.gone) || seen.dropped;
      break;
    case EventKind::kRefuted:
      legal = seen.known && seen.state == MemberState::kSuspect;
      break;
    default:
      legal = seen.known && !seen.gone;
  }
  if (!legal) {
    Fail("S4", node, event.member,
         said + " from " + (seen.known ? std::string(ToString(seen.state)) : "nothing"));
  }
  seen.known = true;
  seen.gone = false;
  // An update of a suspect (its tags, its process) does not by itself end the suspicion.
  if (event.kind != EventKind::kUpdated || event.incarnation > seen.incarnation) {
    seen.state = MemberState::kAlive;
  }
  seen.incarnation = std::max(seen.incarnation, event.incarnation);
}

void Invariants::OnGoneEvent(uint32_t node, const Event& event, Seen& seen) {
  MemberState next = event.kind == EventKind::kDied   ? MemberState::kDead
                     : event.kind == EventKind::kLeft ? MemberState::kLeft
                                                      : MemberState::kForgotten;
  if (seen.known && event.incarnation < seen.incarnation) {
    Fail("S1", node, event.member,
         std::string(ToString(event.kind)) + " at " + Show(event.incarnation) + " below " +
             Show(seen.incarnation));
  }
  bool legal = true;
  if (next == MemberState::kDead) {
    // Only a suspicion that ran its course ends in death (M4).
    legal = seen.known && seen.state == MemberState::kSuspect;
  } else if (seen.known && seen.gone) {
    legal = next > seen.state || event.incarnation > seen.gone_at;
  }
  if (!legal) {
    Fail("S4", node, event.member,
         std::string(ToString(event.kind)) + " from " +
             (seen.known ? std::string(ToString(seen.state)) : "nothing"));
  }
  seen.known = true;
  seen.gone = true;
  seen.state = next;
  seen.incarnation = std::max(seen.incarnation, event.incarnation);
  seen.gone_at = std::max(seen.gone_at, event.incarnation);
}

void Invariants::OnAsked(uint32_t node, const std::string& name) { ++At(node).answers_due[name]; }

void Invariants::OnSend(uint32_t node, const SendPacket& send, size_t members, bool counts) {
  size_t bytes = kPacketOverheadBytes;
  for (const Message& message : send.packet.messages) bytes += WireSizeMax(message);
  for (const StatementRef& statement : send.packet.statements) bytes += WireSizeMax(*statement);
  if (bytes > options_.packet_bytes_max) {
    Fail("S8", node, "", "a packet of " + std::to_string(bytes) + " bytes");
  }
  Process& process = At(node);
  const size_t limit = static_cast<size_t>(options_.retransmit_mult) * Digits(members);
  for (const StatementRef& statement : send.packet.statements) {
    if (!IsSigned(*statement)) {
      Fail("S3", node, statement->subject, "relays a statement that its signer never signed");
    }
    // Our own words, and what is told to the member spoken of, are not relays.
    const bool relayed =
        statement->signer != process.name && statement->subject != send.to->subject;
    if (!relayed || !counts) continue;
    if (IsOwnersKind(statement->kind)) {
      auto asked = process.answers_due.find(statement->subject);
      if (asked != process.answers_due.end() && asked->second > 0) {
        --asked->second;
        continue;
      }
    }
    // Twice: a row that was dropped, or lost a tie, may be told anew.
    const uint32_t sends = ++process.sends[Key(statement->hash)];
    if (sends > 2 * limit + kSendsSlack) {
      Fail("S8", node, statement->subject,
           "one statement sent on " + std::to_string(sends) + " times, the limit is " +
               std::to_string(limit));
    }
  }
}

void Invariants::OnStep(uint32_t node, const Protocol& core) {
  const Process& process = At(node);
  OnOwnState(node, core.incarnation(), core.standing(), core.Find(process.name),
             process.stored.size());
}

void Invariants::OnOwnState(uint32_t node, Incarnation incarnation, const Standing& standing,
                            const std::optional<MemberInfo>& self, size_t rows) {
  Process& process = At(node);
  if (incarnation < process.incarnation) {
    Fail("S1", node, process.name,
         "its own incarnation fell from " + Show(process.incarnation) + " to " + Show(incarnation));
  }
  process.incarnation = incarnation;
  if (self && !standing.name_conflict) {
    bool left = self->state == MemberState::kLeft && (standing.leaving || standing.left);
    if (self->state != MemberState::kAlive && !left) {
      Fail("S5", node, process.name, "sees itself " + std::string(ToString(self->state)));
    }
  }
  // One owner's statement and its accusations for each row, and what a leave or refutation adds.
  size_t queue_max = (rows + 256) * (static_cast<size_t>(options_.accusers_max) + 2);
  if (standing.broadcasts_queued > queue_max) {
    Fail("S8", node, "", std::to_string(standing.broadcasts_queued) + " broadcasts queued");
  }
  if (standing.health_score < 0 || standing.health_score > options_.health_score_max) {
    Fail("S8", node, "", "health score " + std::to_string(standing.health_score));
  }
}

void Invariants::OnTable(uint32_t node, const std::vector<MemberInfo>& members) {
  Process& process = At(node);
  if (members.size() > options_.members_max) {
    Fail("S8", node, "", std::to_string(members.size()) + " rows");
  }
  std::map<std::string, Incarnation, std::less<>> stored;
  for (const MemberInfo& member : members) {
    if (member.owner) {
      if (!IsSigned(*member.owner) || !IsOwnersKind(member.owner->kind) ||
          member.owner->subject != member.name) {
        Fail("S3", node, member.name, "holds an Alive or Leave that its owner never signed");
      }
      stored[member.name] = member.owner->incarnation;
    }
    auto before = process.stored.find(member.name);
    if (before != process.stored.end() && member.owner &&
        member.owner->incarnation < before->second) {
      Fail("S1", node, member.name,
           "stored incarnation fell from " + Show(before->second) + " to " +
               Show(member.owner->incarnation));
    }
    if (member.name == process.name) continue;
    auto seen = process.seen.find(member.name);
    if (seen == process.seen.end()) continue;
    if (seen->second.gone != IsGone(member.state)) {
      Fail("S2", node, member.name,
           "is shown as " + std::string(ToString(member.state)) + ", but the events said " +
               std::string(ToString(seen->second.state)));
    }
  }
  process.stored = std::move(stored);
  for (auto& [name, seen] : process.seen) {
    if (!seen.gone || process.stored.contains(name)) continue;
    seen = Seen{};
    seen.dropped = true;
  }
}

}  // namespace sotto::sim
