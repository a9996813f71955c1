// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tessera/ir/graph.h"

namespace tessera::ir {

// Fills in the shape and type of every value that a node produces. Throws ImportError with the
// node's name when inputs do not fit; values behind an Unknown node stay without a shape.
Graph infer_shapes(Graph graph);

// Rules broken by a graph, empty when it is sound: each value has at most one producer, nodes are
// in topological order, ids exist, arities fit the operator, names of nodes are unique and not
// empty, shapes present are those that infer_shapes() gives.
struct Violation {
  std::string rule;  // "V3"
  std::string what;
};
std::vector<Violation> verify(const Graph& graph);
// Throws InternalError naming the pass that left the graph broken.
void check_verified(const Graph& graph, std::string_view pass);

}  // namespace tessera::ir
