// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tessera::plan {

// Affine integer code of a tensor: real = scale · (code - zero_point), codes in [low, high].
// One scale for the whole tensor, one per output channel, or one for every `group` weights in turn
// of each output channel's K: [M·ceil(K/group)], channel by channel, the last group perhaps
// shorter.
struct AffineCode {
  std::vector<float> scales;
  std::vector<std::int32_t> zero_points;  // same length as scales
  std::int32_t low = -127;
  std::int32_t high = 127;
  int group = 0;  // 0: no groups
  bool operator==(const AffineCode&) const = default;
};

// Everything that fixes the arithmetic of one layer in an integer or analog format; empty codes for
// floats.
struct LayerNumerics {
  AffineCode weights;  // per output channel or group, symmetric
  AffineCode input;    // per tensor
  bool operator==(const LayerNumerics&) const = default;
};

// By layer name.
using Numerics = std::map<std::string, LayerNumerics>;

}  // namespace tessera::plan
