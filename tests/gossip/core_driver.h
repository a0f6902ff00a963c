// Drives one Protocol by hand: feeds inputs at chosen instants, answers its own requests
// (signatures, boot numbers), and keeps everything else it asks for so that a test can look at it.
//
// Peers are names with fake processes. Those that answer() do so at once: an ack for each ping, and
// a nack where they are asked to ping a peer that does not answer.
#ifndef SOTTO_TESTS_GOSSIP_CORE_DRIVER_H_
#define SOTTO_TESTS_GOSSIP_CORE_DRIVER_H_

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gossip/protocol.h"
#include "tests/support/fake_signer.h"

namespace sotto::testing {

inline constexpr Duration kNanosecond = Duration::Nanos(1);

// The incarnation of boot number and counter.
constexpr Incarnation Inc(uint32_t boot, uint32_t counter = 0) {
  return Incarnation::Of(boot, counter);
}

struct DriverSetup {
  std::string name = "me";
  ProtocolOptions options = ProtocolOptions::Lan();
  uint32_t contacts = 0;
  uint32_t boot_number = 5;
  uint64_t seed = 1;
  bool start = true;
};

class CoreDriver {
 public:
  struct Sent {
    Instant at;
    std::string to;
    Packet packet;
    bool hello = false;
  };
  struct SyncCall {
    Instant at;
    StartSync call;
    bool open = true;
  };

  explicit CoreDriver(DriverSetup setup = {});

  // ---- peers
  // Makes the core learn of an alive peer, at boot 1 and counter 0, and of its knowing us.
  void Meet(std::string_view peer);
  void Meet(const std::vector<std::string>& peers) {
    for (const std::string& peer : peers) Meet(peer);
  }
  void Meet(std::initializer_list<std::string> peers) { Meet(std::vector<std::string>(peers)); }
  FakeProcess Peer(std::string_view peer, uint32_t life = 1) const {
    return MakeFakeProcess(peer, life);
  }
  StatementRef AliveOf(std::string_view peer, Incarnation incarnation,
                       std::vector<Tag> tags = {}) const {
    return FakeAlive(Peer(peer), incarnation, std::move(tags));
  }
  // Answers every ping from now on, or no longer.
  void Answer(std::string_view peer, bool yes = true);
  void Answer(const std::vector<std::string>& peers, bool yes = true) {
    for (const std::string& peer : peers) Answer(peer, yes);
  }
  void Answer(std::initializer_list<std::string> peers, bool yes = true) {
    Answer(std::vector<std::string>(peers), yes);
  }

  // ---- inputs, at `now`
  void Receive(std::string_view from, Packet packet, uint32_t life = 1);
  void Tell(std::string_view from, StatementRef statement) {
    Receive(from, {{}, {std::move(statement)}});
  }
  void Accuse(std::string_view by, std::string_view subject, Incarnation incarnation,
              StatementKind kind = StatementKind::kSuspect) {
    Tell(by, FakeAccusation(kind, subject, incarnation, by));
  }
  // Fires timers, each at its deadline, until `at`.
  void RunUntil(Instant at);
  void RunFor(Duration d) { RunUntil(now + d); }
  // Time passes and the process does not run.
  void Sleep(Duration d) { now += d; }
  // Carries out what the core asks; call it after an input given to `core` directly.
  void Settle();
  // Signs and hands over what the core has prepared to say.
  SayVerdict Finish(const Say& say);
  SayVerdict SayEvent(std::string_view name, std::string_view payload = {}, bool coalesce = true) {
    return Finish(core.PrepareEvent(now, name, payload, coalesce));
  }
  // Ends the oldest open sync of `reason`.
  void FinishSync(SyncReason reason, SyncOutcome outcome, const Source* peer = nullptr);

  // ---- what came out
  MemberState StateOf(std::string_view peer) const;
  Incarnation IncarnationOf(std::string_view peer) const;
  std::vector<Event> EventsOf(EventKind kind, std::string_view member = {}) const;
  size_t Count(EventKind kind, std::string_view member = {}) const {
    return EventsOf(kind, member).size();
  }
  // Statements of this kind sent to `to` (or to anybody) about `subject`.
  std::vector<StatementRef> SentStatements(StatementKind kind, std::string_view subject,
                                           std::string_view to = {}) const;
  template <typename M>
  size_t SentMessages(std::string_view to = {}) const {
    size_t count = 0;
    for (const Sent& packet : sent) {
      if (!to.empty() && packet.to != to) continue;
      for (const Message& message : packet.packet.messages) {
        count += std::holds_alternative<M>(message) ? 1 : 0;
      }
    }
    return count;
  }
  std::vector<SyncCall> Syncs(SyncReason reason) const;
  size_t Signed(StatementKind kind, std::string_view subject) const;
  void Forget() { sent.clear(), events.clear(), signed_statements.clear(); }

  ProtocolOptions options;
  FakeProcess self;
  Instant now = Instant::FromNanos(1'000'000'000'000);
  Protocol core;

  bool persist_fails = false;
  bool left = false;
  std::vector<Sent> sent;
  std::vector<Event> events;
  // Members to whom "the kernel" refuses our datagrams.
  std::set<std::string, std::less<>> refusing;
  std::vector<UserEvent> user_events;
  std::vector<ReceivedQuery> queries;
  std::vector<QueryReplied> replies;
  std::vector<QueryEnded> ended_queries;
  std::vector<SyncCall> syncs;
  std::vector<SendStreamPing> stream_pings;
  std::vector<MeasuredRtt> measured_rtts;
  std::vector<PingAnswered> pongs;
  std::vector<StatementRef> signed_statements;
  std::vector<uint32_t> persisted;

 private:
  void Do(const Action& action);
  void AnswerPacket(const SendPacket& send);

  std::set<std::string, std::less<>> answering_;
};

// Runs to the next probe of `peer`, and returns its nonce. `d.sent` then holds that step alone.
uint64_t RunToPing(CoreDriver& d, std::string_view peer);

}  // namespace sotto::testing

#endif  // SOTTO_TESTS_GOSSIP_CORE_DRIVER_H_
