// What members of the world say: user events, queries, answers.
#include <utility>

#include "tests/sim/world.h"
#include "tests/sim/world_internal.h"
#include "tests/support/fake_signer.h"

namespace sotto::sim {

bool World::FinishSay(Node& node, const Say& say) {
  if (say.result.verdict != SayVerdict::kOk) return false;
  if (!say.draft) return true;
  StatementRef statement = testing::FakeSign(node.identity, *say.draft);
  invariants_.OnSigned(node.name, *statement);
  Mix(Key(statement->hash));
  Note(node, "say", kNobody, nullptr, Describe(*statement));
  node.core->HandleSigned(Local(node), statement);
  node.last_said = statement->hash;
  return true;
}

bool World::SendEvent(uint32_t index, const std::string& name, const std::string& payload) {
  bool said = false;
  Node& node = At(index);
  Input(node, "event", [&](Protocol& core, Instant now) {
    said = FinishSay(node, core.PrepareEvent(now, name, payload, true));
  });
  return said;
}

std::optional<Hash256> World::Query(uint32_t index, const QueryRequest& request) {
  bool said = false;
  Node& node = At(index);
  Input(node, "query", [&](Protocol& core, Instant now) {
    said = FinishSay(node, core.PrepareQuery(now, request));
  });
  if (!said) return std::nullopt;
  return node.last_said;
}

bool World::Answer(uint32_t index, const Hash256& query, const std::string& payload) {
  bool said = false;
  Node& node = At(index);
  Input(node, "answer", [&](Protocol& core, Instant now) {
    said = FinishSay(node, core.PrepareAnswer(now, query, payload));
  });
  return said;
}

void World::TellSaid(Node& node, const Action& action) {
  if (const auto* said = std::get_if<DeliverUserEvent>(&action)) {
    ++counters_.events_told;
    counters_.events_replayed += said->event.replayed;
    Mix(Key(said->event.id));
    Note(node, "user event", kNobody, nullptr, said->event.name + " of " + said->event.from);
  }
  // Afterwards: who listens may say something in turn.
  if (said_watcher_) {
    After(Duration(), [this, index = node.index, process = node.process, action] {
      if (said_watcher_ && At(index).process == process) said_watcher_(index, action);
    });
  }
}

}  // namespace sotto::sim
