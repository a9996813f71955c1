// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernel.h"

namespace tessera::nn {

// Resize and Upsample: interpolation is separable, so each axis whose size changes is multiplied by
// a matrix [outputs, inputs] of its weights.
Tensors resize(const KernelCall& call);

}  // namespace tessera::nn
