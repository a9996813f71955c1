// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/nn/quant/quantize.h"

#include "nn/quant/fake_quantize.h"
#include "nn/quant/learned_step.h"

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

// Each row of [M, ...] at ±high.
Tensor quantized_rows(const Tensor& weight, const Tensor& high, RangeMethod method,
                      const Strength& strength) {
  const Tensor scales = detail::along_first(
      detail::weight_scales(weight, high, method, WeightGranularity::kPerChannel), weight);
  return detail::fake_quantize(weight, {.scale = scales, .low = -high, .high = high}, strength);
}

// Weights at ±high and inputs at `input`, as far as `strength` goes.
Tensor run_integers(const LayerCall& call, const Tensor& high, int group,
                    const detail::CodeTensors& input, RangeMethod weight_method,
                    const Strength& strength) {
  const Tensor w =
      group == 0 ? quantized_rows(call.weight, high, weight_method, strength)
                 : detail::from_group_rows(quantized_rows(detail::group_rows(call.weight, group),
                                                          high, weight_method, strength),
                                           call.weight);
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
  format::Integer format;
  plan::AffineCode input;
  RangeMethod weight_method;
  Strength strength;
  bool training = false;
  // Learned; undefined where they are not.
  Tensor weight_steps{};
  Tensor input_step{};

  Tensor run_learned(const LayerCall& call) const;
  double largest_weight_code() const {
    return static_cast<double>((std::int64_t{1} << (format.weight_bits - 1)) - 1);
  }
};

IntegerKernel::IntegerKernel(const format::Integer& format, plan::AffineCode input,
                             torch::Device device, RangeMethod weight_method)
    : impl_(
          std::make_unique<Impl>(Impl{format, std::move(input), weight_method, Strength(device)})) {
  TESSERA_CHECK((format.weight_bits >= 2 && format.weight_bits <= 8) || format.weight_bits == 16,
                "{} bits", format.weight_bits);
  TESSERA_CHECK(impl_->input.scales.size() == 1 && impl_->input.zero_points.size() == 1,
                "an input has one scale, not {}", impl_->input.scales.size());
}

IntegerKernel::~IntegerKernel() = default;

Tensor IntegerKernel::Impl::run_learned(const LayerCall& call) const {
  const double high = largest_weight_code();
  const auto quantized = [&](const Tensor& rows) {
    return detail::learned_quantize(rows, weight_steps, torch::full({}, -high),
                                    torch::full({}, high),
                                    detail::step_gradient_scale(rows[0].numel(), -high, high));
  };
  const Tensor w = format.group == 0
                       ? quantized(call.weight)
                       : detail::from_group_rows(
                             quantized(detail::group_rows(call.weight, format.group)), call.weight);
  const double low_input = input.low - input.zero_points[0];
  const double high_input = input.high - input.zero_points[0];
  const Tensor x = detail::learned_quantize(
      call.x, input_step, torch::full({}, low_input), torch::full({}, high_input),
      detail::step_gradient_scale(call.x.numel() / call.x.size(0), low_input, high_input));
  return apply_layer(call.op, x, w, call.bias);
}

Tensor IntegerKernel::forward(const LayerCall& call) {
  const Strength& strength = effective(impl_->strength, impl_->training);
  if (strength.is_off())
    return apply_layer(call.op, call.x, call.weight, call.bias);
  if (learns_steps()) {
    TESSERA_CHECK(strength.value() == 1, "learned steps at strength {}", strength.value());
    return impl_->run_learned(call);
  }
  return run_integers(call, torch::full({}, impl_->largest_weight_code()), impl_->format.group,
                      detail::tensors_of(impl_->input, call.x), impl_->weight_method, strength);
}

bool IntegerKernel::has_training_codes() const {
  return impl_->weight_method == RangeMethod::kMse && impl_->format.group == 0 && !learns_steps();
}

Tensor IntegerKernel::training_codes() const {
  TESSERA_CHECK(has_training_codes(),
                "weights of another range method, in groups, or of learned steps");
  const detail::CodeTensors input = detail::tensors_of(impl_->input, Tensor());
  return torch::stack(
      {torch::full({}, impl_->largest_weight_code()), input.scale, input.low, input.high});
}

Tensor run_training_codes(const LayerCall& call, const Tensor& codes) {
  return run_integers(call, codes[0], 0, {.scale = codes[1], .low = codes[2], .high = codes[3]},
                      RangeMethod::kMse, Strength());
}

void IntegerKernel::set_strength(double strength) {
  impl_->strength.set(strength);
}
void IntegerKernel::set_training(bool training) {
  impl_->training = training;
}

