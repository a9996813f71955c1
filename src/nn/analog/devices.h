// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "tessera/nn/analog/noise_model.h"
#include "tessera/nn/tensor/noise_stream.h"

namespace tessera::nn::detail {

// Standard normal numbers like `like` in shape, type and device; one draw of the stream, which must
// be on that device.
Tensor standard_normal(const Tensor& like, NoiseStream& noise);

// Pairs of devices that hold signed weights on one chip: conductances in µS and drift exponents as
// they came out at programming.
class DevicePairs {
 public:
  // weights: relative to the largest of their column or tile, in [-1, 1]. Positive ones go to the
  // plus device, negative ones to the minus device; the other one of a pair is written to zero.
  // Both get programming noise and a drift exponent of their own.
  DevicePairs(const NoiseModel& noise, const Tensor& weights, NoiseStream& chip);

  // Weights as programmed, without drift or read noise: (g+ - g-) / g_max.
  Tensor programmed(const NoiseModel& noise) const;
  // Weights `seconds` after programming with one draw of 1/f read noise.
  Tensor read(const NoiseModel& noise, double seconds, NoiseStream& reads) const;

 private:
  struct Device {
    Tensor conductance, exponent;
  };
  static Device write(const NoiseModel& noise, const Tensor& g_target, NoiseStream& chip);
  static Tensor drifted(const NoiseModel& noise, const Device& device, double seconds,
                        NoiseStream& reads);

  Device plus_, minus_;
};

// Mean (before compensation) and standard deviation of read() over chips and reads, for weights in
// [-1, 1]. An approximation for training: the mean leaves out that conductances cannot be negative.
struct PairMoments {
  Tensor mean, sigma;
};
PairMoments pair_moments(const NoiseModel& noise, const Tensor& weights, double seconds);

}  // namespace tessera::nn::detail
