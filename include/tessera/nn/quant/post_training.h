// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "tessera/nn/tensor/layer_kernel.h"
#include "tessera/nn/tensor/network.h"

namespace tessera::nn {

// Cross-layer equalisation (Nagel et al., "Data-free quantization through weight equalization and
// bias correction", 2019, section 4.1): where a layer's output goes through nothing or a (leaky)
// ReLU to one other layer alone, each of its channels is divided by, and that layer's weights on it
// multiplied by, the s that makes the largest weights of both sides equal. The function stays, up
// to rounding. Repeated over chains until no s is off 1 by more than a thousandth, 50 times at
// most. Returns the number of pairs. Other activations (ReLU6) and branches are left alone.
std::size_t equalize_layers(Network& network);

// Bias correction (the same, section 4.2, from data): runs the float network and, on each layer's
// float input, its kernel as well; the difference of their means per output channel is what
// quantisation shifts.
class BiasShiftRunner final : public LayerRunner {
 public:
  // kernels: of every layer, null for float32; in evaluation mode. They must outlive this.
  explicit BiasShiftRunner(std::span<LayerKernel* const> kernels);
  Tensor run(const LayerCall& call) override;
  // Adds the shifts to the biases of `network`; layers without a bias and those in float32 stay.
  // Returns the number of layers that changed. REQUIRES: run() of all layers at least once.
  std::size_t correct(Network& network) const;

 private:
  std::vector<LayerKernel*> kernels_;
  std::vector<Tensor> sums_;  // float64 [M], float minus kernel; undefined where there is no kernel
  std::vector<std::int64_t> counts_;  // outputs per channel
};

}  // namespace tessera::nn
