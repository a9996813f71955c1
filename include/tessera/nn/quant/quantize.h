// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tessera/format/number_format.h"
#include "tessera/nn/tensor/layer_kernel.h"
#include "tessera/nn/tensor/network.h"
#include "tessera/plan/numerics.h"

namespace tessera::nn {

// Values that a layer's input took on over calibration data, in memory that does not grow with it:
// a histogram whose bins widen by powers of two to hold new extremes. Counts, extremes and
// percentiles do not depend on the order of the data; mean and std do in the last bits.
class RangeObserver {
 public:
  static constexpr int kBins = 2048;
  // x of any shape, on any device. Throws UnsupportedError if a value is not finite.
  void add(const Tensor& x);

  std::int64_t count() const { return count_; }
  double min() const { return min_; }
  double max() const { return max_; }
  double mean() const;
  double std() const;
  // The value below which a `fraction` (0–1) of all lies, interpolated within a bin: off by at most
  // a bin, 1/1024 of the range. REQUIRES: count() > 0, as for all below.
  double percentile(double fraction) const;
  // Mean squared error of quantising with this code: values are taken to lie evenly within a bin,
  // except for zeros, which are counted apart and cost nothing.
  double mse(double scale, std::int64_t zero_point, std::int64_t low, std::int64_t high) const;
  // Kullback-Leibler divergence in nats of the values from what this code leaves of them: values
  // beyond its ends go to the last bins inside, and each of its steps is spread evenly over the
  // bins that it stands for (Migacz, "8-bit inference with TensorRT", 2017). Zeros do not count.
  // Infinite where no value lies inside.
  double divergence(double scale, std::int64_t zero_point, std::int64_t low,
                    std::int64_t high) const;

 private:
  void widen_to(double low, double high);

  // Bin i counts values in [first_bin_ + i, first_bin_ + i + 1) · width_.
  std::vector<std::int64_t> bins_;
  std::int64_t first_bin_ = 0;
  double width_ = 0;
  std::int64_t zeros_ = 0;
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

// kEntropy, the least divergence, is for activations alone.
enum class RangeMethod { kMinMax, kPercentile, kMse, kEntropy };
// "minmax", "percentile", "mse", "entropy". Throws UsageError that names `option` for others.
RangeMethod parse_range_method(const std::string& option, const std::string& text);
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
// Symmetric code of weights [M, ...]: low = -(2^(bits-1) - 1). kMse takes the clipping among 1,
// 0.95, … 0.25 of the largest weight that has the least squared error, kPercentile clips the top
// thousandth. Depends on the weights alone. Bits: 2–8 or 16, as everywhere here.
plan::AffineCode weight_code(const Tensor& weight, int bits, RangeMethod method,
                             WeightGranularity granularity = WeightGranularity::kPerChannel);
// The same in an integer format: one scale per output channel, or one per group.
plan::AffineCode weight_code(const Tensor& weight, const format::Integer& format,
                             RangeMethod method);

// Rounds half to even and saturates. Codes are int32.
Tensor quantize(const Tensor& x, const plan::AffineCode& code);
Tensor dequantize(const Tensor& codes, const plan::AffineCode& code);
// dequantize(quantize(x)) with the straight-through gradient: 1 inside the range (up to half a step
// beyond its last code), 0 where it saturates.
Tensor fake_quantize(const Tensor& x, const plan::AffineCode& code);
// Rounds to IEEE binary16 and back (half to even, subnormals kept, infinite from 65520 on),
// gradient 1 everywhere.
Tensor fake_float16(const Tensor& x);

// Input, weights and bias rounded to binary16, sums in float32.
std::unique_ptr<LayerKernel> make_float16_kernel(torch::Device device);

// int32 codes [M] of a bias [M] at scale s_x·s_w (one weight scale per channel, or one for all):
// the product of the scales in float32, the quotient in float64, half to even, saturated.
Tensor quantize_bias(const Tensor& bias, float input_scale,
                     const std::vector<float>& weight_scales);

// Fake-quantised arithmetic of one layer: weights per channel or group, inputs per tensor, sums and
// bias in float32. Unless they are learned, scales of weights follow the weights at every call and
// the input code is fixed. Evaluation runs at full strength whatever set_strength() said.
class IntegerKernel final : public LayerKernel {
 public:
  // `format` gives the weights' bits and groups, `input` the activations' code.
  IntegerKernel(const format::Integer& format, plan::AffineCode input, torch::Device device,
                RangeMethod weight_method = RangeMethod::kMse);
  ~IntegerKernel() override;
  Tensor forward(const LayerCall& call) override;
  void set_strength(double strength) override;
  void set_training(bool training) override;
  void set_noise(NoiseStream) override {}
  // Learned steps: of the weights, [M, scales of each channel], and of the input, 0-dim. Without
  // them none.
  std::vector<Tensor> parameters() const override;
  // The codes at which forward() quantises these weights and its input.
  plan::LayerNumerics numerics(const Tensor& weight) const;
  // From now on scales are parameters, trained by LSQ's gradient (Esser et al., "Learned step size
  // quantization", ICLR 2020), and start from those of numerics(weight). They no longer follow the
  // weights; a negative parameter stands for its magnitude. Strengths below 1 are not for this.
  // Changes nothing where they are learned already.
  void learn_steps(const Tensor& weight);
  bool learns_steps() const;
  // What tells this kernel's training apart from that of another, float32 [4] on the CPU: the
  // largest weight code, the input's scale, and its least and largest code with the zero point
  // taken off. REQUIRES: has_training_codes().
  Tensor training_codes() const;
  // Whether these four numbers say it all: RangeMethod::kMse, one scale per output channel, and no
  // learned steps.
  bool has_training_codes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// IntegerKernel::forward() at full strength by training_codes() that lie on the device of the
// weights: work that is recorded follows what is written there.
Tensor run_training_codes(const LayerCall& call, const Tensor& codes);

// One layer in integers: int32 accumulation and bias (wider where int32 could overflow, which takes
// 16-bit codes), then one float32 multiplication by s_x·s_w. Exact on any device; no gradients.
// Weights in groups: the exact sum of each group times s_x·s_w, added up in float32 group by group,
// then the bias in float32.
// docs/numerics.md says how this compares with an exported file.
Tensor integer_layer(const LayerCall& call, const plan::LayerNumerics& numerics);

// Runs the layers that are in `numerics` (by name) in integers, others in float32.
class IntegerRunner final : public LayerRunner {
 public:
  IntegerRunner(const Network& network, const plan::Numerics& numerics);
  Tensor run(const LayerCall& call) override;

 private:
  std::vector<plan::LayerNumerics> layers_;
};

}  // namespace tessera::nn
