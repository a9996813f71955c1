// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/format/strum.h"

namespace tessera::format {

// A layer's weights, packed: docs/strum.md describes the bits. Values that strum_encode() and
// read_packed() make are well-formed: the functions below rely on that.
struct PackedWeights {
  Strum scheme;
  WeightShape shape;
  int layer_shift = 0;  // s of Dliq's grids but kBlock
  std::vector<std::uint8_t> bits;
  bool operator==(const PackedWeights&) const = default;
};

// Packs INT8 codes, laid out as WeightShape says. Deterministic.
// REQUIRES: shape.count() codes, a valid scheme.
PackedWeights strum_encode(std::span<const std::int8_t> codes, const WeightShape& shape,
                           const Strum& scheme);
// The same with the low weights that a mask names (1: low) in place of the scheme's choice. Shifts
// are the best for it. REQUIRES: low_count() of each block's weights are low.
PackedWeights strum_encode_masked(std::span<const std::int8_t> codes,
                                  std::span<const std::uint8_t> low_mask, const WeightShape& shape,
                                  const Strum& scheme);
// The weights that hardware multiplies with: -128 to 127, and 128 with Mip2q::plus_128.
std::vector<std::int16_t> strum_decode(const PackedWeights& packed);
// 1 where a weight is low, in the order of the codes.
std::vector<std::uint8_t> strum_low_mask(const PackedWeights& packed);

// What hardware computes for one output: Σ of high weight · x, and of x shifted (MIP2Q) or of low
// code · x, shifted by the grid (DLIQ), over the low ones. x: [inputs][positions], any integers of
// up to 16 bits; zero points are taken off before. Equal to the product with the decoded weights.
std::int64_t strum_dot(const PackedWeights& packed, std::int64_t output,
                       std::span<const std::int32_t> x);

// Bits of a two's-complement accumulator that no sum of `products` weights times activations of
// |x| ≤ largest_activation overflows, whatever the order: the least b with
// products · 128 · largest_activation ≤ 2^(b-1) - 1.
int accumulator_bits(std::int64_t products, std::int64_t largest_activation);

// Squared codes and squared errors of a layer, in units of the INT8 code.
struct StrumNoise {
  std::int64_t signal = 0;
  std::int64_t noise = 0;
  StrumNoise& operator+=(const StrumNoise& other);
  double sqnr_db() const;  // 10 log10(signal / noise); infinite without noise
};
StrumNoise strum_noise(std::span<const std::int8_t> codes, std::span<const std::int16_t> values);

// The packed file of one layer, version 1: a header of 40 bytes and the bits.
std::vector<std::byte> write_packed(const PackedWeights& packed);
// Throws IoError that says what was found at which byte or block, and what is allowed.
PackedWeights read_packed(std::span<const std::byte> bytes);

}  // namespace tessera::format
