// What must hold after each step of a simulation, whatever the network does (S1 to S8).
//
// Fed with what processes sign, send, tell and hold; knows no world, so that its tests can feed it
// with broken histories and see each check fire. The first violation is kept, the rest ignored.
// Threads: none.
#ifndef SOTTO_TESTS_SIM_INVARIANTS_H_
#define SOTTO_TESTS_SIM_INVARIANTS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gossip/action.h"
#include "gossip/event.h"
#include "gossip/options.h"
#include "gossip/protocol.h"
#include "gossip/statement.h"

namespace sotto::sim {

struct Violation {
  std::string invariant;  // "S2"
  std::string text;
  uint32_t node = 0;   // where it was seen
  std::string member;  // about whom, or empty
};

class Invariants {
 public:
  explicit Invariants(const ProtocolOptions& options) : options_(options) {}

  // A new process at this address: what its predecessor held is gone.
  void OnStart(uint32_t node, const std::string& name);
  // A statement was signed with the key of `signer`'s certificate.
  void OnSigned(std::string_view signer, const Statement& statement);
  void OnEvent(uint32_t node, const Event& event);
  // `counts`: to a member that the sender holds alive. Those it holds dead are told on top, so that
  // they can answer; that ends with options.gossip_to_dead.
  void OnSend(uint32_t node, const SendPacket& send, size_t members, bool counts);
  // Somebody asked this process for what `name` says of itself: one answer is no broadcast.
  void OnAsked(uint32_t node, const std::string& name);
  // After each input of this process.
  void OnStep(uint32_t node, const Protocol& core);
  void OnOwnState(uint32_t node, Incarnation incarnation, const Standing& standing,
                  const std::optional<MemberInfo>& self, size_t rows);
  // The whole table, looked at now and then.
  void OnTable(uint32_t node, const std::vector<MemberInfo>& members);

  const std::optional<Violation>& violation() const { return violation_; }

 private:
  // What the events of one process have said of one member.
  struct Seen {
    bool known = false;
    bool gone = false;     // dead, left or forgotten
    bool dropped = false;  // its row, tombstone and all, is gone: it may come back as new
    MemberState state = MemberState::kAlive;
    Incarnation incarnation;
    Incarnation gone_at;  // of the last death, leave or forgetting
  };
  struct Process {
    std::string name;
    bool started = false;
    Incarnation incarnation;
    std::map<std::string, Seen, std::less<>> seen;
    std::map<std::string, Incarnation, std::less<>> stored;
    std::unordered_map<uint64_t, uint32_t> sends;  // by statement
    std::map<std::string, uint32_t, std::less<>> answers_due;
  };

  void Fail(std::string invariant, uint32_t node, const std::string& member, std::string text);
  Process& At(uint32_t node);
  bool IsSigned(const Statement& statement) const;
  void OnAliveEvent(uint32_t node, const Event& event, Seen& seen);
  void OnGoneEvent(uint32_t node, const Event& event, Seen& seen);

  ProtocolOptions options_;
  std::vector<Process> processes_;
  std::unordered_map<uint64_t, std::string> signed_;  // by hash: whose key signed it
  std::optional<Violation> violation_;
};

// "3.2": boot number and counter.
std::string Show(Incarnation incarnation);
// The first 8 bytes of a statement's hash.
uint64_t Key(const Hash256& hash);

}  // namespace sotto::sim

#endif  // SOTTO_TESTS_SIM_INVARIANTS_H_
