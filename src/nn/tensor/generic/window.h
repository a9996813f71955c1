// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "tessera/ir/generic.h"

namespace tessera::nn {

// A convolution over one to three spatial dimensions with the attributes of ONNX's Conv. Bias may
// be undefined.
torch::Tensor convolve(const ir::Generic& op, const torch::Tensor& x, const torch::Tensor& weight,
                       const torch::Tensor& bias);

}  // namespace tessera::nn
