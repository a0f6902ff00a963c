// Pings that the application asks for, and round trips as they are measured.
#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

constexpr Duration kPingForgotten = Duration::Minutes(1);

}  // namespace

void Protocol::Impl::NoteRtt(MemberEntry& from, Duration rtt) {
  from.rtt = rtt;
  actions_.push_back(MeasuredRtt{std::string(from.name), rtt});
}

uint64_t Protocol::Impl::PingMember(Instant now, std::string_view name) {
  Enter(now);
  std::erase_if(pings_, [&](const auto& ping) { return now_ - ping.second.sent > kPingForgotten; });
  MemberEntry* member = FindMember(name);
  if (!member || member == own_ || !member->alive || !IsActive()) return 0;
  if (pings_.size() >= kPingsMax) return 0;
  const uint64_t nonce = nonce_rng_.Next();
  pings_[nonce] = {member->number, now_};
  SendMessages(*member, {Ping{nonce}});
  return nonce;
}

bool Protocol::Impl::FinishPing(MemberEntry& from, uint64_t nonce) {
  const auto it = pings_.find(nonce);
  if (it == pings_.end() || it->second.member != from.number) return false;
  const Duration rtt = now_ - it->second.sent;
  pings_.erase(it);
  NoteRtt(from, rtt);
  actions_.push_back(PingAnswered{nonce, rtt});
  return true;
}

}  // namespace sotto
