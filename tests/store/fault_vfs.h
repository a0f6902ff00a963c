// An SQLite VFS over the system's own that fails on demand: the k-th write, sync, truncate, delete
// or open ends in SQLITE_IOERR, SQLITE_FULL or "the process died here".
//
// Threads: none; a test drives it from one thread. Registered for the life of the object.
#ifndef SOTTO_TESTS_STORE_FAULT_VFS_H_
#define SOTTO_TESTS_STORE_FAULT_VFS_H_

#include <memory>
#include <string>

namespace sotto {

class FaultVfs {
 public:
  explicit FaultVfs(std::string name);
  ~FaultVfs();
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;

  // The `k`-th call from now on (1 is the next one) gives `result`. With `for_good`, so do all
  // later ones, as if the process had been killed or the disk taken away.
  void FailAt(int k, int result, bool for_good);
  void Heal();
  // Whether the planned call has happened.
  bool has_failed() const;
  const std::string& name() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_STORE_FAULT_VFS_H_
