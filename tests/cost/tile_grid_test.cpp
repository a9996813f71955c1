// SPDX-License-Identifier: Apache-2.0
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tessera/cost/tiled.h"

#include "example.h"

namespace tessera::cost {
namespace {

TEST(EvenSplit, PiecesDifferByAtMostOneAndLargerOnesComeFirst) {
  EXPECT_EQ(even_split(10, 10), (std::vector<std::int64_t>{10}));
  EXPECT_EQ(even_split(11, 10), (std::vector<std::int64_t>{6, 5}));
  EXPECT_EQ(even_split(27, 16), (std::vector<std::int64_t>{14, 13}));
  EXPECT_EQ(even_split(32, 10), (std::vector<std::int64_t>{8, 8, 8, 8}));
  EXPECT_EQ(even_split(31, 10), (std::vector<std::int64_t>{8, 8, 8, 7}));
}

// Lays the layer's weights into explicit tiles cell by cell and counts.
TileGrid fill_tiles(const ir::LayerDims& dims, const hw::AnalogUnit& unit) {
  const std::int64_t rows = dims.C / dims.G * dims.R * dims.S;
  const std::int64_t columns = dims.M / dims.G;
  const auto row_sizes = even_split(rows, unit.tile_rows);
  const auto column_sizes = even_split(columns, unit.tile_columns);
  struct Tile {
    std::set<std::pair<std::int64_t, std::int64_t>> cells;
    std::int64_t next_row = 0, next_column = 0;
    int groups = 0;
  };
  std::vector<Tile> tiles;
  TileGrid grid;
  grid.row_pieces = static_cast<std::int64_t>(row_sizes.size());
  grid.column_pieces = static_cast<std::int64_t>(column_sizes.size());
  for (std::int64_t g = 0; g < dims.G; ++g) {
    for (const std::int64_t piece_rows : row_sizes) {
      for (const std::int64_t piece_columns : column_sizes) {
        const bool fits = !tiles.empty() && rows <= unit.tile_rows &&
                          columns <= unit.tile_columns &&
                          tiles.back().next_row + piece_rows <= unit.tile_rows &&
                          tiles.back().next_column + piece_columns <= unit.tile_columns;
        if (!fits)
          tiles.emplace_back();
        Tile& tile = tiles.back();
        for (std::int64_t r = 0; r < piece_rows; ++r) {
          for (std::int64_t c = 0; c < piece_columns; ++c)
            EXPECT_TRUE(tile.cells.emplace(tile.next_row + r, tile.next_column + c).second);
        }
        tile.next_row += piece_rows;
        tile.next_column += piece_columns;
        ++tile.groups;
      }
    }
  }
  for (const Tile& tile : tiles) {
    std::set<std::int64_t> used_rows, used_columns;
    for (const auto& [r, c] : tile.cells) {
      EXPECT_TRUE(r < unit.tile_rows && c < unit.tile_columns);
      used_rows.insert(r);
      used_columns.insert(c);
    }
    grid.active_rows += static_cast<std::int64_t>(used_rows.size());
    grid.active_columns += static_cast<std::int64_t>(used_columns.size());
    grid.used_cells += static_cast<std::int64_t>(tile.cells.size());
    grid.groups_per_tile = std::max<std::int64_t>(grid.groups_per_tile, tile.groups);
  }
  grid.tiles = static_cast<std::int64_t>(tiles.size());
  grid.allocated_cells = grid.tiles * unit.tile_rows * unit.tile_columns;
  return grid;
}

TEST(TileGrid, C3_EqualsFillingTilesCellByCell) {
  hw::AnalogUnit unit;
  for (const auto& [rows, columns] : std::vector<std::pair<int, int>>{{4, 4}, {5, 3}, {9, 2}}) {
    unit.tile_rows = rows;
    unit.tile_columns = columns;
    for (std::int64_t groups = 1; groups <= 5; ++groups) {
      for (std::int64_t inputs = 1; inputs <= 11; ++inputs) {
        for (std::int64_t outputs = 1; outputs <= 9; ++outputs) {
          const ir::LayerDims dims{.C = inputs * groups, .M = outputs * groups, .G = groups};
          EXPECT_EQ(tile_grid(dims, unit), fill_tiles(dims, unit))
              << groups << " groups of " << inputs << "x" << outputs << " on " << rows << "x"
              << columns;
        }
      }
    }
  }
}

TEST(TileGrid, C3_PublishedSizesByHand) {
  hw::AnalogUnit unit;
  unit.tile_rows = unit.tile_columns = 512;
  // ResNet's 3x3 convolution with 256 -> 512 channels: 2304 rows in 5 pieces.
  const TileGrid dense = tile_grid({.C = 256, .M = 512, .R = 3, .S = 3}, unit);
  EXPECT_EQ(dense.row_pieces, 5);
  EXPECT_EQ(dense.tiles, 5);
  EXPECT_EQ(dense.used_cells, 2304 * 512);
  EXPECT_EQ(dense.allocated_cells, 5 * 512 * 512);
  // A depthwise 3x3 over 96 channels: 512 / 9 = 56 channels to a tile.
  const TileGrid depthwise = tile_grid({.C = 96, .M = 96, .R = 3, .S = 3, .G = 96}, unit);
  EXPECT_EQ(depthwise.groups_per_tile, 56);
  EXPECT_EQ(depthwise.tiles, 2);
  EXPECT_EQ(depthwise.used_cells, 864);
  EXPECT_EQ(depthwise.active_rows, 864);
  EXPECT_EQ(depthwise.active_columns, 96);
}

}  // namespace
}  // namespace tessera::cost
