// The world's datagrams: frames bound to a process, hellos, replay windows, and the replay nemesis.
#include <algorithm>
#include <utility>

#include "tests/sim/world.h"
#include "tests/sim/world_internal.h"
#include "tests/support/fake_signer.h"

namespace sotto::sim {
namespace {

// A datagram socket's receive queue, in datagrams: 212,992 B (Linux's default) of about 1 KiB each.
constexpr size_t kSocketQueue = 208;
constexpr uint16_t kPort = 7950;

std::string Describe(const Message& message) {
  if (auto* ping = std::get_if<Ping>(&message)) return "ping " + std::to_string(ping->nonce % 9973);
  if (auto* ack = std::get_if<Ack>(&message)) return "ack " + std::to_string(ack->nonce % 9973);
  if (auto* ask = std::get_if<IndirectPing>(&message)) return "ask " + ask->target;
  if (auto* nack = std::get_if<Nack>(&message)) return "nack " + std::to_string(nack->nonce % 9973);
  if (auto* receipt = std::get_if<AnswerReceipt>(&message)) {
    return "receipt " + std::to_string(receipt->answer % 9973);
  }
  return "want " + std::get<WantOwner>(message).name;
}

}  // namespace

Endpoint AddressOfNode(uint32_t node) {
  Endpoint endpoint;
  endpoint.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0};
  endpoint.ip[13] = static_cast<uint8_t>(node >> 16);
  endpoint.ip[14] = static_cast<uint8_t>(node >> 8);
  endpoint.ip[15] = static_cast<uint8_t>(node);
  endpoint.port = kPort;
  return endpoint;
}

std::optional<uint32_t> NodeAtAddress(const Endpoint& address) {
  if (address.port != kPort || address.ip[12] != 10) return std::nullopt;
  return uint32_t{address.ip[13]} << 16 | uint32_t{address.ip[14]} << 8 | address.ip[15];
}

std::string Describe(const Statement& statement) {
  static constexpr const char* kWords[] = {"?",      "alive", "leave", "suspect", "dead",
                                           "forget", "event", "query", "answer"};
  std::string text = kWords[static_cast<size_t>(statement.kind)];
  text += " " + statement.subject + " " + Show(statement.incarnation);
  if (statement.signer != statement.subject) text += " by " + statement.signer;
  return text;
}

std::string Describe(const Packet& packet) {
  std::string text;
  for (const Message& message : packet.messages) {
    text += (text.empty() ? "" : ", ") + Describe(message);
  }
  for (const StatementRef& statement : packet.statements) {
    text += (text.empty() ? "" : ", ") + Describe(*statement);
  }
  return text;
}

std::optional<uint32_t> World::AddressOf(const Statement& alive) const {
  if (!alive.alive || alive.alive->addresses.empty()) return std::nullopt;
  std::optional<uint32_t> index = NodeAtAddress(alive.alive->addresses.front());
  if (!index || *index >= size()) return std::nullopt;
  return index;
}

void World::Transmit(Node& from, const SendPacket& send) {
  std::optional<MemberInfo> held = from.core->Find(send.to->subject);
  bool living =
      held && (held->state == MemberState::kAlive || held->state == MemberState::kSuspect);
  invariants_.OnSend(from.index, send, size(), living);
  std::optional<uint32_t> to = AddressOf(*send.to);
  if (!to) return Fail("scenario", from.name + " sends to no address", {from.index});
  if (from.refuses.contains(*to)) {
    ++counters_.refused;
    Note(from, "refused", *to);
    from.core->HandleSendFailed(Local(from), send.to->subject);
    return;
  }
  Datagram frame;
  frame.from = from.index;
  frame.to = *to;
  frame.from_boot = from.identity.boot_id;
  frame.to_boot = send.to->alive->boot_id;
  for (const StatementRef& statement : send.packet.statements) {
    counters_.bytes += WireSizeMax(*statement);
  }
  if (send.hello && from.own_alive) {
    ++counters_.hellos;
    Datagram hello = frame;
    hello.hello = from.own_alive;
    hello.counter = ++from.counters[frame.to_boot];
    Note(from, "hello", *to);
    Post(std::make_shared<Datagram>(std::move(hello)));
  }
  frame.packet = std::make_shared<Packet>(send.packet);
  frame.counter = ++from.counters[frame.to_boot];
  Note(from, "send", *to, frame.packet);
  Post(std::make_shared<Datagram>(std::move(frame)));
}

