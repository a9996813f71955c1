// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rounding of single float32 values, written without branches and library calls so that loops over
// it vectorise.

#include <bit>
#include <cstdint>

namespace tessera::nn::detail {

// Half to even: the sum has no fraction bits left, so the adder rounds. REQUIRES: |v| <= 2^22.
inline float round_half_even(float v) {
  constexpr float kNoFraction = 12582912.0F;  // 1.5 · 2^23
  return (v + kNoFraction) - kNoFraction;
}

inline float clamp_to(float v, float low, float high) {
  const float above = v < low ? low : v;  // written so that NaN stays NaN
  return above > high ? high : above;
}

// The nearest binary16 value, half to even; beyond 65504 + half a step infinite, as IEEE 754 says.
inline float round_to_float16(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  const std::uint32_t sign = bits & 0x80000000U;
  // 13 of the 23 mantissa bits go; the carry may run into the exponent, as it should.
  const std::uint32_t normal = (magnitude + 0xfffU + ((magnitude >> 13U) & 1U)) & ~0x1fffU;
  // Below 2^-14 binary16 has a fixed step of 2^-24: the last bit of numbers around 0.75.
  const float small = (std::bit_cast<float>(magnitude) + 0.75F) - 0.75F;
  std::uint32_t rounded = magnitude < 0x38800000U ? std::bit_cast<std::uint32_t>(small) : normal;
  rounded = normal >= 0x47800000U ? 0x7f800000U : rounded;  // 2^16 and above
  rounded = magnitude > 0x7f800000U ? magnitude : rounded;  // NaN
  return std::bit_cast<float>(rounded | sign);
}

}  // namespace tessera::nn::detail
