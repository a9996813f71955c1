// SPDX-License-Identifier: Apache-2.0
#include "example.h"

#include <cmath>
#include <limits>

namespace tessera::plan::testing {

namespace {

double any_double(Rng& rng) {
  return rng.normal() * std::pow(10.0, rng.uniform(-30, 30));
}

double any_size(Rng& rng) {
  return std::abs(any_double(rng));
}

std::int64_t any_count(Rng& rng) {
  return static_cast<std::int64_t>(rng.next_u64() >> 12);
}

std::string any_text(Rng& rng) {
  constexpr const char* kWords[] = {"/layer1/conv", "a \"quoted\" name", "tab\tnewline\n",
                                    "µ → 測試",     "back\\slash",       "x"};
  return std::string(kWords[rng.below(6)]) + std::to_string(rng.below(1000));
}

Breakdown any_breakdown(Rng& rng) {
  Breakdown b;
  for (double& pj : b.pj)
    pj = any_size(rng);
  return b;
}

// Some layers run as loop nests.
std::optional<LayerNest> any_nest(Rng& rng) {
  if (rng.below(2) == 0)
    return std::nullopt;
  return LayerNest{.cycles = any_count(rng),
                   .gap = rng.uniform(),
                   .levels = {{"mac", any_size(rng)}, {any_text(rng), any_size(rng)}},
                   .mapping = any_text(rng)};
}

Path any_path(Rng& rng, std::int64_t channels) {
  const format::NumberFormat formats[] = {
      format::Float{16},     format::Float{32},         format::Integer{4, 8},
      format::Integer{8, 8}, format::Integer{4, 8, 32}, format::Analog{"pcm-lionheart"}};
  Path path;
  std::int64_t begin = 0;
  while (begin < channels) {
    const auto left = static_cast<std::uint64_t>(channels - begin);
    const auto size =
        rng.below(2) == 0 ? channels - begin : 1 + static_cast<std::int64_t>(rng.below(left));
    path.parts.push_back(
        {"unit" + std::to_string(rng.below(3)), formats[rng.below(6)], {begin, begin + size}});
    begin += size;
  }
  return path;
}

AffineCode any_code(Rng& rng) {
  AffineCode code;
  for (std::uint64_t i = rng.below(4); i > 0; --i) {
    code.scales.push_back(static_cast<float>(rng.uniform() * 1e-3));
    code.zero_points.push_back(static_cast<std::int32_t>(rng.below(255)) - 127);
  }
  code.group = rng.below(2) == 0 ? 0 : 32;
  return code;
}

std::vector<Accuracy> any_accuracy(Rng& rng) {
  std::vector<Accuracy> list;
  for (std::uint64_t i = rng.below(3); i > 0; --i)
    list.push_back({"top1", rng.uniform(), rng.uniform(), 10, any_size(rng), "test", 10000});
  return list;
}

Totals any_totals(Rng& rng) {
  Totals t;
  t.energy_pj = any_size(rng);
  t.breakdown = any_breakdown(rng);
  t.latency_ns = any_size(rng);
  t.area_mm2 = any_size(rng);
  t.digital_weight_bytes = any_count(rng);
  t.analog_weight_fraction = rng.uniform();
  t.analog_mac_ratio = rng.uniform();
  t.analog_utilization = rng.uniform();
  t.tiles = any_count(rng);
  t.macs = any_count(rng);
  t.params = any_count(rng);
  t.programming_pj = any_size(rng);
  return t;
}

ir::Workload any_workload(Rng& rng) {
  ir::Workload w;
  const int layers = 1 + static_cast<int>(rng.below(5));
  for (int i = 0; i < layers; ++i) {
    ir::Layer layer;
    layer.node = {static_cast<std::uint32_t>(i)};
    layer.name = any_text(rng) + "." + std::to_string(i);
    layer.op = "Conv";
    layer.dims.M = 1 + static_cast<std::int64_t>(rng.below(9));
    layer.dims.C = 1 + static_cast<std::int64_t>(rng.below(9));
    layer.macs = any_count(rng);
    layer.weights = any_count(rng);
    layer.bias = any_count(rng);
    layer.input_elements = any_count(rng);
    layer.output_elements = any_count(rng);
    w.layers.push_back(layer);
    w.order.push_back({true, i});
    w.edges.push_back({i - 1, i, any_count(rng)});
  }
  w.glue.push_back({{7}, any_text(rng), "Relu", any_count(rng), any_count(rng), any_count(rng)});
  w.order.push_back({false, 0});
  w.edges.push_back({layers - 1, layers, 3});
  w.edges.push_back({layers, -1, 3});
  w.macs = any_count(rng);
  w.params = any_count(rng);
  return w;
}

LayerCost any_layer_cost(Rng& rng, std::size_t parts) {
  LayerCost cost;
  cost.energy_pj = any_breakdown(rng);
  cost.latency_ns = any_size(rng);
  cost.weight_bytes = any_count(rng);
  for (std::size_t p = 0; p < parts; ++p) {
    cost.part_tiles.push_back(static_cast<std::int64_t>(rng.below(9)));
    cost.tiles += cost.part_tiles.back();
  }
  cost.mvms = any_count(rng);
  cost.used_cells = any_count(rng);
  cost.allocated_cells = any_count(rng);
  cost.programming_pj = any_size(rng);
  cost.nest = any_nest(rng);
  return cost;
}

}  // namespace

Mapping random_mapping(Rng& rng) {
  Mapping m;
  m.network = {any_text(rng), std::string(64, 'a')};
  m.platform = {"platform", std::string(64, '0')};
  m.workload = any_workload(rng);
  for (const ir::Layer& layer : m.workload.layers) {
    m.assignment.paths.push_back(any_path(rng, layer.dims.M));
    m.cost.layers.push_back(any_layer_cost(rng, m.assignment.paths.back().parts.size()));
    if (rng.below(2) == 0)
      m.numerics[layer.name] = {any_code(rng), any_code(rng)};
  }
  m.cost.glue.push_back({any_breakdown(rng), any_size(rng)});
  m.cost.links.push_back(
      {"input", m.workload.layers[0].name, any_count(rng), any_breakdown(rng), any_size(rng)});
  m.cost.totals = any_totals(rng);
  m.accuracy = any_accuracy(rng);
  m.weights = rng.below(2) == 0 ? "" : "model.safetensors";
  m.search = {"mps", rng.next_u64(), any_count(rng), any_count(rng)};
  m.seconds = any_size(rng);
  return m;
}

RunRecord random_record(Rng& rng) {
  RunRecord r;
  if (rng.below(4) != 0) {
    r.chosen = random_mapping(rng);
    r.workload = r.chosen.workload;
  } else {
    r.workload = any_workload(rng);
  }
  r.command = "tessera map x.onnx --hardware y.yaml";
  r.tessera_version = "0.1.0";
  r.status = "running";
  r.environment = {{"compiler", any_text(rng)}, {"threads", "2"}};
  r.network_file = any_text(rng);
  r.network_sha256 = std::string(64, 'b');
  r.platform_name = any_text(rng);
  r.platform_sha256 = std::string(64, 'c');
  r.platform_summary = any_text(rng);
  r.data = "fashion-mnist";
  r.preprocessing = any_text(rng);
  r.settings = {{"seed", "1"}, {"strategy", "mps"}};
  for (std::uint64_t i = rng.below(3); i > 0; --i) {
    Candidate c{any_text(rng),
                "front",
                {},
                any_totals(rng),
                any_accuracy(rng),
                {{"mac", any_size(rng)}, {any_text(rng), any_size(rng)}}};
    for (const ir::Layer& layer : r.workload.layers)
      c.assignment.paths.push_back(any_path(rng, layer.dims.M));
    r.candidates.push_back(c);
  }
  r.candidates.push_back({"fp32", "baseline", {}, any_totals(rng), {}});
  r.sensitivity = {{"conv", "pcm analog:x", any_double(rng)},
                   {"fc", "npu int8", -std::numeric_limits<double>::infinity()}};
  r.alternatives = {{"conv", "npu int8", any_double(rng), any_double(rng)},
                    {"fc", "pcm analog:x", -12.5, 0}};
  r.trace = {{"phase 1", 3, "loss", any_double(rng)},
             {"phase 1", 4, "loss", std::numeric_limits<double>::infinity()}};
  r.constants = {{"units.pcm.mvm.fixed", "524 pJ", any_text(rng), 0.1}};
  r.notes = {any_text(rng), any_text(rng)};
  r.timing = {{"search", any_size(rng)}, {"total", any_size(rng)}};
  return r;
}

}  // namespace tessera::plan::testing
