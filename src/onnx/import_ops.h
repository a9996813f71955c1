// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "node_reader.h"

namespace tessera::onnx {

// One operator that an ONNX node becomes. An input that is not valid() stands for the output of the
// step before.
struct ImportStep {
  ir::Op op;
  std::vector<ir::ValueId> inputs;
};

// Reads a node of one ONNX type: the operators that it becomes, in order, the last of which makes
// the node's output. Throws NotUnderstood, or ImportError for a node that is broken.
using ReadNode = std::vector<ImportStep> (*)(NodeReader&);

struct OperatorReader {
  std::string_view type;
  ReadNode read;
};

// All operators of the default domain that are understood, by name. To add one, add a line.
std::span<const OperatorReader> operator_readers();

}  // namespace tessera::onnx
