// SPDX-License-Identifier: Apache-2.0
#include "fold_node.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "read_tensor.h"

namespace tessera::onnx {
namespace {

using ir::DType;
using ir::Shape;
using ir::Tensor;

Tensor integers(Shape shape, const std::vector<std::int64_t>& values) {
  return Tensor::from(std::move(shape), values);
}

Tensor reshaped(const Tensor& tensor, Shape shape) {
  return Tensor(tensor.dtype(), std::move(shape), {tensor.bytes().begin(), tensor.bytes().end()});
}

// A tensor of shape `shape` whose element at an index is `from`'s element at source(index).
template <typename Source>
Tensor rearranged(const NodeReader* node, const Tensor& from, const Shape& shape, Source source) {
  const auto count = ir::checked_element_count(shape);
  if (node != nullptr && (!count || *count > kMostFolded))
    node->not_understood("a constant of shape {} is too large to fold", ir::to_string(shape));
  const std::size_t size = ir::size_in_bytes(from.dtype());
  std::vector<std::byte> bytes(static_cast<std::size_t>(*count) * size);
  std::vector<std::int64_t> index(shape.size(), 0);
  for (std::size_t i = 0; i < static_cast<std::size_t>(*count); ++i) {
    const auto at = static_cast<std::size_t>(source(index)) * size;
    std::memcpy(bytes.data() + i * size, from.bytes().data() + at, size);
    for (std::size_t k = shape.size(); k-- > 0 && ++index[k] == shape[k];)
      index[k] = 0;
  }
  return Tensor(from.dtype(), shape, std::move(bytes));
}

std::vector<std::int64_t> strides_of(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;)
    strides[i - 1] = strides[i] * shape[i];
  return strides;
}

Tensor fold_constant(NodeReader& node) {
  if (auto value = node.tensor("value"))
    return *value;
  if (node.has("value_float"))
    return Tensor::from({}, std::vector<float>{node.real("value_float", 0)});
  if (node.has("value_int"))
    return integers({}, {node.integer("value_int", 0)});
  if (const auto list = node.reals("value_floats"))
    return Tensor::from({static_cast<std::int64_t>(list->size())}, *list);
  if (const auto list = node.integers("value_ints"))
    return integers({static_cast<std::int64_t>(list->size())}, *list);
  node.not_understood("a constant that is neither floats nor integers");
}

Tensor fold_shape(NodeReader& node) {
  const Shape shape = node.file_shape(0);
  const auto rank = static_cast<std::int64_t>(shape.size());
  const auto bound = [&](const char* name, std::int64_t fallback) {
    const std::int64_t value = node.integer(name, fallback);
    return std::clamp<std::int64_t>(value < 0 ? value + rank : value, 0, rank);
  };
  const std::int64_t start = bound("start", 0);
  const std::int64_t end = std::max(bound("end", rank), start);
  return integers({end - start}, {shape.begin() + start, shape.begin() + end});
}

Tensor fold_gather(NodeReader& node) {
  const Tensor& data = node.constant(0, "data");
  const std::vector<std::int64_t> indices = node.constant_integers(1, "indices");
  const Shape& index_shape = *node.value(1).shape;
  const auto axis =
      static_cast<std::size_t>(checked_axis(node, node.integer("axis", 0), data.shape().size()));
  const std::int64_t size = data.shape()[axis];
  for (const std::int64_t index : indices) {
    if (index < -size || index >= size)
      node.fail("index {} is not within {} elements", index, size);
  }
  Shape shape(data.shape().begin(), data.shape().begin() + static_cast<std::ptrdiff_t>(axis));
  shape.insert(shape.end(), index_shape.begin(), index_shape.end());
  shape.insert(shape.end(), data.shape().begin() + static_cast<std::ptrdiff_t>(axis) + 1,
               data.shape().end());
  const auto strides = strides_of(data.shape());
  const auto index_strides = strides_of(index_shape);
  return rearranged(&node, data, shape, [&](const std::vector<std::int64_t>& at) {
    std::int64_t source = 0;
    for (std::size_t k = 0; k < axis; ++k)
      source += at[k] * strides[k];
    std::int64_t which = 0;
    for (std::size_t k = 0; k < index_shape.size(); ++k)
      which += at[axis + k] * index_strides[k];
    const std::int64_t index = indices[static_cast<std::size_t>(which)];
    source += (index < 0 ? index + size : index) * strides[axis];
    for (std::size_t k = axis + 1; k < data.shape().size(); ++k)
      source += at[k - 1 + index_shape.size()] * strides[k];
    return source;
  });
}

Tensor fold_slice(NodeReader& node) {
  const Tensor& data = node.constant(0, "data");
  const auto part = [&](const char* name, int i) { return node.integers_from(name, i); };
  const auto starts = part("starts", 1).value_or(std::vector<std::int64_t>{});
  const auto ends = part("ends", 2).value_or(std::vector<std::int64_t>{});
  std::vector<std::int64_t> all(starts.size());
  std::iota(all.begin(), all.end(), 0);
  const auto axes = part("axes", 3).value_or(all);
  const auto steps = part("steps", 4).value_or(std::vector<std::int64_t>(starts.size(), 1));
  if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size())
    node.fail("starts, ends, axes and steps differ in number");
  Shape shape = data.shape();
  std::vector<std::int64_t> first(shape.size(), 0);
  std::vector<std::int64_t> step(shape.size(), 1);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const auto axis = static_cast<std::size_t>(checked_axis(node, axes[i], shape.size()));
    const std::int64_t size = data.shape()[axis];
    if (steps[i] < 1 || steps[i] > kMostFolded)
      node.not_understood("step {} not supported", steps[i]);
    const auto within = [&](std::int64_t at) {
      return std::clamp<std::int64_t>(at < 0 ? at + size : at, 0, size);
    };
    first[axis] = within(starts[i]);
    step[axis] = steps[i];
    const std::int64_t span = std::max<std::int64_t>(within(ends[i]) - first[axis], 0);
    shape[axis] = (span + steps[i] - 1) / steps[i];
  }
  const auto strides = strides_of(data.shape());
  return rearranged(&node, data, shape, [&](const std::vector<std::int64_t>& at) {
    std::int64_t source = 0;
    for (std::size_t k = 0; k < at.size(); ++k)
      source += (first[k] + at[k] * step[k]) * strides[k];
    return source;
  });
}

