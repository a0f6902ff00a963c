// Keeps the book of known peers (store/peer_book.h) in step with what the node sees, off the
// node's strand.
//
// Threads: Note from any thread, never blocks; the rest from one thread at a time. One thread of
// its own, which writes at most every kPause. Ownership: the destructor writes what is new.
// Whom the others report as left goes from the book, until this node begins to leave itself: of
// two that are stopped at the same moment at least one then remembers the other, and a cluster
// that was stopped as a whole finds itself again.
#ifndef SOTTO_CMD_SOTTOD_PEER_KEEPER_H_
#define SOTTO_CMD_SOTTOD_PEER_KEEPER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gossip/log.h"
#include "gossip/node.h"
#include "store/peer_book.h"

namespace sotto {

class PeerKeeper {
 public:
  static constexpr std::chrono::milliseconds kPause{1000};

  PeerKeeper(std::unique_ptr<PeerBook> book, LogSink log, std::chrono::milliseconds pause = kPause);
  ~PeerKeeper();
  PeerKeeper(const PeerKeeper&) = delete;
  PeerKeeper& operator=(const PeerKeeper&) = delete;

  // The newest picture.
  void Note(std::shared_ptr<const NodeView> view);
  // This node says goodbye: from now on nobody goes from the book.
  void BeginLeave();
  // An operator takes this node out of the cluster, or has failed to. Durable on return.
  void MarkLeft(bool left);

 private:
  void Run();
  void Apply(const NodeView& view);  // with mutex_ held
  void Save();                       // with mutex_ held

  const LogSink log_;
  const std::chrono::milliseconds pause_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::unique_ptr<PeerBook> book_;
  std::shared_ptr<const NodeView> view_;  // not in the book yet
  bool leaving_ = false;
  bool stop_ = false;
  std::thread thread_;
};

// Where a node that starts knocks beside its configured contacts: up to `count` peers, half of them
// those seen last, the others by chance, so that nodes of a cluster that was down as a whole do not
// all try the same few. Empty for a node that was taken out, unless `rejoin_after_leave`.
std::vector<std::string> ChooseContacts(const PeerBook& book, bool rejoin_after_leave, size_t count,
                                        uint64_t seed);
// The configured contacts, and behind them peers chosen like that: at most kKnownContactsMax, and
// with the configured ones no more than a node holds.
inline constexpr size_t kKnownContactsMax = 24;
std::vector<std::string> AddKnownContacts(std::vector<std::string> configured, const PeerBook& book,
                                          bool rejoin_after_leave, uint64_t seed);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_PEER_KEEPER_H_
