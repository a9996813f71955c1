// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "tessera/nn/tensor/network.h"
#include "tessera/nn/tensor/noise_stream.h"

namespace tessera::nn::detail {

// What a tile's columns lose to the resistance of their wires, and the noise of reading its
// devices: sections 4 and 6 of docs/derivations/pcm.md.
struct ColumnEffects {
  double ir_drop = 0;
  double read_noise = 0;
  const ir::Op& op;        // the layer's
  const Tensor& x;         // as the DAC gives it
  const Tensor& weight;    // of the tile, in the network's units
  const Tensor& rows;      // place of each on its column, 0 to 1, shaped like weight[0]
  std::int64_t row_count;  // on the tile
  const Tensor& scale;     // [M], a column's largest weight
  const Tensor& range;     // scalar, the DAC's
};

// What they add to the columns' sums, shaped like these. Without gradient; read noise draws once.
Tensor column_effects(const ColumnEffects& effects, NoiseStream& noise);

}  // namespace tessera::nn::detail
