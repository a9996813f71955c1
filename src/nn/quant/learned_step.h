// SPDX-License-Identifier: Apache-2.0
#pragma once

// Learned step size quantization (Esser et al., ICLR 2020): the step of a quantiser is trained by
// the gradient of what it rounds to.

#include <cstdint>

#include <torch/types.h>

namespace tessera::nn::detail {

using torch::Tensor;

// The steps that a parameter of any shape stands for, without a gradient: its magnitude, which
// keeps them positive, and none below 1/65536 of the largest (docs/numerics.md says why).
Tensor steps_of(const Tensor& parameter);

// v̂ = s · clip(round(v / s), low, high) with s = steps_of(parameter). x is [R, ...] for a parameter
// of R elements, or of any shape for one of a single element; low and high are 0-dim (the paper's
// -Q_N and Q_P). Gradients are the paper's equations 3 and 5: that of v passes within (low, high)
// and vanishes elsewhere; that of s is round(v/s) - v/s within and low or high elsewhere, summed
// over the elements of the step and multiplied by `gradient_scale`.
Tensor learned_quantize(const Tensor& x, const Tensor& parameter, const Tensor& low,
                        const Tensor& high, double gradient_scale);

// 1/√(N·Q_P), section 2.2: N elements share the step. Codes that end at 0 are taken at their other
// end.
double step_gradient_scale(std::int64_t elements, double low, double high);

}  // namespace tessera::nn::detail
