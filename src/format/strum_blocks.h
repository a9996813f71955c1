// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tessera/format/strum.h"

namespace tessera::format::detail {

// One block of a layer: rows × columns weights, at most the scheme's.
struct Block {
  std::int64_t first = 0;  // index of its first weight
  int rows = 0;
  int columns = 0;
  int weights() const { return rows * columns; }
};

// A cut of a layer into blocks, in the order of the packed form: output rows, then kernel
// positions, then input channels.
class Blocks {
 public:
  Blocks(const Strum& scheme, const WeightShape& shape)
      : rows_(scheme.block_rows), columns_(scheme.block_columns), shape_(shape) {}

  template <typename Visit>
  void for_each(const Visit& visit) const {
    for (std::int64_t m = 0; m < shape_.outputs; m += rows_) {
      for_each_of_rows(m, visit);
    }
  }

  // Blocks of the row of blocks that starts at output m.
  template <typename Visit>
  void for_each_of_rows(std::int64_t m, const Visit& visit) const {
    const auto rows = static_cast<int>(std::min<std::int64_t>(rows_, shape_.outputs - m));
    for (std::int64_t k = 0; k < shape_.positions; ++k) {
      for (std::int64_t c = 0; c < shape_.inputs; c += columns_) {
        const auto columns = static_cast<int>(std::min<std::int64_t>(columns_, shape_.inputs - c));
        visit(Block{(m * shape_.inputs + c) * shape_.positions + k, rows, columns});
      }
    }
  }

  // Index of a block's weight in row r, column c.
  std::int64_t index(const Block& block, int r, int c) const {
    return block.first + (r * shape_.inputs + c) * shape_.positions;
  }

  // The block's codes in order of its rows.
  template <typename T, typename Buffer>
  void gather(const T* codes, const Block& block, Buffer& out) const {
    int i = 0;
    for (int r = 0; r < block.rows; ++r) {
      const T* at = codes + index(block, r, 0);
      for (int c = 0; c < block.columns; ++c, at += shape_.positions)
        out[static_cast<std::size_t>(i++)] = *at;
    }
  }

 private:
  int rows_;
  int columns_;
  WeightShape shape_;
};

}  // namespace tessera::format::detail
