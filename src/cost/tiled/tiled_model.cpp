// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "tessera/core/error.h"
#include "tessera/cost/tiled.h"

#include "path_table.h"

namespace tessera::cost {

namespace {

using plan::Component;

// Images and other inputs arrive as 8-bit codes (C10).
constexpr Encoding kInputEncoding{.is_float = false, .bits = 8};
// Not on any unit: in the activation memory.
constexpr int kNowhere = -1;

// How and where a step's output lies.
struct Place {
  Encoding encoding = kInputEncoding;
  int unit = kNowhere;
};

bool is_view(const ir::Glue& glue) {
  constexpr std::array<std::string_view, 3> kViews = {"Flatten", "Reshape", "Identity"};
  return std::find(kViews.begin(), kViews.end(), glue.op) != kViews.end();
}

bool is_elementwise(const ir::Glue& glue) {
  constexpr std::array<std::string_view, 8> kOps = {
      "Relu", "Clip",        "LeakyRelu", "Sigmoid",
      "Tanh", "HardSigmoid", "HardSwish", "BatchNormalization"};
  return std::find(kOps.begin(), kOps.end(), glue.op) != kOps.end();
}

// What glue does to memory traffic (C11).
enum class GlueKind { kPlain, kView, kFused };

using Choice = std::vector<const PathTable*>;  // by layer

}  // namespace

struct TiledModel::Tables {
  Tables(ir::Workload w, hw::Platform p);

  void check_edges() const;
  std::vector<GlueKind> find_fusion() const;
  std::vector<std::vector<PathTable>> cost_candidates() const;

  std::string_view step_name(int step) const;
  Place place_of(int step, const std::vector<Place>& places) const;
  std::vector<Place> places(const Choice& choice) const;
  Encoding layer_source(std::size_t step, const std::vector<Place>& places, Encoding own) const;
  plan::GlueCost glue_row(std::size_t step, const std::vector<Place>& places) const;
  bool link_row(const ir::Edge& edge, const Choice& choice, const std::vector<Place>& places,
                plan::LinkCost& row) const;
  void cross(Place from, Place to, std::int64_t elements, plan::LinkCost& row) const;

  // Sums in the order layers, glue, links (C1); writes the rows too where `rows` is given.
  Expected<plan::Totals> run(const Choice& choice, plan::Cost* rows) const;

