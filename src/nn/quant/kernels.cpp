// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/nn/quant/quantize.h"

#include "nn/quant/fake_quantize.h"

namespace tessera::nn {
namespace {

using detail::Strength;

// Evaluation always runs at full strength; only training ramps.
const Strength& effective(const Strength& strength, bool training) {
  static const Strength full;
  return training ? strength : full;
}

class Float16Kernel final : public LayerKernel {
 public:
  explicit Float16Kernel(torch::Device device) : strength_(device) {}
  Tensor forward(const LayerCall& call) override {
    const Strength& strength = effective(strength_, training_);
    const Tensor bias = call.bias.defined() ? detail::fake_float16(call.bias, strength) : call.bias;
    return apply_layer(call.op, detail::fake_float16(call.x, strength),
                       detail::fake_float16(call.weight, strength), bias);
  }
  void set_strength(double strength) override { strength_.set(strength); }
  void set_training(bool training) override { training_ = training; }
  void set_noise(NoiseStream) override {}
  std::vector<Tensor> parameters() const override { return {}; }

 private:
  Strength strength_;
  bool training_ = false;
};

// Weights at ±high and inputs at `input`, as far as `strength` goes.
Tensor run_integers(const LayerCall& call, const Tensor& high, const detail::CodeTensors& input,
                    RangeMethod weight_method, const Strength& strength) {
  const Tensor scales = detail::along_first(
      detail::weight_scales(call.weight, high, weight_method, WeightGranularity::kPerChannel),
      call.weight);
  const Tensor w =
      detail::fake_quantize(call.weight, {.scale = scales, .low = -high, .high = high}, strength);
  return apply_layer(call.op, detail::fake_quantize(call.x, input, strength), w, call.bias);
}

// Largest value that a sum of products of these codes can take on, over all channels.
double largest_accumulation(const Tensor& weight_codes, const plan::AffineCode& input) {
  const double zero = input.zero_points[0];
  const double largest_input = std::max(input.high - zero, zero - input.low);
  const Tensor sums = weight_codes.to(torch::kFloat64).abs().flatten(1).sum(1);
  return sums.max().item<double>() * largest_input;
}

}  // namespace

std::unique_ptr<LayerKernel> make_float16_kernel(torch::Device device) {
  return std::make_unique<Float16Kernel>(device);
}

struct IntegerKernel::Impl {
  int weight_bits;
  plan::AffineCode input;
  RangeMethod weight_method;
  Strength strength;
  bool training = false;

  double largest_weight_code() const {
    return static_cast<double>((std::int64_t{1} << (weight_bits - 1)) - 1);
  }
};

IntegerKernel::IntegerKernel(int weight_bits, plan::AffineCode input, torch::Device device,
                             RangeMethod weight_method)
    : impl_(std::make_unique<Impl>(
          Impl{weight_bits, std::move(input), weight_method, Strength(device)})) {
  TESSERA_CHECK((weight_bits >= 2 && weight_bits <= 8) || weight_bits == 16, "{} bits",
                weight_bits);
  TESSERA_CHECK(impl_->input.scales.size() == 1 && impl_->input.zero_points.size() == 1,
                "an input has one scale, not {}", impl_->input.scales.size());
}

IntegerKernel::~IntegerKernel() = default;

Tensor IntegerKernel::forward(const LayerCall& call) {
  const Strength& strength = effective(impl_->strength, impl_->training);
  if (strength.is_off())
    return apply_layer(call.op, call.x, call.weight, call.bias);
  return run_integers(call, torch::full({}, impl_->largest_weight_code()),
                      detail::tensors_of(impl_->input, call.x), impl_->weight_method, strength);
}

Tensor IntegerKernel::training_codes() const {
  TESSERA_CHECK(impl_->weight_method == RangeMethod::kMse, "weights of another range method");
  const detail::CodeTensors input = detail::tensors_of(impl_->input, Tensor());
  return torch::stack(
      {torch::full({}, impl_->largest_weight_code()), input.scale, input.low, input.high});
}

Tensor run_training_codes(const LayerCall& call, const Tensor& codes) {
  return run_integers(call, codes[0], {.scale = codes[1], .low = codes[2], .high = codes[3]},
                      RangeMethod::kMse, Strength());
}

void IntegerKernel::set_strength(double strength) {
  impl_->strength.set(strength);
}
void IntegerKernel::set_training(bool training) {
  impl_->training = training;
}

plan::LayerNumerics IntegerKernel::numerics(const Tensor& weight) const {
  return {.weights = weight_code(weight, impl_->weight_bits, impl_->weight_method),
          .input = impl_->input};
}

IntegerRunner::IntegerRunner(const Network& network, const plan::Numerics& numerics) {
  for (const ir::Layer& layer : network.workload().layers) {
    const auto found = numerics.find(layer.name);
    layers_.push_back(found == numerics.end() ? plan::LayerNumerics{} : found->second);
  }
}

Tensor IntegerRunner::run(const LayerCall& call) {
  const plan::LayerNumerics& numerics = layers_.at(call.layer);
  if (numerics.weights.scales.empty())
    return apply_layer(call.op, call.x, call.weight, call.bias);
  return integer_layer(call, numerics);
}

Tensor integer_layer(const LayerCall& call, const plan::LayerNumerics& numerics) {
  const torch::NoGradGuard no_grad;
  const plan::AffineCode& input = numerics.input;
  TESSERA_CHECK(input.scales.size() == 1, "an input has one scale, not {}", input.scales.size());
  const Tensor weight = quantize(call.weight, numerics.weights);
  // Codes with the zero point taken off, so that padding with zeros pads with the code of zero.
  const Tensor x = quantize(call.x, input) - input.zero_points[0];
  // Floating point adds integers exactly as long as no partial sum exceeds its mantissa, whatever
  // the order, and LibTorch has fast convolutions for floats alone. float32 holds up to 2^24 (not
  // on GPUs, whose libraries may transform or shorten operands), float64 up to 2^53, which no layer
  // comes near.
  constexpr double kFloat32Exact = 16777216;
  const bool narrow = x.device().is_cpu() && largest_accumulation(weight, input) <= kFloat32Exact;
  const auto type = narrow ? torch::kFloat32 : torch::kFloat64;
  const Tensor sums =
      apply_layer(call.op, x.to(type), weight.to(type), Tensor()).to(torch::kFloat64);
  const std::int64_t channels = call.weight.size(0);
  // [M] against [N,M,P,Q] or [..,M].
  const auto along_channels = [&](const Tensor& t) {
    return std::holds_alternative<ir::Conv>(call.op) ? t.reshape({channels, 1, 1}) : t;
  };
  Tensor total = sums;
  if (call.bias.defined()) {
    const Tensor bias = quantize_bias(call.bias, input.scales[0], numerics.weights.scales);
    total = sums + along_channels(bias.to(torch::kFloat64));
  }
  const Tensor scales =
      torch::tensor(numerics.weights.scales).to(call.x.device()) * input.scales[0];
  return total.to(torch::kFloat32) *
         along_channels(scales.numel() == 1 ? scales.expand({channels}) : scales);
}

}  // namespace tessera::nn
