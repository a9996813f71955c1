// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/mapping.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tessera/core/error.h"
#include "tessera/core/text.h"

#include "json_values.h"

namespace tessera::plan {

namespace {

constexpr int kVersion = 1;

Json nest_to_json(const LayerNest& nest, const std::string& layer) {
  return {{"cycles", nest.cycles},
          {"gap", finite_to_json(nest.gap, layer)},
          {"levels", levels_to_json(nest.levels)},
          {"mapping", nest.mapping}};
}

LayerNest read_nest(const JsonNode& node) {
  node.allow_only({"cycles", "gap", "levels", "mapping"});
  return {.cycles = node.at("cycles").integer(0),
          .gap = node.at("gap").number(),
          .levels = read_levels(node.at("levels")),
          .mapping = node.at("mapping").text()};
}

Json layer_to_json(const ir::Layer& layer, const Path& path, const LayerCost& cost) {
  TESSERA_CHECK(cost.part_tiles.size() == path.parts.size(), "layer {}: {} tile counts, {} parts",
                layer.name, cost.part_tiles.size(), path.parts.size());
  Json parts = parts_to_json(path);
  for (std::size_t p = 0; p < parts.size(); ++p)
    parts[p]["tiles"] = cost.part_tiles[p];
  return {{"name", layer.name},
          {"op", layer.op},
          {"macs", layer.macs},
          {"params", layer.weights},
          {"parts", parts},
          {"energy_pj", finite_to_json(cost.energy_pj.total(), layer.name)},
          {"latency_ns", finite_to_json(cost.latency_ns, layer.name)},
          {"weight_bytes", cost.weight_bytes},
          {"mvms", cost.mvms},
          {"used_cells", cost.used_cells},
          {"allocated_cells", cost.allocated_cells},
          {"programming_pj", finite_to_json(cost.programming_pj, layer.name)},
          {"breakdown_pj", breakdown_to_json(cost.energy_pj)},
          {"loop_nest", cost.nest ? nest_to_json(*cost.nest, layer.name) : Json(nullptr)}};
}

LayerCost read_layer_cost(const JsonNode& node) {
  LayerCost cost;
  for (const JsonNode& part : node.at("parts").items()) {
    cost.part_tiles.push_back(part.at("tiles").integer(0));
    cost.tiles += cost.part_tiles.back();
  }
  cost.energy_pj = read_breakdown(node.at("breakdown_pj"));
  cost.latency_ns = node.at("latency_ns").number();
  cost.weight_bytes = node.at("weight_bytes").integer(0);
  cost.mvms = node.at("mvms").integer(0);
  cost.used_cells = node.at("used_cells").integer(0);
  cost.allocated_cells = node.at("allocated_cells").integer(0);
  cost.programming_pj = node.at("programming_pj").number();
  if (const auto nest = node.find("loop_nest"))
    cost.nest = read_nest(*nest);
  return cost;
}

Json glue_to_json(const ir::Glue& glue, const GlueCost& cost) {
  return {{"name", glue.name},
          {"op", glue.op},
          {"energy_pj", finite_to_json(cost.energy_pj.total(), glue.name)},
          {"latency_ns", finite_to_json(cost.latency_ns, glue.name)},
          {"breakdown_pj", breakdown_to_json(cost.energy_pj)}};
}

Json link_to_json(const LinkCost& link) {
  return {{"from", link.from},
          {"to", link.to},
          {"bytes", link.bytes},
          {"energy_pj", finite_to_json(link.energy_pj.total(), "link to " + link.to)},
          {"latency_ns", finite_to_json(link.latency_ns, "link to " + link.to)},
          {"breakdown_pj", breakdown_to_json(link.energy_pj)}};
}

FileRef read_network_ref(const JsonNode& root) {
  const JsonNode node = root.at("network");
  return {node.at("file").text(), node.at("sha256").text()};
}

PlatformRef read_platform_ref(const JsonNode& root) {
  const JsonNode node = root.at("platform");
  return {node.at("name").text(), node.at("sha256").text()};
}

Numerics read_optional_numerics(const JsonNode& root) {
  const auto node = root.find("numerics");
  return node ? read_numerics(*node) : Numerics{};
}

std::string read_weights(const JsonNode& root) {
  const auto node = root.find("weights");
  return node ? node->text() : std::string();
}

void check_header(const JsonNode& root) {
  root.allow_only({"tessera", "network", "platform", "layers", "glue", "links", "totals",
                   "accuracy", "numerics", "weights", "search", "timing"});
  root.at("tessera").integer(kVersion, kVersion);
}

}  // namespace

Json to_json(const Mapping& m) {
  const std::size_t count = m.workload.layers.size();
  TESSERA_CHECK(m.assignment.paths.size() == count && m.cost.layers.size() == count,
                "{} layers, {} paths, {} rows of cost", count, m.assignment.paths.size(),
                m.cost.layers.size());
  TESSERA_CHECK(m.cost.glue.size() == m.workload.glue.size(), "{} glue operations, {} rows of cost",
                m.workload.glue.size(), m.cost.glue.size());
  Json layers = Json::array();
  for (std::size_t i = 0; i < count; ++i)
    layers.push_back(layer_to_json(m.workload.layers[i], m.assignment.paths[i], m.cost.layers[i]));
  Json glue = Json::array();
  for (std::size_t i = 0; i < m.workload.glue.size(); ++i)
    glue.push_back(glue_to_json(m.workload.glue[i], m.cost.glue[i]));
  Json links = Json::array();
  for (const LinkCost& link : m.cost.links)
    links.push_back(link_to_json(link));
  return {{"tessera", kVersion},
          {"network", {{"file", m.network.file}, {"sha256", m.network.sha256}}},
          {"platform", {{"name", m.platform.name}, {"sha256", m.platform.sha256}}},
          {"layers", layers},
          {"glue", glue},
          {"links", links},
          {"totals", totals_to_json(m.cost.totals)},
          {"accuracy", accuracy_to_json(m.accuracy)},
          {"numerics", numerics_to_json(m.numerics)},
          {"weights", m.weights.empty() ? Json(nullptr) : Json(m.weights)},
          {"search",
           {{"strategy", m.search.strategy},
            {"seed", m.search.seed},
            {"evaluations", m.search.evaluations},
            {"training_samples", m.search.training_samples}}},
          {"timing", {{"seconds", finite_to_json(m.seconds, "seconds")}}}};
}

Mapping read_full_mapping(const JsonNode& root, const ir::Workload& workload) {
  check_header(root);
  Mapping m;
  m.network = read_network_ref(root);
  m.platform = read_platform_ref(root);
  m.workload = workload;
  const JsonNode layers = root.at("layers");
  for (const JsonNode& layer : layers.items()) {
    m.assignment.paths.push_back(read_parts(layer.at("parts")));
    m.cost.layers.push_back(read_layer_cost(layer));
  }
  if (m.cost.layers.size() != workload.layers.size())
    layers.fail_expected(fmt::format("the workload's {} layers", workload.layers.size()));
  const JsonNode glue = root.at("glue");
  for (const JsonNode& row : glue.items()) {
    m.cost.glue.push_back({read_breakdown(row.at("breakdown_pj")), row.at("latency_ns").number()});
  }
  if (m.cost.glue.size() != workload.glue.size())
    glue.fail_expected(fmt::format("the workload's {} operations", workload.glue.size()));
  for (const JsonNode& row : root.at("links").items()) {
    m.cost.links.push_back({.from = row.at("from").text(),
                            .to = row.at("to").text(),
                            .bytes = row.at("bytes").integer(0),
                            .energy_pj = read_breakdown(row.at("breakdown_pj")),
                            .latency_ns = row.at("latency_ns").number()});
  }
  m.cost.totals = read_totals(root.at("totals"));
  m.accuracy = read_accuracy(root.at("accuracy"));
  m.numerics = read_optional_numerics(root);
  m.weights = read_weights(root);
  const JsonNode search = root.at("search");
  m.search = {.strategy = search.at("strategy").text(),
              .seed = search.at("seed").unsigned_integer(),
              .evaluations = search.at("evaluations").integer(0),
              .training_samples = search.at("training_samples").integer(0)};
  m.seconds = root.at("timing").at("seconds").number();
  return m;
}

MappingInput read_mapping(const std::filesystem::path& path) {
  const JsonDocument document(path);
  const JsonNode root = document.root();
  check_header(root);
  MappingInput input;
  input.file = path.string();
  input.network = read_network_ref(root);
  input.platform = read_platform_ref(root);
  std::set<std::string> seen;
  for (const JsonNode& layer : root.at("layers").items()) {
    const JsonNode name = layer.at("name");
    if (!seen.insert(name.text()).second)
      name.fail(fmt::format("layer '{}' stands here a second time", name.text()));
    input.paths.emplace_back(name.text(), read_parts(layer.at("parts")));
  }
  input.numerics = read_optional_numerics(root);
  input.weights = read_weights(root);
  return input;
}

Assignment assignment_for(const MappingInput& input, const ir::Workload& workload) {
  std::vector<std::string> names;
  for (const ir::Layer& layer : workload.layers)
    names.push_back(layer.name);
  std::string findings;
  const auto complain = [&](std::string_view finding) {
    findings += fmt::format("{}{}: {}", findings.empty() ? "" : "\n", input.file, finding);
  };
  for (const auto& [name, path] : input.paths) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      complain(unknown_name("layer", name, names));
  }
  Assignment assignment;
  for (const ir::Layer& layer : workload.layers) {
    const auto found = std::find_if(input.paths.begin(), input.paths.end(),
                                    [&](const auto& entry) { return entry.first == layer.name; });
    if (found == input.paths.end()) {
      complain(fmt::format("layer '{}' of the network is missing", layer.name));
      continue;
    }
    const std::int64_t covered =
        found->second.parts.empty() ? 0 : found->second.parts.back().channels.end;
    if (covered != layer.dims.M) {
      complain(fmt::format("layer '{}': parts cover {} channels, the layer has {}", layer.name,
                           covered, layer.dims.M));
    }
    assignment.paths.push_back(found->second);
  }
  if (!findings.empty())
    throw ConfigError(findings);
  return assignment;
}

}  // namespace tessera::plan
