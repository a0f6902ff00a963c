// What operators ask of the cluster's keys (key_admin.h), over the keeper's table and node.
#ifndef SOTTO_CMD_SOTTOD_KEY_DESK_H_
#define SOTTO_CMD_SOTTOD_KEY_DESK_H_

#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/sottod/key_admin.h"
#include "cmd/sottod/key_keeper.h"
#include "gossip/node.h"

namespace sotto {

class KeyDesk final : public KeyAdmin {
 public:
  // Both borrowed; `store_url` without a password.
  KeyDesk(KeyKeeper* keeper, Node* node, std::string store_url);

  absl::StatusOr<KeyOverview> Keys(bool ask, bool removed) override;
  absl::StatusOr<PrepareOutcome> PrepareKey(const PrepareOrder& order) override;
  absl::Status ActivateKey(const ActivateOrder& order) override;
  absl::Status RemoveKey(const RemoveOrder& order) override;
  absl::StatusOr<std::vector<KeyHistoryRow>> KeyHistory(uint64_t limit) override;
  absl::StatusOr<std::vector<KeyCheck>> VerifyKeys(bool repair, const std::string& actor) override;

  // The member left for good, or was forgotten: nobody waits for it any more.
  // Whether it had a row.
  absl::StatusOr<bool> ForgetMember(std::string_view name);

 private:
  void AskOnce(KeyTable* table, uint64_t generation);
  void AddKeys(const KeyRows& rows, bool removed, KeyOverview* out) const;
  void AddHeldKeys(KeyOverview* out) const;
  void AddMembers(const KeyRows& rows, KeyOverview* out) const;
  absl::Status CheckUnsharedNeed(const KeyRows& rows, const RemoveOrder& order) const;
  absl::Status TryRemove(KeyTable& table, const RemoveOrder& order);
  absl::Status CheckUnsharedHold(const KeyRows& rows, const std::vector<LivingMember>& living,
                                 const ActivateOrder& order, std::vector<std::string>* must) const;
  std::vector<KeyTable::HeldKey> Held() const;
  void Tell(KeyTable* table, uint64_t generation);

  KeyKeeper* const keeper_;
  Node* const node_;
  const std::string store_url_;
  std::mutex ask_mutex_;  // one question at a time; guards what follows
  std::chrono::steady_clock::time_point asked_;
};

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_KEY_DESK_H_
