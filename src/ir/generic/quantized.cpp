// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rule.h"

namespace tessera::ir {
namespace {

using Outputs = std::vector<TypedShape>;

// One scale, one for each element of `axis`, or (opset 21) one for each block along it.
void check_scale(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const Shape& scale = call.shape(1);
  if (element_count(scale) == 1 && scale.size() <= 1)
    return;
  const std::size_t axis = call.axis(call.integer("axis", 1), x.size());
  const std::int64_t block = call.integer("block_size", 0);
  if (block == 0) {
    call.require(scale == Shape{x[axis]}, "scales {} do not fit axis {} of {}", to_string(scale),
                 axis, to_string(x));
    return;
  }
  call.require(block > 0 && scale.size() == x.size(), "scales {} in blocks of {} do not fit {}",
               to_string(scale), block, to_string(x));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::int64_t blocks = i == axis ? (x[i] + block - 1) / block : x[i];
    call.require(scale[i] == blocks, "scales {} in blocks of {} do not fit {}", to_string(scale),
                 block, to_string(x));
  }
}

Outputs quantize(const GenericCall& call) {
  check_scale(call);
  if (call.has(2))
    return {{call.shape(0), call.dtype(2)}};
  const std::int64_t asked = call.integer("output_dtype", 0);
  const auto dtype = asked == 0 ? DType::kUint8 : dtype_from_onnx(static_cast<int>(asked));
  call.require(dtype && *dtype != DType::kFloat32, "output_dtype {} not supported", asked);
  return {{call.shape(0), *dtype}};
}

Outputs dequantize(const GenericCall& call) {
  check_scale(call);
  call.require(call.dtype(0) != DType::kFloat32 && call.dtype(0) != DType::kBool,
               "input '{}' holds {}, allowed: integers", call.value(0).name, name(call.dtype(0)));
  return {{call.shape(0), DType::kFloat32}};
}

Outputs dynamic_quantize(const GenericCall& call) {
  return {{call.shape(0), DType::kUint8}, {{}, DType::kFloat32}, {{}, DType::kUint8}};
}

// ONNX Runtime's integer element-wise operators: a, scale, zero point, b, scale, zero point, and
// those of the result.
Outputs qlinear_binary(const GenericCall& call) {
  return {{broadcast(call, call.shape(0), call.shape(3)), call.dtype(0)}};
}

bool qlinear_binary_batch(const GenericCall& call) {
  return !call.is_constant(0) && !call.is_constant(3) && call.rank(0) == call.rank(3);
}

// x, scale, zero point, and those of the result.
Outputs qlinear_pool(const GenericCall& call) {
  const Shape& x = call.shape(0);
  call.require(x.size() >= 3 && call.integer("channels_last", 0) == 0,
               "input has shape {}, allowed: NxCx..", to_string(x));
  Shape y(x.size(), 1);
  y[0] = x[0];
  y[1] = x[1];
  return {{y, call.dtype(0)}};
}

std::int64_t one_per_input(const GenericCall& call) {
  return element_count(call.shape(0));
}

constexpr GenericRule kRules[] = {
    {"DequantizeLinear", 2, 3, "axis:i block_size:i output_dtype:i", dequantize, one_per_output,
     only_first_is_activation},
    {"DynamicQuantizeLinear", 1, 1, "", dynamic_quantize, one_per_output, nullptr, 3},
    {"QuantizeLinear", 2, 3, "axis:i block_size:i output_dtype:i precision:i saturate:i", quantize,
     one_per_output, only_first_is_activation},
    {"QLinearAdd", 8, 8, "", qlinear_binary, one_per_output, qlinear_binary_batch, 1,
     "com.microsoft"},
    {"QLinearGlobalAveragePool", 5, 5, "channels_last:i", qlinear_pool, one_per_input,
     only_first_is_activation, 1, "com.microsoft"},
    {"QLinearLeakyRelu", 5, 5, "alpha:f", same_as_first, one_per_output, only_first_is_activation,
     1, "com.microsoft"},
    {"QLinearMul", 8, 8, "", qlinear_binary, one_per_output, qlinear_binary_batch, 1,
     "com.microsoft"},
    {"QLinearSigmoid", 5, 5, "", same_as_first, one_per_output, only_first_is_activation, 1,
     "com.microsoft"},
};

}  // namespace

std::span<const GenericRule> quantized_rules() {
  return kRules;
}

}  // namespace tessera::ir
