// SPDX-License-Identifier: Apache-2.0
#include "report/sample_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "tessera/core/rng.h"

namespace tessera::report::testing {
namespace {

using plan::Component;

constexpr double kTimes[] = {1, 3600, 86400, 2592000};

ir::Layer conv(std::string name, std::int64_t c, std::int64_t m, std::int64_t kernel,
               std::int64_t size, std::int64_t stride = 1) {
  ir::Layer layer;
  layer.name = std::move(name);
  layer.op = "Conv";
  layer.dims = {.C = c,
                .M = m,
                .R = kernel,
                .S = kernel,
                .P = size / stride,
                .Q = size / stride,
                .G = 1,
                .H = size,
                .W = size};
  layer.weights = m * c * kernel * kernel;
  layer.bias = m;
  layer.macs = layer.weights * layer.dims.P * layer.dims.Q;
  layer.input_elements = c * size * size;
  layer.output_elements = m * layer.dims.P * layer.dims.Q;
  return layer;
}

ir::Workload resnet8() {
  ir::Workload workload;
  workload.layers = {conv("/conv1/Conv", 1, 16, 3, 28),
                     conv("/layer1/0/conv1/Conv", 16, 16, 3, 28),
                     conv("/layer1/0/conv2/Conv", 16, 16, 3, 28),
                     conv("/layer2/0/conv1/Conv", 16, 32, 3, 28, 2),
                     conv("/layer2/0/conv2/Conv", 32, 32, 3, 14),
                     conv("/layer2/0/shortcut/Conv", 16, 32, 1, 28, 2),
                     conv("/layer3/0/conv1/Conv", 32, 64, 3, 14, 2),
                     conv("/layer3/0/conv2/Conv", 64, 64, 3, 7),
                     conv("/layer3/0/shortcut/Conv", 32, 64, 1, 14, 2),
                     conv("/fc/Gemm", 64, 10, 1, 1)};
  workload.layers.back().op = "Gemm";
  for (int i = 0; i < 10; ++i)
    workload.glue.push_back({{}, fmt::format("/relu{}", i), "Relu", 12544, 12544, 12544});
  for (const ir::Layer& layer : workload.layers) {
    workload.macs += layer.macs;
    workload.params += layer.weights + layer.bias;
  }
  return workload;
}

struct Mode {
  std::string unit;
  format::NumberFormat format;
  double mac_pj;
  double noise;  // accuracy lost per unit of the layer's weight in the network
};

Mode mode(const std::string& name) {
  if (name == "analog")
    return {"pcm", format::Analog{"pcm-lionheart"}, 0, 0.010};
  if (name == "fp32")
    return {"npu", format::Float{32}, 4.6, 0};
  if (name == "fp16")
    return {"npu", format::Float{16}, 1.5, 0};
  if (name == "int4")
    return {"npu", format::Integer{4, 8}, 0.14, 0.006};
  return {"npu", format::Integer{8, 8}, 0.31, 0.0006};
}

plan::LayerCost layer_cost(const ir::Layer& layer, const Mode& mode) {
  plan::LayerCost cost;
  const auto macs = static_cast<double>(layer.macs);
  if (mode.unit == "pcm") {
    const std::int64_t rows = layer.weights / layer.dims.M;
    cost.tiles = (rows + 511) / 512 * ((layer.dims.M + 511) / 512);
    cost.mvms = layer.positions() * cost.tiles;
    cost.used_cells = layer.weights;
    cost.allocated_cells = cost.tiles * 512 * 512;
    cost.energy_pj[Component::kAnalogMvm] =
        static_cast<double>(layer.positions()) *
        (524 + 2.0 * static_cast<double>(rows) + 4.5 * static_cast<double>(layer.dims.M));
    cost.energy_pj[Component::kAccumulate] = 0.4 * static_cast<double>(layer.output_elements);
    cost.latency_ns = 40.0 * static_cast<double>(layer.positions());
    cost.programming_pj = 100.0 * static_cast<double>(layer.weights);
  } else {
    const int bits = format::weight_bits(mode.format);
    cost.weight_bytes = layer.weights * bits / 8;
    cost.energy_pj[Component::kMac] = macs * mode.mac_pj;
    cost.energy_pj[Component::kWeights] = static_cast<double>(cost.weight_bytes) * 2.5;
    cost.latency_ns = macs / 512;
  }
  cost.energy_pj[Component::kActivations] =
      1.2 * static_cast<double>(layer.input_elements + layer.output_elements);
  return cost;
}

plan::Cost cost_of(const ir::Workload& workload, const std::vector<Mode>& modes) {
  plan::Cost cost;
  plan::Totals& t = cost.totals;
  std::int64_t used = 0;
  std::int64_t allocated = 0;
  std::int64_t analog_macs = 0;
  std::int64_t analog_weights = 0;
  std::int64_t weights = 0;
  for (std::size_t i = 0; i < modes.size(); ++i) {
    const ir::Layer& layer = workload.layers[i];
    cost.layers.push_back(layer_cost(layer, modes[i]));
    const plan::LayerCost& row = cost.layers.back();
    t.breakdown += row.energy_pj;
    t.latency_ns += row.latency_ns;
    t.digital_weight_bytes += row.weight_bytes;
    t.tiles += row.tiles;
    t.programming_pj += row.programming_pj;
    used += row.used_cells;
    allocated += row.allocated_cells;
    weights += layer.weights;
    analog_macs += row.tiles > 0 ? layer.macs : 0;
    analog_weights += row.tiles > 0 ? layer.weights : 0;
    if (i > 0 && modes[i].unit != modes[i - 1].unit) {
      plan::LinkCost link{workload.layers[i - 1].name, layer.name, layer.input_elements, {}, 12};
      link.energy_pj[Component::kLink] = 1.1 * static_cast<double>(layer.input_elements);
      link.energy_pj[Component::kConversion] = 0.2 * static_cast<double>(layer.input_elements);
      t.breakdown += link.energy_pj;
      t.latency_ns += link.latency_ns;
      cost.links.push_back(link);
    }
  }
  for (const ir::Glue& glue : workload.glue) {
    plan::GlueCost row;
    row.energy_pj[Component::kGlue] = 0.5 * static_cast<double>(glue.operations);
    row.latency_ns = 60;
    t.breakdown += row.energy_pj;
    t.latency_ns += row.latency_ns;
    cost.glue.push_back(row);
  }
  t.energy_pj = t.breakdown.total();
  t.area_mm2 = 14.2;
  t.macs = workload.macs;
  t.params = workload.params;
  t.analog_mac_ratio = static_cast<double>(analog_macs) / static_cast<double>(workload.macs);
  t.analog_weight_fraction = static_cast<double>(analog_weights) / static_cast<double>(weights);
  t.analog_utilization =
      allocated == 0 ? 0 : static_cast<double>(used) / static_cast<double>(allocated);
  return cost;
}

// How accurate the mapping might be: sensitive first and last layers, drift on analog ones.
std::vector<plan::Accuracy> accuracy_of(const std::vector<Mode>& modes, double training_gain,
                                        const std::string& split, std::int64_t chips, Rng rng) {
  std::vector<plan::Accuracy> list;
  double analog = 0;
  double loss = 0;
  for (std::size_t i = 0; i < modes.size(); ++i) {
    const double weight = i == 0 ? 4.0 : i + 1 == modes.size() ? 2.5 : 1.0;
    loss += weight * modes[i].noise * training_gain;
    analog += modes[i].unit == "pcm" ? weight : 0;
  }
  const std::int64_t images = split == "test" ? 10000 : 2000;
  if (analog == 0)
    return {{"top1", 0.9265 - loss, 0, 1, 0, split, images}};
  for (const double t : kTimes) {
    const double drift = 0.0006 * analog * training_gain * std::log10(std::max(t, 1.0));
    list.push_back({"top1", 0.9265 - loss - drift + 0.001 * rng.normal(),
                    0.0004 * analog * training_gain + 0.0005, chips, t, split, images});
  }
  return list;
}

plan::Candidate candidate(const ir::Workload& workload, std::string label, std::string kind,
                          const std::vector<std::string>& formats, double training_gain = 0.3) {
  std::vector<Mode> modes;
  plan::Candidate c{.label = std::move(label),
                    .kind = std::move(kind),
                    .assignment = {},
                    .totals = {},
                    .accuracy = {}};
  for (std::size_t i = 0; i < workload.layers.size(); ++i) {
    modes.push_back(mode(formats[std::min(i, formats.size() - 1)]));
    c.assignment.paths.push_back(
        {{{modes[i].unit, modes[i].format, {0, workload.layers[i].dims.M}}}});
  }
  c.totals = cost_of(workload, modes).totals;
  c.accuracy = accuracy_of(modes, training_gain, "validation", 3, Rng(7).split(c.label));
  return c;
}

std::vector<plan::ConstantRow> constants() {
  return {
      {"units.pcm.mvm.latency", "40 ns", "Khaddam-Aljameh et al., JSSC 2022, table II", 0},
      {"units.pcm.mvm.fixed", "524 pJ", "assumed: a tenth of the published full-tile figure", 0.5},
      {"units.pcm.mvm.row", "2.05 pJ", "assumed: DAC share of the full-tile figure", 0.3},
      {"units.pcm.mvm.column", "4.61 pJ", "assumed: ADC share of the full-tile figure", 0.3},
      {"units.npu.modes.int8.mac", "310 fJ", "derived: scaled from 45 nm to 14 nm", 0.2},
      {"memories.sram.read", "1.25 pJ/byte", "Horowitz, ISSCC 2014, scaled", 0.25},
  };
}

std::vector<plan::TracePoint> trace() {
  std::vector<plan::TracePoint> points;
  Rng rng(3);
  for (int step = 0; step < 300; ++step) {
    points.push_back(
        {"supernetwork", step, "loss", 0.3 + 1.9 * std::exp(-step / 60.0) + 0.03 * rng.normal()});
  }
  for (int step = 0; step < 120; ++step) {
    points.push_back(
        {"selection", step, "loss", 0.36 + 0.1 * std::exp(-step / 30.0) + 0.02 * rng.normal()});
    if (step % 6 == 0)
      points.push_back({"selection", step, "hypervolume", 0.62 - 0.2 * std::exp(-step / 25.0)});
  }
  for (int epoch = 0; epoch < 8; ++epoch) {
    points.push_back(
        {"fine-tune", epoch, "validation_top1", 0.921 - 0.03 * std::exp(-epoch / 2.0)});
  }
  return points;
}

}  // namespace

plan::RunRecord sample_record() {
  plan::RunRecord r;
  r.command =
      "tessera map models/resnet8_fashion_mnist.onnx --hardware ibm_hybrid --data fashion-mnist";
  r.tessera_version = "0.1.0";
  r.environment = {{"compiler", "gcc 12.2.0"},
                   {"libtorch", "1.13.1"},
                   {"CPU capability", "AVX512"},
                   {"threads", "2"},
                   {"device", "cpu"}};
  r.network_file = "models/resnet8_fashion_mnist.onnx";
  r.network_sha256 = std::string(64, 'a');
  r.platform_name = "ibm_hybrid";
  r.platform_sha256 = std::string(64, 'b');
  r.platform_summary =
      "512×512 PCM tiles at 40 ns beside a digital unit with FP32, FP16, INT8 and INT4.";
  r.data = "fashion-mnist";
  r.preprocessing = "mean 0.2860, std 0.3530 (from the network's metadata)";
  r.settings = {{"strategy", "mps"},
                {"validation images", "2000"},
                {"chips in search", "3"},
                {"chips for result", "10"},
                {"max minutes", "6"}};
  r.status = "done";
  r.workload = resnet8();
  const ir::Workload& w = r.workload;
  const std::string a = "analog";
  const std::vector<std::string> chosen = {"int8", a, a, a, a, "int8", a, a, "int4", "int8"};
  r.candidates = {
      candidate(w, "fp32", "baseline", {"fp32"}),
      candidate(w, "fp16", "baseline", {"fp16"}),
      candidate(w, "int8", "baseline", {"int8"}),
      candidate(w, "int4", "baseline", {"int4"}),
      candidate(w, "analog, untrained", "baseline", {a}, 2.4),
      candidate(w, "analog, trained", "baseline", {a}),
      candidate(w, "ends digital", "baseline", {"int8", a, a, a, a, a, a, a, a, "int8"}),
      candidate(w, "front 1", "front",
                {"fp16", "int8", "int8", a, a, "int8", a, a, "int8", "fp16"}),
      candidate(w, "front 2", "front", {"int8", "int8", a, a, a, "int8", a, a, "int8", "int8"}),
      candidate(w, "chosen", "chosen", chosen, 0.2),
      candidate(w, "front 4", "front", {"int4", a, a, a, a, a, a, a, a, "int8"}),
      candidate(w, "front 5", "front", {"int8", "int4", a, a, "int4", "int4", a, a, a, "int4"}),
  };
  std::vector<Mode> modes;
  for (const std::string& name : chosen)
    modes.push_back(mode(name));
  r.chosen.network = {r.network_file, r.network_sha256};
  r.chosen.platform = {r.platform_name, r.platform_sha256};
  r.chosen.assignment = r.candidates[9].assignment;
  r.chosen.workload = w;
  r.chosen.cost = cost_of(w, modes);
  r.chosen.accuracy = accuracy_of(modes, 0.2, "test", 10, Rng(7).split("test"));
  r.chosen.search = {"mps", 1, 512, 1'920'000};
  Rng rng(5);
  for (const ir::Layer& layer : w.layers) {
    const double weight = &layer == &w.layers.front() ? 4 : &layer == &w.layers.back() ? 2 : 1;
    r.sensitivity.push_back(
        {layer.name, "pcm analog:pcm-lionheart", 0.012 * weight * rng.uniform(0.6, 1.2)});
    r.sensitivity.push_back({layer.name, "npu int8", 0.001 * weight * rng.uniform(-0.3, 1)});
    r.sensitivity.push_back({layer.name, "npu int4/a8", 0.006 * weight * rng.uniform(0.3, 1.2)});
  }
  for (std::size_t i = 0; i < w.layers.size(); ++i) {
    const double energy_pj = r.chosen.cost.layers[i].energy_pj.total();
    for (const char* path : {"pcm analog:pcm-lionheart", "npu int8", "npu int4/a8"}) {
      if (path != plan::to_string(r.chosen.assignment.paths[i]))
        r.alternatives.push_back({w.layers[i].name, path, energy_pj * rng.uniform(-0.5, 2),
                                  r.chosen.cost.layers[i].latency_ns * rng.uniform(-0.5, 1)});
    }
  }
  r.trace = trace();
  r.constants = constants();
  r.notes = {
      "The exported ONNX holds a noise-free 8-bit twin of each analog layer: it leaves out "
      "programming noise, read noise and drift.",
      "This record is made up, to test reports with."};
  r.timing = {{"baselines", 41},
              {"supernetwork", 203},
              {"selection", 64},
              {"result", 92},
              {"seconds", 400}};
  return r;
}

plan::RunRecord interrupted_record() {
  plan::RunRecord r = sample_record();
  r.status = "interrupted";
  r.chosen = {};
  std::erase_if(r.candidates, [](const plan::Candidate& c) { return c.kind != "baseline"; });
  r.sensitivity.clear();
  r.alternatives.clear();
  std::erase_if(r.trace, [](const plan::TracePoint& p) { return p.phase != "supernetwork"; });
  r.notes = {"Stopped by the user."};
  r.timing = {{"baselines", 41}};
  return r;
}

}  // namespace tessera::report::testing
