// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Generator.h>
#include <torch/types.h>

#include "tessera/nn/analog/noise_model.h"

namespace tessera::nn::detail {

// Standard normal numbers like `like` in shape, type and device. One seed is drawn from a CPU
// generator, or all numbers from a GPU's on that GPU. REQUIRES: the generator is defined.
Tensor standard_normal(const Tensor& like, at::Generator& generator);
// One seed off a CPU generator.
std::uint64_t draw_seed(at::Generator& generator);

// Pairs of devices that hold signed weights on one chip: conductances in µS and drift exponents as
// they came out at programming.
class DevicePairs {
 public:
  // weights: relative to the largest of their column or tile, in [-1, 1]. Positive ones go to the
  // plus device, negative ones to the minus device; the other one of a pair is written to zero.
  // Both get programming noise and a drift exponent of their own.
  DevicePairs(const NoiseModel& noise, const Tensor& weights, at::Generator& chip);

  // Weights as programmed, without drift or read noise: (g+ - g-) / g_max.
  Tensor programmed(const NoiseModel& noise) const;
  // Weights `seconds` after programming with one draw of 1/f read noise.
  Tensor read(const NoiseModel& noise, double seconds, at::Generator& reads) const;

 private:
  struct Device {
    Tensor conductance, exponent;
  };
  static Device write(const NoiseModel& noise, const Tensor& g_target, at::Generator& chip);
  static Tensor drifted(const NoiseModel& noise, const Device& device, double seconds,
                        at::Generator& reads);

  Device plus_, minus_;
};

// Mean (before compensation) and standard deviation of read() over chips and reads, for weights in
// [-1, 1]. An approximation for training: the mean leaves out that conductances cannot be negative.
struct PairMoments {
  Tensor mean, sigma;
};
PairMoments pair_moments(const NoiseModel& noise, const Tensor& weights, double seconds);

}  // namespace tessera::nn::detail
