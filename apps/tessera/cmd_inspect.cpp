// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "tessera/core/units.h"
#include "tessera/flow/inputs.h"
#include "tessera/hw/read_platform.h"
#include "tessera/ir/passes.h"
#include "tessera/ir/workload.h"
#include "tessera/report/table.h"
#include "tessera/supernet/adapt.h"

#include "commands.h"

namespace tessera::cli {

namespace {

using nlohmann::ordered_json;
using report::Align;

struct InspectOptions {
  std::string network;
  std::string hardware;  // to adapt widths to; empty: none
  supernet::AdaptOptions adapt;
};

// How far the network's inner widths can grow on a chip.
struct Widths {
  std::string platform;
  std::vector<ir::WidthGroup> groups;
  std::vector<supernet::Adaptation> chain;
};

struct Inspection {
  std::string file;
  std::string sha256;
  std::string canonical_hash;
  ir::Graph graph;
  ir::Workload workload;             // of what is understood
  std::vector<std::string> unknown;  // operators that are not
  std::vector<std::string> unsized;  // nodes behind them
  std::optional<Widths> widths;
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

std::vector<std::string> names(const ir::Graph& graph, const std::vector<ir::NodeId>& nodes) {
  std::vector<std::string> list;
  for (const ir::NodeId id : nodes)
    list.push_back(graph.node(id).name);
  return list;
}

ordered_json to_json(const ir::Graph& graph, const Widths& widths) {
  ordered_json groups = ordered_json::array();
  for (const ir::WidthGroup& group : widths.groups)
    groups.push_back({{"name", group.name},
                      {"kind", name(group.kind)},
                      {"width", group.width},
                      {"writers", names(graph, group.writers)},
                      {"depthwise", names(graph, group.depthwise)},
                      {"readers", names(graph, group.readers)}});
  ordered_json chain = ordered_json::array();
  for (const supernet::Adaptation& member : widths.chain)
    chain.push_back({{"widths", member.widths},
                     {"params", member.totals.params},
                     {"macs", member.totals.macs},
                     {"tiles", member.totals.tiles},
                     {"analog_mac_ratio", member.totals.analog_mac_ratio},
                     {"analog_utilization", member.totals.analog_utilization},
                     {"energy_pj", member.totals.energy_pj},
                     {"latency_ns", member.totals.latency_ns}});
  return {{"platform", widths.platform}, {"groups", groups}, {"chain", chain}};
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
  ordered_json json = {
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
  if (found.widths)
    json["adaptation"] = to_json(found.graph, *found.widths);
  return json;
}

std::string widths_table(const Widths& widths) {
  const auto& [platform, groups, chain] = widths;
  report::Table table({{.title = "width written by", .cut = report::Cut::kStart},
                       {.title = "kind"},
                       {.title = "writers", .align = Align::kRight},
                       {.title = "readers", .align = Align::kRight},
                       {.title = "channels", .align = Align::kRight},
                       {.title = "widest", .align = Align::kRight}});
  for (std::size_t i = 0; i < groups.size(); ++i)
    table.add_row({groups[i].name, std::string(name(groups[i].kind)),
                   fmt::format("{}", groups[i].writers.size()),
                   fmt::format("{}", groups[i].readers.size()), fmt::format("{}", groups[i].width),
                   fmt::format("{}", chain.back().widths[i])});
  report::Table totals({{.title = "on " + platform},
                        {.title = "parameters", .align = Align::kRight},
                        {.title = "MACs", .align = Align::kRight},
                        {.title = "tiles", .align = Align::kRight},
                        {.title = "cells used", .align = Align::kRight},
                        {.title = "energy", .align = Align::kRight},
                        {.title = "latency", .align = Align::kRight}});
  const auto add = [&](const char* label, const plan::Totals& t) {
    totals.add_row({label, fmt::format("{}", t.params), fmt::format("{}", t.macs),
                    fmt::format("{}", t.tiles), fmt::format("{:.1f} %", 100 * t.analog_utilization),
                    format_quantity(t.energy_pj, Dimension::kEnergy),
                    format_quantity(t.latency_ns, Dimension::kTime)});
  };
  add("as it is", chain.front().totals);
  add("widest", chain.back().totals);
  return table.render(100) + "\n" + totals.render(100);
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
  if (found.widths)
    text += "\n" + widths_table(*found.widths);
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

Widths find_widths(const ir::Graph& graph, const InspectOptions& options) {
  const hw::Platform platform = hw::load_platform(options.hardware, hw::platform_folders());
  std::vector<ir::WidthGroup> groups = ir::width_groups(graph);
  std::vector<supernet::Adaptation> chain =
      supernet::adaptations(graph, groups, platform, options.adapt);
  return {platform.name, std::move(groups), std::move(chain)};
}

Inspection inspect(const InspectOptions& options) {
  const std::string& file = options.network;
  Inspection found{.file = file,
                   .sha256 = {},
                   .canonical_hash = {},
                   .graph = {},
                   .workload = {},
                   .unknown = {},
                   .unsized = {},
                   .widths = {}};
  flow::LoadedNetwork network = flow::look_at_network(file);
  found.graph = std::move(network.graph);
  found.sha256 = std::move(network.file.sha256);
  found.canonical_hash = ir::canonical_hash(found.graph);
  found.workload = ir::understood_workload(found.graph);
  found.unknown = ir::unknown_operators(found.graph);
  found.unsized = ir::unsized_nodes(found.graph);
  if (!options.hardware.empty()) {
    ir::workload(found.graph);  // refuses what is not understood
    found.widths = find_widths(found.graph, options);
  }
  return found;
}

}  // namespace

Command add_inspect(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Show a network's layers, shapes, MACs, and what is not understood");
  command->add_option("NETWORK", options->network, "ONNX file")->required();
  auto* adapt = command->add_option(
      "--adapt", options->hardware,
      "Preset or YAML file: also show how far inner widths can grow on its tiles, with every layer "
      "on tiles that fits (depthwise layers aside)");
  command
      ->add_option("--extra-tiles", options->adapt.extra_tiles, "Tiles that wider layers may add")
      ->check(at_least(0))
      ->needs(adapt)
      ->capture_default_str();
  command
      ->add_option("--extra-latency", options->adapt.extra_latency,
                   "Share by which glue and digital layers may lengthen the network's time")
      ->check(at_least(0))
      ->needs(adapt)
      ->capture_default_str();
  add_common_options(*command, *common, {});
  return {command, common, [options, common] {
            const Inspection found = inspect(*options);
            if (common->json) {
              print_json(to_json(found));
            } else {
              print_result(to_text(found));
            }
            return kDone;
          }};
}

}  // namespace tessera::cli
