// SPDX-License-Identifier: Apache-2.0
#include "path_table.h"

#include <algorithm>
#include <string>

#include "tessera/core/error.h"
#include "tessera/cost/tiled.h"

namespace tessera::cost {

namespace {

using plan::Component;

// The slice of a layer that one part computes.
struct Slice {
  ir::LayerDims dims;
  std::int64_t macs = 0;
  std::int64_t weights = 0;
  std::int64_t bias = 0;
  std::int64_t input_elements = 0;
  std::int64_t output_elements = 0;
};

// REQUIRES: channels cut no group.
Slice slice(const ir::Layer& layer, const plan::ChannelRange& channels) {
  const ir::LayerDims& whole = layer.dims;
  const std::int64_t size = channels.end - channels.begin;
  Slice s{.dims = whole,
          .macs = layer.macs / whole.M * size,
          .weights = layer.weights / whole.M * size,
          .bias = layer.bias / whole.M * size,
          .input_elements = layer.input_elements,
          .output_elements = layer.output_elements / whole.M * size};
  s.dims.M = size;
  if (whole.G > 1) {
    s.dims.G = size / (whole.M / whole.G);
    s.dims.C = whole.C / whole.G * s.dims.G;
    s.input_elements = layer.input_elements / whole.G * s.dims.G;
  }
  return s;
}

Expected<void> check_channels(const ir::Layer& layer, const plan::Path& path) {
  const std::int64_t step = layer.dims.G > 1 ? layer.dims.M / layer.dims.G : 1;
  std::int64_t next = 0;
  for (const plan::Part& part : path.parts) {
    const auto [begin, end] = part.channels;
    if (begin != next || end <= begin || end > layer.dims.M) {
      return infeasible(
          "channels", fmt::format("layer {}: a part has channels [{}, {}), expected [{}, up to {})",
                                  layer.name, begin, end, next, layer.dims.M));
    }
    if (end % step != 0) {
      return infeasible("channels", fmt::format("layer {}: channels [{}, {}) cut a group of {}",
                                                layer.name, begin, end, step));
    }
    next = end;
  }
  if (next != layer.dims.M) {
    return infeasible("channels", fmt::format("layer {}: {} of {} output channels are covered",
                                              layer.name, next, layer.dims.M));
  }
  return {};
}

tl::unexpected<Infeasible> no_such_format(const ir::Layer& layer, const plan::Part& part,
                                          const std::string& known) {
  return infeasible(
      "path", fmt::format("layer {}: unit '{}' does not run {}; it runs {}", layer.name, part.unit,
                          format::to_string(part.format), known));
}

// C2 to C5.
Expected<PartTable> cost_part(const Chip& chip, const hw::AnalogUnit& unit, const ir::Layer& layer,
                              const plan::Part& part, PathTable& table) {
  const format::NumberFormat own = format::Analog{unit.noise_preset};
  if (part.format != own)
    return no_such_format(layer, part, format::to_string(own));

  const Slice s = slice(layer, part.channels);
  const TileGrid grid = tile_grid(s.dims, unit);
  const auto positions = static_cast<double>(layer.positions());
  const auto outputs = static_cast<double>(s.output_elements);

  PartTable p;
  p.encoding = {.is_float = false, .bits = (unit.dac_bits + 7) / 8 * 8};
  p.input_elements = s.input_elements;
  p.compute_ns = positions * unit.mvm_latency_ns.value;
  p.tiles = grid.tiles;
  const auto output_bytes = static_cast<double>(stored_bytes(s.output_elements, p.encoding));
  p.activation_bytes = output_bytes;

  const double mvm_pj = static_cast<double>(grid.tiles) * unit.mvm_fixed_pj.value +
                        static_cast<double>(grid.active_rows) * unit.mvm_row_pj.value +
                        static_cast<double>(grid.active_columns) * unit.mvm_column_pj.value +
                        static_cast<double>(grid.used_cells) * unit.mvm_cell_pj.value;
  plan::LayerCost& cost = table.fixed;
  cost.energy_pj[Component::kAnalogMvm] += positions * mvm_pj;
  cost.energy_pj[Component::kAccumulate] +=
      outputs * static_cast<double>(grid.row_pieces) * unit.accumulate_pj.value;
  cost.energy_pj[Component::kActivations] +=
      output_bytes * chip.activations().write_pj_per_byte.value;
  cost.tiles += grid.tiles;
  cost.mvms += grid.tiles * layer.positions();
  cost.used_cells += grid.used_cells;
  cost.allocated_cells += grid.allocated_cells;
  cost.programming_pj += static_cast<double>(grid.used_cells) * unit.program_cell_pj.value;
  table.analog_macs += s.macs;
  return p;
}

// C6, C7.
Expected<PartTable> cost_part(const Chip& chip, const hw::DigitalUnit& unit, const ir::Layer& layer,
                              const plan::Part& part, PathTable& table) {
  const auto mode = hw::find_mode(unit, part.format);
  if (!mode)
    return infeasible("path", fmt::format("layer {}: {}", layer.name, mode.error().detail));

  const Slice s = slice(layer, part.channels);
  const bool is_float = std::holds_alternative<format::Float>(part.format);
  const int weight_bits = format::weight_bits(part.format);
  const format::WeightShape shape{
      .outputs = s.dims.M, .inputs = s.dims.C / s.dims.G, .positions = s.dims.R * s.dims.S};
  const std::int64_t weight_bytes = (format::stored_weight_bits(part.format, shape) + 7) / 8;
  // Biases are held as wide as the accumulated sums they are added to, halves as halves.
  const std::int64_t bias_bytes = s.bias * (is_float ? weight_bits / 8 : 4);

  PartTable p;
  p.encoding = {.is_float = is_float, .bits = format::activation_bits(part.format)};
  p.input_elements = s.input_elements;
  p.input_reads = unit.input_reads.value;
  p.compute_ns = static_cast<double>(s.macs) / (mode->macs_per_cycle * unit.clock_ghz.value);
  const auto output_bytes = static_cast<double>(stored_bytes(s.output_elements, p.encoding));
  p.activation_bytes = output_bytes;

  const hw::Memory& memory = chip.weight_memory(unit);
  const double weight_traffic =
      static_cast<double>(weight_bytes) * unit.weight_reads.value + static_cast<double>(bias_bytes);
  if (&memory == &chip.activations())
    p.activation_bytes += weight_traffic;
  else
    p.weight_ns = weight_traffic / memory.bandwidth_bytes_per_ns.value;

  plan::LayerCost& cost = table.fixed;
  cost.energy_pj[Component::kMac] += static_cast<double>(s.macs) * mode->mac_pj.value;
  cost.energy_pj[Component::kWeights] += weight_traffic * memory.read_pj_per_byte.value;
  cost.energy_pj[Component::kActivations] +=
      output_bytes * chip.activations().write_pj_per_byte.value;
  if (!is_float) {
    // Every group's sum is scaled on its own.
    const auto* integer = std::get_if<format::Integer>(&part.format);
    const std::int64_t sums =
        s.output_elements *
        (integer == nullptr ? 1
                            : format::groups_per_channel(*integer, shape.inputs * shape.positions));
    cost.energy_pj[Component::kAccumulate] +=
        static_cast<double>(sums) * chip.platform().glue.conversion_pj.value;
  }
  cost.weight_bytes += weight_bytes;
  if (unit.weight_residency == hw::WeightResidency::kResident) {
    p.stored_bytes = weight_bytes + bias_bytes;
    cost.programming_pj += static_cast<double>(p.stored_bytes) * memory.write_pj_per_byte.value;
  }
  return p;
}

// C15. All traffic and time are the nest's, which depends on the neighbours' widths.
Expected<PartTable> cost_part(const Chip& chip, const hw::ArrayUnit& unit, const ir::Layer& layer,
                              const plan::Part& part, PathTable& table) {
  const auto* format = std::get_if<format::Integer>(&part.format);
  const auto offers = [](const std::vector<int>& widths, int bits) {
    return std::find(widths.begin(), widths.end(), bits) != widths.end();
  };
  if (format == nullptr || format->group > 0 || !offers(unit.weight_bits, format->weight_bits) ||
      !offers(unit.activation_bits, format->activation_bits))
    return no_such_format(layer, part,
                          "integers of the widths that it lists, one scale per channel");
  if (part.channels != plan::ChannelRange{0, layer.dims.M}) {
    return infeasible(
        "channels",
        fmt::format("layer {}: unit '{}' runs whole layers, not {} of {} channels", layer.name,
                    unit.name, part.channels.end - part.channels.begin, layer.dims.M));
  }
  PartTable p;
  p.nests = chip.nests(chip.unit_index(unit.name));
  const auto index = p.nests != nullptr ? p.nests->find_layer(layer.name) : std::nullopt;
  const int in_bits = format->activation_bits;
  if (!index || p.nests->find(*index, {format->weight_bits, in_bits, in_bits}) == nullptr) {
    return infeasible("path", fmt::format("layer {}: no loop nest of {} runs on unit '{}'",
                                          layer.name, format::to_string(part.format), unit.name));
  }
  p.layer = *index;
  p.weight_bits = format->weight_bits;
  p.encoding = {.is_float = false, .bits = in_bits};
  p.input_elements = layer.input_elements;
  plan::LayerCost& cost = table.fixed;
  // Biases are held as wide as the sums they are added to.
  constexpr double kBiasBytes = 4;
  cost.energy_pj[Component::kWeights] +=
      static_cast<double>(layer.bias) * kBiasBytes * chip.activations().read_pj_per_byte.value;
  cost.energy_pj[Component::kAccumulate] +=
      static_cast<double>(layer.output_elements) * chip.platform().glue.conversion_pj.value;
  cost.weight_bytes += (layer.weights * format->weight_bits + 7) / 8;
  return p;
}

// C8: a split layer's outputs come together on its first part's unit in the widest encoding.
void gather_outputs(const Chip& chip, const ir::Layer& layer, PathTable& table) {
  table.output_unit = table.parts.front().unit;
  table.output = table.parts.front().encoding;
  for (const PartTable& part : table.parts)
    table.output = wider(table.output, part.encoding);
  for (const PartTable& part : table.parts) {
    const Gathering needed = gathering(chip, layer, part, table.output_unit, table.output);
    table.fixed.energy_pj[Component::kLink] += needed.link_pj;
    table.fixed.energy_pj[Component::kConversion] += needed.conversion_pj;
    table.fixed.latency_ns += needed.latency_ns;
  }
}

// C8: parts of one unit in one format are one.
std::vector<std::vector<std::size_t>> together(const plan::Path& path) {
  std::vector<std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < path.parts.size(); ++i) {
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
      const plan::Part& first = path.parts[group.front()];
      return first.unit == path.parts[i].unit && first.format == path.parts[i].format;
    });
    if (same == groups.end())
      groups.push_back({i});
    else
      same->push_back(i);
  }
  return groups;
}

}  // namespace

