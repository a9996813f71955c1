// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "tessera/core/rng.h"
#include "tessera/format/strum_codec.h"

namespace tessera::format {

inline std::vector<LowSet> all_low_sets() {
  std::vector<LowSet> sets = {Sparsity{}};
  for (const LowMask mask : {LowMask::kMagnitude, LowMask::kL2}) {
    for (int bits = 2; bits <= 7; ++bits) {
      for (const auto grid :
           {Dliq::Grid::kLsb, Dliq::Grid::kMsb, Dliq::Grid::kLayer, Dliq::Grid::kBlock})
        sets.emplace_back(Dliq{.bits = bits, .grid = grid, .mask = mask});
    }
    for (int shift = 0; shift <= 7; ++shift) {
      for (const bool zero : {false, true}) {
        for (const bool plus : {false, true})
          sets.emplace_back(
              Mip2q{.max_shift = shift, .zero_code = zero, .plus_128 = plus, .mask = mask});
      }
    }
  }
  return sets;
}

// Codes as layers have them: near a Gaussian, cut at ±127, with zeros, ties and (rarely) -128.
inline std::vector<std::int8_t> random_codes(Rng& rng, std::int64_t count) {
  const double width = rng.uniform(1, 60);
  std::vector<std::int8_t> codes;
  for (std::int64_t i = 0; i < count; ++i) {
    const double x = std::clamp(std::nearbyint(width * rng.normal()), -127.0, 127.0);
    codes.push_back(rng.below(200) == 0 ? std::int8_t{-128} : static_cast<std::int8_t>(x));
  }
  return codes;
}

// Any scheme and a layer that its blocks may not divide.
struct Case {
  Strum scheme;
  WeightShape shape;
  std::vector<std::int8_t> codes;
};

inline Case random_case(Rng& rng) {
  static const std::vector<LowSet> sets = all_low_sets();
  Case c;
  c.scheme.low = sets[rng.below(sets.size())];
  c.scheme.low_permille = rng.below(3) == 0 ? 500 : static_cast<int>(1 + rng.below(1000));
  c.scheme.block_rows = static_cast<int>(1 + (rng.below(2) == 0 ? 0 : rng.below(4)));
  const int widths[] = {1, 3, 4, 8, 16, 16, 24, 32, 33, 64};
  c.scheme.block_columns = widths[rng.below(10)];
  c.shape = {.outputs = static_cast<std::int64_t>(1 + rng.below(6)),
             .inputs = static_cast<std::int64_t>(1 + rng.below(70)),
             .positions = rng.below(2) == 0 ? 1 : static_cast<std::int64_t>(1 + rng.below(9))};
  c.codes = random_codes(rng, c.shape.count());
  return c;
}

}  // namespace tessera::format
