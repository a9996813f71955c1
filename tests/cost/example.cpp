// SPDX-License-Identifier: Apache-2.0
#include "example.h"

#include <utility>

namespace tessera::cost::testing {

namespace {

hw::Quantity q(double value) {
  return {.value = value, .plus_minus = 0, .source = "assumed: test"};
}

// Builds a workload step by step.
class Builder {
 public:
  int layer(ir::Layer layer, int producer) {
    w_.macs += layer.macs;
    w_.params += layer.weights + layer.bias;
    w_.order.push_back({true, static_cast<int>(w_.layers.size())});
    w_.edges.push_back({producer, last(), layer.input_elements});
    w_.layers.push_back(std::move(layer));
    return last();
  }
  int glue(std::string op, std::int64_t operations, std::vector<int> producers, std::int64_t in,
           std::int64_t out) {
    ir::Glue g;
    g.name = "glue" + std::to_string(w_.glue.size());
    g.op = std::move(op);
    g.operations = operations;
    g.input_elements = in * static_cast<std::int64_t>(producers.size());
    g.output_elements = out;
    w_.order.push_back({false, static_cast<int>(w_.glue.size())});
    for (const int producer : producers)
      w_.edges.push_back({producer, last(), in});
    w_.glue.push_back(std::move(g));
    return last();
  }
  ir::Workload output(std::int64_t elements) {
    w_.edges.push_back({last(), -1, elements});
    return std::move(w_);
  }

 private:
  int last() const { return static_cast<int>(w_.order.size()) - 1; }
  ir::Workload w_;
};

}  // namespace

ir::Layer conv(std::string name, ir::LayerDims dims) {
  ir::Layer layer;
  layer.name = std::move(name);
  layer.op = "Conv";
  layer.dims = dims;
  layer.weights = dims.M * (dims.C / dims.G) * dims.R * dims.S;
  layer.macs = layer.weights * dims.P * dims.Q;
  layer.bias = dims.M;
  layer.input_elements = dims.C * dims.H * dims.W;
  layer.output_elements = dims.M * dims.P * dims.Q;
  return layer;
}

ir::Workload two_layers() {
  Builder b;
  int at =
      b.layer(conv("conv1", {.C = 3, .M = 10, .R = 3, .S = 3, .P = 6, .Q = 6, .H = 6, .W = 6}), -1);
  at = b.glue("Relu", 360, {at}, 360, 360);
  at = b.glue("Flatten", 0, {at}, 360, 360);
  b.layer(conv("fc", {.C = 360, .M = 5}), at);
  return b.output(5);
}

hw::Platform small_platform() {
  hw::AnalogUnit pcm;
  pcm.name = "pcm";
  pcm.tile_rows = 16;
  pcm.tile_columns = 8;
  pcm.tiles = 150;
  pcm.noise_preset = "test";
  pcm.mvm_latency_ns = q(50);
  pcm.mvm_fixed_pj = q(100);
  pcm.mvm_row_pj = q(2);
  pcm.mvm_column_pj = q(3);
  pcm.mvm_cell_pj = q(0.5);
  pcm.program_cell_pj = q(10);
  pcm.tile_area_mm2 = q(0.5);
  pcm.accumulate_pj = q(0.25);

  hw::DigitalUnit npu;
  npu.name = "npu";
  npu.clock_ghz = q(0.5);
  npu.modes = {{format::Float{16}, 4, q(2)},
               {format::Integer{8, 8}, 16, q(0.5)},
               {format::Integer{4, 8}, 32, q(0.25)}};
  npu.weight_memory = "weights";
  npu.weight_reads = q(2);
  npu.input_reads = q(1);
  npu.area_mm2 = q(1);

  hw::Memory weights;
  weights.name = "weights";
  weights.capacity_bytes = q(4096);
  weights.read_pj_per_byte = q(1);
  weights.write_pj_per_byte = q(1.5);
  weights.bandwidth_bytes_per_ns = q(8);
  weights.area_mm2 = q(0.25);
  hw::Memory activations;
  activations.name = "activations";
  activations.capacity_bytes = q(65536);
  activations.read_pj_per_byte = q(2);
  activations.write_pj_per_byte = q(2.5);
  activations.bandwidth_bytes_per_ns = q(16);
  activations.area_mm2 = q(0.5);

  hw::Platform p;
  p.name = "small";
  p.units = {pcm, npu};
  p.memories = {weights, activations};
  p.activation_memory = "activations";
  p.links = {{"npu", "pcm", q(3), q(2)}};
  p.default_link = {"", "", q(4), q(4)};
  p.glue.operation_pj = q(0.2);
  p.glue.conversion_pj = q(0.4);
  p.glue.operations_per_ns = q(8);
  return p;
}

ir::Workload random_network(Rng& rng) {
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(high - low + 1)));
  };
  Builder b;
  const std::int64_t side = pick(2, 6);
  std::int64_t channels = pick(1, 4);
  int at = -1;
  const std::int64_t blocks = pick(1, 5);
  for (std::int64_t i = 0; i < blocks; ++i) {
    const std::int64_t kernel = pick(0, 1) * 2 + 1;
    ir::LayerDims dims{
        .C = channels, .R = kernel, .S = kernel, .P = side, .Q = side, .H = side, .W = side};
    switch (pick(0, 3)) {
      case 0:  // depthwise
        dims.G = dims.M = channels;
        break;
      case 1:  // grouped
        dims.G = channels % 2 == 0 ? 2 : 1;
        dims.M = dims.G * pick(1, 8);
        break;
      default:
        dims.M = pick(1, 20);
    }
    const int before = at;
    at = b.layer(conv("conv" + std::to_string(i), dims), at);
    const std::int64_t elements = dims.M * side * side;
    if (before >= 0 && dims.M == channels)
      at = b.glue("Add", elements, {before, at}, elements, elements);
    else if (pick(0, 1) == 1)
      at = b.glue("Relu", elements, {at}, elements, elements);
    channels = dims.M;
  }
  const std::int64_t elements = channels * side * side;
  at = b.glue("GlobalAveragePool", elements, {at}, elements, channels);
  at = b.glue("Flatten", 0, {at}, channels, channels);
  b.layer(conv("fc", {.C = channels, .M = 10}), at);
  return b.output(10);
}