Gathering gathering(const Chip& chip, const ir::Layer& layer, const PartTable& part,
                    int output_unit, Encoding output) {
  Gathering needed;
  const hw::GlueUnit& glue = chip.platform().glue;
  const std::int64_t elements = layer.output_elements / layer.dims.M * part.channels;
  if (part.unit != output_unit) {
    const hw::Link& link = chip.link(part.unit, output_unit);
    const auto bytes = static_cast<double>(stored_bytes(elements, part.encoding));
    needed.link_pj = bytes * link.energy_pj_per_byte.value;
    needed.latency_ns += bytes / link.bandwidth_bytes_per_ns.value;
  }
  if (part.encoding != output) {
    needed.conversion_pj = static_cast<double>(elements) * glue.conversion_pj.value;
    needed.latency_ns += static_cast<double>(elements) / glue.operations_per_ns.value;
  }
  return needed;
}

Expected<PartTable> cost_channels(const Chip& chip, const ir::Layer& layer, const std::string& unit,
                                  const format::NumberFormat& format, std::int64_t channels,
                                  PathTable& table) {
  const int index = chip.unit_index(unit);
  if (index < 0) {
    return infeasible("path", fmt::format("layer {}: platform {} has no unit '{}'", layer.name,
                                          chip.platform().name, unit));
  }
  const plan::Part part{unit, format, {0, channels}};
  auto costed = std::visit([&](const auto& u) { return cost_part(chip, u, layer, part, table); },
                           chip.platform().units[static_cast<std::size_t>(index)]);
  if (!costed)
    return tl::unexpected(costed.error());
  costed->unit = index;
  costed->channels = channels;
  return costed;
}

