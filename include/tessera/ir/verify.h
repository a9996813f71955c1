// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/ir/graph.h"

namespace tessera::ir {

// Fills in the shape and type of every value that a node produces. Throws ImportError with the
// node's name when inputs do not fit; values behind an Unknown node stay without a shape.
Graph infer_shapes(Graph graph);
// The same for one node, whose inputs are done. try_infer_node() returns what does not fit, without
// the node's name, instead of throwing.
void infer_node(Graph& graph, NodeId id);
std::optional<std::string> try_infer_node(Graph& graph, NodeId id);

// Rules broken by a graph, empty when it is sound. The rules V1, V2, ... stand in docs/rules/ir.md:
// ids exist, each value has at most one producer, nodes are in topological order, arities fit the
// operator, names are unique and not empty, shapes are those that infer_shapes() gives, weights are
// constants. Rules that need sound ids are tried only when the ids are.
struct Violation {
  std::string rule;  // "V3"
  std::string what;
};
std::vector<Violation> verify(const Graph& graph);
// Throws InternalError naming the pass that left the graph broken.
void check_verified(const Graph& graph, std::string_view pass);

}  // namespace tessera::ir
