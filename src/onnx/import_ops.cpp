// SPDX-License-Identifier: Apache-2.0
#include "import_ops.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "fold_node.h"
#include "import_windows.h"
#include "read_tensor.h"

namespace tessera::onnx {
namespace {

using ir::Shape;
using ir::Tensor;
using ir::ValueId;
using Steps = std::vector<ImportStep>;

Tensor scaled(const Tensor& tensor, float factor) {
  std::vector<float> values(tensor.values<float>().begin(), tensor.values<float>().end());
  for (float& value : values)
    value *= factor;
  return Tensor::from(tensor.shape(), values);
}

// Gemm's C as a bias of one value per output; none when it varies along the batch.
std::optional<Tensor> as_bias(const Tensor& c, std::int64_t outputs) {
  const std::int64_t columns = c.shape().empty() ? 1 : c.shape().back();
  if (c.shape().size() > 2 || c.elements() != columns || (columns != outputs && columns != 1))
    return std::nullopt;
  std::vector<float> values(static_cast<std::size_t>(outputs));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = c.values<float>()[columns == 1 ? 0 : i];
  return Tensor::from({outputs}, values);
}

Steps read_gemm(NodeReader& node) {
  const float alpha = node.real("alpha", 1);
  const float beta = node.real("beta", 1);
  const bool transposed_a = node.integer("transA", 0) != 0;
  const bool transposed_b = node.integer("transB", 0) != 0;
  if (transposed_a)
    node.not_understood("transA=1 not supported: it moves the batch");
  Tensor weight = node.constant(1, "B");
  require_floats(node, weight, "B");
  if (weight.shape().size() != 2)
    node.fail("B has shape {}, allowed: two dimensions", ir::to_string(weight.shape()));
  ValueId weight_id = node.input(1);
  if (!transposed_b || alpha != 1) {
    if (!transposed_b)
      weight = transposed(weight, {1, 0});
    weight_id = node.add_constant(node.value(1).name + "_folded", scaled(weight, alpha));
  }
  std::vector<ValueId> inputs{node.input(0), weight_id};
  if (node.has_input(2)) {
    const Tensor& c = node.constant(2, "C");
    require_floats(node, c, "C");
    const auto bias = as_bias(c, weight.shape()[0]);
    if (!bias) {
      node.not_understood("C of shape {}, supported: one value for each of the {} outputs",
                          ir::to_string(c.shape()), weight.shape()[0]);
    }
    const bool as_it_is = beta == 1 && bias->shape() == c.shape();
    inputs.push_back(as_it_is
                         ? node.input(2)
                         : node.add_constant(node.value(2).name + "_folded", scaled(*bias, beta)));
  }
  return {{ir::Linear{}, inputs}};
}

Steps read_matmul(NodeReader& node) {
  if (!node.is_constant(1))
    node.not_understood("its right factor '{}' is not a constant", node.value(1).name);
  const Tensor& weight = node.constant(1, "right factor");
  require_floats(node, weight, "right factor");
  if (weight.shape().size() != 2) {
    node.not_understood("its right factor has shape {}, supported: two dimensions",
                        ir::to_string(weight.shape()));
  }
  if (const Shape* x = node.known_shape(0); x != nullptr && x->size() < 2)
    node.not_understood("its left factor has shape {}, supported: Nx..xK", ir::to_string(*x));
  const ValueId id =
      node.add_constant(node.value(1).name + "_transposed", transposed(weight, {1, 0}));
  return {{ir::Linear{}, {node.input(0), id}}};
}

Steps read_batch_norm(NodeReader& node) {
  node.ignore("momentum");
  if (node.integer("training_mode", 0) != 0)
    node.not_understood("training_mode=1 not supported");
  if (node.integer("spatial", 1) != 1)
    node.not_understood("spatial=0 not supported");
  node.require_only_first_output();
  std::vector<ValueId> inputs{node.input(0)};
  for (int i = 1; i < 5; ++i) {
    node.constant(i, "parameter");
    inputs.push_back(node.input(i));
  }
  return {{ir::BatchNorm{static_cast<double>(node.real("epsilon", 1e-5F))}, inputs}};
}

template <ir::UnaryKind Kind>
Steps read_unary(NodeReader& node) {
  return {{ir::Unary{Kind}, {node.input(0)}}};
}

Steps read_leaky_relu(NodeReader& node) {
  const float slope = node.real("alpha", 0.01F);
  return {{ir::Unary{ir::UnaryKind::kLeakyRelu, slope}, {node.input(0)}}};
}

Steps read_hard_sigmoid(NodeReader& node) {
  const float alpha = node.real("alpha", 0.2F);
  const float beta = node.real("beta", 0.5F);
  return {{ir::Unary{ir::UnaryKind::kHardSigmoid, alpha, beta}, {node.input(0)}}};
}

// Bounds are attributes before opset 11 and constant inputs since.
Steps read_clip(NodeReader& node) {
  float low = node.real("min", std::numeric_limits<float>::lowest());
  float high = node.real("max", std::numeric_limits<float>::max());
  if (node.has_input(1))
    low = node.constant_float(1, "min");
  if (node.has_input(2))
    high = node.constant_float(2, "max");
  return {{ir::Unary{ir::UnaryKind::kClip, low, high}, {node.input(0)}}};
}

// At inference Dropout passes its input on.
Steps read_dropout(NodeReader& node) {
  for (const char* attribute : {"ratio", "seed", "is_test"})
    node.ignore(attribute);
  if (node.has_input(2)) {
    const Tensor& training = node.constant(2, "training_mode");
    if (std::ranges::any_of(training.bytes(), [](std::byte b) { return b != std::byte{0}; }))
      node.not_understood("training_mode=1 not supported");
  }
  node.require_only_first_output();
  return {{ir::Unary{}, {node.input(0)}}};
}

Steps read_cast(NodeReader& node) {
  node.ignore("saturate");
  const auto to = static_cast<int>(node.integer("to", 0));
  if (ir::dtype_from_onnx(to) != node.value(0).dtype)
    node.not_understood("cast from {} to {} not supported", ir::name(node.value(0).dtype),
                        onnx_type_name(to));
  return {{ir::Unary{}, {node.input(0)}}};
}

template <ir::BinaryKind Kind>
Steps read_binary(NodeReader& node) {
  const bool constant_a = node.is_constant(0);
  const bool constant_b = node.is_constant(1);
  const Shape* a = node.known_shape(0);
  const Shape* b = node.known_shape(1);
  if (a != nullptr && b != nullptr && constant_a != constant_b) {
    const Shape& constant = constant_a ? *a : *b;
    const Shape& activation = constant_a ? *b : *a;
    if (constant.size() > activation.size() ||
        (constant.size() == activation.size() && !constant.empty() && constant[0] != 1)) {
      node.not_understood("a constant of shape {} beside {} reaches into the batch",
                          ir::to_string(constant), ir::to_string(activation));
    }
  } else if (a != nullptr && b != nullptr && !constant_a && a->size() != b->size()) {
    node.not_understood("broadcasting {} with {} moves the batch", ir::to_string(*a),
                        ir::to_string(*b));
  }
  return {{ir::Binary{Kind}, {node.input(0), node.input(1)}}};
}

template <ir::PoolKind Kind>
Steps read_global_pool(NodeReader& node) {
  require_image(node);
  return {{ir::GlobalPool{Kind}, {node.input(0)}}};
}

template <ir::PoolKind Kind>
Steps read_reduce(NodeReader& node) {
  const auto axes = node.integers_from("axes", 1);
  const bool keep = node.integer("keepdims", 1) != 0;
  node.ignore("noop_with_empty_axes");
  require_image(node);
  std::vector<std::int64_t> normal;
  for (const std::int64_t axis : axes.value_or(std::vector<std::int64_t>{}))
    normal.push_back(checked_axis(node, axis, 4));
  std::ranges::sort(normal);
  if (normal != std::vector<std::int64_t>{2, 3}) {
    node.not_understood("axes {}, supported: 2 and 3",
                        normal.empty() ? "missing" : ir::to_string(normal));
  }
  Steps steps{{ir::GlobalPool{Kind}, {node.input(0)}}};
  if (!keep)
    steps.push_back({ir::Flatten{}, {ValueId{}}});
  return steps;
}

// Flatten where the target is [N, rest], else Reshape. The target is complete and fits.
Steps reshape_to(const NodeReader& node, const Shape& target) {
  if (target.size() < 2 || target[0] != node.shape(0)[0] ||
      ir::checked_element_count(target) != ir::element_count(node.shape(0))) {
    node.not_understood("reshaping {} to {} moves the batch", ir::to_string(node.shape(0)),
                        ir::to_string(target));
  }
  if (std::ranges::any_of(target, [](std::int64_t size) { return size == 0; }))
    node.not_understood("an empty tensor");
  if (target.size() == 2)
    return {{ir::Flatten{}, {node.input(0)}}};
  return {{ir::Reshape{{target.begin() + 1, target.end()}}, {node.input(0)}}};
}

Steps read_flatten(NodeReader& node) {
  const auto rank = node.shape(0).size();
  const std::int64_t axis = node.integer("axis", 1);
  if (rank < 2 || (axis != 1 && axis + static_cast<std::int64_t>(rank) != 1))
    node.not_understood("axis={} not supported, supported: 1", axis);
  return {{ir::Flatten{}, {node.input(0)}}};
}

Steps read_reshape(NodeReader& node) {
  const bool allow_zero = node.integer("allowzero", 0) != 0;
  const Shape from = node.file_shape(0);
  Shape target = resolve_reshape(node, from, node.constant_integers(1, "shape"), allow_zero);
  if (!target.empty() && !from.empty() && target[0] == from[0])
    target[0] = node.shape(0)[0];
  return reshape_to(node, target);
}

Steps read_squeeze(NodeReader& node) {
  const Shape& from = node.shape(0);
  const auto axes = node.integers_from("axes", 1);
  if (!axes)
    node.not_understood("no axes given: it would remove the batch");
  std::vector<bool> drop(from.size());
  for (const std::int64_t axis : *axes) {
    const auto i = static_cast<std::size_t>(checked_axis(node, axis, from.size()));
    if (from[i] != 1)
      node.fail("axis {} has size {}, allowed: 1", axis, from[i]);
    drop[i] = true;
  }
  Shape target;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!drop[i])
      target.push_back(from[i]);
  }
  if (!drop.empty() && drop[0])
    node.not_understood("removes the batch");
  return reshape_to(node, target);
}

