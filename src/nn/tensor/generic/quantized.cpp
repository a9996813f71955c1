// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <torch/autograd.h>

#include "kernel.h"
#include "window.h"

namespace tessera::nn {
namespace {

// Integers are multiplied in double, which is exact up to 2^53.
Tensor wide(const Tensor& x) {
  return x.to(torch::kFloat64);
}

// Less its zero point, one for all or one for each element of `axis`.
Tensor centered(const Tensor& x, const Tensor& zero, std::int64_t axis) {
  if (!zero.defined())
    return wide(x);
  if (zero.numel() == 1)
    return wide(x) - wide(zero).reshape({});
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape.at(static_cast<std::size_t>(axis)) = zero.numel();
  return wide(x) - wide(zero).reshape(shape);
}

// Scales or zero points as they go with x: one, one for each element of the axis, or one for each
// block along it.
Tensor aligned(const KernelCall& call, const Tensor& values) {
  const Tensor& x = call.in(0);
  if (values.numel() == 1 && values.dim() <= 1)
    return values.reshape({});
  const std::int64_t axis = call.axis(1, x.dim());
  if (const std::int64_t block = call.integer("block_size", 0); block > 0)
    return values.repeat_interleave(block, axis).slice(axis, 0, x.size(axis));
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[static_cast<std::size_t>(axis)] = values.numel();
  return values.reshape(shape);
}

struct Range {
  double low, high;
};

// Codes of the output's type as the file names it; 4-bit types are held as 8-bit ones.
Range range_of(torch::ScalarType type) {
  switch (type) {
    case torch::kInt8:
      return {-128, 127};
    case torch::kInt16:
      return {-32768, 32767};
    case torch::kInt32:  // uint16
      return {0, 65535};
    default:
      return {0, 255};
  }
}

// Half to even, as torch::round does.
Tensor saturated(const Tensor& code, torch::ScalarType type) {
  const Range range = range_of(type);
  return torch::clamp(code, range.low, range.high).to(type);
}

Tensors quantize(const KernelCall& call) {
  Tensor code = torch::round(call.in(0) / aligned(call, call.in(1)).to(call.in(0).scalar_type()));
  if (call.has(2))
    code = code + aligned(call, call.in(2)).to(code.scalar_type());
  return {saturated(code, call.output_type())};
}

Tensors dequantize(const KernelCall& call) {
  Tensor x = call.in(0).to(torch::kFloat32);
  if (call.has(2))
    x = x - aligned(call, call.in(2)).to(torch::kFloat32);
  return {x * aligned(call, call.in(1))};
}

Tensors dynamic_quantize(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const Tensor low = torch::clamp_max(torch::amin(x, torch::IntArrayRef{}), 0);
  const Tensor high = torch::clamp_min(torch::amax(x, torch::IntArrayRef{}), 0);
  const Tensor scale = (high - low) / 255;
  const Tensor zero = torch::clamp(torch::round(-low / scale), 0, 255);
  return {saturated(torch::round(x / scale) + zero, torch::kUInt8), scale, zero.to(torch::kUInt8)};
}

Tensors matmul_integer(const KernelCall& call) {
  const Tensor& a = call.in(0);
  const Tensor& b = call.in(1);
  const Tensor product =
      torch::matmul(centered(a, call.maybe(2), std::max<std::int64_t>(a.dim() - 2, 0)),
                    centered(b, call.maybe(3), b.dim() - 1));
  return {product.to(torch::kInt32)};
}

Tensors conv_integer(const KernelCall& call) {
  const Tensor x = centered(call.in(0), call.maybe(2), 1);
  const Tensor w = centered(call.in(1), call.maybe(3), 0);
  return {convolve(call.op, x, w, Tensor()).to(torch::kInt32)};
}

// The integer sum times s_a·s_b/s_y in float32, as ONNX Runtime rounds it.
Tensor requantized(const Tensor& sum, const Tensor& scale, const KernelCall& call, int zero) {
  const Tensor code =
      torch::round(sum.to(torch::kFloat32) * scale) + call.in(zero).to(torch::kFloat32).reshape({});
  return saturated(code, call.in(zero).scalar_type());
}

Tensors qlinear_matmul(const KernelCall& call) {
  const Tensor& a = call.in(0);
  const Tensor& b = call.in(3);
  const Tensor sum = torch::matmul(centered(a, call.in(2), std::max<std::int64_t>(a.dim() - 2, 0)),
                                   centered(b, call.in(5), b.dim() - 1));
  return {requantized(sum, call.in(1) * call.in(4) / call.in(6), call, 7)};
}

Tensors qlinear_conv(const KernelCall& call) {
  const Tensor x = centered(call.in(0), call.in(2), 1);
  const Tensor w = centered(call.in(3), call.in(5), 0);
  const Tensor bias = call.has(8) ? wide(call.in(8)) : Tensor();
  Tensor scale = call.in(1).reshape({}) * call.in(4) / call.in(6).reshape({});
  if (scale.numel() > 1) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
    shape[1] = scale.numel();
    scale = scale.reshape(shape);
  }
  return {requantized(convolve(call.op, x, w, bias), scale, call, 7)};
}

// Real numbers of the input at `position`, followed by its scale and zero point.
Tensor real(const KernelCall& call, int position) {
  Tensor x = call.in(position).to(torch::kFloat32);
  if (call.has(position + 2))
    x = x - call.in(position + 2).to(torch::kFloat32).reshape({});
  return x * call.in(position + 1).reshape({});
}

// Codes of the result, whose scale and zero point stand at `position`.
Tensors coded(const KernelCall& call, const Tensor& y, int position) {
  Tensor code = torch::round(y / call.in(position).reshape({}));
  if (call.has(position + 1))
    code = code + call.in(position + 1).to(torch::kFloat32).reshape({});
  return {saturated(code, call.in(0).scalar_type())};
}

Tensors qlinear_add(const KernelCall& call) {
  return coded(call, real(call, 0) + real(call, 3), 6);
}
Tensors qlinear_mul(const KernelCall& call) {
  return coded(call, real(call, 0) * real(call, 3), 6);
}
Tensors qlinear_leaky_relu(const KernelCall& call) {
  return coded(call, torch::leaky_relu(real(call, 0), call.real("alpha", 0.01F)), 3);
}
Tensors qlinear_sigmoid(const KernelCall& call) {
  return coded(call, torch::sigmoid(real(call, 0)), 3);
}
Tensors qlinear_global_average_pool(const KernelCall& call) {
  const Tensor x = real(call, 0);
  std::vector<std::int64_t> axes;
  for (std::int64_t i = 2; i < x.dim(); ++i)
    axes.push_back(i);
  return coded(call, torch::mean(x, axes, true), 3);
}

constexpr GenericKernel kKernels[] = {
    {"ConvInteger", conv_integer},
    {"DequantizeLinear", dequantize},
    {"DynamicQuantizeLinear", dynamic_quantize},
    {"MatMulInteger", matmul_integer},
    {"QLinearConv", qlinear_conv},
    {"QLinearMatMul", qlinear_matmul},
    {"QuantizeLinear", quantize},
    {"QLinearAdd", qlinear_add, "com.microsoft"},
    {"QLinearGlobalAveragePool", qlinear_global_average_pool, "com.microsoft"},
    {"QLinearLeakyRelu", qlinear_leaky_relu, "com.microsoft"},
    {"QLinearMul", qlinear_mul, "com.microsoft"},
    {"QLinearSigmoid", qlinear_sigmoid, "com.microsoft"},
};

}  // namespace

std::span<const GenericKernel> quantized_kernels() {
  return kKernels;
}

}  // namespace tessera::nn
