// SPDX-License-Identifier: Apache-2.0
#include "nn/analog/readout.h"

#include <algorithm>

#include "nn/analog/gaussian.h"
#include "nn/quant/rounding.h"

namespace tessera::nn::detail {
namespace {

// What happens to the sums of each column, [channels].
struct Columns {
  std::vector<float> sigma, full_scale, step, bias;
};

Columns columns_of(const ReadoutArrays& arrays) {
  const auto copy = [&](const float* values) {
    return values == nullptr ? std::vector<float>(static_cast<std::size_t>(arrays.channels), 0.0F)
                             : std::vector<float>(values, values + arrays.channels);
  };
  Columns columns{.sigma = copy(arrays.noise_sigma),
                  .full_scale = copy(arrays.full_scale),
                  .step = {},
                  .bias = copy(arrays.bias)};
  for (const float full_scale : columns.full_scale) {
    columns.step.push_back(arrays.levels > 0 ? full_scale / static_cast<float>(arrays.levels)
                                             : 0.0F);
  }
  return columns;
}

// Consecutive sums, all of one column (kStride 0) or of one column each (kStride 1), from `column`
// on. Both ways vectorise.
template <int kStride>
struct Run {
  float* y;
  std::int64_t n;
  const float* sigma;
  const float* full_scale;
  const float* step;
  const float* bias;

  Run(float* sums, std::int64_t count, const Columns& columns, std::int64_t column)
      : y(sums),
        n(count),
        sigma(columns.sigma.data() + column),
        full_scale(columns.full_scale.data() + column),
        step(columns.step.data() + column),
        bias(columns.bias.data() + column) {}

  void add_noise(const float* noise) const {
    for (std::int64_t i = 0; i < n; ++i)
      y[i] += sigma[i * kStride] * noise[i];
  }

  // Whether the ADC clips any of these. Looked at apart from the conversion, since it hardly ever
  // does.
  bool any_beyond() const {
    std::int32_t beyond = 0;
    for (std::int64_t i = 0; i < n; ++i)
      beyond |= static_cast<std::int32_t>(y[i] > full_scale[i * kStride]) |
                static_cast<std::int32_t>(y[i] < -full_scale[i * kStride]);
    return beyond != 0;
  }

  void list_beyond(std::int64_t first, std::vector<std::int64_t>& places) const {
    for (std::int64_t i = 0; i < n; ++i) {
      if (y[i] > full_scale[i * kStride] || y[i] < -full_scale[i * kStride])
        places.push_back(first + i);
    }
  }

  // ADC, gain and bias.
  void convert(const ReadoutArrays& arrays) const {
    const float strength = arrays.strength;
    const float gain = arrays.gain;
    if (arrays.full_scale == nullptr) {
      for (std::int64_t i = 0; i < n; ++i)
        y[i] = gain * y[i] + bias[i * kStride];
    } else if (arrays.levels == 0) {
      for (std::int64_t i = 0; i < n; ++i) {
        const float bound = full_scale[i * kStride];
        const float q = clamp_to(y[i], -bound, bound);
        y[i] = gain * (y[i] + strength * (q - y[i])) + bias[i * kStride];
      }
    } else {
      const auto levels = static_cast<float>(arrays.levels);
      for (std::int64_t i = 0; i < n; ++i) {
        const float width = step[i * kStride];
        const float q = round_half_even(clamp_to(y[i] / width, -levels, levels)) * width;
        y[i] = gain * (y[i] + strength * (q - y[i])) + bias[i * kStride];
      }
    }
  }
};

// `noise` may be null; clipped places are appended to `clipped` unless that is null.
template <int kStride>
void read_out_run(const Run<kStride>& run, const float* noise, const ReadoutArrays& arrays,
                  std::int64_t first, std::vector<std::int64_t>* clipped) {
  if (noise != nullptr)
    run.add_noise(noise);
  if (clipped != nullptr && arrays.full_scale != nullptr && run.any_beyond())
    run.list_beyond(first, *clipped);
  run.convert(arrays);
}

}  // namespace

std::vector<std::int64_t> readout_loop(float* y, std::int64_t n, const ReadoutArrays& arrays,
                                       std::uint64_t seed, bool want_clipped, int threads) {
  const Columns columns = columns_of(arrays);
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
    auto* const places = want_clipped ? &clipped[static_cast<std::size_t>(block)] : nullptr;
    for (std::int64_t i = begin; i < end;) {
      const float* const drawn = arrays.noise_sigma != nullptr ? noise + (i - begin) : nullptr;
      const std::int64_t column = i / arrays.inner % arrays.channels;
      const bool across = arrays.inner == 1;
      const std::int64_t left = across ? arrays.channels - column : arrays.inner - i % arrays.inner;
      const std::int64_t run = std::min(left, end - i);
      if (across) {
        read_out_run(Run<1>(y + i, run, columns, column), drawn, arrays, i, places);
      } else {
        read_out_run(Run<0>(y + i, run, columns, column), drawn, arrays, i, places);
      }
      i += run;
    }
  }
  std::vector<std::int64_t> all;
  for (const auto& list : clipped)
    all.insert(all.end(), list.begin(), list.end());
  return all;
}

double noise_gradient_loop(const float* g, std::int64_t n, const ReadoutArrays& arrays,
                           std::uint64_t seed, int threads) {
  const std::int64_t blocks = (n + kNormalBlock - 1) / kNormalBlock;
  // Added up in order: the same on any number of threads.
  std::vector<double> sums(static_cast<std::size_t>(blocks));
  const int used = blocks < 4 ? 1 : threads;
#pragma omp parallel for num_threads(used) schedule(static)
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t begin = block * kNormalBlock;
    const std::int64_t end = std::min(begin + kNormalBlock, n);
    float noise[kNormalBlock];
    fill_normal_block(seed, block, noise, end - begin);
    double sum = 0;
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t run = std::min(arrays.inner - i % arrays.inner, end - i);
      float part = 0;
      for (std::int64_t j = i; j < i + run; ++j)
        part += g[j] * noise[j - begin];
      sum += static_cast<double>(part) *
             static_cast<double>(arrays.noise_sigma[i / arrays.inner % arrays.channels]);
      i += run;
    }
    sums[static_cast<std::size_t>(block)] = sum;
  }
  double total = 0;
  for (const double sum : sums)
    total += sum;
  return total;
}

}  // namespace tessera::nn::detail