  ir::Workload workload;
  hw::Platform platform;
  Chip chip;
  std::vector<std::vector<int>> edges_into;  // indices into Workload::edges, by step
  std::vector<std::size_t> layer_step;       // by layer
  std::vector<std::size_t> glue_step;        // by glue
  std::vector<GlueKind> glue_kind;           // by glue
  std::vector<std::vector<PathTable>> candidates;
  double area_mm2 = 0;
  std::int64_t weights = 0;
  std::int64_t macs = 0;
};

TiledModel::Tables::Tables(ir::Workload w, hw::Platform p)
    : workload(std::move(w)), platform(std::move(p)), chip(platform) {
  check_edges();
  layer_step.resize(workload.layers.size());
  glue_step.resize(workload.glue.size());
  for (std::size_t i = 0; i < workload.order.size(); ++i) {
    const ir::Step& step = workload.order[i];
    (step.is_layer ? layer_step : glue_step).at(static_cast<std::size_t>(step.index)) = i;
  }
  edges_into.resize(workload.order.size());
  for (std::size_t e = 0; e < workload.edges.size(); ++e) {
    if (workload.edges[e].consumer >= 0)
      edges_into[static_cast<std::size_t>(workload.edges[e].consumer)].push_back(
          static_cast<int>(e));
  }
  glue_kind = find_fusion();
  candidates = cost_candidates();
  area_mm2 = chip.area_mm2();
  for (const ir::Layer& layer : workload.layers) {
    weights += layer.weights;
    macs += layer.macs;
  }
}

void TiledModel::Tables::check_edges() const {
  const int steps = static_cast<int>(workload.order.size());
  TESSERA_CHECK(workload.order.size() == workload.layers.size() + workload.glue.size(),
                "{} steps for {} layers and {} glue operations", steps, workload.layers.size(),
                workload.glue.size());
  for (const ir::Edge& edge : workload.edges) {
    TESSERA_CHECK(edge.producer >= -1 && edge.producer < steps && edge.consumer < steps &&
                      (edge.consumer == -1 || edge.consumer > edge.producer),
                  "edge from step {} to step {} of {}", edge.producer, edge.consumer, steps);
  }
}

// C11: an element-wise operation works on its producer's outputs on their way to memory, when
// nobody else reads them.
std::vector<GlueKind> TiledModel::Tables::find_fusion() const {
  std::vector<int> readers(workload.order.size(), 0);
  for (const ir::Edge& edge : workload.edges) {
    if (edge.producer >= 0)
      ++readers[static_cast<std::size_t>(edge.producer)];
  }
  std::vector<GlueKind> kinds(workload.glue.size(), GlueKind::kPlain);
  for (std::size_t g = 0; g < kinds.size(); ++g) {
    const std::vector<int>& in = edges_into[glue_step[g]];
    if (is_view(workload.glue[g])) {
      kinds[g] = GlueKind::kView;
      continue;
    }
    if (!is_elementwise(workload.glue[g]) || in.size() != 1)
      continue;
    const int producer = workload.edges[static_cast<std::size_t>(in.front())].producer;
    if (producer < 0 || readers[static_cast<std::size_t>(producer)] != 1)
      continue;
    const ir::Step& before = workload.order[static_cast<std::size_t>(producer)];
    if (before.is_layer || kinds[static_cast<std::size_t>(before.index)] != GlueKind::kView)
      kinds[g] = GlueKind::kFused;
  }
  return kinds;
}

std::vector<std::vector<PathTable>> TiledModel::Tables::cost_candidates() const {
  struct Formats {
    std::vector<format::NumberFormat> operator()(const hw::AnalogUnit& u) const {
      return {format::Analog{u.noise_preset}};
    }
    std::vector<format::NumberFormat> operator()(const hw::DigitalUnit& u) const {
      std::vector<format::NumberFormat> formats;
      for (const hw::DigitalMode& mode : hw::offered_modes(u))
        formats.push_back(mode.format);
      return formats;
    }
  };
  std::vector<std::vector<PathTable>> all;
  for (const ir::Layer& layer : workload.layers) {
    std::vector<PathTable>& of_layer = all.emplace_back();
    for (const hw::Unit& unit : platform.units) {
      const std::string name(hw::name(unit));
      for (const format::NumberFormat& format : std::visit(Formats{}, unit)) {
        const plan::Path path{{plan::Part{name, format, {0, layer.dims.M}}}};
        auto table = make_path_table(chip, layer, path);
        TESSERA_CHECK(table.has_value(), "{}", table.error().detail);
        const auto* analog = std::get_if<hw::AnalogUnit>(&unit);
        if (!analog || table->fixed.tiles <= analog->tiles)
          of_layer.push_back(std::move(*table));
      }
    }
  }
  return all;
}

std::string_view TiledModel::Tables::step_name(int step) const {
  const ir::Step& s = workload.order[static_cast<std::size_t>(step)];
  const auto index = static_cast<std::size_t>(s.index);
  return s.is_layer ? workload.layers[index].name : workload.glue[index].name;
}

Place TiledModel::Tables::place_of(int step, const std::vector<Place>& places) const {
  return step < 0 ? Place{} : places[static_cast<std::size_t>(step)];
}

// C11: glue works where its first input lies, in the widest encoding of its inputs.
std::vector<Place> TiledModel::Tables::places(const Choice& choice) const {
  std::vector<Place> places(workload.order.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const ir::Step& step = workload.order[i];
    if (step.is_layer) {
      const PathTable& table = *choice[static_cast<std::size_t>(step.index)];
      places[i] = {table.output, table.output_unit};
      continue;
    }
    bool first = true;
    for (const int e : edges_into[i]) {
      const Place in = place_of(workload.edges[static_cast<std::size_t>(e)].producer, places);
      places[i].encoding = first ? in.encoding : wider(places[i].encoding, in.encoding);
      if (places[i].unit == kNowhere)
        places[i].unit = in.unit;
      first = false;
    }
  }
  return places;
}

Encoding TiledModel::Tables::layer_source(std::size_t step, const std::vector<Place>& places,
                                          Encoding own) const {
  if (edges_into[step].empty())
    return own;
  const auto first = static_cast<std::size_t>(edges_into[step].front());
  return place_of(workload.edges[first].producer, places).encoding;
}

plan::GlueCost TiledModel::Tables::glue_row(std::size_t glue_index,
                                            const std::vector<Place>& places) const {
  plan::GlueCost row;
  if (glue_kind[glue_index] == GlueKind::kView)
    return row;
  const ir::Glue& glue = workload.glue[glue_index];
  const std::size_t step = glue_step[glue_index];
  const Encoding own = places[step].encoding;
  const auto operations = static_cast<double>(glue.operations);
  row.energy_pj[Component::kGlue] =
      operations * platform.glue.operation_pj.value * (own.bits / 16.0);
  const double operate_ns = operations / platform.glue.operations_per_ns.value;
  if (glue_kind[glue_index] == GlueKind::kFused) {
    row.latency_ns = operate_ns;
    return row;
  }
  double read = 0;
  for (const int e : edges_into[step]) {
    const ir::Edge& edge = workload.edges[static_cast<std::size_t>(e)];
    read +=
        static_cast<double>(stored_bytes(edge.elements, place_of(edge.producer, places).encoding));
  }
  const auto written = static_cast<double>(stored_bytes(glue.output_elements, own));
  const hw::Memory& memory = chip.activations();
  row.energy_pj[Component::kActivations] =
      read * memory.read_pj_per_byte.value + written * memory.write_pj_per_byte.value;
  row.latency_ns = std::max(operate_ns, (read + written) / memory.bandwidth_bytes_per_ns.value);
  return row;
}

// C9: transport between units and conversion on the way in.
void TiledModel::Tables::cross(Place from, Place to, std::int64_t elements,
                               plan::LinkCost& row) const {
  const bool moves = from.unit != to.unit && from.unit != kNowhere && to.unit != kNowhere;
  const bool converts = from.encoding != to.encoding;
  if (!moves && !converts)
    return;
  const std::int64_t bytes = stored_bytes(elements, from.encoding);
  row.bytes += bytes;
  if (moves) {
    const hw::Link& link = chip.link(from.unit, to.unit);
    row.energy_pj[Component::kLink] += static_cast<double>(bytes) * link.energy_pj_per_byte.value;
    row.latency_ns += static_cast<double>(bytes) / link.bandwidth_bytes_per_ns.value;
  }
  if (converts) {
    const auto count = static_cast<double>(elements);
    row.energy_pj[Component::kConversion] += count * platform.glue.conversion_pj.value;
    row.latency_ns += count / platform.glue.operations_per_ns.value;
  }
}

// False: the edge crosses nothing and has no row.
bool TiledModel::Tables::link_row(const ir::Edge& edge, const Choice& choice,
                                  const std::vector<Place>& places, plan::LinkCost& row) const {
  const Place from = place_of(edge.producer, places);
  if (edge.producer < 0 || edge.consumer < 0) {
    // C10: loading the input and storing the output.
    const hw::Memory& memory = chip.activations();
    row.bytes = stored_bytes(edge.elements, from.encoding);
    const auto bytes = static_cast<double>(row.bytes);
    row.energy_pj[Component::kLink] = bytes * platform.default_link.energy_pj_per_byte.value;
    row.energy_pj[Component::kActivations] =
        bytes * (edge.producer < 0 ? memory.write_pj_per_byte : memory.read_pj_per_byte).value;
    row.latency_ns = bytes / std::min(platform.default_link.bandwidth_bytes_per_ns.value,
                                      memory.bandwidth_bytes_per_ns.value);
  }
  if (edge.consumer >= 0) {
    const ir::Step& step = workload.order[static_cast<std::size_t>(edge.consumer)];
    if (!step.is_layer) {
      cross(from, places[static_cast<std::size_t>(edge.consumer)], edge.elements, row);
    } else {
      for (const PartTable& part : choice[static_cast<std::size_t>(step.index)]->parts)
        cross(from, {part.encoding, part.unit}, part.input_elements, row);
    }
  }
  return row.bytes > 0;
}

Expected<plan::Totals> TiledModel::Tables::run(const Choice& choice, plan::Cost* rows) const {
  if (auto no = check_budgets(chip, workload, choice))
    return tl::unexpected(std::move(*no));
  const std::vector<Place> where = places(choice);

  plan::Totals sum;
  std::int64_t analog_macs = 0;
  std::int64_t used_cells = 0;
  std::int64_t allocated_cells = 0;
  const auto add = [&](const plan::Breakdown& energy, double latency_ns) {
    sum.energy_pj += energy.total();
    sum.breakdown += energy;
    sum.latency_ns += latency_ns;
  };
  for (std::size_t i = 0; i < choice.size(); ++i) {
    const Encoding own = choice[i]->parts.front().encoding;
    const plan::LayerCost row =
        layer_row(chip, *choice[i], layer_source(layer_step[i], where, own));
    add(row.energy_pj, row.latency_ns);
    sum.digital_weight_bytes += row.weight_bytes;
    sum.tiles += row.tiles;
    sum.programming_pj += row.programming_pj;
    analog_macs += choice[i]->analog_macs;
    used_cells += row.used_cells;
    allocated_cells += row.allocated_cells;
    if (rows)
      rows->layers.push_back(row);
  }
  for (std::size_t g = 0; g < workload.glue.size(); ++g) {
    const plan::GlueCost row = glue_row(g, where);
    add(row.energy_pj, row.latency_ns);
    if (rows)
      rows->glue.push_back(row);
  }
  for (const ir::Edge& edge : workload.edges) {
    plan::LinkCost row;
    if (!link_row(edge, choice, where, row))
      continue;
    add(row.energy_pj, row.latency_ns);
    if (rows) {
      row.from = edge.producer < 0 ? "input" : step_name(edge.producer);
      row.to = edge.consumer < 0 ? "output" : step_name(edge.consumer);
      rows->links.push_back(std::move(row));
    }
  }

  const auto fraction = [](std::int64_t part, std::int64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  sum.area_mm2 = area_mm2;
  sum.analog_weight_fraction = fraction(used_cells, weights);
  sum.analog_mac_ratio = fraction(analog_macs, macs);
  sum.analog_utilization = fraction(used_cells, allocated_cells);
  sum.macs = macs;
  sum.params = workload.params;
  if (rows)
    rows->totals = sum;
  return sum;
}

TiledModel::TiledModel(ir::Workload workload, hw::Platform platform)
    : tables_(std::make_shared<const Tables>(std::move(workload), std::move(platform))) {}

const ir::Workload& TiledModel::workload() const {
  return tables_->workload;
}

const hw::Platform& TiledModel::platform() const {
  return tables_->platform;
}

std::vector<plan::Path> TiledModel::candidate_paths(std::size_t index) const {
  std::vector<plan::Path> paths;
  for (const PathTable& table : tables_->candidates.at(index))
    paths.push_back(table.path);
  return paths;
}

Expected<plan::LayerCost> TiledModel::layer_cost(std::size_t index, const plan::Path& path) const {
  const auto table = make_path_table(tables_->chip, tables_->workload.layers.at(index), path);
  if (!table)
    return tl::unexpected(table.error());
  return layer_row(tables_->chip, *table, table->parts.front().encoding);
}

Expected<plan::Cost> TiledModel::evaluate(const plan::Assignment& assignment) const {
  const std::size_t count = tables_->workload.layers.size();
  TESSERA_CHECK(assignment.paths.size() == count, "{} paths for {} layers", assignment.paths.size(),
                count);
  std::vector<PathTable> made;  // for paths that are no candidates: split layers
  made.reserve(count);
  Choice choice(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<PathTable>& known = tables_->candidates[i];
    const auto found = std::find_if(known.begin(), known.end(), [&](const PathTable& t) {
      return t.path == assignment.paths[i];
    });
    if (found != known.end()) {
      choice[i] = &*found;
      continue;
    }
    auto table = make_path_table(tables_->chip, tables_->workload.layers[i], assignment.paths[i]);
    if (!table)
      return tl::unexpected(table.error());
    choice[i] = &made.emplace_back(std::move(*table));
  }
  plan::Cost cost;
  cost.layers.reserve(count);
  cost.glue.reserve(tables_->workload.glue.size());
  if (auto done = tables_->run(choice, &cost); !done)
    return tl::unexpected(done.error());
  return cost;
}

Expected<plan::Totals> TiledModel::totals(std::span<const int> choice) const {
  const auto& candidates = tables_->candidates;
  TESSERA_CHECK(choice.size() == candidates.size(), "{} choices for {} layers", choice.size(),
                candidates.size());
  Choice tables(choice.size());
  for (std::size_t i = 0; i < choice.size(); ++i) {
    const auto c = static_cast<std::size_t>(choice[i]);
    TESSERA_CHECK(c < candidates[i].size(), "layer {} has no candidate {}", i, choice[i]);
    tables[i] = &candidates[i][c];
  }
  return tables_->run(tables, nullptr);
}

}  // namespace tessera::cost
