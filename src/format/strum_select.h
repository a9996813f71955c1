// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "tessera/format/strum.h"

namespace tessera::format::detail {

// What a block's weights are sorted by, 0 to 128, less 128.
using Keys = std::array<std::int8_t, kLargestStrumBlock>;
constexpr int kKeyOffset = 128;
// 1 where a weight is low, else 0, also beyond the block's weights.
using LowFlags = std::array<std::uint8_t, kLargestStrumBlock>;

// Marks the `low` weights with the smallest keys, the first of equal ones. Changes keys beyond the
// block's weights. REQUIRES: 0 ≤ low ≤ weights ≤ kLargestStrumBlock.
void select_low(Keys& keys, int weights, int low, LowFlags& flags);

// Sum of the squares of key + kKeyOffset, at most 128, over the low weights, as select_low() flags
// them.
std::int32_t low_square_sum(const Keys& keys, const LowFlags& flags, int weights);

}  // namespace tessera::format::detail
