#include "cmd/sottod/peer_keeper.h"

#include <algorithm>
#include <random>
#include <utility>

#include "gossip/base/coded_error.h"
#include "gossip/contacts.h"
#include "gossip/endpoint_text.h"
#include "store/unix_time.h"

namespace sotto {
namespace {}  // namespace

PeerKeeper::PeerKeeper(std::unique_ptr<PeerBook> book, LogSink log, std::chrono::milliseconds pause)
    : log_(std::move(log)), pause_(pause), book_(std::move(book)), thread_([this] { Run(); }) {}

PeerKeeper::~PeerKeeper() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void PeerKeeper::Note(std::shared_ptr<const NodeView> view) {
  std::lock_guard lock(mutex_);
  view_ = std::move(view);
  changed_.notify_all();
}

void PeerKeeper::BeginLeave() {
  std::lock_guard lock(mutex_);
  if (view_) Apply(*std::exchange(view_, nullptr));
  leaving_ = true;
}

void PeerKeeper::MarkLeft(bool left) {
  std::lock_guard lock(mutex_);
  book_->set_left(left);
  leaving_ = left;
  Save();
}

void PeerKeeper::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return view_ != nullptr || stop_; });
    if (view_) Apply(*std::exchange(view_, nullptr));
    Save();
    if (stop_) return;
    // A burst of changes is written once.
    changed_.wait_for(lock, pause_, [this] { return stop_; });
  }
}

void PeerKeeper::Apply(const NodeView& view) {
  const int64_t now_s = UnixSeconds();
  bool has_company = false;
  for (const MemberInfo& member : view.members) {
    if (member.is_self) continue;
    const bool is_gone =
        member.state == MemberState::kLeft || member.state == MemberState::kForgotten;
    const bool is_living =
        member.state == MemberState::kAlive || member.state == MemberState::kSuspect;
    has_company = has_company || is_living;
    if (is_living || (member.state == MemberState::kDead && !book_->Contains(member.name))) {
      const int64_t ago_s = is_living ? 0 : (view.now - member.since).nanos() / 1'000'000'000;
      book_->Set({member.name, member.claims->addresses, now_s - ago_s});
    } else if (is_gone && !leaving_) {
      book_->Remove(member.name);
    }
  }
  // Taken out once, and back among the others since.
  if (has_company && !leaving_ && view.standing.announced) book_->set_left(false);
}

void PeerKeeper::Save() {
  const absl::Status saved = book_->Save();
  if (saved.ok() || !log_) return;
  log_({LogLevel::kWarn,
        "peers_not_kept",
        {{"code", ErrorCode(saved)}, {"message", std::string(saved.message())}}});
}

std::vector<std::string> ChooseContacts(const PeerBook& book, bool rejoin_after_leave, size_t count,
                                        uint64_t seed) {
  if (book.left() && !rejoin_after_leave) return {};
  std::vector<KnownPeer> peers = book.Peers();
  std::mt19937_64 random(seed);
  const size_t fresh = std::min(count / 2, peers.size());
  std::shuffle(peers.begin() + static_cast<ptrdiff_t>(fresh), peers.end(), random);
  if (peers.size() > count) peers.resize(count);
  std::vector<std::string> contacts;
  for (const KnownPeer& peer : peers) contacts.push_back(ToString(peer.addresses.front()));
  return contacts;
}

std::vector<std::string> AddKnownContacts(std::vector<std::string> configured, const PeerBook& book,
                                          bool rejoin_after_leave, uint64_t seed) {
  const size_t room = kContactsMax - std::min(kContactsMax, configured.size());
  std::vector<std::string> known =
      ChooseContacts(book, rejoin_after_leave, std::min(kKnownContactsMax, room), seed);
  std::erase_if(known, [&](const std::string& contact) {
    return std::find(configured.begin(), configured.end(), contact) != configured.end();
  });
  configured.insert(configured.end(), known.begin(), known.end());
  return configured;
}

}  // namespace sotto
