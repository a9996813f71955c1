// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "nn/gpu/strength.h"

namespace tessera::nn::detail {

// Weights as cells of `bits` bits hold them, per output channel: symmetric codes of least squared
// error (2 bits: -1, 0, 1), straight through to the gradient; x + strength · (cells(x) - x). With 0
// bits cells hold any value. The weights come back in the network's units.
torch::Tensor to_cells(const torch::Tensor& weight, int bits, const Strength& strength);

}  // namespace tessera::nn::detail
