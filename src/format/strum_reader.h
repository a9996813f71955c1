// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "tessera/format/strum_codec.h"

#include "bit_stream.h"
#include "strum_blocks.h"
#include "strum_tables.h"

namespace tessera::format::detail {

// A block as it is stored: for each of its weights whether it is low, and its code (of 8 bits where
// it is high).
struct BlockContent {
  int shift = 0;
  int lows = 0;
  bool padding_is_high = true;  // of places beyond the layer's edge
  std::array<std::uint8_t, kLargestStrumBlock> is_low{};
  std::array<std::uint8_t, kLargestStrumBlock> code{};
};

// Reads blocks in their order. Where the number of low weights of a block is wrong, its values are
// unknown, but reading stays inside the bits.
class BlockReader {
 public:
  explicit BlockReader(const PackedWeights& packed);

  // To the row of blocks that starts at this output, a multiple of the blocks' rows.
  void seek_row(std::int64_t output);
  void read(const Block& block, BlockContent& content);

 private:
  const PackedWeights* packed_;
  BitReader bits_;
  bool own_shift_ = false;
  int q_ = 0;
};

}  // namespace tessera::format::detail