plan::LayerNumerics IntegerKernel::numerics(const Tensor& weight) const {
  if (!learns_steps())
    return {.weights = weight_code(weight, impl_->format, impl_->weight_method),
            .input = impl_->input};
  const Tensor steps = detail::steps_of(impl_->weight_steps).cpu().contiguous();
  const auto high = static_cast<std::int32_t>(impl_->largest_weight_code());
  plan::LayerNumerics learned{
      .weights = {.scales = {steps.data_ptr<float>(), steps.data_ptr<float>() + steps.numel()},
                  .zero_points =
                      std::vector<std::int32_t>(static_cast<std::size_t>(steps.numel()), 0),
                  .low = -high,
                  .high = high,
                  .group = impl_->format.group},
      .input = impl_->input};
  learned.input.scales = {detail::steps_of(impl_->input_step).item<float>()};
  return learned;
}

bool IntegerKernel::learns_steps() const {
  return impl_->weight_steps.defined();
}

void IntegerKernel::learn_steps(const Tensor& weight) {
  if (learns_steps())
    return;
  const plan::LayerNumerics start = numerics(weight);
  // Rows of output channels, as weights are: optimisers that take each channel at its own scale
  // then do so with its steps.
  impl_->weight_steps = torch::tensor(start.weights.scales)
                            .reshape({weight.size(0), -1})
                            .to(weight.device())
                            .requires_grad_(true);
  impl_->input_step =
      torch::full({}, start.input.scales[0]).to(weight.device()).requires_grad_(true);
}

std::vector<Tensor> IntegerKernel::parameters() const {
  if (!learns_steps())
    return {};
  return {impl_->weight_steps, impl_->input_step};
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

namespace {

// Sums of products of codes, as float64. `x` has the zero point taken off, so that padding with
// zeros pads with the code of zero.
Tensor exact_sums(const ir::Op& op, const Tensor& x, const Tensor& weight,
                  const plan::AffineCode& input) {
  // Floating point adds integers exactly as long as no partial sum exceeds its mantissa, whatever
  // the order, and LibTorch has fast convolutions for floats alone. float32 holds up to 2^24 (not
  // on GPUs, whose libraries may transform or shorten operands), float64 up to 2^53, which no layer
  // comes near.
  constexpr double kFloat32Exact = 16777216;
  const bool narrow = x.device().is_cpu() && largest_accumulation(weight, input) <= kFloat32Exact;
  const auto type = narrow ? torch::kFloat32 : torch::kFloat64;
  return apply_layer(op, x.to(type), weight.to(type), Tensor()).to(torch::kFloat64);
}

// Values [M] against outputs [N,M,P,Q] or [..,M].
Tensor along_outputs(const ir::Op& op, const Tensor& values) {
  return std::holds_alternative<ir::Conv>(op) ? values.reshape({values.numel(), 1, 1}) : values;
}

Tensor grouped_layer(const LayerCall& call, const plan::LayerNumerics& numerics, const Tensor& x) {
  const Tensor codes = quantize(call.weight, numerics.weights).flatten(1);
  const std::int64_t channels = codes.size(0);
  const std::int64_t group = numerics.weights.group;
  const Tensor scales = (torch::tensor(numerics.weights.scales) * numerics.input.scales[0])
                            .to(call.x.device())
                            .reshape({channels, -1});
  Tensor total;
  for (std::int64_t g = 0; g < scales.size(1); ++g) {
    const std::int64_t begin = g * group;
    Tensor alone = at::zeros_like(codes);
    const auto part = [&](const Tensor& all) {
      return all.narrow(1, begin, std::min(group, codes.size(1) - begin));
    };
    part(alone).copy_(part(codes));
    const Tensor sums = exact_sums(call.op, x, alone.reshape(call.weight.sizes()), numerics.input)
                            .to(torch::kFloat32) *
                        along_outputs(call.op, scales.select(1, g));
    total = total.defined() ? total + sums : sums;
  }
  return call.bias.defined() ? total + along_outputs(call.op, call.bias) : total;
}

}  // namespace

Tensor integer_layer(const LayerCall& call, const plan::LayerNumerics& numerics) {
  const torch::NoGradGuard no_grad;
  const plan::AffineCode& input = numerics.input;
  TESSERA_CHECK(input.scales.size() == 1, "an input has one scale, not {}", input.scales.size());
  const Tensor x = quantize(call.x, input) - input.zero_points[0];
  if (numerics.weights.group > 0)
    return grouped_layer(call, numerics, x);
  const Tensor sums = exact_sums(call.op, x, quantize(call.weight, numerics.weights), input);
  const std::int64_t channels = call.weight.size(0);
  Tensor total = sums;
  if (call.bias.defined()) {
    const Tensor bias = quantize_bias(call.bias, input.scales[0], numerics.weights.scales);
    total = sums + along_outputs(call.op, bias.to(torch::kFloat64));
  }
  const Tensor scales =
      torch::tensor(numerics.weights.scales).to(call.x.device()) * input.scales[0];
  return total.to(torch::kFloat32) *
         along_outputs(call.op, scales.numel() == 1 ? scales.expand({channels}) : scales);
}

}  // namespace tessera::nn
