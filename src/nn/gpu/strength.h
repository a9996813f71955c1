// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "nn/gpu/kernels.h"

namespace tessera::nn::detail {

// How much of a format's effect is applied, 0 (exact float32) to 1. On a GPU the number lies in the
// device's memory, too: recorded work reads it there and follows set().
class Strength {
 public:
  Strength() = default;
  Strength(double value) : value_(value) {}  // NOLINT(google-explicit-constructor): a constant
  explicit Strength(torch::Device device) {
    if (device.is_cuda())
      on_device_ = torch::ones({}, torch::dtype(torch::kFloat32).device(device));
  }

  void set(double value) {
    if (value == value_)
      return;
    value_ = value;
    if (on_device_.defined())
      on_device_.fill_(value);
  }

  double value() const { return value_; }
  const torch::Tensor& on_device() const { return on_device_; }
  // Whether the effect is none and will be none in a replay, too.
  bool is_off() const { return value_ == 0.0 && !on_device_.defined(); }
  gpu::Factor factor() const { return factor_of(on_device_, value_); }
  static gpu::Factor factor_of(const torch::Tensor& on_device, double value) {
    return {.on_device = on_device.defined() ? on_device.data_ptr<float>() : nullptr,
            .value = static_cast<float>(value)};
  }

 private:
  double value_ = 1;
  torch::Tensor on_device_;
};

}  // namespace tessera::nn::detail
