// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tessera/nn/tensor/layer_kernel.h"
#include "tessera/nn/tensor/network.h"
#include "tessera/plan/numerics.h"

namespace tessera::nn {

// Values that a layer's input took on over calibration data, in memory that does not grow with it.
class RangeObserver {
 public:
  static constexpr int kBins = 2048;
  // x of any shape; the histogram widens by powers of two to hold new extremes.
  void add(const Tensor& x);

  std::int64_t count() const { return count_; }
  double min() const { return min_; }
  double max() const { return max_; }
  double mean() const;
  double std() const;
  // The value below which a `fraction` of all lies, interpolated within a bin.
  double percentile(double fraction) const;
  // Mean squared error of quantising with this code, from the histogram.
  double mse(double scale, std::int64_t zero_point, std::int64_t low, std::int64_t high) const;

 private:
  void widen_to(double low, double high);
  std::vector<double> bins_;
  double low_ = 0, high_ = 0;
  double min_ = 0, max_ = 0, sum_ = 0, sum_squares_ = 0;
  std::int64_t count_ = 0;
};

// Observes the input of every layer while the float network runs. One observer per layer.
class ObservingRunner final : public LayerRunner {
 public:
  explicit ObservingRunner(std::size_t layers) : observers_(layers) {}
  Tensor run(const LayerCall& call) override;
  const std::vector<RangeObserver>& observers() const { return observers_; }

 private:
  std::vector<RangeObserver> observers_;
};

enum class RangeMethod { kMinMax, kPercentile, kMse };
struct CalibrationOptions {
  RangeMethod method = RangeMethod::kMse;
  double percentile = 0.9999;  // of kPercentile, both tails
  bool symmetric_activations = false;
};

// A code for a layer's input: `bits` wide, asymmetric unless asked otherwise (zero is always
// exact); unsigned codes are shifted to signed ones so that low = -2^(bits-1).
plan::AffineCode activation_code(const RangeObserver& observed, int bits,
                                 const CalibrationOptions& options);

enum class WeightGranularity { kPerTensor, kPerChannel };
// Symmetric code of weights [M, ...]: low = -(2^(bits-1) - 1). kMse searches the scale that
// minimizes the squared error.
plan::AffineCode weight_code(const Tensor& weight, int bits, RangeMethod method,
                             WeightGranularity granularity = WeightGranularity::kPerChannel);

// Rounds half to even and saturates. Codes are int32.
Tensor quantize(const Tensor& x, const plan::AffineCode& code);
Tensor dequantize(const Tensor& codes, const plan::AffineCode& code);
// dequantize(quantize(x)) with the straight-through gradient: 1 inside the range, 0 where it
// saturates.
Tensor fake_quantize(const Tensor& x, const plan::AffineCode& code);
// Rounds to IEEE binary16 and back, straight-through gradient.
Tensor fake_float16(const Tensor& x);

std::unique_ptr<LayerKernel> make_float16_kernel();

// Fake-quantised arithmetic of one layer. Weight scales follow the weights (min-max or MSE, fixed
// at each refresh()); the input code is fixed.
class IntegerKernel final : public LayerKernel {
 public:
  IntegerKernel(int weight_bits, plan::AffineCode input,
                RangeMethod weight_method = RangeMethod::kMse);
  Tensor forward(const LayerCall& call) override;
  void set_strength(double strength) override { strength_ = strength; }
  void set_training(bool training) override { training_ = training; }
  void set_generator(at::Generator) override {}
  std::vector<Tensor> parameters() const override { return {}; }
  // The code at which forward() quantises these weights.
  plan::LayerNumerics numerics(const Tensor& weight) const;

 private:
  int weight_bits_;
  plan::AffineCode input_;
  RangeMethod weight_method_;
  double strength_ = 1;
  bool training_ = false;
};

// Integer layers computed in integers: int32 accumulation, int32 bias with scale s_x·s_w, then one
// float multiplication per output. What an exported file must give bit for bit. Layers that are not
// in `numerics` run in float32.
class IntegerRunner final : public LayerRunner {
 public:
  IntegerRunner(const Network& network, const plan::Numerics& numerics);
  Tensor run(const LayerCall& call) override;

 private:
  std::vector<plan::LayerNumerics> layers_;
};

}  // namespace tessera::nn