Tensor fold_concat(NodeReader& node) {
  const Tensor& first = node.constant(0, "input");
  const auto axis =
      static_cast<std::size_t>(checked_axis(node, node.integer("axis", 0), first.shape().size()));
  Shape shape = first.shape();
  shape[axis] = 0;
  for (int i = 0; i < node.input_count(); ++i) {
    const Tensor& part = node.constant(i, "input");
    Shape same = part.shape();
    if (part.dtype() != first.dtype() || same.size() != shape.size())
      node.fail("inputs differ in type or rank");
    shape[axis] += std::exchange(same[axis], shape[axis]);
    same[axis] = shape[axis];
    if (same != shape)
      node.fail("inputs differ outside axis {}", axis);
  }
  const auto outer = static_cast<std::size_t>(
      std::accumulate(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(axis),
                      std::int64_t{1}, std::multiplies<>()));
  std::vector<std::byte> bytes;
  for (std::size_t row = 0; row < outer; ++row) {
    for (int i = 0; i < node.input_count(); ++i) {
      const auto part = node.constant(i, "input").bytes();
      const std::size_t length = part.size() / outer;
      const auto from = part.subspan(row * length, length);
      bytes.insert(bytes.end(), from.begin(), from.end());
    }
  }
  return Tensor(first.dtype(), shape, std::move(bytes));
}

template <typename To, typename From>
Tensor cast(const Tensor& from) {
  std::vector<To> values;
  values.reserve(static_cast<std::size_t>(from.elements()));
  for (const From value : from.values<From>()) {
    if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
      // Beyond the range, and for NaN, ONNX leaves the result open; ours is the nearest, and 0.
      constexpr double kLimit = 9.2e18;
      const double wide = std::isnan(value) ? 0.0 : static_cast<double>(value);
      values.push_back(static_cast<To>(std::clamp(std::trunc(wide), -kLimit, kLimit)));
    } else {
      values.push_back(static_cast<To>(value));
    }
  }
  return Tensor::from(from.shape(), values);
}

template <typename To>
std::optional<Tensor> cast_any(const Tensor& from) {
  switch (from.dtype()) {
    case DType::kFloat32:
      return cast<To, float>(from);
    case DType::kInt8:
      return cast<To, std::int8_t>(from);
    case DType::kUint8:
      return cast<To, std::uint8_t>(from);
    case DType::kInt16:
      return cast<To, std::int16_t>(from);
    case DType::kInt32:
      return cast<To, std::int32_t>(from);
    case DType::kInt64:
      return cast<To, std::int64_t>(from);
    case DType::kFloat16:
    case DType::kBool:
      return std::nullopt;
  }
  return std::nullopt;
}

Tensor fold_cast(NodeReader& node) {
  const Tensor& from = node.constant(0, "input");
  node.ignore("saturate");
  const auto to = static_cast<int>(node.integer("to", 0));
  std::optional<Tensor> result;
  // Integers narrower than 64 bits in shape arithmetic hold sizes: 64 bits hold them as well.
  if (ir::dtype_from_onnx(to) == DType::kFloat32)
    result = cast_any<float>(from);
  else if (ir::dtype_from_onnx(to) == DType::kInt64 || ir::dtype_from_onnx(to) == DType::kInt32)
    result = cast_any<std::int64_t>(from);
  if (!result)
    node.not_understood("cast from {} to {} not supported", ir::name(from.dtype()),
                        onnx_type_name(to));
  return *result;
}

Tensor fold_constant_of_shape(NodeReader& node) {
  const Tensor value = node.tensor("value").value_or(Tensor::from({1}, std::vector<float>{0.0F}));
  if (value.elements() != 1)
    node.fail("value has {} elements, allowed: 1", value.elements());
  return rearranged(&node, value, node.constant_integers(0, "shape"),
                    [](const auto&) { return std::int64_t{0}; });
}

