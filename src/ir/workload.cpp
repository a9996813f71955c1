// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/workload.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "tessera/ir/generic.h"

namespace tessera::ir {
namespace {

bool is_unknown(const Node& node) {
  return std::holds_alternative<Unknown>(node.op);
}

// All that the node reads and writes has a size.
bool is_sized(const Graph& graph, const Node& node) {
  const auto sized = [&](ValueId id) { return graph.value(id).shape.has_value(); };
  return std::ranges::all_of(node.inputs, sized) && std::ranges::all_of(node.outputs, sized);
}

class Builder {
 public:
  explicit Builder(const Graph& graph)
      : graph_(graph), step_of_(graph.values().size(), -1), counted_(graph.values().size()) {}

  Workload build() {
    const auto nodes = graph_.nodes();
    for (std::uint32_t i = 0; i < nodes.size(); ++i) {
      if (!is_unknown(nodes[i]) && is_sized(graph_, nodes[i]))
        add(NodeId{i}, nodes[i]);
    }
    for (const ValueId output : graph_.outputs) {
      if (graph_.value(output).shape && !graph_.value(output).constant)
        result_.edges.push_back({step_of_[output.index()], -1, elements(output)});
    }
    return std::move(result_);
  }

 private:
  std::int64_t elements(ValueId id) const { return element_count(*graph_.value(id).shape); }
  const Shape& shape(ValueId id) const { return *graph_.value(id).shape; }

  void add(NodeId id, const Node& node) {
    const int step = static_cast<int>(result_.order.size());
    std::int64_t activations = 0;
    for (const ValueId input : node.inputs) {
      if (graph_.value(input).constant)
        continue;
      activations += elements(input);
      result_.edges.push_back({step_of_[input.index()], step, elements(input)});
    }
    const bool layer = is_layer(node.op);
    result_.order.push_back(
        {layer, static_cast<int>(layer ? result_.layers.size() : result_.glue.size())});
    if (layer)
      add_layer(id, node, activations);
    else
      add_glue(id, node, activations);
    for (const ValueId output : node.outputs)
      step_of_[output.index()] = step;
  }

  LayerDims dims(const Node& node) const {
    const Shape& x = shape(node.inputs[0]);
    const Shape& w = shape(node.inputs[1]);
    const Shape& y = shape(node.outputs[0]);
    if (const auto* conv = std::get_if<Conv>(&node.op)) {
      return {.C = x[1],
              .M = w[0],
              .R = w[2],
              .S = w[3],
              .P = y[2],
              .Q = y[3],
              .G = conv->groups,
              .H = x[2],
              .W = x[3]};
    }
    const std::int64_t rows = element_count(x) / std::max<std::int64_t>(x.back(), 1);
    return {.C = w[1], .M = w[0], .P = rows, .H = rows};
  }

  void add_layer(NodeId id, const Node& node, std::int64_t activations) {
    Layer layer{
        .node = id, .name = node.name, .op = std::string(name(node.op)), .dims = dims(node)};
    layer.weights = elements(node.inputs[1]);
    layer.macs = layer.weights * layer.positions();
    layer.bias = node.inputs.size() > 2 ? elements(node.inputs[2]) : 0;
    layer.input_elements = activations;
    layer.output_elements = elements(node.outputs[0]);
    result_.macs += layer.macs;
    result_.params += layer.weights + layer.bias;
    result_.layers.push_back(std::move(layer));
  }

  void add_glue(NodeId id, const Node& node, std::int64_t activations) {
    std::int64_t outputs = 0;
    for (const ValueId output : node.outputs)
      outputs += elements(output);
    for (const ValueId input : node.inputs) {
      const Value& value = graph_.value(input);
      if (value.constant && value.dtype == DType::kFloat32 && !counted_[input.index()]) {
        counted_[input.index()] = true;
        result_.params += elements(input);
      }
    }
    const std::int64_t operations = std::visit(
        Overloaded{
            [](const Conv&) { return std::int64_t{0}; },
            [](const Linear&) { return std::int64_t{0}; },
            [&](const BatchNorm&) { return 2 * outputs; },  // multiply and add
            [&](const Unary& unary) { return unary.kind == UnaryKind::kIdentity ? 0 : outputs; },
            [&](const Binary&) { return outputs; },
            [&](const Pool& pool) { return outputs * pool.kernel[0] * pool.kernel[1]; },
            [&](const GlobalPool&) { return activations; },
            [](const Flatten&) { return std::int64_t{0}; },
            [](const Reshape&) { return std::int64_t{0}; },
            [](const Concat&) { return std::int64_t{0}; },
            [](const Pad&) { return std::int64_t{0}; },
            [&](const Softmax&) { return 3 * outputs; },  // exponential, sum, division
            [&](const Generic&) { return generic_operations(graph_, node); },
            [](const Unknown&) { return std::int64_t{0}; },
        },
        node.op);
    result_.glue.push_back({.node = id,
                            .name = node.name,
                            .op = std::string(name(node.op)),
                            .operations = operations,
                            .input_elements = activations,
                            .output_elements = outputs});
  }

  const Graph& graph_;
  std::vector<int> step_of_;   // by value: the step that makes it, -1 for the network's inputs
  std::vector<bool> counted_;  // by value: constants of glue already in params
  Workload result_;
};

}  // namespace

std::vector<std::string> unknown_operators(const Graph& graph) {
  std::vector<std::string> list;
  for (const Node& node : graph.nodes()) {
    if (const auto* unknown = std::get_if<Unknown>(&node.op)) {
      const std::string domain = unknown->domain.empty() ? "" : unknown->domain + ".";
      list.push_back(
          fmt::format("{}{} at '{}': {}", domain, unknown->type, node.name, unknown->why));
    }
  }
  return list;
}

std::vector<std::string> unsized_nodes(const Graph& graph) {
  std::vector<std::string> list;
  for (const Node& node : graph.nodes()) {
    if (!is_unknown(node) && !is_sized(graph, node))
      list.push_back(node.name);
  }
  return list;
}

Workload understood_workload(const Graph& graph) {
  return Builder(graph).build();
}

Workload workload(const Graph& graph) {
  const auto unknown = unknown_operators(graph);
  if (!unknown.empty()) {
    throw UnsupportedError(fmt::format("{} operator{} not understood:\n  {}", unknown.size(),
                                       unknown.size() == 1 ? " is" : "s are",
                                       fmt::join(unknown, "\n  ")));
  }
  for (const ValueId input : graph.inputs) {
    const Value& value = graph.value(input);
    if (!value.shape) {
      throw UnsupportedError(
          fmt::format("input '{}' has a size that is not fixed; allowed: every dimension but the "
                      "batch fixed, in "
                      "the file or behind the network's name (NETWORK?{}=1x3x224x224)",
                      value.name, value.name));
    }
  }
  return understood_workload(graph);
}

}  // namespace tessera::ir
