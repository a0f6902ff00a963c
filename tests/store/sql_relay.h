// A TCP relay between a client and a database server that fails on demand. Also a listener that
// accepts and never says a word.
//
// Threads: the relay's own; the calls below from any.
#ifndef SOTTO_TESTS_STORE_SQL_RELAY_H_
#define SOTTO_TESTS_STORE_SQL_RELAY_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace sotto {

class SqlRelay {
 public:
  // To 127.0.0.1:`target`; 0: to nobody, a listener that stays silent.
  explicit SqlRelay(uint16_t target);
  ~SqlRelay();
  SqlRelay(const SqlRelay&) = delete;
  SqlRelay& operator=(const SqlRelay&) = delete;

  uint16_t port() const { return port_; }

  // The next `times` COMMITs reach the server, their answers reach nobody: both ends are closed
  // once the server has answered.
  void LoseCommitAnswers(int times) { commits_to_lose_ = times; }
  int lost() const { return lost_; }
  // From now on nothing goes through, and no end is closed.
  void Mute() { is_mute_ = true; }

 private:
  void Accept();
  void Serve(int client);

  const uint16_t target_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> is_stopping_{false}, is_mute_{false};
  std::atomic<int> commits_to_lose_{0}, lost_{0};
  std::mutex mutex_;  // guards threads_
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_STORE_SQL_RELAY_H_
