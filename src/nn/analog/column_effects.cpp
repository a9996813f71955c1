// SPDX-License-Identifier: Apache-2.0
#include "nn/analog/column_effects.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include "nn/analog/devices.h"

namespace tessera::nn::detail {

Tensor column_effects(const ColumnEffects& effects, NoiseStream& noise) {
  constexpr double kRowsOfUnitDrop = 571430;  // aihwkit's, 5.7143e5
  const torch::NoGradGuard no_grad;
  const bool conv = std::holds_alternative<ir::Conv>(effects.op);
  // One number for each column against the sums' layout.
  const auto along_columns = [&](const Tensor& t) { return conv ? t.reshape({-1, 1, 1}) : t; };
  const auto sums = [&](const Tensor& x, const Tensor& w) {
    return apply_layer(effects.op, x, w, Tensor());
  };
  const Tensor scale = along_columns(effects.scale.detach());
  const Tensor magnitude = effects.weight.abs();
  const Tensor unit = scale * effects.range;
  Tensor added;
  if (effects.ir_drop > 0) {
    const Tensor current = sums(effects.x.abs(), magnitude) / unit *
                           (static_cast<double>(effects.row_count) / kRowsOfUnitDrop);
    const Tensor loss = current * (current * (current * 0.05 - 0.2) + 0.5);
    const Tensor reach = 1 - (1 - effects.rows).square();
    added = loss * sums(effects.x, effects.weight * reach) * -effects.ir_drop;
  }
  if (effects.read_noise > 0) {
    // √(Σ |w/s| (x/r)²) · s · r
    const Tensor sigma = (sums(effects.x.square(), magnitude) * scale).sqrt() * effects.read_noise;
    const Tensor drawn = sigma * standard_normal(sigma, noise);
    added = added.defined() ? added + drawn : drawn;
  }
  return added;
}

}  // namespace tessera::nn::detail
