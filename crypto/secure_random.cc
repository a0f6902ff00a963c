#include "crypto/secure_random.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {

absl::Status FillRandom(std::span<uint8_t> out) {
  size_t filled = 0;
  while (filled < out.size()) {
    const ssize_t got = getrandom(out.data() + filled, out.size() - filled, 0);
    if (got > 0) {
      filled += static_cast<size_t>(got);
    } else if (got == 0 || errno != EINTR) {
      const int error = got == 0 ? EIO : errno;
      std::fill(out.begin(), out.end(), uint8_t{0});
      return CodedError(absl::StatusCode::kInternal, "RANDOM_FAILED",
                        absl::StrCat("the system's random generator failed, errno ", error));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> RandomSeed64() {
  std::array<uint8_t, sizeof(uint64_t)> bytes;
  SOTTO_RETURN_IF_ERROR(FillRandom(bytes));
  uint64_t seed = 0;
  std::memcpy(&seed, bytes.data(), sizeof(seed));
  return seed;
}

}  // namespace sotto