Expected<PathTable> make_path_table(const Chip& chip, const ir::Layer& layer,
                                    const plan::Path& path) {
  if (const auto covered = check_channels(layer, path); !covered)
    return tl::unexpected(covered.error());
  PathTable table;
  table.path = path;
  table.fixed.part_tiles.assign(path.parts.size(), 0);
  for (const std::vector<std::size_t>& group : together(path)) {
    const plan::Part& first = path.parts[group.front()];
    std::int64_t channels = 0;
    for (const std::size_t i : group)
      channels += path.parts[i].channels.end - path.parts[i].channels.begin;
    auto part = cost_channels(chip, layer, first.unit, first.format, channels, table);
    if (!part)
      return tl::unexpected(part.error());
    table.parts.push_back(*part);
    table.fixed.part_tiles[group.front()] = part->tiles;
  }
  std::stable_sort(table.parts.begin(), table.parts.end(),
                   [](const PartTable& a, const PartTable& b) {
                     return a.channels != b.channels ? a.channels > b.channels : a.unit < b.unit;
                   });
  gather_outputs(chip, layer, table);
  return table;
}

double busy_ns(const PartTable& part) {
  return std::max(part.compute_ns, part.weight_ns);
}

double activation_ns(const Chip& chip, const PartTable& part, Encoding source) {
  const double input_bytes =
      static_cast<double>(stored_bytes(part.input_elements, source)) * part.input_reads;
  return (input_bytes + part.activation_bytes) / chip.activations().bandwidth_bytes_per_ns.value;
}

