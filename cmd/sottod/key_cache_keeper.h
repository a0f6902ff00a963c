// Keeps the node's key cache (store/key_cache.h) as fresh as the table.
//
// A good look at the row writes the cache when it holds another key, another KEK, or has not been
// written for an hour, so that its age is at most an hour more than the database's absence.
// Threads: every method from any thread; Note blocks on the disk.
#ifndef SOTTO_CMD_SOTTOD_KEY_CACHE_KEEPER_H_
#define SOTTO_CMD_SOTTOD_KEY_CACHE_KEEPER_H_

#include <chrono>
#include <mutex>
#include <string>

#include "crypto/kek.h"
#include "gossip/log.h"
#include "store/key_agent.h"
#include "store/key_cache.h"

namespace sotto {

class KeyCacheKeeper {
 public:
  KeyCacheKeeper(KeyCachePlace place, LogSink log);

  // Null: nothing is kept, and nothing that is there is touched.
  void SetKeks(KekRingRef keks);
  // The ring as the table has it just now.
  void Note(const KeyRing& ring);

 private:
  const KeyCachePlace place_;
  const LogSink log_;
  std::mutex mutex_;  // guards what follows, and the file
  KekRingRef keks_;
  std::string written_;  // which keys, and their states
  KekId written_kek_;
  std::chrono::steady_clock::time_point written_at_;  // zero: not by this process
};

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_KEY_CACHE_KEEPER_H_
