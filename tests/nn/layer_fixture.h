// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include "tessera/nn/tensor/network.h"

namespace tessera::nn::test {

// A layer with everything that its call refers to.
struct OneLayer {
  ir::Op op;
  Tensor x, weight, bias;
  LayerCall call() const { return {.layer = 0, .op = op, .x = x, .weight = weight, .bias = bias}; }
  Tensor exact() const { return apply_layer(op, x, weight, bias); }
};

inline at::Generator generator(std::uint64_t seed) {
  return at::detail::createCPUGenerator(seed);
}

inline NoiseStream stream(std::uint64_t seed) {
  return NoiseStream(Rng(seed), torch::kCPU);
}

inline Tensor normal(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, generator(seed), torch::kFloat32);
}

struct ConvShape {
  std::int64_t batch = 2, channels = 8, height = 7, width = 6, outputs = 6, kernel = 3;
};

inline OneLayer conv_layer(const ir::Conv& conv, const ConvShape& shape, std::uint64_t seed) {
  return {.op = conv,
          .x = normal({shape.batch, shape.channels, shape.height, shape.width}, seed),
          .weight = normal(
              {shape.outputs, shape.channels / conv.groups, shape.kernel, shape.kernel}, seed + 1),
          .bias = normal({shape.outputs}, seed + 2)};
}

inline OneLayer linear_layer(std::int64_t batch, std::int64_t inputs, std::int64_t outputs,
                             std::uint64_t seed) {
  return {.op = ir::Linear{},
          .x = normal({batch, inputs}, seed),
          .weight = normal({outputs, inputs}, seed + 1),
          .bias = normal({outputs}, seed + 2)};
}

inline double largest_difference(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace tessera::nn::test