Steps read_unsqueeze(NodeReader& node) {
  const Shape& from = node.shape(0);
  const auto axes = node.integers_from("axes", 1);
  if (!axes)
    node.fail("axes are missing");
  std::vector<bool> added(from.size() + axes->size());
  for (const std::int64_t axis : *axes)
    added[static_cast<std::size_t>(checked_axis(node, axis, added.size()))] = true;
  if (static_cast<std::size_t>(std::ranges::count(added, true)) != axes->size())
    node.fail("axes {} name one twice", ir::to_string(*axes));
  if (added[0])
    node.not_understood("adds a dimension before the batch");
  Shape target;
  std::size_t next = 0;
  for (const bool is_new : added)
    target.push_back(is_new ? 1 : from[next++]);
  return reshape_to(node, target);
}

// Only a Transpose that leaves elements where they are in memory.
Steps read_transpose(NodeReader& node) {
  const Shape& from = node.shape(0);
  Shape order(from.size());
  std::iota(order.rbegin(), order.rend(), 0);
  const Shape perm = node.integers("perm").value_or(order);
  if (!std::ranges::is_permutation(perm, order))
    node.fail("perm {} is not an order of {} dimensions", ir::to_string(perm), from.size());
  Shape target;
  std::int64_t last = -1;
  bool in_order = !perm.empty() && perm[0] == 0;
  for (const std::int64_t axis : perm) {
    const std::int64_t size = from[static_cast<std::size_t>(axis)];
    target.push_back(size);
    if (size != 1) {
      in_order = in_order && axis > last;
      last = axis;
    }
  }
  if (!in_order)
    node.not_understood("perm={} not supported", ir::to_string(perm));
  return reshape_to(node, target);
}

