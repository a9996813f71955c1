// SPDX-License-Identifier: Apache-2.0
#include <cuda_fp16.h>

#include "nn/gpu/device.cuh"

namespace tessera::nn::gpu {

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

}  // namespace tessera::nn::gpu
