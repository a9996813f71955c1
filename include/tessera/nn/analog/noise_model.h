// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Generator.h>
#include <torch/types.h>

namespace tessera::nn {

using torch::Tensor;

// Statistics of phase-change memory devices. Conductances in µS, times in seconds.
// docs/derivations/pcm.md has the formulas with their source.
class NoiseModel {
 public:
  virtual ~NoiseModel() = default;
  virtual double g_max() const = 0;
  // Standard deviation of programming noise at target conductance g.
  virtual Tensor programming_sigma(const Tensor& g_target) const = 0;
  // Mean and standard deviation of the drift exponent ν at target conductance g.
  virtual Tensor drift_mean(const Tensor& g_target) const = 0;
  virtual Tensor drift_sigma(const Tensor& g_target) const = 0;
  // Relative 1/f read noise, a standard deviation in units of the drifted conductance, `seconds`
  // after programming (counted from t0) for programmed conductance g.
  virtual Tensor read_sigma(const Tensor& g_programmed, double seconds) const = 0;
  // When programming ends and time begins to count, after the write pulse: a device has
  // conductance g·((seconds + t0)/t0)^-ν `seconds` after programming.
  virtual double t0_seconds() const = 0;
};

// Everything that a noise preset fixes about an analog layer, beyond the unit's geometry.
struct AnalogPreset {
  std::string name;
  std::string summary;
  std::string source;
  std::shared_ptr<const NoiseModel> noise;
  double output_noise =
      0;  // standard deviation at the ADC, in units of (largest weight × full-scale input)
  double output_bound = 12;  // ADC full scale in the same units
  // Loss of voltage along a column, in units of the one that aihwkit models; 0: none.
  double ir_drop = 0;
  // Short-term read noise of the weights, fresh at every product: standard deviation of a column's
  // sum in units of √(Σ |w| x²), weights and inputs relative to their largest.
  double read_noise = 0;
  bool column_scaling =
      true;  // each column uses the full conductance range; otherwise each tile does
  // Bits of a cell that holds one of few levels (SRAM; 2 bits: -1, 0, 1), trained as such; 0: any
  // value.
  int weight_bits = 0;
  // Training modifiers: relative noise on weights in units of the column's (tile's) largest weight.
  double train_weight_noise = 0;                 // w + σ·w_max·N
  double train_weight_noise_multiplicative = 0;  // w·(1 + σ·N)
  bool train_programming_noise = false;  // σ from the noise model's programming_sigma at the weight
  // With train_programming_noise: also drift and 1/f noise as they are so long after programming,
  // with the drift's mean compensated for the layer; 0: as just programmed.
  double train_seconds = 0;
};

// Phase-change memory as aihwkit models it: 25 µS, t0 = 20 s.
std::shared_ptr<const NoiseModel> make_pcm_model();
// Devices of the HERMES chip, one or two for each polarity: 10.35 or 20.7 µS, t0 = 200 or 300 s.
std::shared_ptr<const NoiseModel> make_hermes_model(int devices);
// No noise and no drift.
std::shared_ptr<const NoiseModel> make_ideal_model();

// "pcm-lionheart", "pcm-standard", "pcm-rasch", "hermes", "diana", "ideal". Throws ConfigError that
// lists them for any other name.
const AnalogPreset& analog_preset(std::string_view name);
std::vector<std::string> analog_preset_names();

}  // namespace tessera::nn
