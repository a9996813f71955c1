// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tessera/ir/graph.h"
#include "tessera/ir/verify.h"

namespace tessera::ir {

// Puts small graphs together for tests, with shapes inferred as nodes are added.
class GraphBuilder {
 public:
  ValueId input(std::string name, Shape shape) {
    const ValueId id = graph.add_value({.name = std::move(name), .shape = std::move(shape)});
    graph.inputs.push_back(id);
    return id;
  }
  ValueId constant(std::string name, Shape shape, const std::vector<float>& values) {
    return graph.add_constant(std::move(name), Tensor::from(std::move(shape), values));
  }
  // Elements start, start + step, ...
  ValueId ramp(std::string name, Shape shape, float start = 0.5F, float step = 0.25F) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = start + step * static_cast<float>(i);
    return constant(std::move(name), std::move(shape), values);
  }
  // The output is called like the node with ":0" behind.
  ValueId node(const std::string& name, Op op, std::vector<ValueId> inputs) {
    const ValueId output = graph.add_value({.name = name + ":0"});
    const NodeId id = graph.add_node({name, std::move(op), std::move(inputs), {output}});
    infer_node(graph, id);
    return output;
  }
  Graph finish(std::vector<ValueId> outputs) {
    graph.outputs = std::move(outputs);
    return graph;
  }

  Graph graph;
};

inline const Node* find_node(const Graph& graph, std::string_view name) {
  for (const Node& node : graph.nodes()) {
    if (node.name == name)
      return &node;
  }
  return nullptr;
}

inline const Value* find_value(const Graph& graph, std::string_view name) {
  for (const Value& value : graph.values()) {
    if (value.name == name)
      return &value;
  }
  return nullptr;
}

}  // namespace tessera::ir
