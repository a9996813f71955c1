// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "model_file.h"

namespace tessera::onnx {

// What the node needs to be there: its inputs and what its subgraphs (of If, Loop, Scan) capture,
// without absent ones.
std::vector<std::string> needs(const pb::NodeProto& node);

// Indices of the graph's nodes in topological order; among those that are ready, the order of the
// file. `given`: the names of inputs and initializers. Throws ImportError for a value that is made
// twice or never, and for a cycle.
std::vector<int> topological_order(const pb::GraphProto& graph,
                                   const std::unordered_set<std::string>& given, int opset);

}  // namespace tessera::onnx
