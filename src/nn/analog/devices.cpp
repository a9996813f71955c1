// SPDX-License-Identifier: Apache-2.0
#include "nn/analog/devices.h"

#include <cmath>
#include <numbers>

#include <ATen/Parallel.h>

#include "nn/analog/gaussian.h"
#include "nn/gpu/launch.h"

namespace tessera::nn::detail {

Tensor standard_normal(const Tensor& like, NoiseStream& noise) {
  if (gpu::takes(like)) {
    Tensor values = at::empty(like.sizes(), like.options().requires_grad(false));
    if constexpr (gpu::kCompiled)
      gpu::normal(values.data_ptr<float>(), values.numel(), gpu::draw_from(noise.next()),
                  gpu::current_stream());
    return values;
  }
  const Tensor values = at::empty(like.sizes(), torch::kFloat32);
  fill_normal(noise.next_seed(), values.data_ptr<float>(), values.numel(), at::get_num_threads());
  return values.to(like.options().requires_grad(false));
}

DevicePairs::DevicePairs(const NoiseModel& noise, const Tensor& weights, NoiseStream& chip)
    : plus_(write(noise, weights.clamp(0, 1) * noise.g_max(), chip)),
      minus_(write(noise, (-weights).clamp_(0, 1) * noise.g_max(), chip)) {}

DevicePairs::Device DevicePairs::write(const NoiseModel& noise, const Tensor& g_target,
                                       NoiseStream& chip) {
  const Tensor deviation = noise.programming_sigma(g_target) * standard_normal(g_target, chip);
  const Tensor spread = noise.drift_sigma(g_target) * standard_normal(g_target, chip);
  return {.conductance = (g_target + deviation).clamp_min_(0),
          .exponent = (noise.drift_mean(g_target) + spread).abs_()};
}

Tensor DevicePairs::programmed(const NoiseModel& noise) const {
  return (plus_.conductance - minus_.conductance) / noise.g_max();
}

Tensor DevicePairs::drifted(const NoiseModel& noise, const Device& device, double seconds,
                            NoiseStream& reads) {
  const double log_time = std::log((seconds + noise.t0_seconds()) / noise.t0_seconds());
  const Tensor drifted = device.conductance * (device.exponent * -log_time).exp_();
  const Tensor relative = noise.read_sigma(device.conductance, seconds);
  return (drifted + drifted * relative * standard_normal(drifted, reads)).clamp_min_(0);
}

Tensor DevicePairs::read(const NoiseModel& noise, double seconds, NoiseStream& reads) const {
  const Tensor plus = drifted(noise, plus_, seconds, reads);
  return (plus - drifted(noise, minus_, seconds, reads)) / noise.g_max();
}

PairMoments pair_moments(const NoiseModel& noise, const Tensor& weights, double seconds) {
  const Tensor x = weights.abs();
  const Tensor g = x * noise.g_max();
  // The device that holds zero is cut off at zero by half its noise: of a normal variance,
  // 1/2 - 1/(2π) is left.
  constexpr double kHalfNormalVariance = 0.5 - 0.5 * std::numbers::inv_pi;
  const Tensor zero = noise.programming_sigma(at::zeros_like(g)) / noise.g_max();
  Tensor variance = (noise.programming_sigma(g) / noise.g_max()).square_();
  variance += zero.square() * kHalfNormalVariance;
  if (seconds <= 0)
    return {.mean = weights, .sigma = variance.sqrt_()};
  const double log_time = std::log((seconds + noise.t0_seconds()) / noise.t0_seconds());
  // g^-ν of a normal ν is log-normal: its mean, and to first order its relative spread.
  const Tensor spread = noise.drift_sigma(g) * log_time;
  const Tensor decay = (noise.drift_mean(g) * -log_time + 0.5 * spread.square()).exp_();
  const Tensor relative = spread.square() + noise.read_sigma(g, seconds).square();
  variance += x.square() * relative;
  return {.mean = weights * decay, .sigma = variance.sqrt_() * decay};
}

}  // namespace tessera::nn::detail