void World::SendRaw(uint32_t from, uint32_t to, Packet packet) {
  Node& sender = At(from);
  if (!sender.core || !At(to).core) return;
  Datagram frame;
  frame.from = from;
  frame.to = to;
  frame.from_boot = sender.identity.boot_id;
  frame.to_boot = At(to).identity.boot_id;
  frame.counter = ++sender.counters[frame.to_boot];
  frame.packet = std::make_shared<Packet>(std::move(packet));
  Post(std::make_shared<Datagram>(std::move(frame)));
}

StatementRef World::SignAs(uint32_t node, const StatementDraft& draft) {
  StatementRef statement = testing::FakeSign(At(node).identity, draft);
  invariants_.OnSigned(At(node).name, *statement);
  return statement;
}

void World::Post(std::shared_ptr<const Datagram> datagram) {
  ++counters_.datagrams;
  if (record_max_ > 0) {
    recorded_.push_back(datagram);
    if (recorded_.size() > record_max_) recorded_.pop_front();
  }
  Network::Fate fate = network_.Draw(datagram->from, datagram->to);
  if (fate.cut) {
    ++counters_.cut;
  } else if (fate.copies == 0) {
    ++counters_.lost;
  } else if (fate.copies == 2) {
    ++counters_.duplicated;
  }
  for (int i = 0; i < fate.copies; ++i) {
    After(fate.delays[static_cast<size_t>(i)], [this, datagram] { Arrive(datagram); });
  }
}

void World::RecordTraffic(size_t keep) { record_max_ = keep; }

void World::Replay(size_t count) {
  for (size_t i = 0; i < count && !recorded_.empty(); ++i) {
    std::shared_ptr<const Datagram> old = recorded_[replays_.Below(recorded_.size())];
    ++counters_.replayed;
    After(replays_.Between(Duration::Micros(1), Duration::Millis(5)), [this, old] { Arrive(old); });
  }
}

void World::Arrive(const std::shared_ptr<const Datagram>& datagram) {
  Node& to = At(datagram->to);
  if (!to.core) return;
  if (to.paused) {
    if (to.held.size() < kSocketQueue) {
      to.held.push_back(datagram);
    } else {
      ++counters_.queue_full;
    }
    return;
  }
  Open(to, *datagram);
}

// What this packet asks for: an answer to each is due beyond all broadcasts.
void World::NoteQuestions(Node& to, const Packet& packet) {
  for (const Message& message : packet.messages) {
    if (auto* want = std::get_if<WantOwner>(&message)) invariants_.OnAsked(to.index, want->name);
  }
  for (const StatementRef& statement : packet.statements) {
    if (IsOfItself(statement->kind)) continue;
    std::optional<MemberInfo> known = to.core->Find(statement->subject);
    // An accusation that was answered long ago deserves that answer.
    if (known && known->incarnation > statement->incarnation) {
      invariants_.OnAsked(to.index, statement->subject);
    }
  }
}

void World::Open(Node& to, const Datagram& datagram) {
  if (!to.core) return;
  // Another process has this address now: its subkey differs, the tag is wrong.
  if (datagram.to_boot != to.identity.boot_id) {
    ++counters_.wrong_boot;
    return;
  }
  if (datagram.hello) {
    if (!to.windows[datagram.from_boot].Accept(datagram.counter)) {
      ++counters_.replays_dropped;
      return;
    }
    ++counters_.delivered;
    Input(to, "hello",
          [&](Protocol& core, Instant now) { core.HandleStatement(now, datagram.hello); });
    return;
  }
  StatementRef sender = to.core->FindBoot(datagram.from_boot);
  if (!sender) {
    ++counters_.unknown_boot;
    Note(to, "drop unknown", datagram.from, datagram.packet);
    return;
  }
  if (!to.windows[datagram.from_boot].Accept(datagram.counter)) {
    ++counters_.replays_dropped;
    return;
  }
  ++counters_.delivered;
  Note(to, "got", datagram.from, datagram.packet);
  NoteQuestions(to, *datagram.packet);
  Source source{sender->subject, datagram.from_boot};
  Input(to, "packet",
        [&](Protocol& core, Instant now) { core.HandlePacket(now, source, *datagram.packet); });
}

}  // namespace sotto::sim
