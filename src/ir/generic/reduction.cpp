// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rule.h"

namespace tessera::ir {
namespace {

using Outputs = std::vector<TypedShape>;

std::vector<std::size_t> reduced_axes(const GenericCall& call) {
  const std::size_t rank = call.rank(0);
  std::vector<std::size_t> axes;
  for (const std::int64_t axis : call.list("axes", 1).value_or(std::vector<std::int64_t>{}))
    axes.push_back(call.axis(axis, rank));
  if (axes.empty() && call.integer("noop_with_empty_axes", 0) == 0) {
    for (std::size_t i = 0; i < rank; ++i)
      axes.push_back(i);
  }
  return axes;
}

Shape without(const Shape& shape, const std::vector<std::size_t>& axes, bool keep) {
  Shape y;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool reduced = std::ranges::find(axes, i) != axes.end();
    if (!reduced || keep)
      y.push_back(reduced ? 1 : shape[i]);
  }
  return y;
}

Outputs reduce(const GenericCall& call) {
  return {{without(call.shape(0), reduced_axes(call), call.integer("keepdims", 1) != 0),
           call.dtype(0)}};
}

Outputs find_extreme(const GenericCall& call) {
  const std::size_t axis = call.axis_attribute(0, call.rank(0));
  call.require(call.shape(0)[axis] > 0, "axis {} is empty", axis);
  return {{without(call.shape(0), {axis}, call.integer("keepdims", 1) != 0), DType::kInt64}};
}

bool axes_behind_batch(const GenericCall& call) {
  const auto axes = reduced_axes(call);
  return std::ranges::find(axes, std::size_t{0}) == axes.end();
}

bool axis_behind_batch(const GenericCall& call) {
  return call.axis_attribute(0, call.rank(0)) != 0;
}

std::int64_t one_per_input(const GenericCall& call) {
  return element_count(call.shape(0));
}

// Functions along axes that keep the shape.

template <int Each>
std::int64_t per_input(const GenericCall& call) {
  return Each * one_per_input(call);
}

// Before opset 13 the axis was 1, and everything from it on was one axis.
std::int64_t softmax_axis(const GenericCall& call) {
  return call.integer("axis", call.op.opset < 13 ? 1 : -1);
}

Outputs softmax(const GenericCall& call) {
  if (call.rank(0) > 0)
    call.axis(softmax_axis(call), call.rank(0));
  return same_as_first(call);
}

bool softmax_batch(const GenericCall& call) {
  return call.axis(softmax_axis(call), call.rank(0)) != 0;
}

Outputs along_axis(const GenericCall& call) {
  call.axis_attribute(-1, call.rank(0));
  return same_as_first(call);
}

bool along_axis_batch(const GenericCall& call) {
  return call.axis_attribute(-1, call.rank(0)) != 0;
}

// Shape of the statistics that a normalization over the axes from `axis` on also returns.
Outputs layer_norm(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const std::size_t axis = call.axis_attribute(-1, x.size());
  const Shape normalized(x.begin() + static_cast<std::ptrdiff_t>(axis), x.end());
  for (int i = 1; i < 3; ++i) {
    if (call.has(i)) {
      call.require(broadcast(call, x, call.shape(i)) == x, "parameter {} does not fit input {}",
                   to_string(call.shape(i)), to_string(x));
    }
  }
  Shape statistics = x;
  std::fill(statistics.begin() + static_cast<std::ptrdiff_t>(axis), statistics.end(), 1);
  return {{x, call.dtype(0)}, {statistics, DType::kFloat32}, {statistics, DType::kFloat32}};
}

bool normalized_batch(const GenericCall& call) {
  return only_first_is_activation(call) && along_axis_batch(call);
}

// Input (and skip), scale, bias over the last axis; ONNX Runtime's fused operators.
Outputs skip_layer_norm(const GenericCall& call) {
  const Shape& x = call.shape(0);
  call.require(!x.empty() && broadcast(call, x, call.shape(1)) == x, "skip {} does not fit {}",
               to_string(call.shape(1)), to_string(x));
  Shape statistics = x;
  statistics.back() = 1;
  return {{x, call.dtype(0)},
          {statistics, DType::kFloat32},
          {statistics, DType::kFloat32},
          {x, call.dtype(0)}};
}

// Scale and bias with one value for each channel.
Outputs instance_norm(const GenericCall& call) {
  const Shape& x = call.shape(0);
  call.require(x.size() >= 3, "input has shape {}, allowed: NxCx..", to_string(x));
  for (int i = 1; i < 3; ++i) {
    call.require(call.shape(i) == Shape{x[1]}, "parameter has shape {}, allowed: {}",
                 to_string(call.shape(i)), x[1]);
  }
  return same_as_first(call);
}

Outputs group_norm(const GenericCall& call) {
  const Shape& x = call.shape(0);
  call.require(x.size() >= 2, "input has shape {}, allowed: NxCx..", to_string(x));
  const std::int64_t groups = call.integer("num_groups", 0);
  call.require(groups > 0 && x[1] % groups == 0, "num_groups is {}, allowed: divisors of {}",
               groups, x[1]);
  // Opset 18 had one value for each group, 21 has one for each channel.
  const std::int64_t values = call.op.opset < 21 ? groups : x[1];
  for (int i = 1; i < 3; ++i) {
    call.require(call.shape(i) == Shape{values}, "parameter has shape {}, allowed: {}",
                 to_string(call.shape(i)), values);
  }
  return same_as_first(call);
}

Outputs batch_norm(const GenericCall& call) {
  const Shape& x = call.shape(0);
  call.require(!x.empty(), "input is a scalar");
  const std::int64_t channels = x.size() > 1 ? x[1] : 1;
  for (int i = 1; i < 5; ++i) {
    call.require(call.shape(i) == Shape{channels}, "parameter has shape {}, allowed: {}",
                 to_string(call.shape(i)), channels);
  }
  call.require(call.integer("spatial", 1) == 1, "spatial=0 not supported");
  return {{x, call.dtype(0)}, {{channels}, DType::kFloat32}, {{channels}, DType::kFloat32}};
}

bool batch_norm_batch(const GenericCall& call) {
  return only_first_is_activation(call) && call.integer("training_mode", 0) == 0;
}

Outputs lrn(const GenericCall& call) {
  call.require(call.rank(0) >= 3, "input has shape {}, allowed: NxCx..", to_string(call.shape(0)));
  call.require(call.integer("size", 0) > 0, "size is {}, allowed: above 0",
               call.integer("size", 0));
  return same_as_first(call);
}

Outputs mean_variance(const GenericCall& call) {
  for (const std::int64_t axis : integers(call.op, "axes", {0, 2, 3}))
    call.axis(axis, call.rank(0));
  return same_as_first(call);
}

bool mean_variance_batch(const GenericCall& call) {
  for (const std::int64_t axis : integers(call.op, "axes", {0, 2, 3})) {
    if (call.axis(axis, call.rank(0)) == 0)
      return false;
  }
  return true;
}

Outputs cumulative(const GenericCall& call) {
  call.axis(call.constant_integer(1, "axis"), call.rank(0));
  return same_as_first(call);
}

bool cumulative_batch(const GenericCall& call) {
  return call.axis(call.constant_integer(1, "axis"), call.rank(0)) != 0;
}

Outputs top_k(const GenericCall& call) {
  Shape y = call.shape(0);
  const std::size_t axis = call.axis_attribute(-1, y.size());
  const auto k = call.list("k", 1).value_or(std::vector<std::int64_t>{});
  call.require(k.size() == 1 && k[0] >= 0 && k[0] <= y[axis], "k is {}, allowed: 0 to {}",
               to_string(k), y[axis]);
  y[axis] = k[0];
  return {{y, call.dtype(0)}, {y, DType::kInt64}};
}

bool top_k_batch(const GenericCall& call) {
  return only_first_is_activation(call) && along_axis_batch(call);
}

// Classes stand along axis 1 of the scores, and labels have the other axes.
std::vector<TypedShape> loss(const GenericCall& call, bool with_log) {
  const Shape& x = call.shape(0);
  call.require(x.size() >= 2, "scores have shape {}, allowed: NxC..", to_string(x));
  Shape labels = x;
  labels.erase(labels.begin() + 1);
  call.require(call.shape(1) == labels, "labels have shape {}, allowed: {}",
               to_string(call.shape(1)), to_string(labels));
  const std::string reduction = text(call.op, "reduction", "mean");
  call.require(reduction == "none" || reduction == "mean" || reduction == "sum",
               "reduction is '{}', allowed: none, mean, sum", reduction);
  Outputs outputs{{reduction == "none" ? labels : Shape{}, call.dtype(0)}};
  if (with_log)
    outputs.push_back({x, call.dtype(0)});
  return outputs;
}

Outputs nll_loss(const GenericCall& call) {
  return loss(call, false);
}
Outputs cross_entropy(const GenericCall& call) {
  return loss(call, true);
}

constexpr std::string_view kReduce = "axes:I keepdims:i noop_with_empty_axes:i";

constexpr GenericRule kRules[] = {
    {"ArgMax", 1, 1, "axis:i keepdims:i select_last_index:i", find_extreme, one_per_input,
     axis_behind_batch},
    {"ArgMin", 1, 1, "axis:i keepdims:i select_last_index:i", find_extreme, one_per_input,
     axis_behind_batch},
    {"BatchNormalization", 5, 5, "epsilon:f momentum:f spatial:i training_mode:i", batch_norm,
     per_input<2>, batch_norm_batch, 3},
    {"CumSum", 2, 2, "exclusive:i reverse:i", cumulative, one_per_input, cumulative_batch},
    {"GroupNormalization", 3, 3, "epsilon:f num_groups:i stash_type:i", group_norm, per_input<5>,
     only_first_is_activation},
    {"Hardmax", 1, 1, "axis:i", softmax, one_per_input, softmax_batch},
    {"InstanceNormalization", 3, 3, "epsilon:f", instance_norm, per_input<5>,
     only_first_is_activation},
    {"LRN", 1, 1, "alpha:f beta:f bias:f size:i", lrn, per_input<3>, only_first_is_activation},
    {"LayerNormalization", 2, 3, "axis:i epsilon:f stash_type:i", layer_norm, per_input<5>,
     normalized_batch, 3},
    {"LogSoftmax", 1, 1, "axis:i", softmax, per_input<3>, softmax_batch},
    {"LpNormalization", 1, 1, "axis:i p:i", along_axis, per_input<3>, along_axis_batch},
    {"MeanVarianceNormalization", 1, 1, "axes:I", mean_variance, per_input<5>, mean_variance_batch},
    {"NegativeLogLikelihoodLoss", 2, 3, "ignore_index:i reduction:s", nll_loss, one_per_input},
    {"RMSNormalization", 2, 2, "axis:i epsilon:f stash_type:i", layer_norm, per_input<4>,
     normalized_batch},
    {"ReduceL1", 1, 2, kReduce, reduce, one_per_input, axes_behind_batch},
    {"ReduceL2", 1, 2, kReduce, reduce, one_per_input, axes_behind_batch},
    {"ReduceLogSum", 1, 2, kReduce, reduce, one_per_input, axes_behind_batch},
    {"ReduceLogSumExp", 1, 2, kReduce, reduce, per_input<2>, axes_behind_batch},
    {"ReduceMax", 1, 2, kReduce, reduce, one_per_input, axes_behind_batch},
    {"ReduceMean", 1, 2, kReduce, reduce, one_per_input, axes_behind_batch},
    {"ReduceMin", 1, 2, kReduce, reduce, one_per_input, axes_behind_batch},
    {"ReduceProd", 1, 2, kReduce, reduce, one_per_input, axes_behind_batch},
    {"ReduceSum", 1, 2, kReduce, reduce, one_per_input, axes_behind_batch},
    {"ReduceSumSquare", 1, 2, kReduce, reduce, one_per_input, axes_behind_batch},
    {"Softmax", 1, 1, "axis:i", softmax, per_input<3>, softmax_batch},
    {"SoftmaxCrossEntropyLoss", 2, 3, "ignore_index:i reduction:s", cross_entropy, per_input<4>,
     nullptr, 2},
    {"TopK", 1, 2, "axis:i k:i largest:i sorted:i", top_k, one_per_input, top_k_batch, 2},
    {"SkipLayerNormalization", 3, 5, "epsilon:f", skip_layer_norm, per_input<6>, aligned_batch, 4,
     "com.microsoft"},
};

}  // namespace

std::span<const GenericRule> reduction_rules() {
  return kRules;
}

}  // namespace tessera::ir
