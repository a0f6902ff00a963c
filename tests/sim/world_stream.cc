// The world's streams: reliable exchanges over TLS, modelled by their delays and their ends.
//
// A state sync runs as between two nodes: the client says who it is and its set hash; equal hashes
// end it; else the server's table, the client's table with the tombstones the server lacks, and the
// server's tombstones for the client pass.
#include <algorithm>
#include <utility>

#include "tests/sim/world.h"
#include "tests/sim/world_internal.h"

namespace sotto::sim {
namespace {

constexpr Duration kWholeDeadline = Duration::Seconds(10);
constexpr Duration kDialDeadline = Duration::Seconds(3);
constexpr int kSessionsMax = 32;
constexpr int kHandshakeLegs = 5;  // TCP and TLS 1.3: two and a half round trips
constexpr Duration kAskAgain = Duration::Millis(50);

}  // namespace

void World::Dial(Node& client, const StartSync& start) {
  auto exchange = std::make_shared<Exchange>();
  exchange->id = start.id;
  exchange->client = client.index;
  exchange->client_process = client.process;
  exchange->events_only = start.reason == SyncReason::kEvents;
  std::optional<uint32_t> address;
  std::string expected;
  if (auto* contact = std::get_if<ContactId>(&start.target)) {
    if (contact->index < client.contacts.size()) address = client.contacts[contact->index];
  } else {
    const StatementRef& alive = std::get<StatementRef>(start.target);
    address = AddressOf(*alive);
    expected = alive->subject;
  }
  Note(client, "dial", address.value_or(kNobody), nullptr, std::string(ToString(start.reason)));
  if (!address) {
    return After(Duration::Millis(1),
                 [this, exchange] { Finish(exchange, SyncOutcome::kUnreachable, false); });
  }
  exchange->server = *address;
  Node& server = At(*address);
  exchange->server_process = server.process;
  Duration there = network_.StreamDelay(client.index, server.index);
  Duration back = network_.StreamDelay(server.index, client.index);
  if (!PathStands(*exchange)) {
    return After(kDialDeadline,
                 [this, exchange] { Finish(exchange, SyncOutcome::kUnreachable, false); });
  }
  if (!server.core) {  // its machine answers with a reset
    return After(there + back,
                 [this, exchange] { Finish(exchange, SyncOutcome::kUnreachable, false); });
  }
  if (!expected.empty() && server.name != expected) {
    return After(2 * (there + back),
                 [this, exchange] { Finish(exchange, SyncOutcome::kRefused, false); });
  }
  exchange->deadline = now_ + kWholeDeadline;
  // Only the handshake shows that it leads back here.
  const bool itself = server.index == client.index;
  Continue(exchange, kHandshakeLegs, [this, exchange, itself] {
    itself ? Finish(exchange, SyncOutcome::kSelf, false) : ServerGetsHash(exchange);
  });
}

bool World::PathStands(const Exchange& exchange) const {
  return !network_.IsCut(exchange.client, exchange.server) &&
         !network_.IsCut(exchange.server, exchange.client);
}

void World::Continue(const std::shared_ptr<Exchange>& exchange, int legs,
                     std::function<void()> step) {
  Duration delay;
  for (int i = 0; i < legs; ++i) {
    delay += i % 2 == 0 ? network_.StreamDelay(exchange->client, exchange->server)
                        : network_.StreamDelay(exchange->server, exchange->client);
  }
  After(delay, [this, exchange, step = std::move(step)] { Resumed(exchange, step); });
}

void World::Resumed(const std::shared_ptr<Exchange>& exchange, const std::function<void()>& step) {
  Node& client = At(exchange->client);
  Node& server = At(exchange->server);
  if (client.process != exchange->client_process) {
    if (exchange->counted && server.process == exchange->server_process) --server.serving;
    return;
  }
  if (server.process != exchange->server_process) {
    return Finish(exchange, SyncOutcome::kUnreachable, false);
  }
  if (now_ >= exchange->deadline) return Finish(exchange, SyncOutcome::kUnreachable, false);
  // A cut path or a stopped process keeps everything waiting until the deadline.
  if (!PathStands(*exchange) || server.paused || client.paused) {
    return After(kAskAgain, [this, exchange, step] { Resumed(exchange, step); });
  }
  step();
}

void World::Finish(const std::shared_ptr<Exchange>& exchange, SyncOutcome outcome, bool with_peer) {
  Node& client = At(exchange->client);
  Node& server = At(exchange->server);
  if (exchange->counted && server.process == exchange->server_process) --server.serving;
  exchange->counted = false;
  if (client.process != exchange->client_process || exchange->ping) return;
  switch (outcome) {
    case SyncOutcome::kEqual:
      ++counters_.syncs_equal;
      break;
    case SyncOutcome::kMerged:
      ++counters_.syncs_merged;
      break;
    case SyncOutcome::kBusy:
      ++counters_.syncs_busy;
      break;
    case SyncOutcome::kSelf:
      ++counters_.syncs_self;
      break;
    default:
      ++counters_.syncs_failed;
  }
  auto report = [this, exchange, outcome, with_peer] {
    Node& here = At(exchange->client);
    if (here.process != exchange->client_process) return;
    static constexpr const char* kWords[] = {"equal",   "merged", "unreachable",
                                             "refused", "busy",   "self"};
    Note(here, "sync done", exchange->server, nullptr, kWords[static_cast<size_t>(outcome)]);
    Source peer{At(exchange->server).name, At(exchange->server).identity.boot_id};
    Input(here, "done", [&](Protocol& core, Instant now) {
      core.HandleSyncFinished(now, exchange->id, outcome, with_peer ? &peer : nullptr);
    });
  };
  if (client.paused) {
    client.held_results.push_back(report);
  } else {
    report();
  }
}

void World::ServerGetsHash(const std::shared_ptr<Exchange>& exchange) {
  Node& client = At(exchange->client);
  Node& server = At(exchange->server);
  bool busy = streams_.Chance(static_cast<uint64_t>(server.busy_percent), 100);
  if (busy || server.serving >= kSessionsMax) {
    return Continue(exchange, 1, [this, exchange] { Finish(exchange, SyncOutcome::kBusy, true); });
  }
  ++server.serving;
  exchange->counted = true;
  if (exchange->events_only) {
    exchange->event_ids = client.core->EventIds();
    return ServerGetsEventIds(exchange, SyncOutcome::kEqual);
  }
  if (client.core->set_hash() == server.core->set_hash()) {
    const uint64_t events = server.core->event_digest();
    const uint64_t clock = server.core->event_clock();
    return Continue(exchange, 1, [this, exchange, events, clock] {
      CompareEvents(exchange, SyncOutcome::kEqual, events, clock);
    });
  }
  exchange->server_table = server.core->MakeSyncTable();
  exchange->server_events = server.core->event_digest();
  exchange->event_clock = server.core->event_clock();
  Continue(exchange, 1, [this, exchange] { ClientGetsTable(exchange); });
}

void World::ClientGetsTable(const std::shared_ptr<Exchange>& exchange) {
  Node& client = At(exchange->client);
  const Node& server = At(exchange->server);
  Source source{server.name, server.identity.boot_id};
  Note(client, "table from", server.index);
  Input(client, "table", [&](Protocol& core, Instant now) {
    core.HandleSyncTable(now, source, exchange->server_table);
  });
  if (!client.core) return;
  exchange->client_table = client.core->MakeSyncTable();
  exchange->tombstones = client.core->TombstonesFor(exchange->server_table);
  Continue(exchange, 1, [this, exchange] { ServerGetsTable(exchange); });
}

void World::ServerGetsTable(const std::shared_ptr<Exchange>& exchange) {
  const Node& client = At(exchange->client);
  Node& server = At(exchange->server);
  Source source{client.name, client.identity.boot_id};
  SyncTable table = exchange->client_table;
  table.statements.insert(table.statements.end(), exchange->tombstones.begin(),
                          exchange->tombstones.end());
  Note(server, "table from", client.index);
  Input(server, "table",
        [&](Protocol& core, Instant now) { core.HandleSyncTable(now, source, table); });
  if (!server.core) return;
  exchange->tombstones = server.core->TombstonesFor(exchange->client_table);
  Continue(exchange, 1, [this, exchange] { ClientGetsTombstones(exchange); });
}

void World::ClientGetsTombstones(const std::shared_ptr<Exchange>& exchange) {
  Node& client = At(exchange->client);
  const Node& server = At(exchange->server);
  if (!exchange->tombstones.empty()) {
    Source source{server.name, server.identity.boot_id};
    SyncTable table;
    table.statements = exchange->tombstones;
    Input(client, "tombstones",
          [&](Protocol& core, Instant now) { core.HandleSyncTable(now, source, table); });
  }
  if (!client.core) return;
  CompareEvents(exchange, SyncOutcome::kMerged, exchange->server_events, exchange->event_clock);
}

// ---- user events --------------------------------------------------------------------------------

void World::CompareEvents(const std::shared_ptr<Exchange>& exchange, SyncOutcome outcome,
                          uint64_t their_events, uint64_t their_clock) {
  Node& client = At(exchange->client);
  const Node& server = At(exchange->server);
  if (client.core->event_digest() != their_events) {
    exchange->event_ids = client.core->EventIds();
    return Continue(exchange, 1,
                    [this, exchange, outcome] { ServerGetsEventIds(exchange, outcome); });
  }
  const Source source{server.name, server.identity.boot_id};
  Input(client, "events", [&](Protocol& core, Instant now) {
    core.HandleSyncEvents(now, source, SyncSide::kClient, {}, their_clock);
  });
  Finish(exchange, outcome, true);
}

void World::ServerGetsEventIds(const std::shared_ptr<Exchange>& exchange, SyncOutcome outcome) {
  const Node& server = At(exchange->server);
  ++counters_.event_syncs;
  exchange->events = server.core->CompareEvents(exchange->event_ids);
  exchange->event_clock = server.core->event_clock();
  counters_.events_synced += exchange->events.lacking.size() + exchange->events.wanted.size();
  Continue(exchange, 1, [this, exchange, outcome] { ClientGetsEvents(exchange, outcome); });
}

void World::ClientGetsEvents(const std::shared_ptr<Exchange>& exchange, SyncOutcome outcome) {
  Node& client = At(exchange->client);
  Node& server = At(exchange->server);
  const Source source{server.name, server.identity.boot_id};
  const Source back{client.name, client.identity.boot_id};
  Note(client, "events from", server.index);
  Input(client, "events", [&](Protocol& core, Instant now) {
    core.HandleSyncEvents(now, source, SyncSide::kClient, exchange->events.lacking,
                          exchange->event_clock);
  });
  if (!client.core) return;
  if (!exchange->events.wanted.empty()) {
    // Tells and goes: what the server makes of it, the client does not wait for.
    After(network_.StreamDelay(client.index, server.index),
          [this, process = server.process, index = server.index, back,
           events = client.core->FindEvents(exchange->events.wanted),
           clock = client.core->event_clock()] {
            Node& there = At(index);
            if (there.process != process || there.paused) return;
            Input(there, "events", [&](Protocol& core, Instant now) {
              core.HandleSyncEvents(now, back, SyncSide::kServer, events, clock);
            });
          });
  }
  Finish(exchange, outcome, true);
}

void World::StreamPing(Node& client, const SendStreamPing& ping) {
  ++counters_.stream_pings;
  std::optional<uint32_t> address = AddressOf(*ping.to);
  if (!address) return;
  Note(client, "stream ping", *address);
  auto exchange = std::make_shared<Exchange>();
  exchange->ping = true;
  exchange->client = client.index;
  exchange->client_process = client.process;
  exchange->server = *address;
  exchange->server_process = At(*address).process;
  exchange->deadline = now_ + kWholeDeadline;
  if (!PathStands(*exchange) || !At(*address).core) return;
  if (At(*address).identity.boot_id != ping.to->alive->boot_id) return;
  Continue(exchange, kHandshakeLegs + 1, [this, exchange, nonce = ping.nonce] {
    Node& here = At(exchange->client);
    Input(here, "ack", [&](Protocol& core, Instant now) { core.HandleStreamAck(now, nonce); });
  });
}

}  // namespace sotto::sim
