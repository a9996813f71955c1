// SPDX-License-Identifier: Apache-2.0
#include "import_windows.h"

#include <algorithm>

#include "fold_node.h"

namespace tessera::onnx {
namespace {

using ir::Shape;
using ir::Tensor;
using ir::ValueId;
using Steps = std::vector<ImportStep>;

// Largest kernel, stride or pad; the verifier allows no more either.
constexpr std::int64_t kMostWindow = 1 << 20;

struct Window {
  std::array<std::int64_t, 2> kernel;
  std::array<std::int64_t, 2> strides;
  std::array<std::int64_t, 2> dilations;
};

// Explicit pads, or those that auto_pad asks for.
std::array<std::int64_t, 4> read_pads(NodeReader& node, const Window& window) {
  const auto explicit_pads = node.four("pads");
  const std::string mode = node.text("auto_pad", "NOTSET");
  if (mode == "NOTSET")
    return explicit_pads;
  if (mode == "VALID")
    return {0, 0, 0, 0};
  if (mode != "SAME_UPPER" && mode != "SAME_LOWER")
    node.fail("auto_pad is {}, allowed: NOTSET, SAME_UPPER, SAME_LOWER, VALID", mode);
  std::array<std::int64_t, 4> pads{};
  for (std::size_t i = 0; i < 2; ++i) {
    for (const std::int64_t value : {window.kernel[i], window.strides[i], window.dilations[i]}) {
      if (value < 1 || value > kMostWindow)
        node.fail("kernel, stride or dilation is {}, allowed: 1 to {}", value, kMostWindow);
    }
    const std::int64_t size = node.shape(0)[2 + i];
    const std::int64_t outputs = (size + window.strides[i] - 1) / window.strides[i];
    const std::int64_t reach = (window.kernel[i] - 1) * window.dilations[i] + 1;
    const std::int64_t total =
        std::max<std::int64_t>((outputs - 1) * window.strides[i] + reach - size, 0);
    pads[i] = mode == "SAME_UPPER" ? total / 2 : total - total / 2;
    pads[i + 2] = total - pads[i];
  }
  return pads;
}

// A convolution over one dimension [N,C,L] is one over images of a single row, with the weights
// [M,C,R] as [M,C,1,R]: so it is a layer like any other.
Steps read_conv_1d(NodeReader& node) {
  // Copies: a constant that is added may move the graph's values.
  const Tensor weight = node.constant(1, "weight");
  const Shape x = node.shape(0);
  const Shape w = weight.shape();
  if (x.size() != 3)
    node.fail("input of shape {} does not fit weights {}", ir::to_string(x), ir::to_string(w));
  const auto single = [&](const char* attribute, std::size_t count, std::int64_t fallback) {
    const auto list = node.integers(attribute).value_or(Shape(count, fallback));
    if (list.size() != count)
      node.fail("{} has {} values, allowed: {}", attribute, list.size(), count);
    for (const std::int64_t value : list) {
      if (value < fallback || value > kMostWindow)
        node.fail("{} is {}, allowed: {} to {}", attribute, value, fallback, kMostWindow);
    }
    return list;
  };
  const std::int64_t stride = single("strides", 1, 1)[0];
  const std::int64_t dilation = single("dilations", 1, 1)[0];
  const Shape pads = single("pads", 2, 0);
  if (single("kernel_shape", 1, 1)[0] != w[2] && node.has("kernel_shape"))
    node.fail("kernel_shape does not fit the weight's shape {}", ir::to_string(w));
  if (const std::string mode = node.text("auto_pad", "NOTSET"); mode != "NOTSET")
    node.not_understood("auto_pad={} not supported over one dimension", mode);
  const std::int64_t span = x[2] + pads[0] + pads[1] - dilation * (w[2] - 1) - 1;
  if (span < 0)
    node.fail("a kernel of {} with dilation {} does not fit into {} with pads {} and {}", w[2],
              dilation, x[2], pads[0], pads[1]);
  const Tensor row(weight.dtype(), {w[0], w[1], 1, w[2]},
                   {weight.bytes().begin(), weight.bytes().end()});
  std::vector<ValueId> inputs{ValueId{}, node.add_constant(node.value(1).name + "_row", row)};
  if (node.has_input(2)) {
    node.constant(2, "bias");
    inputs.push_back(node.input(2));
  }
  const ir::Conv conv{.strides = {1, stride},
                      .pads = {0, pads[0], 0, pads[1]},
                      .dilations = {1, dilation},
                      .groups = node.integer("group", 1)};
  return {{ir::Reshape{{x[1], 1, x[2]}}, {node.input(0)}},
          {conv, inputs},
          {ir::Reshape{{w[0], span / stride + 1}}, {ValueId{}}}};
}

Steps read_pool(NodeReader& node, ir::PoolKind kind) {
  require_image(node);
  node.require_only_first_output();
  if (!node.has("kernel_shape"))
    node.fail("kernel_shape is missing");
  const Window window{node.pair("kernel_shape", 1), node.pair("strides", 1),
                      node.pair("dilations", 1)};
  if (window.dilations != std::array<std::int64_t, 2>{1, 1})
    node.not_understood("dilations not supported");
  if (node.integer("storage_order", 0) != 0)
    node.not_understood("storage_order=1 not supported");
  const ir::Pool pool{.kind = kind,
                      .kernel = window.kernel,
                      .strides = window.strides,
                      .pads = read_pads(node, window),
                      .ceil_mode = node.integer("ceil_mode", 0) != 0,
                      .count_include_pad = node.integer("count_include_pad", 0) != 0};
  const Shape* x = node.known_shape(0);
  if (x != nullptr && pool.kernel == std::array{(*x)[2], (*x)[3]} &&
      pool.pads == std::array<std::int64_t, 4>{})
    return {{ir::GlobalPool{kind}, {node.input(0)}}};
  return {{pool, {node.input(0)}}};
}

}  // namespace

void require_image(const NodeReader& node) {
  const Shape* x = node.known_shape(0);
  if (x != nullptr && x->size() != 4)
    node.not_understood("input of shape {}, supported: NxCxHxW", ir::to_string(*x));
}

void require_floats(const NodeReader& node, const Tensor& tensor, std::string_view what) {
  if (tensor.dtype() != ir::DType::kFloat32)
    node.not_understood("{} holds {}, supported: float32", what, ir::name(tensor.dtype()));
}

// A transposed convolution whose windows do not overlap (U-Net's way up) gives each input R·S
// outputs: a 1x1 convolution to M·R·S channels, which are then put side by side. So it is a layer
// too. Others are kept as ONNX defines them.
Steps read_conv_transpose(NodeReader& node) {
  // Copies: a constant that is added may move the graph's values.
  const Tensor weight = node.constant(1, "weight");
  require_image(node);
  const Shape w = weight.shape();  // [C, M, R, S]
  if (w.size() != 4)
    node.not_understood("weight of shape {}, supported: CxMxRxS", ir::to_string(w));
  require_floats(node, weight, "weight");
  const auto plain = [&](const char* attribute, const Shape& wanted) {
    return node.integers(attribute).value_or(wanted) == wanted;
  };
  const bool apart = w[2] == w[3] &&
                     node.integers("strides").value_or(Shape{1, 1}) == Shape{w[2], w[3]} &&
                     plain("kernel_shape", {w[2], w[3]}) && plain("dilations", {1, 1}) &&
                     plain("pads", {0, 0, 0, 0}) && plain("output_padding", {0, 0}) &&
                     node.integer("group", 1) == 1 && node.text("auto_pad", "NOTSET") == "NOTSET" &&
                     !node.has("output_shape");
  if (!apart)
    node.not_understood("windows that overlap");
  const std::int64_t filters = w[1] * w[2] * w[3];
  const Tensor turned = transposed(
      Tensor(weight.dtype(), {w[0], filters}, {weight.bytes().begin(), weight.bytes().end()}),
      {1, 0});
  const std::string stem = node.value(1).name;
  std::vector<ValueId> inputs{
      node.input(0),
      node.add_constant(stem + "_1x1", Tensor(weight.dtype(), {filters, w[0], 1, 1},
                                              {turned.bytes().begin(), turned.bytes().end()}))};
  if (node.has_input(2)) {
    const Tensor& bias = node.constant(2, "bias");
    require_floats(node, bias, "bias");
    if (bias.shape() != Shape{w[1]})
      node.fail("bias has shape {}, allowed: {}", ir::to_string(bias.shape()), w[1]);
    std::vector<float> repeated;
    for (const float value : bias.values<float>())
      repeated.insert(repeated.end(), static_cast<std::size_t>(w[2] * w[3]), value);
    inputs.push_back(
        node.add_constant(node.value(2).name + "_repeated", Tensor::from({filters}, repeated)));
  }
  const ir::Generic side_by_side{.type = "DepthToSpace",
                                 .opset = std::max(node.opset(), 11),
                                 .attributes = {{"blocksize", w[2]}, {"mode", std::string("CRD")}},
                                 .positions = {0}};
  return {{ir::Conv{}, inputs}, {side_by_side, {ValueId{}}}};
}

Steps read_conv(NodeReader& node) {
  if (node.constant(1, "weight").shape().size() == 3)
    return read_conv_1d(node);
  const Shape weight = node.constant(1, "weight").shape();
  if (weight.size() != 4)
    node.not_understood("weight of shape {}, supported: MxCxRxS", ir::to_string(weight));
  require_image(node);
  if (const auto kernel = node.integers("kernel_shape");
      kernel && *kernel != Shape(weight.begin() + 2, weight.end())) {
    node.fail("kernel_shape {} does not fit the weight's shape {}", ir::to_string(*kernel),
              ir::to_string(weight));
  }
  const Window window{{weight[2], weight[3]}, node.pair("strides", 1), node.pair("dilations", 1)};
  ir::Conv conv{.strides = window.strides,
                .pads = read_pads(node, window),
                .dilations = window.dilations,
                .groups = node.integer("group", 1)};
  std::vector<ValueId> inputs{node.input(0), node.input(1)};
  if (node.has_input(2)) {
    node.constant(2, "bias");
    inputs.push_back(node.input(2));
  }
  return {{conv, inputs}};
}

Steps read_max_pool(NodeReader& node) {
  return read_pool(node, ir::PoolKind::kMax);
}

Steps read_average_pool(NodeReader& node) {
  return read_pool(node, ir::PoolKind::kAverage);
}

}  // namespace tessera::onnx
