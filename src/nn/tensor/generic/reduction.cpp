// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include <torch/autograd.h>

#include "kernel.h"

namespace tessera::nn {
namespace {

using Axes = std::vector<std::int64_t>;

Axes all_axes(const Tensor& x, std::int64_t from = 0) {
  Axes axes(static_cast<std::size_t>(std::max<std::int64_t>(x.dim() - from, 0)));
  std::iota(axes.begin(), axes.end(), from);
  return axes;
}

Axes reduced_axes(const KernelCall& call) {
  Axes axes = call.list("axes", 1).value_or(Axes{});
  if (axes.empty() && call.integer("noop_with_empty_axes", 0) == 0)
    axes = all_axes(call.in(0));
  for (std::int64_t& axis : axes)
    axis += axis < 0 ? call.in(0).dim() : 0;
  return axes;
}

Tensor sum(const Tensor& x, const Axes& axes, bool keep) {
  return axes.empty() ? x : torch::sum(x, axes, keep);
}

// LibTorch reduces products along one axis at a time.
Tensor product_of(const Tensor& given, const Axes& given_axes, bool keep) {
  Tensor x = given;
  Axes axes = given_axes;
  std::ranges::sort(axes, std::greater<>());
  for (const std::int64_t axis : axes)
    x = torch::prod(x, axis, keep);
  return x;
}

// Integers are reduced in 64 bits, and their means and logarithms in double.
template <Tensor (*Function)(const Tensor&, const Axes&, bool)>
Tensors reduce(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Axes axes = reduced_axes(call);
  const bool keep = call.integer("keepdims", 1) != 0;
  const Tensor wide = x.is_floating_point() ? x : x.to(torch::kFloat64);
  return {Function(wide, axes, keep).to(x.scalar_type())};
}

template <Tensor (*Function)(const Tensor&, const Axes&, bool)>
Tensors reduce_exact(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const bool keep = call.integer("keepdims", 1) != 0;
  return {Function(x, reduced_axes(call), keep).to(x.scalar_type())};
}

Tensor l1(const Tensor& x, const Axes& axes, bool keep) {
  return sum(torch::abs(x), axes, keep);
}
Tensor l2(const Tensor& x, const Axes& axes, bool keep) {
  return torch::sqrt(sum(x * x, axes, keep));
}
Tensor log_sum(const Tensor& x, const Axes& axes, bool keep) {
  return torch::log(sum(x, axes, keep));
}
Tensor log_sum_exp(const Tensor& x, const Axes& axes, bool keep) {
  return axes.empty() ? x : torch::logsumexp(x, axes, keep);
}
Tensor mean(const Tensor& x, const Axes& axes, bool keep) {
  return axes.empty() ? x : torch::mean(x, axes, keep);
}
Tensor sum_square(const Tensor& x, const Axes& axes, bool keep) {
  return sum(x * x, axes, keep);
}
// Of nothing, the extremes are those of the type.
template <bool Max>
Tensor extreme(const Tensor& x, const Axes& axes, bool keep) {
  if (axes.empty())
    return x;
  if (x.numel() == 0) {
    const double none =
        Max ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
    return torch::sum(x, axes, keep).fill_(none);
  }
  const Tensor y = x.scalar_type() == torch::kBool ? x.to(torch::kUInt8) : x;
  return (Max ? torch::amax(y, axes, keep) : torch::amin(y, axes, keep)).to(x.scalar_type());
}

template <bool Max>
Tensors find_extreme(const KernelCall& call) {
  Tensor x = call.in(0);
  const std::int64_t axis = call.axis(0, x.dim());
  const bool keep = call.integer("keepdims", 1) != 0;
  const bool last = call.integer("select_last_index", 0) != 0;
  if (last)
    x = x.flip(axis);
  // LibTorch does not say which of equal ones it takes: the first is the least index of all equal.
  const Tensor best = Max ? torch::amax(x, axis, true) : torch::amin(x, axis, true);
  Axes shape(static_cast<std::size_t>(x.dim()), 1);
  shape[static_cast<std::size_t>(axis)] = x.size(axis);
  const Tensor index =
      torch::arange(x.size(axis), torch::dtype(torch::kInt64).device(x.device())).reshape(shape);
  const Tensor found = torch::amin(
      torch::where(x == best, index, torch::full_like(index, x.size(axis))), axis, keep);
  return {last ? x.size(axis) - 1 - found : found};
}

// Before opset 13 everything from the axis on counts as one axis.
template <Tensor (*Function)(const Tensor&, std::int64_t)>
Tensors along_axis(const KernelCall& call) {
  const Tensor& x = call.in(0);
  if (call.op.opset >= 13 || x.dim() == 0)
    return {Function(x, call.axis(-1, x.dim()))};
  const std::int64_t axis = call.axis(1, x.dim());
  const std::int64_t rows = std::accumulate(x.sizes().begin(), x.sizes().begin() + axis,
                                            std::int64_t{1}, std::multiplies<>());
  return {Function(x.reshape({rows, x.numel() / std::max<std::int64_t>(rows, 1)}), 1)
              .reshape(x.sizes())};
}

Tensor softmax(const Tensor& x, std::int64_t axis) {
  return torch::softmax(x, axis);
}
Tensor log_softmax(const Tensor& x, std::int64_t axis) {
  return torch::log_softmax(x, axis);
}
Tensor hardmax(const Tensor& x, std::int64_t axis) {
  const Tensor is_best = (x == torch::amax(x, axis, true)).to(torch::kInt64);
  return torch::logical_and(is_best == 1, torch::cumsum(is_best, axis) == 1).to(x.scalar_type());
}

Tensors lp_normalization(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Axes axis{call.axis(-1, x.dim())};
  return {x / (call.integer("p", 2) == 1 ? l1(x, axis, true) : l2(x, axis, true))};
}

// (x - mean) / √(var + ε) over axes; mean and 1 / √(var + ε) as well.
Tensors normalize(const Tensor& x, const Axes& axes, double epsilon) {
  const Tensor average = torch::mean(x, axes, true);
  const Tensor centered = x - average;
  const Tensor inverse = torch::rsqrt(torch::mean(centered * centered, axes, true) + epsilon);
  return {centered * inverse, average, inverse};
}

Tensors layer_norm(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::int64_t axis = call.axis(-1, x.dim());
  Tensors result = normalize(x, all_axes(x, axis), call.real("epsilon", 1e-5F));
  result[0] = result[0] * call.in(1);
  if (call.has(2))
    result[0] = result[0] + call.in(2);
  return result;
}

Tensors skip_layer_norm(const KernelCall& call) {
  Tensor x = call.in(0) + call.in(1);
  if (call.has(4))
    x = x + call.in(4);
  Tensors result = normalize(x, {x.dim() - 1}, call.real("epsilon", 1e-12F));
  result[0] = result[0] * call.in(2);
  if (call.has(3))
    result[0] = result[0] + call.in(3);
  result.push_back(x);
  return result;
}

Tensors rms_norm(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Axes axes = all_axes(x, call.axis(-1, x.dim()));
  const double epsilon = call.real("epsilon", 1e-5F);
  return {x * torch::rsqrt(torch::mean(x * x, axes, true) + epsilon) * call.in(1)};
}

// A value for each channel, aligned with axis 1.
Tensor per_channel(const Tensor& values, const Tensor& x) {
  Axes shape(static_cast<std::size_t>(std::max<std::int64_t>(x.dim(), 2)), 1);
  shape[1] = values.numel();
  return values.reshape(shape);
}

Tensors instance_norm(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Tensor normal = normalize(x, all_axes(x, 2), call.real("epsilon", 1e-5F))[0];
  return {normal * per_channel(call.in(1), x) + per_channel(call.in(2), x)};
}

Tensors group_norm(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::int64_t groups = call.integer("num_groups", 1);
  const Tensor grouped = x.reshape({x.size(0), groups, -1});
  const Tensor normal = normalize(grouped, {2}, call.real("epsilon", 1e-5F))[0];
  if (call.op.opset < 21) {
    return {(normal * call.in(1).reshape({1, groups, 1}) + call.in(2).reshape({1, groups, 1}))
                .reshape(x.sizes())};
  }
  return {normal.reshape(x.sizes()) * per_channel(call.in(1), x) + per_channel(call.in(2), x)};
}

Tensors batch_norm(const KernelCall& call) {
  const Tensor& given = call.in(0);
  const Tensor x = given.dim() == 1 ? given.unsqueeze(1) : given;
  const double epsilon = call.real("epsilon", 1e-5F);
  Tensor average = call.in(3);
  Tensor variance = call.in(4);
  Tensors running{average, variance};
  if (call.integer("training_mode", 0) != 0) {
    Axes axes = all_axes(x);
    axes.erase(axes.begin() + 1);
    const double momentum = call.real("momentum", 0.9F);
    average = torch::mean(x, axes);
    variance = torch::var(x, axes, /*unbiased=*/false);
    running = {call.in(3) * momentum + average * (1 - momentum),
               call.in(4) * momentum + variance * (1 - momentum)};
  }
  const Tensor y = (x - per_channel(average, x)) *
                       per_channel(call.in(1) * torch::rsqrt(variance + epsilon), x) +
                   per_channel(call.in(2), x);
  return {y.reshape(given.sizes()), running[0], running[1]};
}

Tensors lrn(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::int64_t size = call.integer("size", 1);
  const std::int64_t before = (size - 1) / 2;
  const Tensor squares = (x * x).reshape({x.size(0), 1, x.size(1), -1});
  const Tensor padded = torch::constant_pad_nd(squares, {0, 0, before, size - 1 - before});
  const Tensor sums = torch::avg_pool2d(padded, {size, 1}, {1, 1}) * static_cast<double>(size);
  const Tensor scale =
      call.real("bias", 1) + call.real("alpha", 1e-4F) / static_cast<double>(size) * sums;
  return {x * torch::pow(scale, -call.real("beta", 0.75F)).reshape(x.sizes())};
}

// The definition adds 1e-9 to the standard deviation.
Tensors mean_variance(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Axes axes = ir::integers(call.op, "axes", {0, 2, 3});
  const Tensor centered = x - torch::mean(x, axes, true);
  return {centered / (torch::sqrt(torch::mean(centered * centered, axes, true)) + 1e-9)};
}

Tensors cumulative(const KernelCall& call) {
  Tensor x = call.in(0);
  std::int64_t axis = call.values(1).at(0);
  axis += axis < 0 ? x.dim() : 0;
  const bool reverse = call.integer("reverse", 0) != 0;
  if (reverse)
    x = x.flip(axis);
  Tensor y = torch::cumsum(x, axis).to(x.scalar_type());
  if (call.integer("exclusive", 0) != 0)
    y = y - x;
  return {reverse ? y.flip(axis) : y};
}

// Of equal values the one with the least index comes first, which LibTorch's own leaves open.
Tensors top_k(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const std::int64_t axis = call.axis(-1, x.dim());
  const std::int64_t k = call.list("k", 1)->at(0);
  const bool largest = call.integer("largest", 1) != 0;
  const auto [values, indices] = torch::sort(x, /*stable=*/true, axis, largest);
  return {values.slice(axis, 0, k), indices.slice(axis, 0, k)};
}

// Mean, sum or none over labels that are not ignored, weighted by the weight of their class.
Tensor nll(const KernelCall& call, const Tensor& log_probability) {
  const Tensor labels = call.in(1).to(torch::kInt64);
  const std::string reduction = call.text("reduction", "mean");
  const Tensor ignored = ir::has_attribute(call.op, "ignore_index")
                             ? labels == call.integer("ignore_index", 0)
                             : torch::zeros_like(labels, torch::kBool);
  const Tensor index = torch::where(ignored, torch::zeros_like(labels), labels);
  Tensor weight = call.has(2)
                      ? call.in(2).index_select(0, index.reshape({-1})).reshape(index.sizes())
                      : torch::ones_like(index, log_probability.scalar_type());
  weight = torch::where(ignored, torch::zeros_like(weight), weight);
  const Tensor loss = -log_probability.gather(1, index.unsqueeze(1)).squeeze(1) * weight;
  if (reduction == "none")
    return loss;
  return reduction == "sum" ? loss.sum() : loss.sum() / weight.sum();
}

Tensors nll_loss(const KernelCall& call) {
  return {nll(call, call.in(0))};
}

Tensors cross_entropy(const KernelCall& call) {
  const Tensor log_probability = torch::log_softmax(call.in(0), 1);
  return {nll(call, log_probability), log_probability};
}

constexpr GenericKernel kKernels[] = {
    {"ArgMax", find_extreme<true>},
    {"ArgMin", find_extreme<false>},
    {"BatchNormalization", batch_norm},
    {"CumSum", cumulative},
    {"GroupNormalization", group_norm},
    {"Hardmax", along_axis<hardmax>},
    {"InstanceNormalization", instance_norm},
    {"LRN", lrn},
    {"LayerNormalization", layer_norm},
    {"LogSoftmax", along_axis<log_softmax>},
    {"LpNormalization", lp_normalization},
    {"MeanVarianceNormalization", mean_variance},
    {"NegativeLogLikelihoodLoss", nll_loss},
    {"RMSNormalization", rms_norm},
    {"ReduceL1", reduce_exact<l1>},
    {"ReduceL2", reduce<l2>},
    {"ReduceLogSum", reduce<log_sum>},
    {"ReduceLogSumExp", reduce<log_sum_exp>},
    {"ReduceMax", reduce_exact<extreme<true>>},
    {"ReduceMean", reduce<mean>},
    {"ReduceMin", reduce_exact<extreme<false>>},
    {"ReduceProd", reduce_exact<product_of>},
    {"ReduceSum", reduce_exact<sum>},
    {"ReduceSumSquare", reduce_exact<sum_square>},
    {"Softmax", along_axis<softmax>},
    {"SoftmaxCrossEntropyLoss", cross_entropy},
    {"TopK", top_k},
    {"SkipLayerNormalization", skip_layer_norm, "com.microsoft"},
};

}  // namespace

std::span<const GenericKernel> reduction_kernels() {
  return kKernels;
}

}  // namespace tessera::nn
