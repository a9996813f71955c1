// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tessera/cost/tiled.h"
#include "tessera/plan/path.h"

namespace tessera::cost {

// What one layer costs when its output channels are shared out among several paths, as a function
// of how many channels each path gets: real numbers, so that a search can follow its slopes (the
// differentiable cost models of ODiMO, Risso et al. 2023). Rules C2 to C8 and C13 of
// docs/cost_model.md.
//
// At whole numbers it is TiledModel::layer_cost() of any path with so many channels of each kind;
// between whole numbers it is linear in each path's channels. Deterministic and thread-safe.
class SplitCost {
 public:
  // `paths`: candidate_paths() of the layer, one on each unit. InternalError for others.
  SplitCost(const TiledModel& model, std::size_t layer, std::span<const plan::Path> paths);

  // Channels move in whole groups of so many: those of a group of a grouped convolution, else 1.
  std::int64_t channel_step() const { return step_; }

  struct Value {
    double energy_pj = 0;
    double latency_ns = 0;
    // By path, for each channel: not the derivatives, which vanish between the steps of a tile's
    // costs, but those of straight lines from no channel to all. (ODiMO passes gradients straight
    // through its roundings and gates to the same end.) Latency follows the slowest unit, or the
    // activation memory where that is slower.
    std::vector<double> energy_slope, latency_slope;
  };
  // REQUIRES: one number per path, none negative, that sum to the layer's channels.
  Value at(std::span<const double> channels) const;

 private:
  struct Tables;
  std::shared_ptr<const Tables> tables_;
  std::int64_t step_ = 1;
};

}  // namespace tessera::cost
