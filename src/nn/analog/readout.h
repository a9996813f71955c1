// SPDX-License-Identifier: Apache-2.0
#pragma once

// What stands between a column's sum and the digital value: output noise, ADC, digital gain and
// bias, in one pass over float32 in the CPU's memory. No LibTorch here.

#include <cstdint>
#include <vector>

namespace tessera::nn::detail {

// Layout [outer, channels, inner] with one entry of each array per channel (column).
struct ReadoutArrays {
  std::int64_t channels = 1;
  std::int64_t inner = 1;
  const float* noise_sigma = nullptr;  // null: no noise
  const float* full_scale = nullptr;   // null: no ADC
  const float* bias = nullptr;         // null: none
  int levels = 127;                    // on each side of zero; 0: clamped, not rounded
  float strength = 1;
  float gain = 1;
};

// y = gain · (v + strength · (adc(v) - v)) + bias, where v = y + sigma · N(0,1), in place. Noise
// depends on `seed` and the element's place alone. Returns the elements that the ADC clipped, in
// order, if `want_clipped`.
std::vector<std::int64_t> readout_loop(float* y, std::int64_t n, const ReadoutArrays& arrays,
                                       std::uint64_t seed, bool want_clipped, int threads);

// Σ g · sigma · N(0,1) with the numbers that readout_loop() drew with this seed: what the size of
// the noise contributes to a gradient.
double noise_gradient_loop(const float* g, std::int64_t n, const ReadoutArrays& arrays,
                           std::uint64_t seed, int threads);

}  // namespace tessera::nn::detail
