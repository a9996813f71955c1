// SPDX-License-Identifier: Apache-2.0
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <curand_kernel.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "nn/gpu/kernels.h"

namespace tessera::nn::gpu {
namespace {

constexpr int kThreads = 256;
// Blocks that fill any present GPU a few times over; loops stride over what is left.
constexpr std::int64_t kMaxBlocks = 4096;
constexpr std::int64_t kMaxElements = std::int64_t{1} << 31;  // indices are 32 bits wide

void check(cudaError_t status) {
  if (status != cudaSuccess)
    throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
}

void check_launch() {
  check(cudaGetLastError());
}

void check_size(std::int64_t n) {
  if (n >= kMaxElements)
    throw std::runtime_error("CUDA: a tensor of more than 2^31 elements");
}

int blocks_for(std::int64_t n) {
  return static_cast<int>(std::clamp<std::int64_t>((n + kThreads - 1) / kThreads, 1, kMaxBlocks));
}

template <typename Body>
__global__ void for_each_kernel(std::uint32_t n, Body body) {
  for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    body(i);
}

// body(i) for i in [0, n), in any order.
template <typename Body>
void for_each(std::int64_t n, Stream stream, const Body& body) {
  if (n == 0)
    return;
  check_size(n);
  for_each_kernel<<<blocks_for(n), kThreads, 0, stream>>>(static_cast<std::uint32_t>(n), body);
  check_launch();
}

__device__ float value_of(const Factor& factor) {
  return factor.on_device != nullptr ? *factor.on_device : factor.value;
}

// exact + strength · (effect - exact), without rounding at full strength.
__device__ float blend(float exact, float effect, float strength) {
  return strength == 1.0F ? effect : exact + strength * (effect - exact);
}

__device__ float clamp_to(float v, float low, float high) {
  return fminf(fmaxf(v, low), high);
}

__device__ std::uint64_t mix(std::uint64_t z) {  // the finalizer of SplitMix64
  z += 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

// Four normal numbers for places 4·quad to 4·quad + 3.
__device__ float4 normal_quad(const Draw& draw, std::uint32_t quad) {
  curandStatePhilox4_32_10_t state;
  const std::uint64_t seed = mix(static_cast<std::uint64_t>(*draw.seed)) ^ mix(~draw.key);
  curand_init(seed, quad, 0, &state);
  return curand_normal4(&state);
}

// Sum over the block, given to every thread. Uses all threads of the block; their number is a power
// of two.
template <typename T>
__device__ T block_sum(T value) {
  __shared__ T shared[kThreads];
  __syncthreads();
  shared[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half)
      shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  return shared[0];
}

__device__ float block_max(float value) {
  __shared__ float shared[kThreads];
  __syncthreads();
  shared[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half)
      shared[threadIdx.x] = fmaxf(shared[threadIdx.x], shared[threadIdx.x + half]);
    __syncthreads();
  }
  return shared[0];
}

}  // namespace

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

// ---- Quantisation ----

void fake_quantize(const float* x, float* y, std::int64_t n, const Codes& codes, Factor strength,
                   Stream stream) {
  const auto row = static_cast<std::uint32_t>(n / codes.rows);
  for_each(n, stream, [=] __device__(std::uint32_t i) {
    const float scale = codes.scales != nullptr ? codes.scales[i / row] : codes.scale;
    const float q =
        rintf(clamp_to(x[i] / scale, value_of(codes.low), value_of(codes.high))) * scale;
    y[i] = blend(x[i], q, value_of(strength));
  });
}

void fake_quantize_backward(const float* g, const float* x, float* gx, std::int64_t n,
                            const Codes& codes, Factor strength, Stream stream) {
  const auto row = static_cast<std::uint32_t>(n / codes.rows);
  for_each(n, stream, [=] __device__(std::uint32_t i) {
    const float scale = codes.scales != nullptr ? codes.scales[i / row] : codes.scale;
    const float v = x[i] / scale;
    const bool inside = v >= value_of(codes.low) - 0.5F && v <= value_of(codes.high) + 0.5F;
    gx[i] = inside ? g[i] : g[i] * (1 - value_of(strength));
  });
}

void fake_float16(const float* x, float* y, std::int64_t n, Factor strength, Stream stream) {
  for_each(n, stream, [=] __device__(std::uint32_t i) {
    const float rounded = __half2float(__float2half_rn(x[i]));
    y[i] = blend(x[i], rounded, value_of(strength));
  });
}

namespace {

__global__ void row_magnitude_kernel(const float* w, std::uint32_t k, float* largest) {
  const float* row = w + static_cast<std::size_t>(blockIdx.x) * k;
  float value = 0;
  for (std::uint32_t j = threadIdx.x; j < k; j += blockDim.x)
    value = fmaxf(value, fabsf(row[j]));
  value = block_max(value);
  if (threadIdx.x == 0)
    largest[blockIdx.x] = value;
}

__global__ void best_scale_kernel(const float* w, std::uint32_t rows, std::uint32_t k,
                                  ScaleSearch search, const float* largest, float* scales) {
  float layer = 0;
  for (std::uint32_t r = threadIdx.x; r < rows; r += blockDim.x)
    layer = fmaxf(layer, largest[r]);
  layer = block_max(layer);
  const float high = value_of(search.high);
  const float floor = fmaxf(layer / high * search.smallest, search.least);
  const float widest = fmaxf(largest[blockIdx.x] / high, floor);

  float errors[kMaxScaleCandidates] = {};
  const float* row = w + static_cast<std::size_t>(blockIdx.x) * k;
  for (std::uint32_t j = threadIdx.x; j < k; j += blockDim.x) {
    for (int c = 0; c < kMaxScaleCandidates; ++c) {
      const float scale = widest * (1 - search.step * static_cast<float>(c));
      const float v = row[j] / scale;
      const float e = v - rintf(clamp_to(v, -high, high));
      errors[c] += e * e * scale * scale;
    }
  }
  float best = widest;
  float least = INFINITY;
  for (int c = 0; c < search.count; ++c) {
    const float error = block_sum(errors[c]);
    if (error < least) {
      least = error;
      best = widest * (1 - search.step * static_cast<float>(c));
    }
  }
  if (threadIdx.x == 0)
    scales[blockIdx.x] = fmaxf(best, floor);
}

}  // namespace

void weight_scales(const float* w, std::int64_t rows, std::int64_t k, const ScaleSearch& search,
                   float* scales, float* scratch, Stream stream) {
  check_size(rows * k);
  const auto blocks = static_cast<unsigned>(rows);
  const auto width = static_cast<std::uint32_t>(k);
  const int threads = k >= 256 ? 256 : 64;
  row_magnitude_kernel<<<blocks, threads, 0, stream>>>(w, width, scratch);
  check_launch();
  best_scale_kernel<<<blocks, threads, 0, stream>>>(w, static_cast<std::uint32_t>(rows), width,
                                                    search, scratch, scales);
  check_launch();
}

// ---- Converters of analog tiles ----

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
        const std::uint32_t place = i % inner;
        const std::uint32_t channel = i / inner % channels;
        const std::uint32_t first = i / inner / channels;
        const std::uint32_t column = p * channels + channel;
        const std::uint32_t at = (first * pieces * channels + column) * inner + place;
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
        const std::uint32_t place = i % inner;
        const std::uint32_t channel = i / inner % channels;
        const std::uint32_t first = i / inner / channels;
        const std::uint32_t column = p * channels + channel;
        const std::uint32_t at = (first * pieces * channels + column) * inner + place;
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

// ---- Training data ----

void load_batch(const std::uint8_t* images, const std::int64_t* all_labels, ImageShape shape,
                const Placement* placements, std::int64_t batch, const float* scale,
                const float* offset, float* x, std::int64_t* labels, Stream stream) {
  const auto width = static_cast<std::int32_t>(shape.width);
  const auto height = static_cast<std::int32_t>(shape.height);
  const auto channels = static_cast<std::uint32_t>(shape.channels);
  const auto size = static_cast<std::uint32_t>(shape.channels * shape.height * shape.width);
  for_each(batch * size, stream, [=] __device__(std::uint32_t i) {
    const Placement placed = placements[i / size];
    const auto column = static_cast<std::int32_t>(i % width);
    const auto row = static_cast<std::int32_t>(i / width % height);
    const std::uint32_t channel = i / (width * height) % channels;
    if (i % size == 0)
      labels[i / size] = all_labels[placed.image];
    const std::int32_t from_row = row + placed.dy;
    const std::int32_t from_column = column + placed.dx;
    float value = 0;
    if (from_row >= 0 && from_row < height && from_column >= 0 && from_column < width) {
      const std::int32_t source = placed.mirrored != 0 ? width - 1 - from_column : from_column;
      const std::size_t at = static_cast<std::size_t>(placed.image) * size +
                             (static_cast<std::size_t>(channel) * height + from_row) * width +
                             source;
      value = offset[channel] + static_cast<float>(images[at]) * scale[channel];
    }
    x[i] = value;
  });
}

// ---- Updates ----

namespace {

// Kernel arguments hold at most 4 KiB on older drivers.
constexpr int kParametersPerLaunch = 48;

struct Group {
  Parameter parameters[kParametersPerLaunch];
  std::uint32_t first_row[kParametersPerLaunch + 1];    // in the scratch
  std::uint32_t first_block[kParametersPerLaunch + 1];  // of elementwise work
  int count;
};

__device__ int parameter_of(const std::uint32_t* firsts, int count, std::uint32_t at) {
  int p = 0;
  while (p + 1 < count && firsts[p + 1] <= at)
    ++p;
  return p;
}

// Mean square of each row, one block for each.
__global__ void row_squares_kernel(Group group, float* rows) {
  const int p = parameter_of(group.first_row, group.count, blockIdx.x);
  const Parameter& parameter = group.parameters[p];
  const auto k = static_cast<std::uint32_t>(parameter.k);
  const float* row =
      parameter.value + static_cast<std::size_t>(blockIdx.x - group.first_row[p]) * k;
  float sum = 0;
  for (std::uint32_t j = threadIdx.x; j < k; j += blockDim.x)
    sum += row[j] * row[j];
  sum = block_sum(sum);
  if (threadIdx.x == 0)
    rows[blockIdx.x] = sum / static_cast<float>(k);
}

// Root mean square of each whole parameter, one block for each.
__global__ void whole_scale_kernel(Group group, AdamOptions options, const float* rows,
                                   float* whole) {
  const auto p = static_cast<int>(blockIdx.x);
  float sum = 0;
  for (std::uint32_t r = group.first_row[p] + threadIdx.x; r < group.first_row[p + 1];
       r += blockDim.x)
    sum += rows[r];
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    const auto count = static_cast<float>(group.parameters[p].rows);
    whole[p] = fmaxf(sqrtf(sum / count), options.smallest);
  }
}

__global__ void adam_kernel(Group group, AdamOptions options, StepFactors factors,
                            const float* rows, const float* whole) {
  const int p = parameter_of(group.first_block, group.count, blockIdx.x);
  const Parameter parameter = group.parameters[p];
  const std::uint32_t blocks = group.first_block[p + 1] - group.first_block[p];
  const auto k = static_cast<std::uint32_t>(parameter.k);
  const auto n = static_cast<std::uint32_t>(parameter.rows) * k;
  const float rate = *factors.rate;
  for (std::uint32_t i = (blockIdx.x - group.first_block[p]) * blockDim.x + threadIdx.x; i < n;
       i += blocks * blockDim.x) {
    const float g = parameter.gradient[i];
    const float first = parameter.first[i] * options.beta1 + g * (1 - options.beta1);
    const float second = parameter.second[i] * options.beta2 + g * g * (1 - options.beta2);
    parameter.first[i] = first;
    parameter.second[i] = second;
    const float direction = first * *factors.first_correction /
                            (sqrtf(second * *factors.second_correction) + options.epsilon);
    float scale = whole[p];
    if (parameter.rows > 1)
      scale = fmaxf(sqrtf(rows[group.first_row[p] + i / k]), scale * options.least_share);
    float value = parameter.value[i] - rate * direction * scale;
    if (parameter.is_matrix)
      value *= 1 - rate * options.weight_decay;
    if (parameter.is_matrix && options.clip > 0)
      value = clamp_to(value, -options.clip * scale, options.clip * scale);
    parameter.value[i] = value;
  }
}

__global__ void sgd_kernel(Group group, SgdOptions options, StepFactors factors) {
  const int p = parameter_of(group.first_block, group.count, blockIdx.x);
  const Parameter parameter = group.parameters[p];
  const std::uint32_t blocks = group.first_block[p + 1] - group.first_block[p];
  const auto n = static_cast<std::uint32_t>(parameter.rows * parameter.k);
  for (std::uint32_t i = (blockIdx.x - group.first_block[p]) * blockDim.x + threadIdx.x; i < n;
       i += blocks * blockDim.x) {
    float g = parameter.gradient[i];
    if (parameter.is_matrix)
      g += options.weight_decay * parameter.value[i];
    const float momentum = parameter.first[i] * options.momentum + g;
    parameter.first[i] = momentum;
    parameter.value[i] -= *factors.rate * (g + options.momentum * momentum);
  }
}

template <typename Body>
void for_each_group(const std::vector<Parameter>& parameters, const Body& body) {
  constexpr std::int64_t kMaxBlocksEach = 64;
  for (std::size_t begin = 0; begin < parameters.size(); begin += kParametersPerLaunch) {
    Group group{};
    group.count =
        static_cast<int>(std::min<std::size_t>(kParametersPerLaunch, parameters.size() - begin));
    for (int p = 0; p < group.count; ++p) {
      const Parameter& parameter = parameters[begin + static_cast<std::size_t>(p)];
      check_size(parameter.rows * parameter.k);
      group.parameters[p] = parameter;
      group.first_row[p + 1] = group.first_row[p] + static_cast<std::uint32_t>(parameter.rows);
      const std::int64_t blocks =
          std::clamp<std::int64_t>(parameter.rows * parameter.k / kThreads, 1, kMaxBlocksEach);
      group.first_block[p + 1] = group.first_block[p] + static_cast<std::uint32_t>(blocks);
    }
    body(group);
  }
}

}  // namespace

void relative_adam(const std::vector<Parameter>& parameters, const AdamOptions& options,
                   StepFactors factors, float* scratch, Stream stream) {
  for_each_group(parameters, [&](const Group& group) {
    const std::uint32_t rows = group.first_row[group.count];
    float* whole = scratch + rows;
    row_squares_kernel<<<rows, 64, 0, stream>>>(group, scratch);
    check_launch();
    whole_scale_kernel<<<static_cast<unsigned>(group.count), 64, 0, stream>>>(group, options,
                                                                              scratch, whole);
    check_launch();
    adam_kernel<<<group.first_block[group.count], kThreads, 0, stream>>>(group, options, factors,
                                                                         scratch, whole);
    check_launch();
    scratch = whole + group.count;
  });
}

void sgd(const std::vector<Parameter>& parameters, const SgdOptions& options, StepFactors factors,
         Stream stream) {
  for_each_group(parameters, [&](const Group& group) {
    sgd_kernel<<<group.first_block[group.count], kThreads, 0, stream>>>(group, options, factors);
    check_launch();
  });
}

}  // namespace tessera::nn::gpu
