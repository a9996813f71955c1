// SPDX-License-Identifier: Apache-2.0
#include "nn/quant/learned_step.h"

#include <cmath>
#include <limits>

#include <torch/autograd.h>

#include "tessera/core/error.h"

#include "nn/quant/fake_quantize.h"

namespace tessera::nn::detail {
namespace {

constexpr double kSmallestStep = 1.0 / 65536;  // beside the largest, as weight_scales() has it

// A scalar for one step, else one for each index of x's first dimension.
Tensor beside(const Tensor& steps, const Tensor& x) {
  return steps.numel() == 1 ? steps.reshape({}) : along_first(steps, x);
}

// clamp() would want bounds on the device of v, which these need not be.
Tensor clipped(const Tensor& v, const Tensor& low, const Tensor& high) {
  return at::minimum(at::maximum(v, low), high);
}

class LearnedQuantize final : public torch::autograd::Function<LearnedQuantize> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x,
                        const Tensor& parameter, const Tensor& low, const Tensor& high,
                        double gradient_scale) {
    const Tensor step = beside(steps_of(parameter), x);
    ctx->save_for_backward({x, parameter, low, high});
    ctx->saved_data["scale"] = gradient_scale;
    return clipped(x / step, low, high).round_().mul_(step);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& parameter = saved[1];
    const Tensor& low = saved[2];
    const Tensor& high = saved[3];
    const Tensor v = x / beside(steps_of(parameter), x);
    const Tensor inside = (v > low).logical_and(v < high);
    const Tensor of_x = at::where(inside, grads[0], at::zeros_like(grads[0]));
    const Tensor terms = grads[0] * at::where(inside, v.round() - v, clipped(v, low, high));
    const Tensor sums =
        parameter.numel() == 1 ? terms.sum() : terms.reshape({parameter.numel(), -1}).sum(1);
    // The step is the parameter's magnitude.
    const Tensor sign =
        at::where(parameter < 0, -at::ones_like(parameter), at::ones_like(parameter));
    const Tensor of_parameter =
        sums.reshape(parameter.sizes()) * sign * ctx->saved_data["scale"].toDouble();
    return {of_x, of_parameter, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor steps_of(const Tensor& parameter) {
  const Tensor size = parameter.detach().abs();
  const Tensor least = (size.amax() * kSmallestStep).clamp_min_(std::numeric_limits<float>::min());
  return at::maximum(size, least);
}

Tensor learned_quantize(const Tensor& x, const Tensor& parameter, const Tensor& low,
                        const Tensor& high, double gradient_scale) {
  TESSERA_CHECK(parameter.numel() == 1 || (x.dim() > 0 && x.size(0) == parameter.numel()),
                "{} steps for {} rows", parameter.numel(), x.dim() > 0 ? x.size(0) : 0);
  return LearnedQuantize::apply(x, parameter, low, high, gradient_scale);
}

double step_gradient_scale(std::int64_t elements, double low, double high) {
  return 1 / std::sqrt(static_cast<double>(elements) * (high > 0 ? high : -low));
}

}  // namespace tessera::nn::detail
