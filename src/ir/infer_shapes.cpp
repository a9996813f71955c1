// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tessera/ir/verify.h"

#include "arity.h"
#include "generic/rule.h"
#include "misfit.h"

namespace tessera::ir {
namespace {

// The rules of one node. Each operator() returns the shape of the only output; all inputs have
// shapes when it is called.
class Rules {
 public:
  Rules(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}

  Shape operator()(const Conv& conv) const {
    const Shape& x = image();
    const Shape& w = shape(1);
    require(w.size() == 4, "weights have shape {}, allowed: MxC/groupsxRxS", to_string(w));
    require(conv.groups >= 1 && w[0] % conv.groups == 0 && x[1] == w[1] * conv.groups,
            "input {} does not fit weights {} in {} groups", to_string(x), to_string(w),
            conv.groups);
    bias(w[0]);
    return {x[0], w[0],
            window({.size = x[2],
                    .pad_begin = conv.pads[0],
                    .pad_end = conv.pads[2],
                    .kernel = w[2],
                    .stride = conv.strides[0],
                    .dilation = conv.dilations[0]}),
            window({.size = x[3],
                    .pad_begin = conv.pads[1],
                    .pad_end = conv.pads[3],
                    .kernel = w[3],
                    .stride = conv.strides[1],
                    .dilation = conv.dilations[1]})};
  }

  Shape operator()(const Linear&) const {
    Shape y = shape(0);
    const Shape& w = shape(1);
    require(w.size() == 2, "weights have shape {}, allowed: MxK", to_string(w));
    require(y.size() >= 2 && y.back() == w[1], "input {} does not fit weights {}", to_string(y),
            to_string(w));
    bias(w[0]);
    y.back() = w[0];
    return y;
  }

  Shape operator()(const BatchNorm&) const {
    const Shape& x = shape(0);
    require(x.size() >= 2, "input has shape {}, allowed: NxCx..", to_string(x));
    for (std::size_t i = 1; i < 5; ++i) {
      require(shape(i) == Shape{x[1]}, "parameter {} has shape {}, allowed: {}", i,
              to_string(shape(i)), x[1]);
    }
    return x;
  }

  Shape operator()(const Unary&) const { return shape(0); }

  Shape operator()(const Binary&) const {
    const bool constant_a = is_constant(0);
    const bool constant_b = is_constant(1);
    const Shape& a = shape(0);
    const Shape& b = shape(1);
    Shape y = a.size() >= b.size() ? a : b;
    const Shape& less = a.size() >= b.size() ? b : a;
    for (std::size_t i = 1; i <= less.size(); ++i) {
      std::int64_t& size = y[y.size() - i];
      const std::int64_t other = less[less.size() - i];
      require(size == other || size == 1 || other == 1, "shapes {} and {} do not fit", to_string(a),
              to_string(b));
      size = size == 1 ? other : size;
    }
    // Broadcasting must leave the batch where it is: outermost and 1.
    const bool batch_kept = constant_a && constant_b ? true
                            : !constant_a && !constant_b
                                ? a.size() == b.size() && (y.empty() || y[0] == a[0])
                                : y.size() == shape(constant_a ? 1 : 0).size() &&
                                      (y.empty() || y[0] == shape(constant_a ? 1 : 0)[0]);
    require(batch_kept, "broadcasting {} with {} moves the batch dimension", to_string(a),
            to_string(b));
    return y;
  }

  Shape operator()(const Pool& pool) const {
    const Shape& x = image();
    for (const std::size_t i : {0U, 1U}) {
      require(pool.pads[i] < pool.kernel[i] && pool.pads[i + 2] < pool.kernel[i],
              "pads {} and {} are not smaller than the kernel of {}", pool.pads[i],
              pool.pads[i + 2], pool.kernel[i]);
    }
    const auto along = [&](std::size_t i) {
      return window({.size = x[2 + i],
                     .pad_begin = pool.pads[i],
                     .pad_end = pool.pads[i + 2],
                     .kernel = pool.kernel[i],
                     .stride = pool.strides[i],
                     .ceil_mode = pool.ceil_mode});
    };
    return {x[0], x[1], along(0), along(1)};
  }

  Shape operator()(const GlobalPool&) const {
    const Shape& x = image();
    return {x[0], x[1], 1, 1};
  }

