// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/types.h>

#include "tessera/nn/tensor/noise_stream.h"

#include "nn/analog/devices.h"
#include "nn/gpu/strength.h"

namespace tessera::nn::detail {

// An analog layer on a GPU. Its pieces (see TileSplit) are stacked along the outputs, each with
// zeros for the others' rows: one convolution gives the sums of all tiles, which a GPU does faster
// than several with the exact numbers of channels. [pieces · M, ...] and their column scales
// [pieces · M].
struct StackedWeights {
  Tensor weights, scales;
};

// pair_moments() of a preset at weights i / (size - 1), on a device: what training noise is
// interpolated from. Undefined tensors: no programming noise.
struct MomentTables {
  static constexpr int kSize = 4096;
  Tensor mean, sigma;
};
MomentTables moment_tables(const NoiseModel& noise, double seconds, torch::Device device);

// What a forward pass in training sees of these weights (contiguous, on a GPU). Its gradient is
// that of the weights: noise and scales are constants to it.
struct TrainingNoise {
  double additive = 0, multiplicative = 0;  // as AnalogPreset's
  MomentTables moments;
};
StackedWeights stack_for_training(const Tensor& weight, std::int64_t pieces,
                                  const TrainingNoise& options, const Strength& strength,
                                  NoiseStream& noise);
// The same from weights that stand fixed in devices.
Tensor stack(const Tensor& weight, std::int64_t pieces);

// detail::read_out() for sums [N, pieces · M, ...] of stacked pieces, whose digital values it adds
// up: [N, M, ...]. Noise and bound are in units of column scale · input range.
struct StackedReadout {
  Tensor scales;  // [pieces · M]
  Tensor range;   // scalar; its gradient is what the size of the noise contributes
  std::int64_t pieces = 1;
  double noise = 0;
  double bound = 0;  // 0: no ADC
  int levels = 127;
  double gain = 1;
  bool channels_last_dimension = false;  // of a linear layer
};
Tensor read_out(const Tensor& sums, const Tensor& bias, const StackedReadout& readout,
                const Strength& strength, NoiseStream& noise);

}  // namespace tessera::nn::detail
