// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <string>

#include "tessera/core/error.h"
#include "tessera/supernet/adapt.h"

namespace tessera::supernet {
namespace {

bool is_analog(const plan::Path& path) {
  return std::holds_alternative<format::Analog>(path.parts.front().format);
}

// What one layer could take.
struct Options {
  std::optional<plan::Path> analog;
  std::int64_t tiles = 0;
  std::optional<plan::Path> digital;  // of least energy
};

Options options_of(const cost::TiledModel& model, std::size_t layer) {
  Options options;
  double least = 0;
  for (plan::Path& path : model.candidate_paths(layer)) {
    const auto cost = model.layer_cost(layer, path);
    TESSERA_CHECK(cost.has_value(), "a candidate path does not fit: {}", cost.error().detail);
    const double energy_pj = cost->energy_pj.total();
    if (is_analog(path)) {
      if (!options.analog && model.workload().layers[layer].dims.G == 1) {
        options.tiles = cost->tiles;
        options.analog = std::move(path);
      }
    } else if (!options.digital || energy_pj < least) {
      least = energy_pj;
      options.digital = std::move(path);
    }
  }
  return options;
}

std::map<std::string, std::int64_t> tiles_by_unit(const hw::Platform& platform) {
  std::map<std::string, std::int64_t> tiles;
  for (const hw::Unit& unit : platform.units) {
    if (const auto* analog = std::get_if<hw::AnalogUnit>(&unit))
      tiles[analog->name] = analog->tiles;
  }
  return tiles;
}

}  // namespace

plan::Assignment reference_assignment(const cost::TiledModel& model) {
  const std::vector<ir::Layer>& layers = model.workload().layers;
  std::vector<Options> options;
  for (std::size_t i = 0; i < layers.size(); ++i)
    options.push_back(options_of(model, i));
  std::vector<std::size_t> order(layers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto macs_per_tile = [&](std::size_t i) {
    return static_cast<double>(layers[i].macs) /
           static_cast<double>(std::max<std::int64_t>(options[i].tiles, 1));
  };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return macs_per_tile(a) > macs_per_tile(b);
  });
  std::map<std::string, std::int64_t> left = tiles_by_unit(model.platform());
  plan::Assignment assignment;
  assignment.paths.resize(layers.size());
  for (const std::size_t i : order) {
    const Options& layer = options[i];
    if (layer.analog) {
      std::int64_t& tiles = left[layer.analog->parts.front().unit];
      if (layer.tiles <= tiles || !layer.digital) {
        tiles -= layer.tiles;
        assignment.paths[i] = *layer.analog;
        continue;
      }
    }
    if (!layer.digital) {
      throw UnsupportedError(
          fmt::format("layer {}: {} has no unit for it but the tiles that a "
                      "depthwise layer would waste",
                      layers[i].name, model.platform().name));
    }
    assignment.paths[i] = *layer.digital;
  }
  return assignment;
}

}  // namespace tessera::supernet