Steps read_concat(NodeReader& node) {
  const std::int64_t axis = checked_axis(node, node.integer("axis", 1), node.shape(0).size());
  if (axis == 0)
    node.not_understood("joins along the batch");
  std::vector<ValueId> inputs;
  for (int i = 0; i < node.input_count(); ++i) {
    if (node.is_constant(i))
      node.not_understood("joins the constant '{}' to activations", node.value(i).name);
    inputs.push_back(node.input(i));
  }
  return {{ir::Concat{axis}, inputs}};
}

Steps read_pad(NodeReader& node) {
  if (const std::string mode = node.text("mode", "constant"); mode != "constant")
    node.not_understood("mode={} not supported, supported: constant", mode);
  require_image(node);
  const auto pads = node.integers_from("pads", 1);
  if (!pads)
    node.fail("pads are missing");
  float value = node.real("value", 0);
  if (node.has_input(2))
    value = node.constant_float(2, "value");
  std::vector<std::int64_t> axes{0, 1, 2, 3};
  if (node.has_input(3))
    axes = node.constant_integers(3, "axes");
  if (pads->size() != 2 * axes.size())
    node.fail("{} pads for {} axes, allowed: two for each", pads->size(), axes.size());
  std::array<std::int64_t, 8> all{};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(checked_axis(node, axes[i], 4));
    all[axis] = (*pads)[i];
    all[axis + 4] = (*pads)[i + axes.size()];
  }
  if (all[0] != 0 || all[1] != 0 || all[4] != 0 || all[5] != 0)
    node.not_understood("pads batch or channels, supported: H and W");
  return {{ir::Pad{{all[2], all[3], all[6], all[7]}, value}, {node.input(0)}}};
}