namespace {

// C15: inputs move as they are stored, if that is wider than what the layer asks for.
const NestChoice& nest_of(const PartTable& part, const Borders& borders) {
  const int stored = borders.source.is_float ? 0 : borders.source.bits;
  const NestWidths widths{.weights = part.weight_bits,
                          .inputs = std::max(part.encoding.bits, stored),
                          .outputs = borders.output.bits};
  const NestChoice* choice = part.nests->find(part.layer, widths);
  TESSERA_CHECK(choice != nullptr, "layer {} runs at some widths and not at {}/{}/{}", part.layer,
                widths.inputs, widths.weights, widths.outputs);
  return *choice;
}

}  // namespace

// C13: units work at the same time, the parts of one after another, all on one activation memory.
plan::LayerCost layer_row(const Chip& chip, const PathTable& table, const Borders& borders,
                          bool with_nest) {
  plan::LayerCost cost = table.fixed;
  if (table.parts.front().nests != nullptr) {
    // Whole layers alone run on arrays.
    const NestChoice& choice = nest_of(table.parts.front(), borders);
    cost.energy_pj += choice.energy_pj;
    cost.latency_ns += choice.latency_ns;
    if (with_nest)
      cost.nest = *choice.nest;
    return cost;
  }
  const Encoding source = borders.source;
  std::vector<double> unit_ns(chip.unit_count(), 0);
  double traffic_ns = 0;
  for (const PartTable& part : table.parts) {
    const double input_bytes =
        static_cast<double>(stored_bytes(part.input_elements, source)) * part.input_reads;
    cost.energy_pj[Component::kActivations] +=
        input_bytes * chip.activations().read_pj_per_byte.value;
    const double own_traffic_ns = activation_ns(chip, part, source);
    traffic_ns += own_traffic_ns;
    unit_ns[static_cast<std::size_t>(part.unit)] += std::max(busy_ns(part), own_traffic_ns);
  }
  cost.latency_ns += std::max(traffic_ns, *std::max_element(unit_ns.begin(), unit_ns.end()));
  return cost;
}

}  // namespace tessera::cost
