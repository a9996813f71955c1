// SPDX-License-Identifier: Apache-2.0
#include "map_inputs.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "tessera/core/error.h"
#include "tessera/core/hash.h"
#include "tessera/flow/registry.h"
#include "tessera/flow/version.h"
#include "tessera/hw/read_platform.h"
#include "tessera/ir/workload.h"
#include "tessera/nn/analog/noise_model.h"
#include "tessera/nn/tensor/runtime.h"

namespace tessera::flow {

namespace {

void check_noise_presets(const hw::Platform& platform) {
  for (const hw::Unit& unit : platform.units) {
    const auto* analog = std::get_if<hw::AnalogUnit>(&unit);
    if (analog == nullptr)
      continue;
    try {
      nn::analog_preset(analog->noise_preset);
    } catch (const ConfigError& error) {
      throw ConfigError(
          fmt::format("hardware {}: unit {}: {}", platform.name, analog->name, error.what()));
    }
  }
}

}  // namespace

MapInputs load_inputs(const MapSettings& settings, const MapContext& context) {
  find_strategy(settings.strategy);
  parse_times(settings.test_times);
  const torch::Device device =
      nn::set_up_torch({.threads = settings.threads, .device = settings.device});
  LoadedNetwork network = load_network(settings.network);
  hw::Platform platform = hw::load_platform(settings.hardware, context.preset_folders);
  check_noise_presets(platform);
  const ir::Workload workload = ir::workload(network.graph);
  if (workload.layers.empty()) {
    throw UnsupportedError(settings.network + ": no layer with weights, nothing to map");
  }
  cost::TiledModel model = make_model(network.graph, platform,
                                      {.objective = settings.nest_objective,
                                       .threads = settings.threads,
                                       .cache = settings.nest_cache});
  supernet::Space space = make_space(model, settings.formats);
  // Mistakes in the strategy's settings are found before any work.
  find_strategy(settings.strategy).make({.settings = settings, .model = model, .space = space});
  nn::Dataset data = nn::load_dataset(settings.data, settings.seed);
  fit_data(network.graph, data, settings.network);
  nn::Preprocessing preprocessing = nn::choose_preprocessing(network.graph, data);
  if (settings.batch > data.train.size()) {
    throw UsageError(fmt::format("batch: found {}; allowed: at most the {} training images",
                                 settings.batch, data.train.size()));
  }
  move_to(data, device);
  return {device,        std::move(network), std::move(platform), std::move(data),
          preprocessing, std::move(model),   std::move(space)};
}

std::string fingerprint(const MapSettings& settings, const MapInputs& inputs) {
  Sha256 hash;
  hash.add(version())
      .add(resolved_yaml(settings))
      .add(inputs.network.file.sha256)
      .add(inputs.platform.sha256)
      .add(inputs.data.sha256);
  return hash.hex();
}

}  // namespace tessera::flow
