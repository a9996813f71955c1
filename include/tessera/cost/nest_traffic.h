// SPDX-License-Identifier: Apache-2.0
#pragma once

// Pieces of the closed form (docs/loopnest_model.md, L4 and L5), for searches that price a nest
// level by level.

#include <array>
#include <cstdint>
#include <span>

#include "tessera/cost/loop_nest.h"

namespace tessera::cost {

using Extents = std::array<std::int64_t, kMaxDims>;
// Positions on the axes of one tensor.
using AxisVector = std::array<std::int64_t, kMaxAxes>;

struct TemporalLoop {
  std::int64_t bound = 1;
  std::int64_t step = 1;  // along its dimension: how much of it the loops inside cover
  int dim = 0;
};

// Values that enter a tile of `volume` values while the temporal loops outside it run, inner to
// outer; without transfers between neighbours.
std::int64_t tile_traffic(const LoopNestModel& model, int tensor, const Extents& tile,
                          std::int64_t volume, std::span<const TemporalLoop> outside);

// Different tiles among those that spatial loops hand out at a time: `spread` is the tile with the
// spatial loops around it.
std::int64_t distinct_tiles(const LoopNestModel& model, int tensor, const Extents& tile,
                            const Extents& spread);

// Whether a tile can come from a neighbour at the spatial loops of level `s` (L7): some move of the
// temporal loops outside equals the way from an instance to a neighbour. Never for simple tensors.
bool links_can_fire(const LoopNestModel& model, int tensor, int s, const Extents& tile,
                    const LoopBlock& x, const LoopBlock& y, std::span<const TemporalLoop> outside);

}  // namespace tessera::cost
