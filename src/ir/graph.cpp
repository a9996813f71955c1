// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/graph.h"

#include <algorithm>
#include <numeric>

namespace tessera::ir {

ValueId Graph::add_value(Value value) {
  values_.push_back(std::move(value));
  return {static_cast<std::uint32_t>(values_.size() - 1)};
}

ValueId Graph::add_constant(std::string name, Tensor tensor) {
  return add_value({.name = std::move(name),
                    .dtype = tensor.dtype(),
                    .shape = tensor.shape(),
                    .constant = tensor});
}

NodeId Graph::add_node(Node node) {
  nodes_.push_back(std::move(node));
  return {static_cast<std::uint32_t>(nodes_.size() - 1)};
}

std::optional<NodeId> Graph::producer(ValueId value) const {
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    if (std::ranges::find(nodes_[i].outputs, value) != nodes_[i].outputs.end())
      return NodeId{i};
  }
  return std::nullopt;
}

std::vector<NodeId> Graph::consumers(ValueId value) const {
  std::vector<NodeId> readers;
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    readers.insert(readers.end(),
                   static_cast<std::size_t>(std::ranges::count(nodes_[i].inputs, value)),
                   NodeId{i});
  }
  return readers;
}

Wiring::Wiring(const Graph& graph)
    : producers_(graph.values().size()), offsets_(graph.values().size() + 1) {
  const auto nodes = graph.nodes();
  for (std::uint32_t i = 0; i < nodes.size(); ++i) {
    for (const ValueId output : nodes[i].outputs)
      producers_.at(output.index()) = NodeId{i};
    for (const ValueId input : nodes[i].inputs)
      ++offsets_.at(input.index() + 1);
  }
  std::partial_sum(offsets_.begin(), offsets_.end(), offsets_.begin());
  consumers_.resize(offsets_.back());
  std::vector<std::size_t> next(offsets_.begin(), offsets_.end() - 1);
  for (std::uint32_t i = 0; i < nodes.size(); ++i) {
    for (const ValueId input : nodes[i].inputs)
      consumers_[next[input.index()]++] = NodeId{i};
  }
}

std::optional<NodeId> Wiring::producer(ValueId value) const {
  const NodeId node = producers_.at(value.index());
  return node.valid() ? std::optional(node) : std::nullopt;
}

std::span<const NodeId> Wiring::consumers(ValueId value) const {
  const std::size_t begin = offsets_.at(value.index());
  return std::span(consumers_).subspan(begin, offsets_[value.index() + 1] - begin);
}

}  // namespace tessera::ir
