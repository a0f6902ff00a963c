// What a joiner has missed (docs/decisions/0015).
//
// Where many join at once, each is told of by gossip before all others know whom to tell: some miss
// some. So a joiner whose table has been still for a moment asks a few members for the hash of
// theirs, and syncs with one that differs, until nobody differs any more.
#include <algorithm>
#include <utility>

#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

constexpr size_t kComparedWith = 3;
// By then a difference is no longer a matter of joining.
constexpr int kJoinSyncsMax = 8;

}  // namespace

void Protocol::Impl::BeginSettling() {
  settle_latest_ = now_ + options_.join_settle_max;
  join_syncs_ = join_syncs_fruitless_ = 0;
  SettleAfter(options_.join_settle);
}

void Protocol::Impl::SettleAfter(Duration wait) {
  join_check_.reset();
  Arm(TimerKind::kJoinAgain, now_ + wait + sync_rng_.Between(Duration(), options_.join_settle / 2));
}

void Protocol::Impl::OnJoinTimer() {
  const std::optional<JoinCheck> check = std::exchange(join_check_, std::nullopt);
  if (!IsActive() || standing_.leaving) return;
  if (living_.empty()) {
    contact_answered_ = false;  // the contact was starting as well: we have not joined yet
    return;
  }
  const Instant still = std::min(hash_changed_at_ + options_.join_settle, settle_latest_);
  if (now_ < still) return SettleAfter(still - now_);
  if (!check) return CompareAfterJoin();
  // Not everybody has answered. If one did and agreed, the others are a matter of probes.
  if (check->agreed == 0) return SyncAfterJoin(*living_[sync_rng_.Below(living_.size())]);
  events_begun_ = true;
}

void Protocol::Impl::CompareAfterJoin() {
  join_check_ = JoinCheck{};
  JoinCheck& check = *join_check_;
  check.own_hash = set_hash().low;
  for (MemberEntry* member : PickLiving(kComparedWith, nullptr)) {
    const uint64_t nonce = nonce_rng_.Next();
    check.asked.emplace(nonce, member->number);
    SendMessages(*member, {Ping{nonce}});
  }
  Arm(TimerKind::kJoinAgain, now_ + options_.probe_timeout);
}

bool Protocol::Impl::OnJoinAck(MemberEntry& from, const Ack& ack) {
  if (!join_check_) return false;
  const auto it = join_check_->asked.find(ack.nonce);
  if (it == join_check_->asked.end() || it->second != from.number) return false;
  join_check_->asked.erase(it);
  const uint64_t own = set_hash().low;
  if (own != join_check_->own_hash && now_ < settle_latest_) {
    SettleAfter(options_.join_settle);  // news has come: what was asked is outdated
  } else if (ack.set_hash != own) {
    SyncAfterJoin(from);
  } else if (++join_check_->agreed; join_check_->asked.empty()) {
    join_check_.reset();
    Cancel(TimerKind::kJoinAgain);
    events_begun_ = true;
  }
  return true;
}

void Protocol::Impl::SyncAfterJoin(const MemberEntry& member) {
  join_check_.reset();
  Cancel(TimerKind::kJoinAgain);
  ++join_syncs_;
  settle_latest_ = now_ + options_.join_settle_max;
  BeginSync({.reason = SyncReason::kJoinAgain, .member = std::string(member.name)}, member.alive);
}

void Protocol::Impl::OnJoinSyncFinished(const Sync& sync) {
  events_begun_ = true;
  if (join_syncs_ >= kJoinSyncsMax) return;
  // One that brings nothing has helped the other, or nobody: ever more rarely.
  join_syncs_fruitless_ = sync.learned ? 0 : join_syncs_fruitless_ + 1;
  SettleAfter(options_.join_settle * (int64_t{1} << std::min(join_syncs_fruitless_, 5)));
}

}  // namespace sotto
