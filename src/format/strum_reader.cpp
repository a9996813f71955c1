// SPDX-License-Identifier: Apache-2.0
#include "strum_reader.h"

namespace tessera::format::detail {

BlockReader::BlockReader(const PackedWeights& packed)
    : packed_(&packed), bits_(packed.bits), q_(low_code_bits(packed.scheme.low)) {
  const auto* dliq = std::get_if<Dliq>(&packed.scheme.low);
  own_shift_ = dliq != nullptr && dliq->grid == Dliq::Grid::kBlock;
}

void BlockReader::seek_row(std::int64_t output) {
  WeightShape before = packed_->shape;
  before.outputs = output;
  bits_.seek(packed_bits(packed_->scheme, before));
}

void BlockReader::read(const Block& block, BlockContent& content) {
  const Strum& scheme = packed_->scheme;
  content.lows = 0;
  content.padding_is_high = true;
  std::size_t i = 0;
  for (int r = 0; r < scheme.block_rows; ++r) {
    for (int c = 0; c < scheme.block_columns;) {
      const int width = std::min(32, scheme.block_columns - c);
      const std::uint32_t bits = bits_.get(width);
      for (int b = 0; b < width; ++b, ++c) {
        const std::uint32_t low = 1U ^ ((bits >> b) & 1U);
        if (r < block.rows && c < block.columns) {
          content.is_low[i++] = static_cast<std::uint8_t>(low);
          content.lows += static_cast<int>(low);
        } else if (low != 0) {
          content.padding_is_high = false;
        }
      }
    }
  }
  content.shift = own_shift_ ? static_cast<int>(bits_.get(3)) : packed_->layer_shift;
  // A block takes the bits of its number of weights, whatever its mask says.
  const auto weights = static_cast<std::size_t>(block.weights());
  const int low_room = low_count(scheme, block.weights());
  const std::int64_t lows_at = bits_.position() + 8 * (block.weights() - low_room);
  const std::int64_t end = lows_at + q_ * low_room;
  if (content.lows == low_room) {
    for (std::size_t k = 0; k < weights; ++k) {
      if (content.is_low[k] == 0)
        content.code[k] = static_cast<std::uint8_t>(bits_.get(8));
    }
    for (std::size_t k = 0; q_ > 0 && k < weights; ++k) {
      if (content.is_low[k] != 0)
        content.code[k] = static_cast<std::uint8_t>(bits_.get(q_));
    }
    for (std::size_t k = 0; q_ == 0 && k < weights; ++k) {
      if (content.is_low[k] != 0)
        content.code[k] = 0;
    }
  }
  bits_.seek(end);
}

}  // namespace tessera::format::detail
