// SPDX-License-Identifier: Apache-2.0
#include "nn/analog/readout.h"

#include <algorithm>

#include "nn/analog/gaussian.h"
#include "nn/quant/rounding.h"

namespace tessera::nn::detail {
namespace {

struct Column {
  float sigma, full_scale, step, bias;
};

Column column_of(const ReadoutArrays& arrays, std::int64_t c) {
  const float full_scale = arrays.full_scale != nullptr ? arrays.full_scale[c] : 0.0F;
  return {.sigma = arrays.noise_sigma != nullptr ? arrays.noise_sigma[c] : 0.0F,
          .full_scale = full_scale,
          .step = arrays.levels > 0 ? full_scale / static_cast<float>(arrays.levels) : 0.0F,
          .bias = arrays.bias != nullptr ? arrays.bias[c] : 0.0F};
}

// Whether the ADC clips any of these. Looked at apart from the conversion, since it hardly ever
// does.
bool any_beyond(const float* y, std::int64_t n, float full_scale) {
  std::int32_t beyond = 0;
  for (std::int64_t i = 0; i < n; ++i)
    beyond |= static_cast<std::int32_t>(y[i] > full_scale) |
              static_cast<std::int32_t>(y[i] < -full_scale);
  return beyond != 0;
}

// ADC, gain and bias of one column's consecutive sums.
void convert(float* y, std::int64_t n, const ReadoutArrays& arrays, Column column) {
  const float strength = arrays.strength;
  const float gain = arrays.gain;
  const float bias = column.bias;
  if (arrays.full_scale == nullptr) {
    for (std::int64_t i = 0; i < n; ++i)
      y[i] = gain * y[i] + bias;
  } else if (arrays.levels == 0) {
    const float full_scale = column.full_scale;
    for (std::int64_t i = 0; i < n; ++i) {
      const float q = clamp_to(y[i], -full_scale, full_scale);
      y[i] = gain * (y[i] + strength * (q - y[i])) + bias;
    }
  } else {
    const auto levels = static_cast<float>(arrays.levels);
    const float step = column.step;
    for (std::int64_t i = 0; i < n; ++i) {
      const float q = round_half_even(clamp_to(y[i] / step, -levels, levels)) * step;
      y[i] = gain * (y[i] + strength * (q - y[i])) + bias;
    }
  }
}

}  // namespace

std::vector<std::int64_t> readout_loop(float* y, std::int64_t n, const ReadoutArrays& arrays,
                                       std::uint64_t seed, bool want_clipped, int threads) {
  std::vector<Column> columns(static_cast<std::size_t>(arrays.channels));
  for (std::int64_t c = 0; c < arrays.channels; ++c)
    columns[static_cast<std::size_t>(c)] = column_of(arrays, c);
  const std::int64_t blocks = (n + kNormalBlock - 1) / kNormalBlock;
  std::vector<std::vector<std::int64_t>> clipped(static_cast<std::size_t>(blocks));
  const int used = blocks < 4 ? 1 : threads;
#pragma omp parallel for num_threads(used) schedule(static)
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t begin = block * kNormalBlock;
    const std::int64_t end = std::min(begin + kNormalBlock, n);
    float noise[kNormalBlock];
    if (arrays.noise_sigma != nullptr)
      fill_normal_block(seed, block, noise, end - begin);
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t run = std::min((i / arrays.inner + 1) * arrays.inner, end) - i;
      const Column column = columns[static_cast<std::size_t>(i / arrays.inner % arrays.channels)];
      if (arrays.noise_sigma != nullptr) {
        for (std::int64_t j = i; j < i + run; ++j)
          y[j] += column.sigma * noise[j - begin];
      }
      if (want_clipped && arrays.full_scale != nullptr &&
          any_beyond(y + i, run, column.full_scale)) {
        for (std::int64_t j = i; j < i + run; ++j) {
          if (y[j] > column.full_scale || y[j] < -column.full_scale)
            clipped[static_cast<std::size_t>(block)].push_back(j);
        }
      }
      convert(y + i, run, arrays, column);
      i += run;
    }
  }
  std::vector<std::int64_t> all;
  for (const auto& list : clipped)
    all.insert(all.end(), list.begin(), list.end());
  return all;
}

}  // namespace tessera::nn::detail
