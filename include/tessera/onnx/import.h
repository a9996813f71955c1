// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "tessera/ir/graph.h"

namespace tessera::onnx {

// Reads an ONNX file (opset 7 or newer; weights inside or in external files beside it) as a graph
// with shapes, node for node: ir::canonicalize() folds it for use.
//
// - The batch, dynamic or of any size, becomes 1. An input with another dynamic dimension has no
//   shape, and ir::workload() will refuse the graph.
// - Floats of any width become float32.
// - Constant nodes, and shape arithmetic whose result is constant, become constants.
// - An operator, attribute or form that is not understood becomes ir::Unknown with the reason.
// - metadata_props become Graph::metadata. Nodes without a name are called like their output.
//
// docs/operators.md lists the operators. Throws IoError when the file cannot be read, and
// ImportError with file, node, operator, opset, what was found and what is allowed when it is
// broken: not ONNX, cut off, cyclic, values undefined or made twice, shapes or data that do not
// fit.
ir::Graph import_onnx(const std::filesystem::path& path);

}  // namespace tessera::onnx
