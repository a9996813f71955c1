// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tessera/ir/graph.h"

namespace tessera::onnx {

// The outputs of a node that holds an ir::Generic, all of whose inputs are constants.
using Evaluate = std::function<std::vector<ir::Tensor>(const ir::Graph&, const ir::Node&)>;

// Where constants are once a graph is imported. Those that a file holds as ir::Tensor does, weights
// in float32 above all, can stay there until they are read (ir::Tensor::in_file()): for a caller
// that needs few of them, or one at a time, and is done before anyone writes into the file.
enum class Constants { kInMemory, kInFile };

struct ImportOptions {
  // Whole shapes of inputs, and sizes of dimensions that the file gives a name.
  std::map<std::string, ir::Shape> shapes{};
  std::map<std::string, std::int64_t> sizes{};
  // Values of inputs: an input whose value decides a size becomes a constant that holds it.
  std::map<std::string, ir::Tensor> values{};
  // Folds constants through operators that are kept as ONNX defines them (nn::evaluate, below the
  // torch line). Without it, chains of them stay as they are.
  Evaluate evaluate{};
  Constants constants = Constants::kInMemory;
};

// Reads an ONNX file (opset 7 to 25; weights inside or in external files beside it) as a graph with
// shapes, node for node: ir::canonicalize() folds it for use.
//
// - Where no operator moves or mixes the batch, the batch, dynamic or of any size, becomes 1 and
// the
//   graph is batched. Otherwise sizes stay as the file or the options have them, with 1 for a
//   dynamic outermost dimension. An input with another dynamic dimension has no shape, and
//   ir::workload() will refuse the graph.
// - Floats of any width become float32.
// - Constant nodes, and shape arithmetic whose result is constant, become constants.
// - An operator, attribute or form that is not understood becomes ir::Unknown with the reason.
// - metadata_props become Graph::metadata. Nodes without a name are called like their output.
//
// docs/operators.md lists the operators. Throws IoError when the file cannot be read, and
// ImportError with file, node, operator, opset, what was found and what is allowed when it is
// broken: not ONNX, cut off, cyclic, values undefined or made twice, shapes or data that do not
// fit.
ir::Graph import_onnx(const std::filesystem::path& path, const ImportOptions& options = {});

// What ImportOptions::shapes and sizes may name: the inputs, then the dimensions that have a name.
std::vector<std::string> open_names(const std::filesystem::path& path);
// The inputs that someone has to bring, in the file's order.
std::vector<std::string> input_names(const std::filesystem::path& path);

}  // namespace tessera::onnx
