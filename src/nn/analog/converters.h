// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "tessera/nn/tensor/noise_stream.h"

#include "nn/gpu/strength.h"

namespace tessera::nn::detail {

using torch::Tensor;

// Codes on each side of zero of a signed converter: 127 for 8 bits, 0 (no rounding) for 0 bits.
int converter_levels(int bits);

// x + strength · (dac(x) - x), where the DAC clamps to ±range and rounds to `levels` steps a side.
// range: a scalar tensor on x's device. Gradients: to x, 1 inside the range and 1 - strength
// outside (straight through the rounding); to range, Σ strength · sign(x) · gradient over what was
// clamped, the derivative of the clamp.
Tensor dac(const Tensor& x, const Tensor& range, int levels, const Strength& strength);

struct Readout {
  Tensor noise_sigma;  // [M], undefined: none
  // The input's full scale, a scalar that noise_sigma is proportional to: gets the gradient that
  // the size of the noise has, Σ gradient · noise / range. Undefined: nothing gets it.
  Tensor range;
  Tensor full_scale;  // [M] of the ADC, undefined: no ADC
  int levels = 127;   // on each side; 0: clamped, not rounded
  double strength = 1;
  double gain = 1;
  std::int64_t channel_dim = 1;  // of y
};

// gain · (v + strength · (adc(v) - v)) + bias with v = y + noise_sigma · N(0,1); bias may be
// undefined. Writes over y, which must be the sole holder of its values (a convolution's fresh
// output). Gradient to y: gain inside the ADC's range, gain · (1 - strength) outside.
Tensor read_out(Tensor y, const Tensor& bias, const Readout& readout, NoiseStream& noise);

}  // namespace tessera::nn::detail
