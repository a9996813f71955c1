// SPDX-License-Identifier: Apache-2.0
// What the kernels share: launching, random numbers, sums over a block.
#pragma once

#include <cuda_runtime.h>
#include <curand_kernel.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "nn/gpu/kernels.h"

namespace tessera::nn::gpu {

constexpr int kThreads = 256;
// Blocks that fill any present GPU a few times over; loops stride over what is left.
constexpr std::int64_t kMaxBlocks = 4096;
constexpr std::int64_t kMaxElements = std::int64_t{1} << 31;  // indices are 32 bits wide

inline void check(cudaError_t status) {
  if (status != cudaSuccess)
    throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
}

inline void check_launch() {
  check(cudaGetLastError());
}

inline void check_size(std::int64_t n) {
  if (n >= kMaxElements)
    throw std::runtime_error("CUDA: a tensor of more than 2^31 elements");
}

inline int blocks_for(std::int64_t n) {
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

inline __device__ float value_of(const Factor& factor) {
  return factor.on_device != nullptr ? *factor.on_device : factor.value;
}

// exact + strength · (effect - exact), without rounding at full strength.
inline __device__ float blend(float exact, float effect, float strength) {
  return strength == 1.0F ? effect : exact + strength * (effect - exact);
}

inline __device__ float clamp_to(float v, float low, float high) {
  return fminf(fmaxf(v, low), high);
}

inline __device__ std::uint64_t mix(std::uint64_t z) {  // the finalizer of SplitMix64
  z += 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

// Four normal numbers for places 4·quad to 4·quad + 3.
inline __device__ float4 normal_quad(const Draw& draw, std::uint32_t quad) {
  curandStatePhilox4_32_10_t state;
  const std::uint64_t seed = mix(static_cast<std::uint64_t>(*draw.seed)) ^ mix(~draw.key);
  curand_init(seed, quad, 0, &state);
  return curand_normal4(&state);
}

// What `join` makes of the values of all threads of the block, given to every thread. The number of
// threads is a power of two.
template <typename T, typename Join>
__device__ T block_reduce(T value, const Join& join) {
  __shared__ T shared[kThreads];
  __syncthreads();
  shared[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half)
      shared[threadIdx.x] = join(shared[threadIdx.x], shared[threadIdx.x + half]);
    __syncthreads();
  }
  return shared[0];
}

template <typename T>
__device__ T block_sum(T value) {
  return block_reduce(value, [](T a, T b) { return a + b; });
}

inline __device__ float block_max(float value) {
  return block_reduce(value, [](float a, float b) { return fmaxf(a, b); });
}

}  // namespace tessera::nn::gpu
