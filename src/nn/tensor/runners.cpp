// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/tensor/layer_kernel.h"
#include "tessera/nn/tensor/network.h"

namespace tessera::nn {

Tensor FloatRunner::run(const LayerCall& call) {
  return apply_layer(call.op, call.x, call.weight, call.bias);
}

Tensor KernelRunner::run(const LayerCall& call) {
  LayerKernel* const kernel = kernels_.at(call.layer);
  return kernel != nullptr ? kernel->forward(call)
                           : apply_layer(call.op, call.x, call.weight, call.bias);
}

}  // namespace tessera::nn
