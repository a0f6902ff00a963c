#include "gossip/fixed_point.h"

#include <bit>

#include "gossip/base/check.h"

namespace sotto {

uint64_t Log2Fixed(uint64_t x) {
  SOTTO_CHECK(x > 0);
  const int whole = 63 - std::countl_zero(x);
  uint64_t result = static_cast<uint64_t>(whole);
  // x = mantissa × 2^whole with 1 <= mantissa < 2, held with 63 fractional bits. Squaring it
  // doubles its logarithm: each square that reaches 2 yields a bit.
  uint64_t mantissa = x << (63 - whole);
  for (int bit = 0; bit < 32; ++bit) {
    const Uint128 square = (Uint128{mantissa} * mantissa) >> 63;
    const bool carry = (square >> 64) != 0;
    mantissa = static_cast<uint64_t>(carry ? square >> 1 : square);
    result = result << 1 | static_cast<uint64_t>(carry);
  }
  return result;
}

uint64_t Log10Fixed(uint64_t x) {
  constexpr uint64_t kLog10Of2 = 1'292'913'986;  // 0.30103 × 2^32
  return static_cast<uint64_t>((Uint128{Log2Fixed(x)} * kLog10Of2) >> 32);
}

Duration Scale(Duration d, uint64_t fixed_factor) {
  SOTTO_CHECK(d >= Duration());
  const Uint128 product = (Uint128{static_cast<uint64_t>(d.nanos())} * fixed_factor) >> 32;
  const Uint128 max = static_cast<uint64_t>(Duration::Max().nanos());
  return Duration::Nanos(static_cast<int64_t>(product < max ? product : max));
}

int DecimalDigits(uint64_t x) {
  int digits = 1;
  for (; x >= 10; x /= 10) ++digits;
  return digits;
}

}  // namespace sotto
