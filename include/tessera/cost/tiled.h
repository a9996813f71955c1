// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tessera/core/expected.h"
#include "tessera/cost/nest_costs.h"
#include "tessera/hw/platform.h"
#include "tessera/ir/workload.h"
#include "tessera/plan/cost.h"
#include "tessera/plan/mapping.h"

namespace tessera::cost {

// A weight matrix cut for crossbar tiles: rows = inputs (C/G·R·S per group), columns = outputs
// (M/G per group). Split evenly: the first pieces are one larger. Grouped and depthwise
// convolutions are laid block-diagonally: as many groups on one tile as fit, cells off the diagonal
// allocated and unused. Rule C3 of docs/cost_model.md.
struct TileGrid {
  std::int64_t row_pieces = 1;       // of one group
  std::int64_t column_pieces = 1;    // of one group
  std::int64_t groups_per_tile = 1;  // 1 when a group is cut
  std::int64_t tiles = 1;
  std::int64_t used_cells = 0;       // one per weight
  std::int64_t allocated_cells = 0;  // whole tiles: no two layers share one
  // Rows (columns) that are driven (read) at one output position, summed over the layer's tiles.
  std::int64_t active_rows = 0;
  std::int64_t active_columns = 0;
  bool operator==(const TileGrid&) const = default;
};
TileGrid tile_grid(const ir::LayerDims& dims, const hw::AnalogUnit& unit);

// Even split of `size` into ceil(size/max) pieces: sizes differ by at most 1, larger ones first.
// REQUIRES: size > 0, max > 0.
std::vector<std::int64_t> even_split(std::int64_t size, std::int64_t max);

// Energy and time of networks on a platform, per image, batch 1: steps
// one after another, tiles of one layer in parallel, output positions of a layer one after another
// on its tiles. docs/cost_model.md numbers the formulas and assumptions (C1, C2, …).
//
// All layers on all their candidate paths are costed once, in the constructor; what follows is
// additions. Deterministic and thread-safe; copies share the tables.
class TiledModel {
 public:
  // `nests` holds the loop nests of spatial units (search/network_nests.h), one entry for each
  // unit; a spatial unit without them runs no layer. InternalError on a platform that its reader
  // would have refused (a rate of zero, an unknown memory) and on edges that lead backwards.
  TiledModel(ir::Workload workload, hw::Platform platform, PlatformNests nests = {});

  const ir::Workload& workload() const;
  const hw::Platform& platform() const;

  // The paths that layer `index` could take on this platform, one part each, in the platform's
  // order. A layer that needs more tiles than the whole chip has gets no analog path.
  std::vector<plan::Path> candidate_paths(std::size_t index) const;

  // One layer on one path, its input stored as the path reads it, without borders to its
  // neighbours. "path": the platform has no such unit or format; "channels": the parts do not cover
  // the output channels, or cut through a group.
  Expected<plan::LayerCost> layer_cost(std::size_t index, const plan::Path& path) const;

  // The whole mapping. "tiles" when analog layers need more tiles than there are, "memory" when
  // weights exceed a unit's weight memory (the detail names the layers that did not fit, in order);
  // "path" and "channels" as for layer_cost(). REQUIRES: one path per layer.
  Expected<plan::Cost> evaluate(const plan::Assignment& assignment) const;

  // evaluate()'s totals, bit for bit, without its rows, for searches: layer i takes
  // candidate_paths(i)[choice[i]]. REQUIRES: one valid choice per layer.
  Expected<plan::Totals> totals(std::span<const int> choice) const;

 private:
  struct Tables;
  std::shared_ptr<const Tables> tables_;
};

}  // namespace tessera::cost
