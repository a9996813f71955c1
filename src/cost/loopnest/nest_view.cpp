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

}  // namespace tessera::cost
