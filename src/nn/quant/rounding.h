// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rounding of single float32 values, written without branches and library calls so that loops over
// it vectorise.

#include <bit>
#include <cmath>
#include <cstdint>

namespace tessera::nn::detail {

// Half to even: the sum has no fraction bits left, so the adder rounds. REQUIRES: |v| <= 2^22.
inline float round_half_even(float v) {
  constexpr float kNoFraction = 12582912.0F;  // 1.5 · 2^23
  return (v + kNoFraction) - kNoFraction;
}

// condition ? a : b as bit operations, for loops that compilers otherwise leave with branches.
inline float select(bool condition, float a, float b) {
  const std::uint32_t mask = 0U - static_cast<std::uint32_t>(condition);
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(a) & mask) |
                              (std::bit_cast<std::uint32_t>(b) & ~mask));
}

inline float clamp_to(float v, float low, float high) {
  const float above = v < low ? low : v;  // written so that NaN stays NaN
  return above > high ? high : above;
}

// The nearest binary16 value, half to even; beyond 65504 + half a step infinite, as IEEE 754 says.
inline float round_to_float16(float x) {
  const std::int32_t bits = std::bit_cast<std::int32_t>(x);
  const std::int32_t magnitude = bits & 0x7fffffff;
  // 13 of the 23 mantissa bits go; the carry may run into the exponent, as it should.
  const std::int32_t normal = (magnitude + 0xfff + ((magnitude >> 13) & 1)) & ~0x1fff;
  // Below 2^-14 binary16 has a fixed step of 2^-24: the last bit of numbers around 0.75.
  const float small = (std::bit_cast<float>(magnitude) + 0.75F) - 0.75F;
  float rounded = select(magnitude < 0x38800000, small, std::bit_cast<float>(normal));
  rounded = select(magnitude >= 0x477ff000, INFINITY, rounded);  // 65520 and above
  rounded = select(magnitude > 0x7f800000, std::bit_cast<float>(magnitude), rounded);  // NaN
  return std::bit_cast<float>(std::bit_cast<std::int32_t>(rounded) | (bits & ~0x7fffffff));
}

}  // namespace tessera::nn::detail
