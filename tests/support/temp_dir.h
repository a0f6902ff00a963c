// A folder of a test's own below /tmp (short, for Unix sockets), gone with all it holds at the end.
#ifndef SOTTO_TESTS_SUPPORT_TEMP_DIR_H_
#define SOTTO_TESTS_SUPPORT_TEMP_DIR_H_

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "gossip/base/check.h"

namespace sotto {

class TempDir {
 public:
  TempDir() {
    char path[] = "/tmp/sotto-test.XXXXXX";
    SOTTO_CHECK(mkdtemp(path) != nullptr);
    path_ = path;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  // "<folder>/<name>".
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_SUPPORT_TEMP_DIR_H_
