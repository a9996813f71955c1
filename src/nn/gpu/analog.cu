// SPDX-License-Identifier: Apache-2.0
#include "nn/gpu/device.cuh"

namespace tessera::nn::gpu {

void normal(float* out, std::int64_t n, Draw draw, Stream stream) {
  check_size(n);
  const auto count = static_cast<std::uint32_t>(n);
  for_each((n + 3) / 4, stream, [=] __device__(std::uint32_t quad) {
    const float4 drawn = normal_quad(draw, quad);
    const float values[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
    for (std::uint32_t j = 0; j < 4 && 4 * quad + j < count; ++j)
      out[4 * quad + j] = values[j];
  });
}

void dac(const float* x, float* y, std::int64_t n, const float* range, int levels, Factor strength,
         Stream stream) {
  for_each(n, stream, [=] __device__(std::uint32_t i) {
    const float bound = *range;
    float q = clamp_to(x[i], -bound, bound);
    if (levels > 0) {
      const float step = bound / static_cast<float>(levels);
      q = rintf(q / step) * step;
    }
    y[i] = blend(x[i], q, value_of(strength));
  });
}

namespace {

__global__ void dac_backward_kernel(const float* g, const float* x, float* gx, std::uint32_t n,
                                    const float* range, Factor strength, float* sums) {
  const float bound = *range;
  const float outside = 1 - value_of(strength);
  float sum = 0;
  for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n;
       i += gridDim.x * blockDim.x) {
    const bool clamped = fabsf(x[i]) > bound;
    gx[i] = clamped ? g[i] * outside : g[i];
    if (clamped)
      sum += x[i] > 0 ? g[i] : -g[i];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0)
    sums[blockIdx.x] = sum;
}

__global__ void sum_kernel(const float* values, int n, Factor factor, float* out) {
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
    sum += static_cast<double>(values[i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0)
    *out = value_of(factor) * static_cast<float>(sum);
}

}  // namespace

void dac_backward(const float* g, const float* x, float* gx, std::int64_t n, const float* range,
                  Factor strength, float* g_range, float* scratch, Stream stream) {
  check_size(n);
  const int blocks = std::min(blocks_for(n), static_cast<int>(kSumScratch));
  dac_backward_kernel<<<blocks, kThreads, 0, stream>>>(g, x, gx, static_cast<std::uint32_t>(n),
                                                       range, strength, scratch);
  check_launch();
  sum_kernel<<<1, kThreads, 0, stream>>>(scratch, blocks, strength, g_range);
  check_launch();
}

namespace {

struct Sum {
  std::uint32_t column, at;
};
// The sum over piece p that goes to output i; both lie as Readout has it.
__device__ Sum sum_of(std::uint32_t i, std::uint32_t p, std::uint32_t channels, std::uint32_t inner,
                      std::uint32_t pieces) {
  const std::uint32_t column = p * channels + i / inner % channels;
  const std::uint32_t first = i / inner / channels;
  return {column, (first * pieces * channels + column) * inner + i % inner};
}

}  // namespace

void read_out(const float* sums, float* out, const Readout& readout, Draw draw,
              std::uint8_t* clipped, Stream stream) {
  const std::int64_t n = readout.outer * readout.channels * readout.inner;
  check_size(n * readout.pieces);
  const auto count = static_cast<std::uint32_t>(n);
  const auto channels = static_cast<std::uint32_t>(readout.channels);
  const auto inner = static_cast<std::uint32_t>(readout.inner);
  const auto pieces = static_cast<std::uint32_t>(readout.pieces);
  const std::uint32_t quads = (count + 3) / 4;
  for_each(quads, stream, [=] __device__(std::uint32_t quad) {
    const float strength = value_of(readout.strength);
    const float range = *readout.range;
    float total[4] = {};
    for (std::uint32_t p = 0; p < pieces; ++p) {
      float4 drawn{};
      if (readout.noise > 0)
        drawn = normal_quad(draw, p * quads + quad);
      const float noise[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
      for (std::uint32_t j = 0; j < 4; ++j) {
        const std::uint32_t i = 4 * quad + j;
        if (i >= count)
          break;
        const auto [column, at] = sum_of(i, p, channels, inner, pieces);
        const float unit = readout.scales[column] * range;
        float v = sums[at] + unit * (readout.noise * strength) * noise[j];
        if (readout.bound > 0) {
          const float bound = unit * readout.bound;
          if (clipped != nullptr)
            clipped[at] = fabsf(v) > bound ? 1 : 0;
          float q = clamp_to(v, -bound, bound);
          if (readout.levels > 0) {
            const float step = bound / static_cast<float>(readout.levels);
            q = rintf(q / step) * step;
          }
          v = blend(v, q, strength);
        }
        total[j] += readout.gain * v;
      }
    }
    for (std::uint32_t j = 0; j < 4 && 4 * quad + j < count; ++j) {
      const std::uint32_t i = 4 * quad + j;
      const float bias = readout.bias != nullptr ? readout.bias[i / inner % channels] : 0.0F;
      out[i] = total[j] + bias;
    }
  });
}

namespace {

__global__ void read_out_backward_kernel(const float* g, const std::uint8_t* clipped, float* g_sums,
                                         Readout readout, Draw draw, bool sum_noise, float* sums) {
  const auto channels = static_cast<std::uint32_t>(readout.channels);
  const auto inner = static_cast<std::uint32_t>(readout.inner);
  const auto pieces = static_cast<std::uint32_t>(readout.pieces);
  const auto count = static_cast<std::uint32_t>(readout.outer) * channels * inner;
  const std::uint32_t quads = (count + 3) / 4;
  const float outside = 1 - value_of(readout.strength);
  float sum = 0;
  for (std::uint32_t quad = blockIdx.x * blockDim.x + threadIdx.x; quad < quads;
       quad += gridDim.x * blockDim.x) {
    for (std::uint32_t p = 0; p < pieces; ++p) {
      float4 drawn{};
      if (sum_noise)
        drawn = normal_quad(draw, p * quads + quad);
      const float noise[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
      for (std::uint32_t j = 0; j < 4; ++j) {
        const std::uint32_t i = 4 * quad + j;
        if (i >= count)
          break;
        const auto [column, at] = sum_of(i, p, channels, inner, pieces);
        float value = readout.gain * g[i];
        if (clipped != nullptr && clipped[at] != 0)
          value *= outside;
        g_sums[at] = value;
        if (sum_noise)
          sum += value * readout.scales[column] * noise[j];
      }
    }
  }
  if (sum_noise) {
    sum = block_sum(sum);
    if (threadIdx.x == 0)
      sums[blockIdx.x] = sum * readout.noise;
  }
}

}  // namespace

void read_out_backward(const float* g, const std::uint8_t* clipped, float* g_sums,
                       const Readout& readout, Draw draw, float* g_range, float* scratch,
                       Stream stream) {
  const std::int64_t n = readout.outer * readout.channels * readout.inner;
  check_size(n * readout.pieces);
  const int blocks = std::min(blocks_for((n + 3) / 4), static_cast<int>(kSumScratch));
  read_out_backward_kernel<<<blocks, kThreads, 0, stream>>>(g, clipped, g_sums, readout, draw,
                                                            g_range != nullptr, scratch);
  check_launch();
  if (g_range != nullptr) {
    sum_kernel<<<1, kThreads, 0, stream>>>(scratch, blocks, readout.strength, g_range);
    check_launch();
  }
}

namespace {

// Sizes differ by at most 1, larger ones first.
__device__ std::uint32_t piece_of(std::uint32_t j, std::uint32_t k, std::uint32_t pieces) {
  const std::uint32_t base = k / pieces;
  const std::uint32_t larger = k % pieces * (base + 1);
  return j < larger ? j / (base + 1) : k % pieces + (j - larger) / base;
}
__device__ std::uint32_t piece_begin(std::uint32_t p, std::uint32_t k, std::uint32_t pieces) {
  return p * (k / pieces) + min(p, k % pieces);
}

// The tables' value at |x|, linear in between.
__device__ float look_up(const float* table, int size, float x) {
  const float at = fminf(fabsf(x), 1.0F) * static_cast<float>(size - 1);
  const int i = min(static_cast<int>(at), size - 2);
  const float t = at - static_cast<float>(i);
  return table[i] + t * (table[i + 1] - table[i]);
}

constexpr float kLeastScale = 1e-7F;
constexpr float kLeastReadout = 1e-4F;

// Scales of one output's columns, and its sums of |weight| before and after drift.
__global__ void column_scales_kernel(const float* w, TrainingWeights options, float* scales,
                                     float* sums) {
  const auto rows = static_cast<std::uint32_t>(options.rows);
  const auto k = static_cast<std::uint32_t>(options.k);
  const auto pieces = static_cast<std::uint32_t>(options.pieces);
  const std::uint32_t row = blockIdx.x;
  const float* weights = w + static_cast<std::size_t>(row) * k;
  float before = 0;
  float after = 0;
  for (std::uint32_t p = 0; p < pieces; ++p) {
    const std::uint32_t begin = piece_begin(p, k, pieces);
    const std::uint32_t end = piece_begin(p + 1, k, pieces);
    float largest = 0;
    for (std::uint32_t j = begin + threadIdx.x; j < end; j += blockDim.x)
      largest = fmaxf(largest, fabsf(weights[j]));
    const float scale = fmaxf(block_max(largest), kLeastScale);
    if (threadIdx.x == 0)
      scales[p * rows + row] = scale;
    if (options.mean != nullptr) {
      for (std::uint32_t j = begin + threadIdx.x; j < end; j += blockDim.x) {
        const float relative = fabsf(weights[j] / scale);
        before += relative;
        after += look_up(options.mean, options.table_size, relative);
      }
    }
  }
  before = block_sum(before);
  after = block_sum(after);
  if (threadIdx.x == 0) {
    sums[2 * row] = before;
    sums[2 * row + 1] = after;
  }
}

__global__ void training_weights_kernel(const float* w, TrainingWeights options, Draw draw,
                                        const float* scales, const float* sums, float* out) {
  const auto rows = static_cast<std::uint32_t>(options.rows);
  const auto k = static_cast<std::uint32_t>(options.k);
  const auto pieces = static_cast<std::uint32_t>(options.pieces);
  float compensation = 1;
  if (options.mean != nullptr) {
    // Every block adds up all rows anew, in the same order.
    float before = 0;
    float after = 0;
    for (std::uint32_t r = threadIdx.x; r < rows; r += blockDim.x) {
      before += sums[2 * r];
      after += sums[2 * r + 1];
    }
    const float cells = static_cast<float>(rows) * static_cast<float>(k);
    before = fmaxf(block_sum(before) / cells, kLeastReadout);
    after = fmaxf(block_sum(after) / cells, kLeastReadout);
    compensation = before / after;
  }
  const float strength = value_of(options.strength);
  const std::uint32_t n = rows * k;
  for (std::uint32_t quad = blockIdx.x * blockDim.x + threadIdx.x; 4 * quad < n;
       quad += gridDim.x * blockDim.x) {
    const float4 drawn = normal_quad(draw, quad);
    const float noise[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
    for (std::uint32_t l = 0; l < 4 && 4 * quad + l < n; ++l) {
      const std::uint32_t i = 4 * quad + l;
      const std::uint32_t row = i / k;
      const std::uint32_t own = piece_of(i % k, k, pieces);
      const float scale = scales[own * rows + row];
      const float relative = w[i] / scale;
      const float share = options.multiplicative * relative;
      float variance = options.additive * options.additive + share * share;
      float shift = 0;
      if (options.mean != nullptr) {
        const float sigma = look_up(options.sigma, options.table_size, relative) * compensation;
        const float mean = look_up(options.mean, options.table_size, relative) * compensation;
        variance += sigma * sigma;
        shift = copysignf(mean, relative) - relative;
      }
      const float noisy = w[i] + (sqrtf(variance) * noise[l] + shift) * scale * strength;
      for (std::uint32_t p = 0; p < pieces; ++p)
        out[static_cast<std::size_t>(p) * n + i] = p == own ? noisy : 0.0F;
    }
  }
}

}  // namespace

void training_weights(const float* w, const TrainingWeights& options, Draw draw, float* scales,
                      float* out, float* scratch, Stream stream) {
  check_size(options.rows * options.k * options.pieces);
  const int threads = options.k / options.pieces >= 256 ? 256 : 64;
  column_scales_kernel<<<static_cast<unsigned>(options.rows), threads, 0, stream>>>(
      w, options, scales, scratch);
  check_launch();
  const std::int64_t quads = (options.rows * options.k + 3) / 4;
  training_weights_kernel<<<blocks_for(quads), kThreads, 0, stream>>>(w, options, draw, scales,
                                                                      scratch, out);
  check_launch();
}

void training_weights_backward(const float* g_out, const TrainingWeights& options, float* g_w,
                               Stream stream) {
  const auto k = static_cast<std::uint32_t>(options.k);
  const auto pieces = static_cast<std::uint32_t>(options.pieces);
  const std::int64_t n = options.rows * options.k;
  for_each(n, stream, [=] __device__(std::uint32_t i) {
    g_w[i] =
        g_out[static_cast<std::size_t>(piece_of(i % k, k, pieces)) * static_cast<std::size_t>(n) +
              i];
  });
}

}  // namespace tessera::nn::gpu
