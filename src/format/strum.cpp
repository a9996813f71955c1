// SPDX-License-Identifier: Apache-2.0
#include "tessera/format/strum.h"

#include <algorithm>
#include <bit>

namespace tessera::format {

namespace {

int ceil_log2(int n) {
  return std::bit_width(static_cast<unsigned>(n - 1));
}

}  // namespace

std::string_view low_set_name(const LowSet& low) {
  struct Name {
    std::string_view operator()(const Sparsity&) const { return "sparsity"; }
    std::string_view operator()(const Dliq&) const { return "dliq"; }
    std::string_view operator()(const Mip2q&) const { return "mip2q"; }
  };
  return std::visit(Name{}, low);
}

LowMask mask_of(const LowSet& low) {
  struct Mask {
    LowMask operator()(const Sparsity&) const { return LowMask::kMagnitude; }
    LowMask operator()(const Dliq& d) const { return d.mask; }
    LowMask operator()(const Mip2q& m) const { return m.mask; }
  };
  return std::visit(Mask{}, low);
}

int low_code_bits(const LowSet& low) {
  struct Bits {
    int operator()(const Sparsity&) const { return 0; }
    int operator()(const Dliq& d) const { return d.bits; }
    int operator()(const Mip2q& m) const {
      return 1 + ceil_log2(m.max_shift + 1 + static_cast<int>(m.zero_code));
    }
  };
  return std::visit(Bits{}, low);
}

int low_count(const Strum& scheme, int weights) {
  const int thousandths = scheme.low_permille * weights;
  const int whole = thousandths / 1000;
  const int rest = thousandths % 1000;
  return whole + static_cast<int>(rest > 500 || (rest == 500 && whole % 2 == 1));
}

int block_header_bits(const Strum& scheme) {
  const auto* dliq = std::get_if<Dliq>(&scheme.low);
  const bool own_shift = dliq != nullptr && dliq->grid == Dliq::Grid::kBlock;
  return scheme.block_rows * scheme.block_columns + (own_shift ? 3 : 0);
}

std::int64_t block_bits(const Strum& scheme, int weights) {
  const int low = low_count(scheme, weights);
  return block_header_bits(scheme) + 8 * (weights - low) + low_code_bits(scheme.low) * low;
}

double compression_ratio(const Strum& scheme) {
  const int weights = scheme.block_rows * scheme.block_columns;
  return static_cast<double>(block_bits(scheme, weights)) / (8.0 * weights);
}

std::int64_t packed_bits(const Strum& scheme, const WeightShape& shape) {
  // Blocks of whole and of cut rows, of whole and of cut columns: four sizes.
  std::int64_t bits = 0;
  const auto add = [&](std::int64_t row_blocks, int rows) {
    if (row_blocks == 0 || rows == 0)
      return;
    const std::int64_t whole = shape.inputs / scheme.block_columns;
    const auto rest = static_cast<int>(shape.inputs % scheme.block_columns);
    std::int64_t line = whole * block_bits(scheme, rows * scheme.block_columns);
    if (rest > 0)
      line += block_bits(scheme, rows * rest);
    bits += row_blocks * shape.positions * line;
  };
  add(shape.outputs / scheme.block_rows, scheme.block_rows);
  add(1, static_cast<int>(shape.outputs % scheme.block_rows));
  return bits;
}

}  // namespace tessera::format
