// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "tessera/ir/tensor.h"

namespace tessera::nn {

torch::ScalarType torch_type(ir::DType dtype);

// A copy of a constant, same type, shape and values, on `device`.
torch::Tensor to_torch(const ir::Tensor& tensor, torch::Device device = torch::kCPU);

// A copy of a tensor on any device and of any layout. REQUIRES: a type that ir::DType has.
ir::Tensor from_torch(const torch::Tensor& tensor);

}  // namespace tessera::nn
