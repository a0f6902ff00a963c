// Keeps a running node's keys as the database has them (design K5 to K7), on a thread of its own:
// looks at the table every few seconds and when it is woken, gives the node its ring, acknowledges
// in the node's row, answers for it to other members, and, on the leader, goes on with what is due.
//
// Whatever becomes of the database, the last good ring stays in use.
// Threads: every method from any thread; those of the courier never block. Begin and Stop by the
// owner. Ownership: the node is borrowed from Begin to Stop, and ends after it.
#ifndef SOTTO_CMD_SOTTOD_KEY_KEEPER_H_
#define SOTTO_CMD_SOTTOD_KEY_KEEPER_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/sottod/key_bell.h"
#include "cmd/sottod/key_cache_keeper.h"
#include "gossip/key_courier.h"
#include "gossip/log.h"
#include "gossip/node.h"
#include "store/key_agent.h"
#include "store/key_answers.h"
#include "store/key_table.h"
#include "store/node_state.h"
#include "store/rotation_plan.h"

namespace sotto {

// What the last look gave.
struct KeyReport {
  absl::Status status;      // OK, or what is wrong with table, row or database
  bool from_cache = false;  // the ring is the cache's, and the table was not read since
  std::string kek;          // that wraps the sealing key in the table; empty: plain
  absl::Status blocked;     // what keeps the leader from what is due
  std::vector<std::string> waits_for;
  std::chrono::system_clock::time_point last_read;  // the last one that found all in order
  std::chrono::microseconds read_time{0};           // of the last look
};

class KeyKeeper final : public KeyCourier {
 public:
  struct Options {
    std::string cluster, node;
    std::chrono::milliseconds poll{10'000};
    RotationSettings rotation;
    uint64_t frames_max = 0;    // rotate when this node has sealed so many under one key; 0: never
    absl::Status table_status;  // what the first look gave, before the node was there
    bool from_cache = false;
    LogSink log;
    std::shared_ptr<NodeState> state;
    KeyCacheKeeper* cache = nullptr;  // borrowed; may be null
  };

  KeyKeeper(Options options, std::shared_ptr<Database> database, std::shared_ptr<KeyAgent> agent);
  ~KeyKeeper() override;

  void Begin(Node* node);
  void Stop();

  KeyReport Report() const;
  KeyAgent& agent() { return *agent_; }
  const RotationSettings& rotation() const { return options_.rotation; }
  void Wake(KeyWake wake) { bell_.Ring(wake); }
  // The last look did not reach the table: whoever only wants to see need not wait for another.
  bool store_away() const { return store_away_; }
  // The table, or why there is none. SCHEMA_NOT_ALLOWED, DB_*.
  absl::StatusOr<std::shared_ptr<KeyTable>> Table();

  // This node leaves for good: its row goes, and is not written again. Blocks on the database.
  absl::Status GiveUpRow();

  // The members that live, with what they said last.
  std::vector<LivingMember> Living(const KeyRows& rows) const;
  // What members have said in the last 15 s.
  KeyAnswers Answers() const;
  // Asks every living member what it holds, and tells it by that that `generation` is news (0:
  // nothing is). Records the answers in the table. Blocks for a second at most.
  void Ask(KeyTable* table, uint64_t generation);

  // ---- KeyCourier -------------------------------------------------------------------------------
  KeySet Keys() override;
  std::string Offer(KeyId id) override;
  absl::Status Take(std::string_view wrapped) override;
  bool UseNewer(KeyId id) override;
  bool OnUnknownKey(KeyId id) override;
  bool OnKeysAsked(uint64_t generation) override;
  std::string Claim(KeyId sealing, uint64_t key_drops) override;

 private:
  void Run();
  void Look();
  absl::StatusOr<KeyLook> LookAtTable(KeyTable& table);
  absl::Status LookAtRowAlone();
  void Apply(const KeyLook& look, KeyTable& table);
  void KeepDurable();
  void Acknowledge(const KeyRows& rows, KeyTable& table);
  void FollowOthers(const KeyRows& rows, KeyTable& table);
  void Lead(const KeyRows& rows, KeyTable& table);
  absl::Status DoStep(const RotationPlan& plan, const std::vector<LivingMember>& living,
                      KeyTable& table);
  bool IsWanting() const;
  bool ShouldSeek() const;
  void SeekWanted();
  void Publish(const absl::Status& status, bool read, std::chrono::microseconds took);
  void LogStatus(std::string_view event, const absl::Status& status, LogLevel level);

  const Options options_;
  const std::shared_ptr<Database> database_;
  const std::shared_ptr<KeyAgent> agent_;
  KeyBell bell_;
  Node* node_ = nullptr;

  mutable std::mutex mutex_;         // guards what follows; never held while something blocks
  std::shared_ptr<KeyTable> table_;  // null: the database gave no tables of ours yet
  KeyReport report_;
  KeyAnswers answers_;

  // What others have and this node lacked when it heard of it: the highest generation, and the last
  // key id with a bit above it; 0: nothing.
  std::atomic<uint64_t> wanted_generation_{0};
  std::atomic<uint64_t> wanted_id_{0};
  std::atomic<bool> store_away_{false};  // the last look did not read the table

  std::mutex row_mutex_;  // held while this node's row is written or removed; guards has_left_
  bool has_left_ = false;

  // By the thread alone.
  bool refresh_due_ = false;  // the node has not taken over the agent's ring
  std::string last_code_;
  std::string ack_code_;
  std::string blocked_code_;
  std::thread thread_;
};

// The tables of ours, made where they are missing and this role may, and the table over them.
absl::StatusOr<std::shared_ptr<KeyTable>> OpenKeyTable(std::shared_ptr<Database> database,
                                                       const std::string& cluster);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_KEY_KEEPER_H_
