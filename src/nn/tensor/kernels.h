// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <torch/types.h>

#include "tessera/ir/ops.h"

namespace tessera::nn {

// Computes a stateless operator (all glue but BatchNorm) in float32, differentiably.
// REQUIRES: inputs as ir/ops.h states them, with any batch size.
torch::Tensor apply_glue(const ir::Op& op, const std::vector<torch::Tensor>& inputs);

}  // namespace tessera::nn
