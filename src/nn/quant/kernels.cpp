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

// Evaluation always runs at full strength; only training ramps.
double effective(double strength, bool training) {
  return training ? strength : 1.0;
}

class Float16Kernel final : public LayerKernel {
 public:
  Tensor forward(const LayerCall& call) override {
    const double strength = effective(strength_, training_);
    const Tensor bias = call.bias.defined() ? detail::fake_float16(call.bias, strength) : call.bias;
    return apply_layer(call.op, detail::fake_float16(call.x, strength),
                       detail::fake_float16(call.weight, strength), bias);
  }
  void set_strength(double strength) override { strength_ = strength; }
  void set_training(bool training) override { training_ = training; }
  void set_generator(at::Generator) override {}
  std::vector<Tensor> parameters() const override { return {}; }

 private:
  double strength_ = 1;
  bool training_ = false;
};

// Largest value that a sum of products of these codes can take on, over all channels.
double largest_accumulation(const Tensor& weight_codes, const plan::AffineCode& input) {
  const double zero = input.zero_points[0];
  const double largest_input = std::max(input.high - zero, zero - input.low);
  const Tensor sums = weight_codes.to(torch::kFloat64).abs().flatten(1).sum(1);
  return sums.max().item<double>() * largest_input;
}

}  // namespace

std::unique_ptr<LayerKernel> make_float16_kernel() {
  return std::make_unique<Float16Kernel>();
}

IntegerKernel::IntegerKernel(int weight_bits, plan::AffineCode input, RangeMethod weight_method)
    : weight_bits_(weight_bits), input_(std::move(input)), weight_method_(weight_method) {
  TESSERA_CHECK((weight_bits >= 2 && weight_bits <= 8) || weight_bits == 16, "{} bits",
                weight_bits);
  TESSERA_CHECK(input_.scales.size() == 1 && input_.zero_points.size() == 1,
                "an input has one scale, not {}", input_.scales.size());
}

Tensor IntegerKernel::forward(const LayerCall& call) {
  const double strength = effective(strength_, training_);
  if (strength == 0.0)
    return apply_layer(call.op, call.x, call.weight, call.bias);
  const std::int64_t high = (std::int64_t{1} << (weight_bits_ - 1)) - 1;
  const Tensor scales = detail::along_first(
      detail::weight_scales(call.weight, high, weight_method_, WeightGranularity::kPerChannel),
      call.weight);
  const Tensor limit = at::full_like(scales, static_cast<double>(high));
  const Tensor w =
      detail::fake_quantize(call.weight, {.scale = scales, .low = -limit, .high = limit}, strength);
  const Tensor x = detail::fake_quantize(call.x, detail::tensors_of(input_, call.x), strength);
  return apply_layer(call.op, x, w, call.bias);
}

plan::LayerNumerics IntegerKernel::numerics(const Tensor& weight) const {
  return {.weights = weight_code(weight, weight_bits_, weight_method_), .input = input_};
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