// Squeeze, Unsqueeze: the same elements under another shape.
Tensor fold_squeeze(NodeReader& node) {
  const Tensor& data = node.constant(0, "data");
  const bool insert = node.type() == "Unsqueeze";
  const auto axes = node.integers_from("axes", 1);
  Shape shape;
  if (!insert) {
    std::vector<bool> drop(data.shape().size(), !axes);
    for (const std::int64_t axis : axes.value_or(std::vector<std::int64_t>{}))
      drop[static_cast<std::size_t>(checked_axis(node, axis, drop.size()))] = true;
    for (std::size_t i = 0; i < drop.size(); ++i) {
      if (!drop[i] || data.shape()[i] != 1)
        shape.push_back(data.shape()[i]);
    }
  } else {
    if (!axes)
      node.fail("axes are missing");
    std::vector<bool> added(data.shape().size() + axes->size(), false);
    for (const std::int64_t axis : *axes)
      added[static_cast<std::size_t>(checked_axis(node, axis, added.size()))] = true;
    std::size_t next = 0;
    for (const bool is_new : added)
      shape.push_back(is_new || next >= data.shape().size() ? 1 : data.shape()[next++]);
  }
  if (ir::checked_element_count(shape) != data.elements())
    node.fail("axes do not fit shape {}", ir::to_string(data.shape()));
  return reshaped(data, shape);
}

Tensor fold_reshape(NodeReader& node) {
  const Tensor& data = node.constant(0, "data");
  const bool allow_zero = node.integer("allowzero", 0) != 0;
  return reshaped(
      data, resolve_reshape(node, data.shape(), node.constant_integers(1, "shape"), allow_zero));
}

Tensor fold_transpose(NodeReader& node) {
  const Tensor& data = node.constant(0, "data");
  std::vector<std::int64_t> reversed(data.shape().size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  const auto perm = node.integers("perm").value_or(reversed);
  if (!std::ranges::is_permutation(perm, reversed))
    node.fail("perm {} is not an order of {} dimensions", ir::to_string(perm), reversed.size());
  return transposed(data, perm);
}

}  // namespace

Tensor transposed(const Tensor& tensor, const std::vector<std::int64_t>& perm) {
  const auto strides = strides_of(tensor.shape());
  Shape shape;
  std::vector<std::int64_t> steps;
  for (const std::int64_t axis : perm) {
    shape.push_back(tensor.shape()[static_cast<std::size_t>(axis)]);
    steps.push_back(strides[static_cast<std::size_t>(axis)]);
  }
  return rearranged(nullptr, tensor, shape, [&](const std::vector<std::int64_t>& at) {
    return std::inner_product(at.begin(), at.end(), steps.begin(), std::int64_t{0});
  });
}

std::int64_t checked_axis(const NodeReader& node, std::int64_t axis, std::size_t rank) {
  const auto size = static_cast<std::int64_t>(rank);
  if (axis < -size || axis >= size)
    node.fail("axis is {}, allowed: {} to {}", axis, -size, size - 1);
  return axis < 0 ? axis + size : axis;
}

Shape resolve_reshape(const NodeReader& node, const Shape& from, Shape target, bool allow_zero) {
  const std::string asked = ir::to_string(target);
  const auto refuse = [&] { node.fail("shape {} cannot become {}", ir::to_string(from), asked); };
  std::optional<std::size_t> rest;
  std::int64_t known = 1;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] == 0 && !allow_zero) {
      if (i >= from.size())
        refuse();
      target[i] = from[i];
    }
    if (target[i] == -1 && !rest) {
      rest = i;
      continue;
    }
    const auto product = ir::checked_element_count({known, target[i]});
    if (!product)
      refuse();
    known = *product;
  }
  const std::int64_t count = ir::element_count(from);
  if (rest) {
    if (known == 0 || count % known != 0)
      refuse();
    target[*rest] = count / known;
  } else if (known != count) {
    refuse();
  }
  return target;
}

std::optional<Tensor> fold_node(NodeReader& node) {
  if (node.type() == "Constant")
    return fold_constant(node);
  if (node.type() == "Shape")
    return fold_shape(node);
  if (node.type() == "Size")
    return integers({}, {ir::element_count(node.file_shape(0))});
  if (node.input_count() == 0)
    return std::nullopt;
  for (int i = 0; i < node.input_count(); ++i) {
    if (node.has_input(i) && !node.is_constant(i))
      return std::nullopt;
  }
  using Fold = Tensor (*)(NodeReader&);
  static const std::unordered_map<std::string, Fold> kFolds{
      {"Cast", fold_cast},
      {"Concat", fold_concat},
      {"ConstantOfShape", fold_constant_of_shape},
      {"Gather", fold_gather},
      {"Reshape", fold_reshape},
      {"Slice", fold_slice},
      {"Squeeze", fold_squeeze},
      {"Transpose", fold_transpose},
      {"Unsqueeze", fold_squeeze},
  };
  const auto fold = kFolds.find(node.type());
  if (fold == kFolds.end())
    return std::nullopt;
  return fold->second(node);
}

}  // namespace tessera::onnx
