// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tessera/cost/loop_nest.h"
#include "tessera/cost/nest_traffic.h"

namespace tessera::cost {

// A nest laid out for counting: its temporal loops in one row and the extent of every dimension at
// every level. Extents multiply up to the problem's bounds, so they cannot overflow.
struct NestView {
  NestView(const LoopNestModel& model, const CompactNest& nest);

  // Index of the innermost temporal loop outside the tile of level `s`; -1 is the MAC.
  int first_outside(int s) const { return s < 0 ? 0 : outside[s]; }
  const Extents& tile_below(int s) const { return s == 0 ? unit : tile[s - 1]; }
  std::int64_t spatial_bound(int s, int dim) const { return spread[s][dim] / tile_below(s)[dim]; }

  // Shift of a tensor's tile by one step over `dim` of `step`.
  AxisVector shift(const LoopNestModel& model, int tensor, int dim, std::int64_t step) const {
    AxisVector vector{};
    for (int a = 0; a < model.axes(tensor); ++a)
      vector[a] = model.coefficient(tensor, a, dim) * step;
    return vector;
  }

  const CompactNest& nest;
  int levels = 0;
  int dims = 0;
  int loop_count = 0;
  std::array<TemporalLoop, kMaxLevels * kMaxDims> loops;       // inner to outer
  std::array<std::int64_t, kMaxLevels * kMaxDims + 1> suffix;  // product of loops from k outwards
  std::array<int, kMaxLevels> outside{};
  Extents unit{};
  std::array<Extents, kMaxLevels> spread;          // tile of level s - 1 over its spatial loops
  std::array<Extents, kMaxLevels> tile;            // spread over its temporal loops
  std::array<std::int64_t, kMaxLevels> spatial{};  // used fan-out of level s
};

// Offsets of a tensor's tile on the instances that spatial loops feed: X fastest, inner loops
// first.
std::vector<AxisVector> instance_offsets(const LoopNestModel& model, int tensor,
                                         const Extents& tile, const LoopBlock& x,
                                         const LoopBlock& y);
// Neighbours in that order stand in rows of this many: the mesh's width where the loops leave room.
std::int64_t grid_width(const LoopNestModel& model, int s, const LoopBlock& x);

// Accesses of one tensor with link transfers between neighbours, by walking the nest as Timeloop
// does (docs/loopnest_model.md, L7): two steps of each temporal loop, every instance of a spatial
// one. Exact for every nest, and slow: 2^loops · instances.
struct LinkedTraffic {
  // Of the boundary below level s's loops: accesses of level s, and the same counted once for each
  // instance that gets them.
  std::array<double, kMaxLevels> accesses{};
  std::array<double, kMaxLevels> received{};
  std::array<double, kMaxLevels> links{};  // values that came from a neighbour instead, in all
};
LinkedTraffic walk_with_links(const LoopNestModel& model, const NestView& view, int tensor);

}  // namespace tessera::cost
