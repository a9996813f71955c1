// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tessera/nn/analog/noise_model.h"
#include "tessera/nn/tensor/layer_kernel.h"

namespace tessera::nn {

// Geometry and converters of the tiles that a layer runs on.
struct TileSpec {
  std::int64_t rows = 512;
  std::int64_t columns = 512;
  int dac_bits = 8;  // 0: no quantisation
  int adc_bits = 8;  // 0: no quantisation
};

// A layer on crossbar tiles: input clamped to a static learned range and quantised by the DAC,
// weights scaled per column (or tile) into conductances, rows split evenly over tiles, output noise
// and ADC per tile, partial sums added digitally, bias added digitally, drift compensated by one
// factor per layer. docs/derivations/pcm.md has the formulas.
//
// In training, forward() perturbs the weights anew at each call as the preset says, and gradients
// pass straight through both converters; the input range gets the derivative of the clamp. In
// evaluation it multiplies with the weights of the chip that program() wrote, as drift_to() last
// read them (without drift or read noise before that), always at full strength. Both need
// set_noise() unless the preset has no noise. The same weights and streams give the
// same results on any number of threads but for LibTorch's own sums.
class AnalogKernel final : public NoisyKernel {
 public:
  // `input_range`: full scale of the DAC, > 0; learned in training.
  AnalogKernel(TileSpec tile, const AnalogPreset& preset, double input_range, torch::Device device);
  ~AnalogKernel() override;
  AnalogKernel(AnalogKernel&&) noexcept;
  AnalogKernel& operator=(AnalogKernel&&) noexcept;

  Tensor forward(const LayerCall& call) override;
  void set_strength(double strength) override;
  void set_training(bool training) override;
  void set_noise(NoiseStream noise) override;
  bool can_be_recorded() const override;
  std::vector<Tensor> parameters() const override;  // the input range
  void program(const Tensor& weight, NoiseStream chip) override;
  void drift_to(double seconds) override;

  double input_range() const;
  int weight_bits() const;  // the preset's
  // The chip's weights as last read, in the units of those programmed, before drift compensation;
  // and the factor that compensates. REQUIRES: program().
  Tensor chip_weights() const;
  double drift_compensation() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera::nn
