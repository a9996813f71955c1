// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// How the loss of the float network bends where a layer is quantized.
struct Curvature {
  double weight_trace = 0;  // of the loss's Hessian in the layer's weights
  double input_trace = 0;   // of the empirical Fisher matrix in its inputs, mean over images
};

struct HessianOptions {
  std::int64_t images = 256;  // the first of the training part
  std::int64_t probes = 16;   // random vectors of Hutchinson's estimate
};
// One for each layer. Traces of the weights' Hessian blocks as HAWQ-V2 has them (Dong et al.,
// NeurIPS 2020): the mean of v·Hv over vectors v of random signs, all layers at once, since what
// layers share averages out. Inputs take squared gradients in place of second derivatives.
std::vector<Curvature> curvature(const nn::Network& network, const nn::Dataset& data,
                                 const nn::Preprocessing& preprocessing,
                                 const HessianOptions& options, const Rng& rng);

// Loss that quantization of each layer alone on each path adds, to second order: half of
// (trace / weights) · |Q(w) - w|² and of input_trace · mean squared error of the input's code.
// Infinite for analog paths, whose errors are not rounding.
std::vector<std::vector<double>> predicted_losses(const Problem& problem,
                                                  const std::vector<Curvature>& curvatures);

// Choices of least predicted loss at `budgets` energies, evenly spaced from the least on; each
// layer's energy is that of the layer alone. Layers of one group (numbered from 0 on, one number a
// layer) take the same path. An exact integer program for each (HAWQ-V3: Yao et al., ICML 2021). In
// the order of the budgets, equal ones once. Paths of infinite loss are left out; throws UsageError
// when a layer has no other.
std::vector<Choice> integer_program_choices(const Problem& problem, const Space& space,
                                            std::span<const int> groups,
                                            const std::vector<std::vector<double>>& losses,
                                            std::int64_t budgets);

}  // namespace tessera::supernet
