// SPDX-License-Identifier: Apache-2.0
#include "tessera/cost/split_cost.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "tessera/core/error.h"

#include "path_table.h"

namespace tessera::cost {
namespace {

// One path's channels by themselves.
struct Row {
  double energy_pj = 0;  // with the reading of the inputs and with the gathering
  double busy_ns = 0;    // C13: the longest of computing, weights and own traffic
  double traffic_ns = 0;
  double gather_ns = 0;
};

Row mix(const Row& a, const Row& b, double share_of_b) {
  const auto between = [&](double x, double y) { return x + share_of_b * (y - x); };
  return {between(a.energy_pj, b.energy_pj), between(a.busy_ns, b.busy_ns),
          between(a.traffic_ns, b.traffic_ns), between(a.gather_ns, b.gather_ns)};
}

}  // namespace

struct SplitCost::Tables {
  Tables(const TiledModel& m, std::size_t index)
      : model(m), chip(m.platform()), layer(m.workload().layers.at(index)) {}

  // What the split as a whole decides for each of its parts.
  struct Setting {
    int unit = 0;       // where outputs come together
    Encoding source;    // of the input
    Encoding gathered;  // of the outputs
  };
  Setting setting(std::span<const double> channels) const;
  // `steps` whole steps of channels on a path.
  Row row(std::size_t path, std::int64_t steps, const Setting& setting) const;
  Row row_at(std::size_t path, double channels, const Setting& setting) const;

  TiledModel model;
  Chip chip;
  ir::Layer layer;
  std::int64_t step = 1;
  // [path][steps]: the part, and the energy that depends on nothing else.
  std::vector<std::vector<PartTable>> parts;
  std::vector<std::vector<double>> fixed_pj;
};

SplitCost::SplitCost(const TiledModel& model, std::size_t layer,
                     std::span<const plan::Path> paths) {
  auto tables = std::make_shared<Tables>(model, layer);
  const ir::LayerDims& dims = tables->layer.dims;
  step_ = tables->step = dims.G > 1 ? dims.M / dims.G : 1;
  std::set<std::string> units;
  for (const plan::Path& path : paths) {
    TESSERA_CHECK(path.parts.size() == 1 && units.insert(path.parts.front().unit).second,
                  "layer {}: path '{}' is no part of a split over units", tables->layer.name,
                  plan::to_string(path));
    auto& parts = tables->parts.emplace_back(1);  // no channels, no cost
    auto& fixed = tables->fixed_pj.emplace_back(1, 0.0);
    for (std::int64_t channels = step_; channels <= dims.M; channels += step_) {
      PathTable alone;
      const auto part = cost_channels(tables->chip, tables->layer, path.parts.front().unit,
                                      path.parts.front().format, channels, alone);
      TESSERA_CHECK(part.has_value(), "{}", part.error().detail);
      parts.push_back(*part);
      fixed.push_back(alone.fixed.energy_pj.total());
    }
    // The empty part is on its unit, too.
    parts.front().unit = parts.back().unit;
    parts.front().encoding = parts.back().encoding;
  }
  tables_ = std::move(tables);
}

SplitCost::Tables::Setting SplitCost::Tables::setting(std::span<const double> channels) const {
  std::size_t most = 0;
  for (std::size_t i = 1; i < channels.size(); ++i) {
    const bool more = channels[i] > channels[most];
    const bool earlier = parts[i].back().unit < parts[most].back().unit;
    if (more || (channels[i] == channels[most] && earlier))
      most = i;
  }
  const PartTable& main = parts[most].back();
  Setting setting{.unit = main.unit, .source = main.encoding, .gathered = main.encoding};
  for (std::size_t i = 0; i < channels.size(); ++i) {
    if (channels[i] >= 0.5 * static_cast<double>(step))
      setting.gathered = wider(setting.gathered, parts[i].back().encoding);
  }
  return setting;
}

Row SplitCost::Tables::row(std::size_t path, std::int64_t steps, const Setting& setting) const {
  if (steps == 0)
    return {};
  const PartTable& part = parts[path][static_cast<std::size_t>(steps)];
  const double input_bytes =
      static_cast<double>(stored_bytes(part.input_elements, setting.source)) * part.input_reads;
  const Gathering gather = gathering(chip, layer, part, setting.unit, setting.gathered);
  const double traffic_ns = activation_ns(chip, part, setting.source);
  return {.energy_pj = fixed_pj[path][static_cast<std::size_t>(steps)] +
                       input_bytes * chip.activations().read_pj_per_byte.value + gather.link_pj +
                       gather.conversion_pj,
          .busy_ns = std::max(busy_ns(part), traffic_ns),
          .traffic_ns = traffic_ns,
          .gather_ns = gather.latency_ns};
}

Row SplitCost::Tables::row_at(std::size_t path, double channels, const Setting& setting) const {
  const auto last = static_cast<std::int64_t>(parts[path].size()) - 1;
  const double steps = channels / static_cast<double>(step);
  const auto below = std::clamp<std::int64_t>(static_cast<std::int64_t>(steps), 0, last);
  const std::int64_t above = std::min(below + 1, last);
  return mix(row(path, below, setting), row(path, above, setting),
             steps - static_cast<double>(below));
}

SplitCost::Value SplitCost::at(std::span<const double> channels) const {
  const Tables& t = *tables_;
  TESSERA_CHECK(channels.size() == t.parts.size(), "{} numbers for {} paths", channels.size(),
                t.parts.size());
  const auto whole = static_cast<double>(t.layer.dims.M);
  const double sum = std::accumulate(channels.begin(), channels.end(), 0.0);
  TESSERA_CHECK(std::abs(sum - whole) <= 1e-3 * whole, "layer {}: {} channels of {}", t.layer.name,
                sum, whole);
  const Tables::Setting setting = t.setting(channels);
  Value value;
  std::vector<double> unit_ns(t.chip.unit_count(), 0);
  std::vector<Row> full;
  double traffic_ns = 0;
  double gather_ns = 0;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const Row row = t.row_at(i, channels[i], setting);
    value.energy_pj += row.energy_pj;
    unit_ns[static_cast<std::size_t>(t.parts[i].back().unit)] += row.busy_ns;
    traffic_ns += row.traffic_ns;
    gather_ns += row.gather_ns;
    full.push_back(t.row(i, static_cast<std::int64_t>(t.parts[i].size()) - 1, setting));
  }
  const auto slowest = std::max_element(unit_ns.begin(), unit_ns.end());
  const bool memory_bound = traffic_ns > *slowest;
  value.latency_ns = (memory_bound ? traffic_ns : *slowest) + gather_ns;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    value.energy_slope.push_back(full[i].energy_pj / whole);
    const bool on_slowest = t.parts[i].back().unit == slowest - unit_ns.begin();
    const double own = memory_bound ? full[i].traffic_ns : on_slowest ? full[i].busy_ns : 0;
    value.latency_slope.push_back((own + full[i].gather_ns) / whole);
  }
  return value;
}

}  // namespace tessera::cost
