// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/ids.h"
#include "tessera/ir/ops.h"
#include "tessera/ir/tensor.h"

namespace tessera::ir {

using ValueId = Id<struct ValueTag>;
using NodeId = Id<struct NodeTag>;

// Something that flows along an edge: a graph input, a node's output, or a constant.
struct Value {
  std::string name{};
  DType dtype = DType::kFloat32;
  // Known after infer_shapes(); the batch dimension of activations is 1.
  std::optional<Shape> shape{};
  // Set for weights and other constants, which no node produces.
  std::optional<Tensor> constant{};

  bool operator==(const Value&) const = default;
};

struct Node {
  std::string name;
  Op op;
  std::vector<ValueId> inputs{};  // an optional input that is absent is left off at the end
  std::vector<ValueId> outputs{};

  bool operator==(const Node&) const = default;
};

// A network: nodes in topological order over values. A value type: passes take one and return
// another.
class Graph {
 public:
  ValueId add_value(Value value);
  ValueId add_constant(std::string name, Tensor tensor);
  NodeId add_node(Node node);

  std::span<const Node> nodes() const { return nodes_; }
  std::span<const Value> values() const { return values_; }
  const Node& node(NodeId id) const { return nodes_.at(id.index()); }
  const Value& value(ValueId id) const { return values_.at(id.index()); }
  Node& node(NodeId id) { return nodes_.at(id.index()); }
  Value& value(ValueId id) { return values_.at(id.index()); }

  // The node that produces `value`; none for graph inputs and constants. Looks at every node, as
  // does consumers(): a walk over the whole graph asks a Wiring instead.
  std::optional<NodeId> producer(ValueId value) const;
  // The nodes that read `value`, in order; a node that reads it twice stands twice.
  std::vector<NodeId> consumers(ValueId value) const;

  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  // Free text from the file (ONNX metadata_props), e.g. "tessera.mean".
  std::map<std::string, std::string> metadata;
  // True: the outermost dimension of every activation is a batch that no operator moves or mixes;
  // it is held as 1, and any batch can run. False: sizes are fixed, the outermost one included.
  bool batched = true;

  bool operator==(const Graph&) const = default;

 private:
  std::vector<Node> nodes_;
  std::vector<Value> values_;
};

// Producers and consumers of every value of a graph as it was when this was made: built in one pass
// over the nodes, asked in constant time. REQUIRES: the graph's ids exist.
class Wiring {
 public:
  explicit Wiring(const Graph& graph);

  std::optional<NodeId> producer(ValueId value) const;
  // In order; a node that reads `value` twice stands twice.
  std::span<const NodeId> consumers(ValueId value) const;

 private:
  std::vector<NodeId> producers_;     // by value; invalid: none
  std::vector<std::size_t> offsets_;  // by value, into consumers_
  std::vector<NodeId> consumers_;
};

}  // namespace tessera::ir