// Before opset 13 everything from `axis` on is one axis.
Steps read_softmax(NodeReader& node) {
  const Shape& x = node.shape(0);
  const bool old = node.opset() < 13;
  const std::int64_t axis = checked_axis(node, node.integer("axis", old ? 1 : -1), x.size());
  const bool single =
      std::all_of(x.begin() + axis + 1, x.end(), [](std::int64_t size) { return size == 1; });
  if (old && !single)
    node.not_understood("axis={} over several dimensions not supported", axis);
  if (axis == 0)
    node.not_understood("runs over the batch");
  return {{ir::Softmax{axis}, {node.input(0)}}};
}

constexpr OperatorReader kReaders[] = {
    {"Add", read_binary<ir::BinaryKind::kAdd>},
    {"AveragePool", read_average_pool},
    {"BatchNormalization", read_batch_norm},
    {"Cast", read_cast},
    {"Clip", read_clip},
    {"Concat", read_concat},
    {"Conv", read_conv},
    {"ConvTranspose", read_conv_transpose},
    {"Div", read_binary<ir::BinaryKind::kDiv>},
    {"Dropout", read_dropout},
    {"Flatten", read_flatten},
    {"Gemm", read_gemm},
    {"GlobalAveragePool", read_global_pool<ir::PoolKind::kAverage>},
    {"GlobalMaxPool", read_global_pool<ir::PoolKind::kMax>},
    {"HardSigmoid", read_hard_sigmoid},
    {"HardSwish", read_unary<ir::UnaryKind::kHardSwish>},
    {"Identity", read_unary<ir::UnaryKind::kIdentity>},
    {"LeakyRelu", read_leaky_relu},
    {"MatMul", read_matmul},
    {"MaxPool", read_max_pool},
    {"Mul", read_binary<ir::BinaryKind::kMul>},
    {"Pad", read_pad},
    {"ReduceMax", read_reduce<ir::PoolKind::kMax>},
    {"ReduceMean", read_reduce<ir::PoolKind::kAverage>},
    {"Relu", read_unary<ir::UnaryKind::kRelu>},
    {"Reshape", read_reshape},
    {"Sigmoid", read_unary<ir::UnaryKind::kSigmoid>},
    {"Softmax", read_softmax},
    {"Squeeze", read_squeeze},
    {"Sub", read_binary<ir::BinaryKind::kSub>},
    {"Tanh", read_unary<ir::UnaryKind::kTanh>},
    {"Transpose", read_transpose},
    {"Unsqueeze", read_unsqueeze},
};

}  // namespace

std::span<const OperatorReader> operator_readers() {
  return kReaders;
}

}  // namespace tessera::onnx
