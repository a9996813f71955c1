// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tessera {

// Arithmetic on counts, which are never negative: sums and products stop at INT64_MAX, differences
// at 0.
inline std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  return __builtin_add_overflow(a, b, &result) ? INT64_MAX : result;
}
inline std::int64_t saturating_multiply(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? INT64_MAX : result;
}
inline std::int64_t saturating_subtract(std::int64_t a, std::int64_t b) {
  return a > b ? a - b : 0;
}
// REQUIRES: b > 0.
inline std::int64_t ceil_divide(std::int64_t a, std::int64_t b) {
  return a / b + (a % b != 0);
}

// a · b / c, rounded down, without overflow on the way. REQUIRES: c > 0.
inline std::int64_t multiply_divide(std::int64_t a, std::int64_t b, std::int64_t c) {
  std::int64_t product = 0;
  if (!__builtin_mul_overflow(a, b, &product))
    return product / c;
  // a = q · c + r: a · b / c = q · b + r · b / c, the second in floating point where it must be.
  const std::int64_t whole = saturating_multiply(a / c, b);
  const long double rest =
      static_cast<long double>(a % c) * static_cast<long double>(b) / static_cast<long double>(c);
  return saturating_add(whole, static_cast<std::int64_t>(rest));
}

}  // namespace tessera