  Shape operator()(const Flatten&) const {
    const Shape& x = shape(0);
    require(!x.empty(), "input is a scalar");
    return {x[0], element_count({x.begin() + 1, x.end()})};
  }

  Shape operator()(const Reshape& reshape) const {
    const Shape& x = shape(0);
    require(!x.empty(), "input is a scalar");
    require(std::ranges::all_of(reshape.sizes, [](std::int64_t size) { return size > 0; }),
            "sizes {} are not all positive", to_string(reshape.sizes));
    const auto count = checked_element_count(reshape.sizes);
    require(count && *count * x[0] == element_count(x), "input {} does not fit sizes {}",
            to_string(x), to_string(reshape.sizes));
    Shape y{x[0]};
    y.insert(y.end(), reshape.sizes.begin(), reshape.sizes.end());
    return y;
  }

  Shape operator()(const Concat& concat) const {
    Shape y = shape(0);
    const auto axis = behind_batch(concat.axis, y);
    for (std::size_t i = 0; i < node_.inputs.size(); ++i) {
      require(is_constant(i) == is_constant(0), "constants cannot be joined to a batch");
      const Shape& other = shape(i);
      require(other.size() == y.size(), "inputs {} and {} differ in rank", to_string(shape(0)),
              to_string(other));
      for (std::size_t k = 0; k < y.size(); ++k) {
        require(k == axis || other[k] == y[k], "inputs {} and {} differ outside axis {}",
                to_string(shape(0)), to_string(other), axis);
      }
      y[axis] += i == 0 ? 0 : other[axis];
    }
    return y;
  }

  Shape operator()(const Pad& pad) const {
    Shape y = image();
    for (const std::size_t i : {0U, 1U}) {
      y[2 + i] += in_range(pad.pads[i], -kMost, "pad") + in_range(pad.pads[i + 2], -kMost, "pad");
      require(y[2 + i] > 0, "pads leave nothing of input {}", to_string(shape(0)));
    }
    return y;
  }

  Shape operator()(const Softmax& softmax) const {
    behind_batch(softmax.axis, shape(0));
    return shape(0);
  }

  Shape operator()(const Generic&) const { return {}; }
  Shape operator()(const Unknown&) const { return {}; }

  template <typename... Args>
  void require(bool condition, fmt::format_string<Args...> text, Args&&... args) const {
    if (!condition)
      throw Misfit{fmt::format(text, std::forward<Args>(args)...)};
  }

 private:
  static constexpr std::int64_t kMost = 1 << 20;  // of kernels, strides and pads

  struct Window {
    std::int64_t size, pad_begin, pad_end, kernel, stride;
    std::int64_t dilation = 1;
    bool ceil_mode = false;
  };

  std::int64_t in_range(std::int64_t value, std::int64_t least, std::string_view what) const {
    require(value >= least && value <= kMost, "{} is {}, allowed: {} to {}", what, value, least,
            kMost);
    return value;
  }

  std::int64_t window(const Window& w) const {
    in_range(w.pad_begin, 0, "pad");
    in_range(w.pad_end, 0, "pad");
    in_range(w.kernel, 1, "kernel size");
    in_range(w.stride, 1, "stride");
    in_range(w.dilation, 1, "dilation");
    const std::int64_t span = w.size + w.pad_begin + w.pad_end - w.dilation * (w.kernel - 1) - 1;
    require(span >= 0, "a kernel of {} with dilation {} does not fit into {} with pads {} and {}",
            w.kernel, w.dilation, w.size, w.pad_begin, w.pad_end);
    std::int64_t count = span / w.stride + 1;
    // With ceil_mode a last window may reach beyond the padding, but must start before it ends.
    if (w.ceil_mode && span % w.stride != 0 && count * w.stride < w.size + w.pad_begin)
      ++count;
    return count;
  }

  const Value& input(std::size_t i) const { return graph_.value(node_.inputs[i]); }
  const Shape& shape(std::size_t i) const { return *input(i).shape; }
  bool is_constant(std::size_t i) const { return input(i).constant.has_value(); }

  const Shape& image() const {
    require(shape(0).size() == 4, "input has shape {}, allowed: NxCxHxW", to_string(shape(0)));
    return shape(0);
  }

