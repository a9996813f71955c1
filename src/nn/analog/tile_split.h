// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "tessera/nn/analog/analog_kernel.h"

namespace tessera::nn::detail {

// A layer's weights seen as a matrix of columns (outputs) × rows (inputs of one group, in [channel,
// r, s] order), and where tiles cut it.
//
// Rows are cut evenly into ceil(rows / tile rows) pieces, larger ones first. A cut may fall inside
// a channel: then both pieces take that channel, each with zeros for the rows of the other, and the
// convolution stays one that LibTorch knows. Groups stand on the diagonal of tiles; cells off the
// diagonal are never written and carry no current, so that groups which fit one tile need no cut.
// Columns are cut likewise, which matters where a tile has one scale; a grouped layer's tiles hold
// fewer columns than that, and then share the scale of their block of columns.
class TileSplit {
 public:
  // weight: [M,C/groups,R,S] or [M,K].
  TileSplit(const TileSpec& tile, const Tensor& weight);

  std::int64_t pieces() const { return static_cast<std::int64_t>(begins_.size()) - 1; }

  // Piece p of x and of weights; rows of other pieces zero.
  Tensor input_piece(const Tensor& x, std::int64_t p, std::int64_t groups) const;
  Tensor weight_piece(const Tensor& weight, std::int64_t p) const;

  // Rows of piece p, and where each stands on its tile's columns, 0 up to 1, shaped like one output
  // of weight_piece(weight, p), `piece`; any value where that holds zeros for another piece's rows.
  std::int64_t rows(std::int64_t p) const;
  Tensor row_positions(const Tensor& piece, std::int64_t p) const;

  // Largest |weight| [M] that shares a column (or, without column scaling, a tile) of piece p with
  // each output; at least 1e-7. `piece` is weight_piece(weight, p).
  Tensor scale(const Tensor& piece, bool column_scaling) const;
  // The scale of each weight, shaped like the whole weight, from those of all pieces.
  Tensor scale_of_each(const std::vector<Tensor>& scales, const Tensor& weight) const;

 private:
  std::int64_t first_channel(std::int64_t p) const;
  std::int64_t last_channel(std::int64_t p) const;  // one behind

  std::int64_t outputs_ = 0, channels_ = 0, kernel_ = 1;
  bool is_linear_ = false;
  std::vector<std::int64_t> begins_;         // row where each piece begins, and the number of rows
  std::vector<std::int64_t> column_blocks_;  // outputs on each tile column
};

}  // namespace tessera::nn::detail
