// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "tessera/core/expected.h"

// StruM (Wu et al., arXiv 2501.18953): structured mixed precision inside a layer. INT8 weights are
// cut into blocks; in each block the same number of weights is "low" and held in few bits, the rest
// is "high" and kept as it is. docs/strum.md says what is published and what is reconstructed here.

namespace tessera::format {

// Which weights of a block are low: the smallest, or those whose replacement costs least (the exact
// optimum of the block's squared error). Between equal weights the first is low.
enum class LowMask { kMagnitude, kL2 };

// Low weights become zero: N:M sparsity. Both masks are the same.
struct Sparsity {
  bool operator==(const Sparsity&) const = default;
};

// DLIQ: low weights become clip(round(w / 2^s), -2^(q-1), 2^(q-1) - 1) · 2^s, rounded half to even.
struct Dliq {
  // Where s comes from: 0; 8 - q; the best of 0 … 8 - q for the layer, or for each block (3 bits
  // more a block). Between equally good ones the least.
  enum class Grid { kLsb, kMsb, kLayer, kBlock };
  int bits = 4;  // q, 2 to 7
  Grid grid = Grid::kLayer;
  LowMask mask = LowMask::kMagnitude;
  bool operator==(const Dliq&) const = default;
};

// MIP2Q: low weights become ±2^k, the nearest with 0 ≤ k ≤ max_shift; halfway the smaller k. A zero
// becomes +1, or stays with `zero_code`, a code more.
struct Mip2q {
  int max_shift = 7;  // L, 0 to 7
  bool zero_code = false;
  // +2^7 = 128 is not an INT8 value. Off: it is not used, so that every weight is an INT8 value.
  // On: as published arithmetic has it.
  bool plus_128 = false;
  LowMask mask = LowMask::kL2;
  bool operator==(const Mip2q&) const = default;
};

using LowSet = std::variant<Sparsity, Dliq, Mip2q>;

// Written "strum:mip2q,p=0.5,L=7,block=1x16/a8", "strum:dliq,p=0.5,q=4,grid=layer,block=1x16/a8",
// "strum:sparsity,p=0.5,block=1x16/a8"; keys that differ from their defaults follow: zero=1,
// range=full, mask=magnitude or l2.
struct Strum {
  LowSet low = Mip2q{};
  int low_permille = 500;   // p · 1000, 1 to 1000
  int block_rows = 1;       // l, along output channels
  int block_columns = 16;   // w, along the input channels of one kernel position
  int activation_bits = 8;  // as Integer's
  bool operator==(const Strum&) const = default;
};

constexpr int kLargestStrumBlock = 256;  // weights

std::string to_string(const Strum& scheme);
// Of the text behind "strum:"; an error's detail says what was found and what is allowed. Keys in
// any order, those left out take their defaults.
Expected<Strum> parse_strum(std::string_view text);

// "sparsity", "dliq", "mip2q".
std::string_view low_set_name(const LowSet& low);
LowMask mask_of(const LowSet& low);

// Bits of one low weight: 0, q, or 1 + ceil(log2(L + 1)); L + 2 with a zero code.
int low_code_bits(const LowSet& low);
// Low weights among the `weights` of a block: p · weights, half to even. Blocks at the edges have
// fewer weights, and the same rule.
int low_count(const Strum& scheme, int weights);
// Bits ahead of a block's values: one for each weight of a whole block, 3 for its shift.
int block_header_bits(const Strum& scheme);
// Bits of a block of `weights`, header included.
std::int64_t block_bits(const Strum& scheme, int weights);
// Bits of a whole block against 8 a weight: (9 - p(8 - q)) / 8 when p · N is whole.
double compression_ratio(const Strum& scheme);

// The weights of a layer, [outputs][inputs][positions]: [M][C/G][R·S] of a convolution, [M][K][1]
// of a matrix.
struct WeightShape {
  std::int64_t outputs = 1;
  std::int64_t inputs = 1;
  std::int64_t positions = 1;
  std::int64_t count() const { return outputs * inputs * positions; }
  bool operator==(const WeightShape&) const = default;
};

// Bits of all blocks of a layer, without any header of a file.
std::int64_t packed_bits(const Strum& scheme, const WeightShape& shape);

}  // namespace tessera::format
