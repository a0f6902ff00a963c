// The calls of the admin API that talk to the cluster, over the running node.
//
// Threads: every method from any thread. Ownership: the node is borrowed and outlives this.
#ifndef SOTTO_CMD_SOTTOD_NODE_TALK_H_
#define SOTTO_CMD_SOTTOD_NODE_TALK_H_

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/sottod/admin_backend.h"
#include "gossip/node.h"

namespace sotto {

class NodeTalk {
 public:
  explicit NodeTalk(Node* node) : node_(node) {}

  absl::Status SendEvent(const EventOrder& order);
  absl::Status Query(const QueryOrder& order, AdminBackend::OnReply on_reply,
                     AdminBackend::OnQueryEnd on_end);
  absl::StatusOr<PingOutcome> Ping(std::string_view member, std::chrono::milliseconds timeout);
  // Asks everybody whom it hears, and waits for the answers, up to `timeout`.
  absl::StatusOr<ReachReport> Reach(std::chrono::milliseconds timeout);
  std::vector<CaseSummary> Cases(std::string_view member) const;

 private:
  Node* const node_;
};

// The picture as the API has it.
CaseSummary ToSummary(const SuspicionCase& one);
// Rows of `answers` (member, payload) whose table is that of `members`, sorted names of the living.
ReachReport ToReport(std::vector<std::string> members, const std::vector<QueryReplyItem>& answers);
// What a suspicion's newest accuser saw, for the line of an event; empty if there is none.
std::string LastEvidence(const std::vector<CaseSummary>& cases);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_NODE_TALK_H_
