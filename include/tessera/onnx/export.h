// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "tessera/ir/graph.h"
#include "tessera/plan/mapping.h"
#include "tessera/plan/numerics.h"

namespace tessera::onnx {

// How the layers of a graph are to compute in the file.
struct ExportMapping {
  plan::Assignment assignment;  // a path for each layer of ir::workload(graph), in its order
  plan::Numerics numerics;      // of integer and analog layers
};

struct ExportOptions {
  // Written as metadata_props, over the graph's own where keys are equal.
  std::map<std::string, std::string> metadata{};
  // None: everything in float32.
  std::optional<ExportMapping> mapping{};
  // The least opset of the file. From 21 on, weights whose codes fit 4 bits are stored in 4 bits.
  int opset = 13;
};

// Writes the graph as ONNX, opset 13 (14 with HardSwish, 21 with 16-bit codes or groups, more
// where asked or where an operator was read so), the batch dynamic
// and called "N", names of nodes and values as they are. import_onnx() of a float32 file gives a
// graph with the same canonical hash.
//
// Under a mapping, each layer is written as its path's format says (docs/rules/export.md has the
// numbered rules):
//   fp32    as it is;
//   fp16    weights and bias rounded to binary16, held and computed in float32;
//   int     the input through QuantizeLinear and DequantizeLinear (behind a Clip when its codes do
//           not fill their storage), weights as integers behind a DequantizeLinear with one scale
//           per output channel, the bias as int32 with scale s_x · s_w behind another; weights in
//           groups as blocks of a matrix, and then the bias as it is;
//   strum   as int8, with the weights that hardware multiplies with;
//   analog  the noise-free integer twin that the layer's numerics describe.
// What each layer was meant to run on is in the metadata: "tessera.layer.NAME" is
// "unit=U;format=F", parts joined by " + ".
//
// Throws UnsupportedError for nodes that are not understood and for a path whose parts mix floats
// and integers, ConfigError when a layer's numerics are missing or do not fit, IoError.
void export_onnx(const ir::Graph& graph, const ExportOptions& options,
                 const std::filesystem::path& path);

}  // namespace tessera::onnx
