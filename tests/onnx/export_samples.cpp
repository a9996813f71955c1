// SPDX-License-Identifier: Apache-2.0
// For ort_test.py: reads ONNX files and writes each again as float32 (NAME.onnx) and with every
// layer in 8 and in 4 bits (NAME.int8.onnx, NAME.int4.onnx), weights scaled to their largest value,
// inputs to [-4, 4).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "tessera/ir/passes.h"
#include "tessera/ir/workload.h"
#include "tessera/onnx/export.h"
#include "tessera/onnx/import.h"

namespace tessera {
namespace {

plan::AffineCode weight_code(const ir::Tensor& weight, std::int32_t high) {
  plan::AffineCode code{.scales = {}, .zero_points = {}, .low = -high, .high = high};
  const auto values = weight.values<float>();
  const std::size_t channels = static_cast<std::size_t>(weight.shape()[0]);
  const std::size_t each = values.size() / channels;
  for (std::size_t m = 0; m < channels; ++m) {
    float largest = 1e-6F;
    for (const float value : values.subspan(m * each, each))
      largest = std::max(largest, std::abs(value));
    code.scales.push_back(largest / static_cast<float>(high));
    code.zero_points.push_back(0);
  }
  return code;
}

onnx::ExportMapping integers(const ir::Graph& graph, int bits) {
  onnx::ExportMapping mapping;
  const std::int32_t half = 1 << (bits - 1);
  for (const ir::Layer& layer : ir::workload(graph).layers) {
    mapping.assignment.paths.push_back({{{"npu", format::Integer{bits, bits}, {0, layer.dims.M}}}});
    const ir::ValueId weight = graph.node(layer.node).inputs[1];
    mapping.numerics[layer.name] = {.weights = weight_code(*graph.value(weight).constant, half - 1),
                                    .input = {.scales = {4.0F / static_cast<float>(half)},
                                              .zero_points = {0},
                                              .low = -half,
                                              .high = half - 1}};
  }
  return mapping;
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: export_samples OUT FILE...\n", stderr);
    return 2;
  }
  const std::filesystem::path out = argv[1];
  for (int i = 2; i < argc; ++i) {
    const std::filesystem::path file = argv[i];
    const auto graph = tessera::ir::canonicalize(tessera::onnx::import_onnx(file));
    const std::string stem = file.stem().string();
    tessera::onnx::export_onnx(graph, {}, out / (stem + ".onnx"));
    for (const int bits : {8, 4}) {
      tessera::onnx::export_onnx(graph, {.mapping = tessera::integers(graph, bits)},
                                 out / (stem + ".int" + std::to_string(bits) + ".onnx"));
    }
  }
  return 0;
}
