// SPDX-License-Identifier: Apache-2.0
#include "nest_view.h"

#include <algorithm>

#include "tessera/core/saturate.h"

namespace tessera::cost {

NestView::NestView(const LoopNestModel& model, const CompactNest& compact)
    : nest(compact), levels(compact.level_count), dims(model.dims()) {
  unit.fill(1);
  Extents extent = unit;
  for (int s = 0; s < levels; ++s) {
    const CompactNest::Level& level = nest.levels[s];
    spatial[s] = 1;
    for (const LoopBlock* block : {&level.x, &level.y}) {
      for (int i = 0; i < block->count; ++i) {
        extent[block->dim[i]] *= block->bound[i];
        spatial[s] *= block->bound[i];
      }
    }
    spread[s] = extent;
    for (int i = 0; i < level.temporal.count; ++i) {
      const int dim = level.temporal.dim[i];
      loops[loop_count++] = {level.temporal.bound[i], extent[dim], dim};
      extent[dim] *= level.temporal.bound[i];
    }
    outside[s] = loop_count;
    tile[s] = extent;
  }
  suffix[loop_count] = 1;
  for (int k = loop_count; k-- > 0;)
    suffix[k] = saturating_multiply(suffix[k + 1], loops[k].bound);
}

std::vector<AxisVector> instance_offsets(const LoopNestModel& model, const NestView& view,
                                         int tensor, int s) {
  std::vector<AxisVector> offsets{AxisVector{}};
  Extents extent = view.tile_below(s);
  for (const LoopBlock* block : {&view.nest.levels[s].x, &view.nest.levels[s].y}) {
    for (int i = 0; i < block->count; ++i) {
      const int dim = block->dim[i];
      const AxisVector step = view.shift(model, tensor, dim, extent[dim]);
      const std::size_t before = offsets.size();
      for (int n = 1; n < block->bound[i]; ++n) {
        for (std::size_t k = 0; k < before; ++k) {
          AxisVector offset = offsets[k];
          for (int a = 0; a < kMaxAxes; ++a)
            offset[a] += n * step[a];
          offsets.push_back(offset);
        }
      }
      extent[dim] *= block->bound[i];
    }
  }
  return offsets;
}

std::int64_t grid_width(const LoopNestModel& model, const NestView& view, int s) {
  std::int64_t used = 1;
  const LoopBlock& x = view.nest.levels[s].x;
  for (int i = 0; i < x.count; ++i)
    used *= x.bound[i];
  return std::max(used, model.unit().fanout_x(s));
}

}  // namespace tessera::cost
