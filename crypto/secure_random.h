// Random bytes from the system's own generator.
//
// The kernel's, not OpenSSL's: a cloned virtual machine copies the state of a generator in user
// space, and both copies then draw the same "fresh" boot id; the kernel is told of the clone and
// reseeds. Threads: safe.
#ifndef SOTTO_CRYPTO_SECURE_RANDOM_H_
#define SOTTO_CRYPTO_SECURE_RANDOM_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sotto {

// INTERNAL RANDOM_FAILED: the generator failed; `out` is then all zeros. Blocks only before the
// machine has gathered its first entropy after power-on.
absl::Status FillRandom(std::span<uint8_t> out);

// A seed for Rng.
absl::StatusOr<uint64_t> RandomSeed64();

}  // namespace sotto

#endif  // SOTTO_CRYPTO_SECURE_RANDOM_H_