hw::Platform random_platform(Rng& rng) {
  hw::Platform p = small_platform();
  const auto vary = [&](hw::Quantity& quantity) { quantity.value *= rng.uniform(0.1, 4); };
  auto& pcm = std::get<hw::AnalogUnit>(p.units[0]);
  pcm.tile_rows = 4 + static_cast<std::int64_t>(rng.below(60));
  pcm.tile_columns = 4 + static_cast<std::int64_t>(rng.below(60));
  pcm.tiles = 1'000'000;
  for (hw::Quantity* quantity : {&pcm.mvm_latency_ns, &pcm.mvm_fixed_pj, &pcm.mvm_row_pj,
                                 &pcm.mvm_column_pj, &pcm.mvm_cell_pj, &pcm.accumulate_pj})
    vary(*quantity);
  auto& npu = std::get<hw::DigitalUnit>(p.units[1]);
  vary(npu.clock_ghz);
  for (hw::DigitalMode& mode : npu.modes)
    vary(mode.mac_pj);
  for (hw::Memory& memory : p.memories) {
    vary(memory.read_pj_per_byte);
    vary(memory.write_pj_per_byte);
    vary(memory.bandwidth_bytes_per_ns);
    memory.capacity_bytes.value = 1e9;
  }
  vary(p.links[0].bandwidth_bytes_per_ns);
  vary(p.default_link.bandwidth_bytes_per_ns);
  return p;
}

plan::Path path(const ir::Layer& layer, std::string unit, format::NumberFormat format) {
  return {{plan::Part{std::move(unit), std::move(format), {0, layer.dims.M}}}};
}

}  // namespace tessera::cost::testing
