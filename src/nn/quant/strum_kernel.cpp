// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/quant/strum_kernel.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "tessera/core/error.h"

#include "nn/quant/fake_quantize.h"

namespace tessera::nn {

format::WeightShape weight_shape(const Tensor& weight) {
  TESSERA_CHECK(weight.dim() == 4 || weight.dim() == 2, "weights of {} dimensions", weight.dim());
  return {.outputs = weight.size(0),
          .inputs = weight.size(1),
          .positions = weight.dim() == 4 ? weight.size(2) * weight.size(3) : 1};
}

plan::AffineCode strum_base_code(const Tensor& weight) {
  return weight_code(weight, 8, RangeMethod::kMinMax);
}

namespace {

template <typename T>
std::span<const T> elements(const Tensor& tensor) {
  return {tensor.data_ptr<T>(), static_cast<std::size_t>(tensor.numel())};
}

}  // namespace

Tensor strum_codes(const Tensor& weight) {
  const torch::NoGradGuard no_grad;
  const Tensor on_cpu = weight.detach().cpu();
  const plan::AffineCode code = strum_base_code(on_cpu);
  Tensor codes = torch::empty(on_cpu.sizes(), torch::kInt8);
  // Some output channels at a time: on the way to int8 stand several copies in 32 bits.
  constexpr std::int64_t kWeightsAtOnce = 1 << 17;
  const std::int64_t channels = on_cpu.size(0);
  const std::int64_t step = std::max<std::int64_t>(kWeightsAtOnce * channels / on_cpu.numel(), 1);
  for (std::int64_t begin = 0; begin < channels; begin += step) {
    const std::int64_t end = std::min(begin + step, channels);
    plan::AffineCode part = code;
    part.scales = {code.scales.begin() + begin, code.scales.begin() + end};
    part.zero_points = {code.zero_points.begin() + begin, code.zero_points.begin() + end};
    codes.slice(0, begin, end).copy_(quantize(on_cpu.slice(0, begin, end), part));
  }
  return codes;
}

format::PackedWeights strum_pack(const Tensor& weight, const format::Strum& scheme) {
  const Tensor codes = strum_codes(weight);
  return format::strum_encode(elements<std::int8_t>(codes), weight_shape(codes), scheme);
}

format::PackedWeights strum_pack_masked(const Tensor& weight, const Tensor& low_mask,
                                        const format::Strum& scheme) {
  const Tensor codes = strum_codes(weight);
  return format::strum_encode_masked(elements<std::int8_t>(codes), elements<std::uint8_t>(low_mask),
                                     weight_shape(codes), scheme);
}

StrumKernel::StrumKernel(const format::Strum& scheme, plan::AffineCode input)
    : scheme_(scheme), input_(std::move(input)), mask_(torch::empty({0}, torch::kUInt8)) {
  TESSERA_CHECK(input_.scales.size() == 1 && input_.zero_points.size() == 1,
                "an input has one scale, not {}", input_.scales.size());
}

void StrumKernel::set_training(bool training) {
  training_ = training;
  packed_weight_ = Tensor();
}

Tensor strum_values(const format::PackedWeights& packed, const Tensor& weight) {
  const std::vector<std::int16_t> codes = format::strum_decode(packed);
  const Tensor integers = torch::tensor(codes, torch::kInt16).reshape(weight.sizes());
  return dequantize(integers.to(torch::kInt32), strum_base_code(weight.cpu())).to(weight.device());
}

Tensor StrumKernel::values(const Tensor& weight) {
  const torch::NoGradGuard no_grad;
  const Tensor now = weight.detach();
  if (!training_ && packed_weight_.defined() && packed_weight_.is_same(weight) &&
      packed_version_ == static_cast<std::int64_t>(weight._version()))
    return packed_values_;
  const bool masked = training_ && mask_.numel() > 0;
  const format::PackedWeights packed =
      masked ? strum_pack_masked(now, mask_, scheme_) : strum_pack(now, scheme_);
  if (training_ && !masked) {
    const std::vector<std::uint8_t> low = format::strum_low_mask(packed);
    mask_.resize_(now.sizes()).copy_(torch::tensor(low, torch::kUInt8).reshape(now.sizes()));
  }
  packed_weight_ = weight;
  packed_version_ = static_cast<std::int64_t>(weight._version());
  packed_values_ = strum_values(packed, now);
  return packed_values_;
}

Tensor StrumKernel::forward(const LayerCall& call) {
  const double strength = training_ ? strength_ : 1.0;
  if (strength == 0.0)
    return apply_layer(call.op, call.x, call.weight, call.bias);
  // Where gradients flow, as w + (q - w): to the last bit that is not q, so evaluation takes q.
  const Tensor q = values(call.weight);
  const Tensor w = training_ ? call.weight + strength * (q - call.weight.detach()) : q;
  const Tensor x = detail::fake_quantize(call.x, detail::tensors_of(input_, call.x), strength);
  return apply_layer(call.op, x, w, call.bias);
}

plan::LayerNumerics StrumKernel::numerics(const Tensor& weight) const {
  return {.weights = strum_base_code(weight), .input = input_};
}

}  // namespace tessera::nn
