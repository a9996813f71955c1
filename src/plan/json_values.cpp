// SPDX-License-Identifier: Apache-2.0
#include "json_values.h"

#include <fmt/format.h>

#include <limits>

#include "tessera/core/error.h"

namespace tessera::plan {

namespace {

std::array<Component, kComponentCount> components() {
  std::array<Component, kComponentCount> all{};
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = static_cast<Component>(i);
  return all;
}

constexpr std::int64_t kInt32Min = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t kInt32Max = std::numeric_limits<std::int32_t>::max();

Json code_to_json(const AffineCode& code) {
  Json scales = Json::array();
  for (const float scale : code.scales)
    scales.push_back(finite_to_json(static_cast<double>(scale), "a scale"));
  Json json = {{"scales", scales},
               {"zero_points", code.zero_points},
               {"low", code.low},
               {"high", code.high}};
  if (code.group > 0)
    json["group"] = code.group;
  return json;
}

AffineCode read_code(const JsonNode& node) {
  node.allow_only({"scales", "zero_points", "low", "high", "group"});
  AffineCode code;
  for (const JsonNode& scale : node.at("scales").items())
    code.scales.push_back(static_cast<float>(scale.number()));
  const JsonNode zero_points = node.at("zero_points");
  for (const JsonNode& zero : zero_points.items())
    code.zero_points.push_back(static_cast<std::int32_t>(zero.integer(kInt32Min, kInt32Max)));
  if (code.zero_points.size() != code.scales.size())
    zero_points.fail_expected(fmt::format("as many as scales, {}", code.scales.size()));
  code.low = static_cast<std::int32_t>(node.at("low").integer(kInt32Min, kInt32Max));
  code.high = static_cast<std::int32_t>(node.at("high").integer(code.low, kInt32Max));
  if (const auto group = node.find("group"))
    code.group = static_cast<int>(group->integer(1, kInt32Max));
  return code;
}

Json dims_to_json(const ir::LayerDims& d) {
  return {{"C", d.C}, {"M", d.M}, {"R", d.R}, {"S", d.S}, {"P", d.P},
          {"Q", d.Q}, {"G", d.G}, {"H", d.H}, {"W", d.W}};
}

ir::LayerDims read_dims(const JsonNode& node) {
  const auto size = [&](std::string_view key) { return node.at(key).integer(1); };
  return {.C = size("C"),
          .M = size("M"),
          .R = size("R"),
          .S = size("S"),
          .P = size("P"),
          .Q = size("Q"),
          .G = size("G"),
          .H = size("H"),
          .W = size("W")};
}

ir::NodeId read_node_id(const JsonNode& node) {
  return {static_cast<std::uint32_t>(node.integer(0, UINT32_MAX))};
}

}  // namespace

Json parts_to_json(const Path& path) {
  Json parts = Json::array();
  for (const Part& part : path.parts) {
    parts.push_back({{"unit", part.unit},
                     {"format", format::to_string(part.format)},
                     {"channels", {part.channels.begin, part.channels.end}}});
  }
  return parts;
}

Path read_parts(const JsonNode& node) {
  Path path;
  std::int64_t next = 0;
  for (const JsonNode& item : node.items()) {
    item.allow_only({"unit", "format", "channels", "tiles"});
    Part part;
    part.unit = item.at("unit").text();
    const JsonNode format = item.at("format");
    auto parsed = format::parse_number_format(format.text());
    if (!parsed)
      format.fail(parsed.error().detail);
    part.format = std::move(*parsed);
    const JsonNode channels = item.at("channels");
    const std::vector<JsonNode> ends = channels.items();
    if (ends.size() != 2)
      channels.fail_expected("[first, one behind the last]");
    part.channels = {ends[0].integer(next, next), ends[1].integer(next + 1)};
    next = part.channels.end;
    path.parts.push_back(std::move(part));
  }
  if (path.parts.empty())
    node.fail_expected("at least one part");
  return path;
}

Json breakdown_to_json(const Breakdown& breakdown) {
  Json json = Json::object();
  for (const Component c : components())
    json[std::string(name(c))] = finite_to_json(breakdown[c], name(c));
  return json;
}

Breakdown read_breakdown(const JsonNode& node) {
  Breakdown breakdown;
  for (const Component c : components())
    breakdown[c] = node.at(name(c)).number();
  return breakdown;
}

Json totals_to_json(const Totals& t) {
  return {{"energy_pj", finite_to_json(t.energy_pj, "energy_pj")},
          {"latency_ns", finite_to_json(t.latency_ns, "latency_ns")},
          {"area_mm2", finite_to_json(t.area_mm2, "area_mm2")},
          {"digital_weight_bytes", t.digital_weight_bytes},
          {"analog_weight_fraction", finite_to_json(t.analog_weight_fraction, "weight fraction")},
          {"analog_mac_ratio", finite_to_json(t.analog_mac_ratio, "analog_mac_ratio")},
          {"analog_utilization", finite_to_json(t.analog_utilization, "analog_utilization")},
          {"tiles", t.tiles},
          {"macs", t.macs},
          {"params", t.params},
          {"programming_pj", finite_to_json(t.programming_pj, "programming_pj")},
          {"breakdown_pj", breakdown_to_json(t.breakdown)}};
}

Totals read_totals(const JsonNode& node) {
  Totals t;
  t.energy_pj = node.at("energy_pj").number();
  t.latency_ns = node.at("latency_ns").number();
  t.area_mm2 = node.at("area_mm2").number();
  t.digital_weight_bytes = node.at("digital_weight_bytes").integer(0);
  t.analog_weight_fraction = node.at("analog_weight_fraction").number();
  t.analog_mac_ratio = node.at("analog_mac_ratio").number();
  t.analog_utilization = node.at("analog_utilization").number();
  t.tiles = node.at("tiles").integer(0);
  t.macs = node.at("macs").integer(0);
  t.params = node.at("params").integer(0);
  t.programming_pj = node.at("programming_pj").number();
  t.breakdown = read_breakdown(node.at("breakdown_pj"));
  return t;
}

Json accuracy_to_json(const std::vector<Accuracy>& accuracy) {
  Json list = Json::array();
  for (const Accuracy& a : accuracy) {
    list.push_back({{"metric", a.metric},
                    {"mean", finite_to_json(a.mean, "accuracy mean")},
                    {"std", finite_to_json(a.std, "accuracy std")},
                    {"n", a.n},
                    {"t_eval_s", finite_to_json(a.t_eval_s, "t_eval_s")},
                    {"split", a.split},
                    {"images", a.images}});
  }
  return list;
}

Json levels_to_json(const std::vector<LevelEnergy>& levels) {
  Json list = Json::array();
  for (const LevelEnergy& level : levels) {
    list.push_back(
        {{"name", level.name}, {"energy_pj", finite_to_json(level.energy_pj, level.name)}});
  }
  return list;
}

std::vector<LevelEnergy> read_levels(const JsonNode& node) {
  std::vector<LevelEnergy> levels;
  for (const JsonNode& item : node.items())
    levels.push_back({item.at("name").text(), item.at("energy_pj").number()});
  return levels;
}

std::vector<Accuracy> read_accuracy(const JsonNode& node) {
  std::vector<Accuracy> list;
  for (const JsonNode& item : node.items()) {
    list.push_back({.metric = item.at("metric").text(),
                    .mean = item.at("mean").number(),
                    .std = item.at("std").number(),
                    .n = item.at("n").integer(1),
                    .t_eval_s = item.at("t_eval_s").number(),
                    .split = item.at("split").text(),
                    .images = item.at("images").integer(0)});
  }
  return list;
}

Json numerics_to_json(const Numerics& numerics) {
  Json json = Json::object();
  for (const auto& [layer, codes] : numerics)
    json[layer] = {{"weights", code_to_json(codes.weights)}, {"input", code_to_json(codes.input)}};
  return json;
}

Numerics read_numerics(const JsonNode& node) {
  Numerics numerics;
  for (const auto& [layer, codes] : node.members()) {
    codes.allow_only({"weights", "input"});
    numerics[layer] = {read_code(codes.at("weights")), read_code(codes.at("input"))};
  }
  return numerics;
}

Json workload_to_json(const ir::Workload& w) {
  Json layers = Json::array();
  for (const ir::Layer& l : w.layers) {
    layers.push_back({{"name", l.name},
                      {"op", l.op},
                      {"node", l.node.value},
                      {"dims", dims_to_json(l.dims)},
                      {"macs", l.macs},
                      {"weights", l.weights},
                      {"bias", l.bias},
                      {"input_elements", l.input_elements},
                      {"output_elements", l.output_elements}});
  }
  Json glue = Json::array();
  for (const ir::Glue& g : w.glue) {
    glue.push_back({{"name", g.name},
                    {"op", g.op},
                    {"node", g.node.value},
                    {"operations", g.operations},
                    {"input_elements", g.input_elements},
                    {"output_elements", g.output_elements}});
  }
  Json order = Json::array();
  for (const ir::Step& step : w.order)
    order.push_back({{"layer", step.is_layer}, {"index", step.index}});
  Json edges = Json::array();
  for (const ir::Edge& edge : w.edges)
    edges.push_back({{"from", edge.producer}, {"to", edge.consumer}, {"elements", edge.elements}});
  return {{"layers", layers}, {"glue", glue},   {"order", order},
          {"edges", edges},   {"macs", w.macs}, {"params", w.params}};
}

ir::Workload read_workload(const JsonNode& node) {
  ir::Workload w;
  for (const JsonNode& item : node.at("layers").items()) {
    w.layers.push_back({.node = read_node_id(item.at("node")),
                        .name = item.at("name").text(),
                        .op = item.at("op").text(),
                        .dims = read_dims(item.at("dims")),
                        .macs = item.at("macs").integer(0),
                        .weights = item.at("weights").integer(0),
                        .bias = item.at("bias").integer(0),
                        .input_elements = item.at("input_elements").integer(0),
                        .output_elements = item.at("output_elements").integer(0)});
  }
  for (const JsonNode& item : node.at("glue").items()) {
    w.glue.push_back({.node = read_node_id(item.at("node")),
                      .name = item.at("name").text(),
                      .op = item.at("op").text(),
                      .operations = item.at("operations").integer(0),
                      .input_elements = item.at("input_elements").integer(0),
                      .output_elements = item.at("output_elements").integer(0)});
  }
  for (const JsonNode& item : node.at("order").items()) {
    const bool is_layer = item.at("layer").boolean();
    const std::size_t count = is_layer ? w.layers.size() : w.glue.size();
    const auto last = static_cast<std::int64_t>(count) - 1;
    w.order.push_back({is_layer, static_cast<int>(item.at("index").integer(0, last))});
  }
  const auto last_step = static_cast<std::int64_t>(w.order.size()) - 1;
  for (const JsonNode& item : node.at("edges").items()) {
    w.edges.push_back({.producer = static_cast<int>(item.at("from").integer(-1, last_step)),
                       .consumer = static_cast<int>(item.at("to").integer(-1, last_step)),
                       .elements = item.at("elements").integer(0)});
  }
  w.macs = node.at("macs").integer(0);
  w.params = node.at("params").integer(0);
  return w;
}

}  // namespace tessera::plan
