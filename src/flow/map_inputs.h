// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <torch/types.h>

#include "tessera/cost/tiled.h"
#include "tessera/flow/inputs.h"
#include "tessera/flow/map.h"
#include "tessera/flow/settings.h"
#include "tessera/hw/platform.h"
#include "tessera/nn/data/dataset.h"
#include "tessera/supernet/strategy.h"

namespace tessera::flow {

// Everything read and checked, before any work.
struct MapInputs {
  torch::Device device;
  LoadedNetwork network;
  hw::Platform platform;
  nn::Dataset data;
  nn::Preprocessing preprocessing;
  cost::TiledModel model;
  supernet::Space space;
};

// Throws what is wrong with the settings or the files that they name.
MapInputs load_inputs(const MapSettings& settings, const MapContext& context);

// Identifies what the results depend on, so that a folder is continued by the same run alone.
std::string fingerprint(const MapSettings& settings, const MapInputs& inputs);

}  // namespace tessera::flow
