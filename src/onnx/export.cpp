// SPDX-License-Identifier: Apache-2.0
#include "tessera/onnx/export.h"

#include <fmt/ranges.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/ir/verify.h"
#include "tessera/ir/workload.h"

#include "export_layer.h"
#include "export_ops.h"
#include "model_writer.h"

namespace tessera::onnx {
namespace {

std::string describe_path(const plan::Path& path) {
  std::vector<std::string> parts;
  for (const plan::Part& part : path.parts) {
    std::string text = fmt::format("unit={};format={}", part.unit, format::to_string(part.format));
    if (path.parts.size() > 1)
      text += fmt::format(";channels={}:{}", part.channels.begin, part.channels.end);
    parts.push_back(std::move(text));
  }
  return fmt::format("{}", fmt::join(parts, " + "));
}

}  // namespace

void export_onnx(const ir::Graph& graph, const ExportOptions& options,
                 const std::filesystem::path& path) {
  ir::check_verified(graph, "the pass before export");
  const ir::Workload workload = ir::workload(graph);
  const auto& mapping = options.mapping;
  TESSERA_CHECK(!mapping || mapping->assignment.paths.size() == workload.layers.size(),
                "{} paths for {} layers", mapping->assignment.paths.size(), workload.layers.size());
  ModelWriter writer(graph);
  writer.require_opset(options.opset);
  LayerWriter layers(writer, options.opset);
  std::map<std::string, std::string> metadata = graph.metadata;
  std::size_t next_layer = 0;
  for (const ir::Node& node : graph.nodes()) {
    std::vector<std::string> inputs;
    if (ir::is_layer(node.op)) {
      const std::size_t layer = next_layer++;
      if (mapping) {
        const plan::Path& chosen = mapping->assignment.paths[layer];
        inputs = layers.mapped(node, chosen, mapping->numerics);
        metadata["tessera.layer." + node.name] = describe_path(chosen);
      } else {
        inputs = layers.as_is(node);
      }
    } else {
      for (const ir::ValueId input : node.inputs)
        inputs.push_back(writer.value(input));
    }
    write_node(writer, node, std::move(inputs));
  }
  for (const auto& [key, value] : options.metadata)
    metadata[key] = value;
  for (const auto& [key, value] : metadata)
    writer.set_metadata(key, value);
  write_atomic(path, writer.serialize());
}

}  // namespace tessera::onnx
