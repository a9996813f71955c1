// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tessera::plan {

// Affine integer code of a tensor: real = scale · (code - zero_point), codes in [low, high].
// One scale for the whole tensor, or one per output channel.
struct AffineCode {
  std::vector<float> scales;
  std::vector<std::int32_t> zero_points;  // same length as scales
  std::int32_t low = -127;
  std::int32_t high = 127;
  bool operator==(const AffineCode&) const = default;
};

// Everything that fixes the arithmetic of one layer in an integer or analog format; empty codes for
// floats.
struct LayerNumerics {
  AffineCode weights;  // per output channel, symmetric
  AffineCode input;    // per tensor
  bool operator==(const LayerNumerics&) const = default;
};

// By layer name.
using Numerics = std::map<std::string, LayerNumerics>;

}  // namespace tessera::plan
