// Logarithms and ratios in integers, so that every machine gets the same bits (design M6).
//
// Units: fixed-point numbers have 32 fractional bits; kFixedOne is 1.
#ifndef SOTTO_GOSSIP_FIXED_POINT_H_
#define SOTTO_GOSSIP_FIXED_POINT_H_

#include <cstdint>

#include "gossip/time.h"

namespace sotto {

__extension__ typedef unsigned __int128 Uint128;

inline constexpr uint64_t kFixedOne = uint64_t{1} << 32;

// The logarithm of x, truncated to 32 fractional bits. x must be at least 1.
uint64_t Log2Fixed(uint64_t x);
uint64_t Log10Fixed(uint64_t x);

// d × factor, rounded down, saturating. d must not be negative.
Duration Scale(Duration d, uint64_t fixed_factor);

// The number of decimal digits of x: ceil(log10(x + 1)), and 1 for 0.
int DecimalDigits(uint64_t x);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_FIXED_POINT_H_