  void bias(std::int64_t channels) const {
    if (node_.inputs.size() > 2) {
      require(shape(2) == Shape{channels}, "bias has shape {}, allowed: {}", to_string(shape(2)),
              channels);
    }
  }

  std::size_t behind_batch(std::int64_t axis, const Shape& x) const {
    require(axis >= 1 && axis < static_cast<std::int64_t>(x.size()),
            "axis is {}, allowed: 1 to {} (0 is the batch)", axis,
            static_cast<std::int64_t>(x.size()) - 1);
    return static_cast<std::size_t>(axis);
  }

  const Graph& graph_;
  const Node& node_;
};

// Operators that move values about without computing, and so take any type.
bool takes_any_type(const Op& op) {
  const auto* unary = std::get_if<Unary>(&op);
  return std::holds_alternative<Flatten>(op) || std::holds_alternative<Reshape>(op) ||
         std::holds_alternative<Concat>(op) ||
         (unary != nullptr && unary->kind == UnaryKind::kIdentity);
}

void infer_generic(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const GenericCall call(graph, node);
  const GenericRule* rule = find_rule(call.op.domain, call.op.type);
  const auto sizes_unknown = [&](const std::string& what) {
    throw Misfit{fmt::format("its sizes depend on {}, which is not constant", what)};
  };
  if (rule->infer == nullptr)
    sizes_unknown("values");
  std::vector<TypedShape> found;
  try {
    found = rule->infer(call);
  } catch (const NeedsConstant& needed) {
    sizes_unknown(needed.what);
  }
  call.require(found.size() >= call.outputs(), "{} outputs, allowed: {}", call.outputs(),
               found.size());
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    call.require(checked_element_count(found[i].shape).has_value(), "output {} is too large",
                 to_string(found[i].shape));
    Value& output = graph.value(node.outputs[i]);
    output.shape = std::move(found[i].shape);
    output.dtype = found[i].dtype;
  }
}

void apply_rules(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const Rules rules(graph, node);
  const Arity allowed = arity(node.op);
  rules.require(
      node.inputs.size() >= allowed.min_inputs && node.inputs.size() <= allowed.max_inputs,
      "{} inputs, allowed: {} to {}", node.inputs.size(), allowed.min_inputs, allowed.max_inputs);
  rules.require(
      node.outputs.size() >= allowed.min_outputs && node.outputs.size() <= allowed.max_outputs,
      "{} outputs, allowed: {}", node.outputs.size(), allowed.min_outputs);
  const bool sized = !std::holds_alternative<Unknown>(node.op) &&
                     std::ranges::all_of(node.inputs, [&](ValueId input) {
                       return graph.value(input).shape.has_value();
                     });
  if (!sized) {
    for (const ValueId output : node.outputs)
      graph.value(output).shape.reset();
    return;
  }
  if (std::holds_alternative<Generic>(node.op)) {
    infer_generic(graph, id);
    return;
  }
  const DType dtype = graph.value(node.inputs.front()).dtype;
  for (const ValueId input : node.inputs) {
    const DType found = graph.value(input).dtype;
    const bool integers = std::holds_alternative<Binary>(node.op) && found == DType::kInt64;
    rules.require(
        found == dtype && (found == DType::kFloat32 || integers || takes_any_type(node.op)),
        "input '{}' holds {}, allowed: float32", graph.value(input).name, name(found));
  }
  Shape shape = std::visit(rules, node.op);
  rules.require(checked_element_count(shape).has_value(), "output {} is too large",
                to_string(shape));
  Value& output = graph.value(node.outputs.front());
  output.shape = std::move(shape);
  output.dtype = dtype;
}

}  // namespace

std::optional<std::string> try_infer_node(Graph& graph, NodeId id) {
  try {
    apply_rules(graph, id);
  } catch (const Misfit& misfit) {
    return misfit.what;
  }
  return std::nullopt;
}

void infer_node(Graph& graph, NodeId id) {
  if (const auto misfit = try_infer_node(graph, id)) {
    const Node& node = graph.node(id);
    throw ImportError(fmt::format("node '{}' ({}): {}", node.name, name(node.op), *misfit));
  }
}

Graph infer_shapes(Graph graph) {
  for (std::uint32_t i = 0; i < graph.nodes().size(); ++i)
    infer_node(graph, {i});
  return graph;
}

}  // namespace tessera::ir
