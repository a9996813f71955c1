// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "tessera/cost/nest_costs.h"
#include "tessera/hw/platform.h"
#include "tessera/ir/loop_problem.h"
#include "tessera/search/mapper.h"

namespace tessera::search {

// A layer by its name in the network's workload.
struct LayerProblem {
  std::string name;
  ir::LoopProblem problem;
};

struct NetworkNestOptions {
  NestSearchOptions search;  // its hints are not used
  // File that keeps what was found (NestTable), read when it is there.
  std::optional<std::filesystem::path> cache = std::nullopt;
};

// The best loop nest of every layer at all widths that each spatial unit offers, for a cost model.
// Outputs are as wide as inputs can be, and 8 bits where they leave the network, so inputs and
// outputs come at 8 bits as well. Layers of one shape, and widths that pack alike, are searched
// once.
cost::PlatformNests find_network_nests(std::span<const LayerProblem> layers,
                                       const hw::Platform& platform,
                                       const NetworkNestOptions& options);

}  // namespace tessera::search
