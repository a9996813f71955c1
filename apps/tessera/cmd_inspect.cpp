// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>

#include "tessera/flow/inputs.h"
#include "tessera/ir/passes.h"
#include "tessera/ir/workload.h"
#include "tessera/report/table.h"

#include "commands.h"

namespace tessera::cli {

namespace {

using nlohmann::ordered_json;
using report::Align;

struct Inspection {
  std::string file;
  std::string sha256;
  std::string canonical_hash;
  ir::Graph graph;
  ir::Workload workload;             // of what is understood
  std::vector<std::string> unknown;  // operators that are not
  std::vector<std::string> unsized;  // nodes behind them
};

std::string shape_text(const ir::Value& value) {
  return value.shape ? ir::to_string(*value.shape) : "size not known";
}

const ir::Value& input_of(const ir::Graph& graph, ir::NodeId node) {
  return graph.value(graph.node(node).inputs.front());
}
const ir::Value& output_of(const ir::Graph& graph, ir::NodeId node) {
  return graph.value(graph.node(node).outputs.front());
}

std::string kernel_text(const ir::Layer& layer) {
  std::string text = fmt::format("{}x{}", layer.dims.R, layer.dims.S);
  if (layer.dims.G > 1)
    text += fmt::format(" g{}", layer.dims.G);
  return text;
}

ordered_json values_json(const ir::Graph& graph, std::span<const ir::ValueId> ids) {
  ordered_json list = ordered_json::array();
  for (const ir::ValueId id : ids) {
    const ir::Value& value = graph.value(id);
    list.push_back({{"name", value.name},
                    {"shape", value.shape ? ordered_json(*value.shape) : ordered_json(nullptr)}});
  }
  return list;
}

ordered_json to_json(const Inspection& found) {
  ordered_json layers = ordered_json::array();
  for (const ir::Layer& layer : found.workload.layers) {
    const ir::LayerDims& d = layer.dims;
    layers.push_back(
        {{"name", layer.name},
         {"op", layer.op},
         {"input", *input_of(found.graph, layer.node).shape},
         {"output", *output_of(found.graph, layer.node).shape},
         {"dims",
          {{"C", d.C}, {"M", d.M}, {"R", d.R}, {"S", d.S}, {"P", d.P}, {"Q", d.Q}, {"G", d.G}}},
         {"macs", layer.macs},
         {"weights", layer.weights},
         {"params", layer.weights + layer.bias}});
  }
  ordered_json glue = ordered_json::array();
  for (const ir::Glue& node : found.workload.glue)
    glue.push_back({{"name", node.name},
                    {"op", node.op},
                    {"output", *output_of(found.graph, node.node).shape},
                    {"operations", node.operations}});
  return {
      {"network",
       {{"file", found.file}, {"sha256", found.sha256}, {"canonical_hash", found.canonical_hash}}},
      {"inputs", values_json(found.graph, found.graph.inputs)},
      {"outputs", values_json(found.graph, found.graph.outputs)},
      {"metadata", found.graph.metadata},
      {"layers", layers},
      {"glue", glue},
      {"not_understood", found.unknown},
      {"size_not_known", found.unsized},
      {"totals", {{"macs", found.workload.macs}, {"params", found.workload.params}}}};
}

std::string layer_table(const Inspection& found) {
  report::Table table({{.title = "layer", .cut = report::Cut::kStart},
                       {.title = "op"},
                       {.title = "input"},
                       {.title = "kernel"},
                       {.title = "output"},
                       {.title = "MACs", .align = Align::kRight},
                       {.title = "weights", .align = Align::kRight}});
  for (const ir::Layer& layer : found.workload.layers)
    table.add_row({layer.name, layer.op, shape_text(input_of(found.graph, layer.node)),
                   kernel_text(layer), shape_text(output_of(found.graph, layer.node)),
                   fmt::format("{}", layer.macs), fmt::format("{}", layer.weights)});
  std::int64_t weights = 0;
  for (const ir::Layer& layer : found.workload.layers)
    weights += layer.weights;
  table.add_rule();
  table.add_row({fmt::format("{} layers", found.workload.layers.size()), "", "", "", "",
                 fmt::format("{}", found.workload.macs), fmt::format("{}", weights)});
  return table.render(100);
}

std::string glue_table(const Inspection& found) {
  report::Table table({{.title = "glue", .cut = report::Cut::kStart},
                       {.title = "op"},
                       {.title = "output"},
                       {.title = "operations", .align = Align::kRight}});
  for (const ir::Glue& node : found.workload.glue)
    table.add_row({node.name, node.op, shape_text(output_of(found.graph, node.node)),
                   fmt::format("{}", node.operations)});
  return table.render(100);
}

std::string to_text(const Inspection& found) {
  std::string text = found.file + "\n";
  for (const ir::ValueId id : found.graph.inputs)
    text += fmt::format("  input   {}  {}\n", found.graph.value(id).name,
                        shape_text(found.graph.value(id)));
  for (const ir::ValueId id : found.graph.outputs)
    text += fmt::format("  output  {}  {}\n", found.graph.value(id).name,
                        shape_text(found.graph.value(id)));
  text += fmt::format("  hash    {}\n  {} parameters, {} MACs an image\n", found.canonical_hash,
                      found.workload.params, found.workload.macs);
  text += "\n" + layer_table(found);
  if (!found.workload.glue.empty())
    text += "\n" + glue_table(found);
  if (!found.unknown.empty()) {
    text += "\nnot understood (this network can be looked at, not run or mapped):\n";
    for (const std::string& line : found.unknown)
      text += "  " + line + "\n";
  }
  if (!found.unsized.empty()) {
    text += "\nsize not known:\n";
    for (const std::string& line : found.unsized)
      text += "  " + line + "\n";
  }
  return text;
}

Inspection inspect(const std::string& file) {
  Inspection found{.file = file,
                   .sha256 = {},
                   .canonical_hash = {},
                   .graph = {},
                   .workload = {},
                   .unknown = {},
                   .unsized = {}};
  flow::LoadedNetwork network = flow::look_at_network(file);
  found.graph = std::move(network.graph);
  found.sha256 = std::move(network.file.sha256);
  found.canonical_hash = ir::canonical_hash(found.graph);
  found.workload = ir::understood_workload(found.graph);
  found.unknown = ir::unknown_operators(found.graph);
  found.unsized = ir::unsized_nodes(found.graph);
  return found;
}

}  // namespace

Command add_inspect(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto network = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Show a network's layers, shapes, MACs, and what is not understood");
  command->add_option("NETWORK", *network, "ONNX file")->required();
  add_common_options(*command, *common, {});
  return {command, common, [network, common] {
            const Inspection found = inspect(*network);
            print_result(common->json ? to_json(found).dump(2) + "\n" : to_text(found));
            return kDone;
          }};
}

}  // namespace tessera::cli
