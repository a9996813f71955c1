// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <torch/types.h>

#include "tessera/ir/graph.h"

namespace tessera::nn {

// Computes a node that holds an ir::Generic. Differentiable where LibTorch is. Throws
// UnsupportedError for values that LibTorch refuses.
std::vector<torch::Tensor> run_generic(const ir::Graph& graph, const ir::Node& node,
                                       const std::vector<torch::Tensor>& inputs);

// The same on constants, for onnx::ImportOptions::evaluate.
std::vector<ir::Tensor> evaluate(const ir::Graph& graph, const ir::Node& node);

}  // namespace tessera::nn
