#include "tests/store/fault_vfs.h"

#include <sqlite3.h>

#include <cstring>
#include <utility>

#include "gossip/base/check.h"

namespace sotto {

struct FaultVfs::State {
  std::string name;
  sqlite3_vfs* system = nullptr;
  sqlite3_vfs vfs{};
  int calls_left = 0;  // 0: nothing planned
  int result = SQLITE_OK;
  bool for_good = false;
  bool has_failed = false;

  // SQLITE_OK, or the planned failure.
  int Step() {
    if (has_failed && for_good) return result;
    if (calls_left == 0 || --calls_left > 0) return SQLITE_OK;
    has_failed = true;
    return result;
  }
};

namespace {

using State = FaultVfs::State;

// SQLite allocates szOsFile bytes: ours first, then the system's.
struct File {
  sqlite3_file base;
  State* state;
  sqlite3_file* inner() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File* Ours(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
sqlite3_file* Inner(sqlite3_file* file) { return Ours(file)->inner(); }
const sqlite3_io_methods* Methods(sqlite3_file* file) { return Inner(file)->pMethods; }
State* StateOf(sqlite3_vfs* vfs) { return static_cast<State*>(vfs->pAppData); }

int Close(sqlite3_file* f) { return Methods(f)->xClose(Inner(f)); }
int Read(sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
  return Methods(f)->xRead(Inner(f), to, n, at);
}
int Write(sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
  const int fault = Ours(f)->state->Step();
  if (fault == SQLITE_OK) return Methods(f)->xWrite(Inner(f), from, n, at);
  // A torn write: half of it reaches the disk.
  if (n > 1) Methods(f)->xWrite(Inner(f), from, n / 2, at);
  return fault;
}
int Truncate(sqlite3_file* f, sqlite3_int64 size) {
  const int fault = Ours(f)->state->Step();
  return fault != SQLITE_OK ? fault : Methods(f)->xTruncate(Inner(f), size);
}
int Sync(sqlite3_file* f, int flags) {
  const int fault = Ours(f)->state->Step();
  return fault != SQLITE_OK ? fault : Methods(f)->xSync(Inner(f), flags);
}
int FileSize(sqlite3_file* f, sqlite3_int64* size) { return Methods(f)->xFileSize(Inner(f), size); }
int Lock(sqlite3_file* f, int level) { return Methods(f)->xLock(Inner(f), level); }
int Unlock(sqlite3_file* f, int level) { return Methods(f)->xUnlock(Inner(f), level); }
int CheckReserved(sqlite3_file* f, int* out) {
  return Methods(f)->xCheckReservedLock(Inner(f), out);
}
int Control(sqlite3_file* f, int op, void* arg) {
  return Methods(f)->xFileControl(Inner(f), op, arg);
}
int SectorSize(sqlite3_file* f) { return Methods(f)->xSectorSize(Inner(f)); }
int Characteristics(sqlite3_file* f) { return Methods(f)->xDeviceCharacteristics(Inner(f)); }
int ShmMap(sqlite3_file* f, int page, int size, int extend, void volatile** out) {
  return Methods(f)->xShmMap(Inner(f), page, size, extend, out);
}
int ShmLock(sqlite3_file* f, int at, int n, int flags) {
  return Methods(f)->xShmLock(Inner(f), at, n, flags);
}
void ShmBarrier(sqlite3_file* f) { Methods(f)->xShmBarrier(Inner(f)); }
int ShmUnmap(sqlite3_file* f, int remove) { return Methods(f)->xShmUnmap(Inner(f), remove); }

constexpr sqlite3_io_methods kMethods = {
    2,        Close,         Read,    Write,      Truncate,        Sync,   FileSize, Lock,
    Unlock,   CheckReserved, Control, SectorSize, Characteristics, ShmMap, ShmLock,  ShmBarrier,
    ShmUnmap, nullptr,       nullptr};

int Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* f, int flags, int* out) {
  State* state = StateOf(vfs);
  f->pMethods = nullptr;
  const int fault = state->Step();
  if (fault != SQLITE_OK) return fault;
  Ours(f)->state = state;
  const int rc = state->system->xOpen(state->system, path, Inner(f), flags, out);
  if (Inner(f)->pMethods != nullptr) f->pMethods = &kMethods;
  return rc;
}

int Delete(sqlite3_vfs* vfs, const char* path, int sync_folder) {
  State* state = StateOf(vfs);
  const int fault = state->Step();
  return fault != SQLITE_OK ? fault : state->system->xDelete(state->system, path, sync_folder);
}

int Access(sqlite3_vfs* vfs, const char* path, int flags, int* out) {
  return StateOf(vfs)->system->xAccess(StateOf(vfs)->system, path, flags, out);
}

int FullPathname(sqlite3_vfs* vfs, const char* path, int n, char* out) {
  return StateOf(vfs)->system->xFullPathname(StateOf(vfs)->system, path, n, out);
}

}  // namespace

FaultVfs::FaultVfs(std::string name) : state_(std::make_unique<State>()) {
  state_->name = std::move(name);
  state_->system = sqlite3_vfs_find(nullptr);
  SOTTO_CHECK(state_->system != nullptr);
  state_->vfs = *state_->system;
  state_->vfs.pNext = nullptr;
  state_->vfs.zName = state_->name.c_str();
  state_->vfs.pAppData = state_.get();
  state_->vfs.szOsFile = static_cast<int>(sizeof(File)) + state_->system->szOsFile;
  state_->vfs.xOpen = Open;
  state_->vfs.xDelete = Delete;
  state_->vfs.xAccess = Access;
  state_->vfs.xFullPathname = FullPathname;
  SOTTO_CHECK(sqlite3_vfs_register(&state_->vfs, /*makeDflt=*/0) == SQLITE_OK);
}

FaultVfs::~FaultVfs() { sqlite3_vfs_unregister(&state_->vfs); }

void FaultVfs::FailAt(int k, int result, bool for_good) {
  state_->calls_left = k;
  state_->result = result;
  state_->for_good = for_good;
  state_->has_failed = false;
}

void FaultVfs::Heal() { FailAt(0, SQLITE_OK, false); }

bool FaultVfs::has_failed() const { return state_->has_failed; }

const std::string& FaultVfs::name() const { return state_->name; }

}  // namespace sotto
