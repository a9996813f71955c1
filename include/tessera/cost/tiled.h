// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tessera/core/expected.h"
#include "tessera/hw/platform.h"
#include "tessera/ir/workload.h"
#include "tessera/plan/cost.h"
#include "tessera/plan/mapping.h"

namespace tessera::cost {

// A weight matrix cut for crossbar tiles: rows = inputs (C/G·R·S per group), columns = outputs.
// Split evenly: the first `extra` pieces are one larger. Grouped and depthwise convolutions are
// laid block-diagonally: as many groups on one tile as fit, cells off the diagonal allocated and
// unused.
struct TileGrid {
  std::int64_t row_pieces = 1;
  std::int64_t column_pieces = 1;
  std::int64_t groups_per_tile = 1;
  std::int64_t tiles = 1;
  std::int64_t used_cells = 0;
  std::int64_t allocated_cells = 0;
  bool operator==(const TileGrid&) const = default;
};
TileGrid tile_grid(const ir::LayerDims& dims, const hw::AnalogUnit& unit);

// Even split of `size` into ceil(size/max) pieces: sizes differ by at most 1, larger ones first.
std::vector<std::int64_t> even_split(std::int64_t size, std::int64_t max);

// Energy and time of networks on a platform of analog and digital units, per image, batch 1: layers
// one after another, tiles of one layer in parallel, output positions of a layer one after another
// on its tiles. Deterministic and thread-safe.
class TiledModel {
 public:
  TiledModel(ir::Workload workload, hw::Platform platform);

  const ir::Workload& workload() const { return workload_; }
  const hw::Platform& platform() const { return platform_; }

  // The paths that layer `index` could take on this platform, one part each, in the platform's
  // order. A layer that needs more tiles than the whole chip has gets no analog path.
  std::vector<plan::Path> candidate_paths(std::size_t index) const;

  // One layer on one path, without borders to its neighbours.
  Expected<plan::LayerCost> layer_cost(std::size_t index, const plan::Path& path) const;

  // The whole mapping. "tiles" when analog layers need more tiles than there are (the detail names
  // the layers that did not fit, in order), "memory" when weights exceed a unit's weight memory.
  Expected<plan::Cost> evaluate(const plan::Assignment& assignment) const;

 private:
  ir::Workload workload_;
  hw::Platform platform_;
};

}  // namespace tessera::cost
