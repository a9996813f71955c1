// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/types.h>

#include "tessera/nn/quant/quantize.h"

#include "nn/gpu/strength.h"

namespace tessera::nn::detail {

using torch::Tensor;

// Codes of a tensor with their zero points taken off: real = scale · code. Each tensor is 0-dim
// (one for all; on the CPU, or on x's device for recorded work to read anew) or [M,1,..] (one per
// index of x's first dimension, on x's device).
struct CodeTensors {
  Tensor scale, low, high;
};

// The codes of `code` as tensors that broadcast against x.
CodeTensors tensors_of(const plan::AffineCode& code, const Tensor& x);

// x + strength · (q(x) - x), straight through: the gradient is 1 where q does not saturate and
// 1 - strength where it does.
Tensor fake_quantize(const Tensor& x, const CodeTensors& codes, const Strength& strength);
Tensor fake_float16(const Tensor& x, const Strength& strength);

// Scales [M] (or [1] per tensor) of symmetric codes ±high; see weight_code(). high: 0-dim, float32,
// on the CPU or the weights' device.
Tensor weight_scales(const Tensor& weight, const Tensor& high, RangeMethod method,
                     WeightGranularity granularity);

// Weights [M, ...] of K each as rows [M·ceil(K/group), group], the last of each channel filled up
// with zeros; and such rows in the shape of `like` again. Differentiable.
Tensor group_rows(const Tensor& weight, std::int64_t group);
Tensor from_group_rows(const Tensor& rows, const Tensor& like);

// [M] to [M,1,..] with as many dimensions as `like`.
Tensor along_first(const Tensor& values, const Tensor& like);

}  // namespace tessera::nn::detail
