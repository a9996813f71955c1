// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tessera/core/error.h"
#include "tessera/cost/tiled.h"

namespace tessera::cost {

namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

std::vector<std::int64_t> even_split(std::int64_t size, std::int64_t max) {
  TESSERA_CHECK(size > 0 && max > 0, "size {}, max {}", size, max);
  const std::int64_t pieces = ceil_div(size, max);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(pieces), size / pieces);
  for (std::int64_t i = 0; i < size % pieces; ++i)
    ++sizes[static_cast<std::size_t>(i)];
  return sizes;
}

TileGrid tile_grid(const ir::LayerDims& dims, const hw::AnalogUnit& unit) {
  TESSERA_CHECK(dims.G > 0 && dims.C % dims.G == 0 && dims.M % dims.G == 0,
                "C = {}, M = {}, G = {}", dims.C, dims.M, dims.G);
  const std::int64_t rows = dims.C / dims.G * dims.R * dims.S;
  const std::int64_t columns = dims.M / dims.G;
  TESSERA_CHECK(rows > 0 && columns > 0 && unit.tile_rows > 0 && unit.tile_columns > 0,
                "{}x{} cells on tiles of {}x{}", rows, columns, unit.tile_rows, unit.tile_columns);

  TileGrid grid;
  grid.row_pieces = ceil_div(rows, unit.tile_rows);
  grid.column_pieces = ceil_div(columns, unit.tile_columns);
  // Zero when one group is larger than a tile.
  const std::int64_t fit = std::min(unit.tile_rows / rows, unit.tile_columns / columns);
  grid.groups_per_tile = std::clamp<std::int64_t>(fit, 1, dims.G);
  grid.tiles = ceil_div(dims.G, grid.groups_per_tile) * grid.row_pieces * grid.column_pieces;
  grid.used_cells = dims.G * rows * columns;
  grid.allocated_cells = grid.tiles * unit.tile_rows * unit.tile_columns;
  // Every column piece needs all rows again, and the other way round.
  grid.active_rows = dims.G * rows * grid.column_pieces;
  grid.active_columns = dims.G * columns * grid.row_pieces;
  return grid;
}

}  // namespace tessera::cost
