// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <torch/autograd.h>

#include "kernel.h"

namespace tessera::nn {
namespace {

template <Tensor (*Function)(const Tensor&)>
Tensors unary(const KernelCall& call) {
  return {Function(call.in(0))};
}

template <Tensor (*Function)(const Tensor&, const Tensor&)>
Tensors binary(const KernelCall& call) {
  return {Function(call.in(0), call.in(1))};
}

// A fold over any number of inputs.
template <Tensor (*Function)(const Tensor&, const Tensor&)>
Tensors variadic(const KernelCall& call) {
  Tensor result = call.inputs.front();
  for (std::size_t i = 1; i < call.inputs.size(); ++i)
    result = Function(result, call.inputs[i]);
  return {result};
}

Tensor add(const Tensor& a, const Tensor& b) {
  return a + b;
}

Tensors mean(const KernelCall& call) {
  return {variadic<add>(call)[0] / static_cast<double>(call.inputs.size())};
}

Tensors divide(const KernelCall& call) {
  const Tensor& a = call.in(0);
  const Tensor& b = call.in(1);
  if (a.is_floating_point())
    return {a / b};
  TORCH_CHECK(!(b == 0).any().item<bool>(), "division by zero");
  return {torch::div(a, b, "trunc")};
}

// fmod=1 takes the sign of the dividend, fmod=0 that of the divisor.
Tensors modulo(const KernelCall& call) {
  const Tensor& a = call.in(0);
  const Tensor& b = call.in(1);
  if (!a.is_floating_point())
    TORCH_CHECK(!(b == 0).any().item<bool>(), "division by zero");
  return {call.integer("fmod", 0) != 0 ? torch::fmod(a, b) : torch::remainder(a, b)};
}

Tensors power(const KernelCall& call) {
  const Tensor& a = call.in(0);
  const Tensor& b = call.in(1);
  // Integers to the power of floats are computed as floats.
  if (b.is_floating_point() && !a.is_floating_point())
    return {torch::pow(a.to(torch::kFloat64), b).to(a.scalar_type())};
  if (!b.is_floating_point() && !a.is_floating_point())
    return {torch::pow(a.to(torch::kInt64), b.to(torch::kInt64)).to(a.scalar_type())};
  return {torch::pow(a, b)};
}

Tensors shift(const KernelCall& call) {
  const bool left = call.text("direction", "LEFT") == "LEFT";
  return {left ? torch::bitwise_left_shift(call.in(0), call.in(1))
               : torch::bitwise_right_shift(call.in(0), call.in(1))};
}

Tensors clip(const KernelCall& call) {
  Tensor x = call.in(0);
  if (ir::has_attribute(call.op, "min"))
    x = torch::clamp_min(x, call.real("min", 0));
  if (ir::has_attribute(call.op, "max"))
    x = torch::clamp_max(x, call.real("max", 0));
  if (call.has(1))
    x = torch::maximum(x, call.in(1).reshape({}));
  if (call.has(2))
    x = torch::minimum(x, call.in(2).reshape({}));
  return {x};
}

// Floats that are held as float32 take the precision of the type that they are cast to.
Tensors cast(const KernelCall& call) {
  constexpr std::int64_t kFloat16 = 10;
  constexpr std::int64_t kBfloat16 = 16;
  const std::int64_t to = call.integer("to", 0);
  Tensor x = call.in(0);
  if (to == kFloat16)
    x = x.to(torch::kFloat16);
  if (to == kBfloat16)
    x = x.to(torch::kBFloat16);
  return {x.to(call.output_type())};
}

Tensors cast_like(const KernelCall& call) {
  return {call.in(0).to(call.in(1).scalar_type())};
}

Tensors dropout(const KernelCall& call) {
  return {call.in(0), torch::ones_like(call.in(0), torch::kBool)};
}

Tensors celu(const KernelCall& call) {
  return {torch::celu(call.in(0), call.real("alpha", 1))};
}

Tensors elu(const KernelCall& call) {
  return {torch::elu(call.in(0), call.real("alpha", 1))};
}

Tensors gelu(const KernelCall& call) {
  return {torch::gelu(call.in(0), call.text("approximate", "none"))};
}

Tensors bias_gelu(const KernelCall& call) {
  return {torch::gelu(call.in(0) + call.in(1))};
}

Tensors fast_gelu(const KernelCall& call) {
  return {torch::gelu(call.has(1) ? call.in(0) + call.in(1) : call.in(0), "tanh")};
}

Tensors quick_gelu(const KernelCall& call) {
  return {call.in(0) * torch::sigmoid(call.real("alpha", 1.702F) * call.in(0))};
}

Tensors hard_sigmoid(const KernelCall& call) {
  return {torch::clamp(call.in(0) * call.real("alpha", 0.2F) + call.real("beta", 0.5F), 0, 1)};
}

Tensors is_inf(const KernelCall& call) {
  const Tensor& x = call.in(0);
  Tensor found = torch::zeros_like(x, torch::kBool);
  if (call.integer("detect_negative", 1) != 0)
    found = found | (x == -std::numeric_limits<double>::infinity());
  if (call.integer("detect_positive", 1) != 0)
    found = found | (x == std::numeric_limits<double>::infinity());
  return {found};
}

Tensors leaky_relu(const KernelCall& call) {
  return {torch::leaky_relu(call.in(0), call.real("alpha", 0.01F))};
}

Tensors prelu(const KernelCall& call) {
  const Tensor& x = call.in(0);
  return {torch::where(x < 0, x * call.in(1), x)};
}

Tensors selu(const KernelCall& call) {
  // The defaults are the float32 constants of the ONNX definition.
  const double alpha = call.real("alpha", 1.67326319217681884765625F);
  const double gamma = call.real("gamma", 1.05070102214813232421875F);
  return {gamma * torch::elu(call.in(0), alpha)};
}

Tensors shrink(const KernelCall& call) {
  const Tensor& x = call.in(0);
  const double bias = call.real("bias", 0);
  const double lambda = call.real("lambd", 0.5F);
  const Tensor shrunk = torch::where(x > lambda, x - bias, torch::zeros_like(x));
  return {torch::where(x < -lambda, x + bias, shrunk).to(x.scalar_type())};
}

Tensors softplus(const KernelCall& call) {
  // LibTorch's turns linear above a threshold.
  return {torch::logaddexp(call.in(0), torch::zeros_like(call.in(0)))};
}

Tensors softsign(const KernelCall& call) {
  return {call.in(0) / (1 + torch::abs(call.in(0)))};
}

Tensors swish(const KernelCall& call) {
  return {call.in(0) * torch::sigmoid(call.real("alpha", 1) * call.in(0))};
}

Tensors mish(const KernelCall& call) {
  return {torch::mish(call.in(0))};
}

Tensors thresholded_relu(const KernelCall& call) {
  const Tensor& x = call.in(0);
  return {torch::where(x > call.real("alpha", 1), x, torch::zeros_like(x))};
}

Tensors where(const KernelCall& call) {
  return {torch::where(call.in(0), call.in(1), call.in(2))};
}

Tensor identity(const Tensor& x) {
  return x;
}
Tensor reciprocal(const Tensor& x) {
  return torch::reciprocal(x);
}
Tensor round(const Tensor& x) {
  return torch::round(x);
}
Tensor sub(const Tensor& a, const Tensor& b) {
  return a - b;
}
Tensor mul(const Tensor& a, const Tensor& b) {
  return a * b;
}
Tensor equal(const Tensor& a, const Tensor& b) {
  return a == b;
}
Tensor greater(const Tensor& a, const Tensor& b) {
  return a > b;
}
Tensor greater_equal(const Tensor& a, const Tensor& b) {
  return a >= b;
}
Tensor less(const Tensor& a, const Tensor& b) {
  return a < b;
}
Tensor less_equal(const Tensor& a, const Tensor& b) {
  return a <= b;
}

constexpr GenericKernel kKernels[] = {
    {"Abs", unary<torch::abs>},
    {"Acos", unary<torch::acos>},
    {"Acosh", unary<torch::acosh>},
    {"Add", binary<add>},
    {"And", binary<torch::logical_and>},
    {"Asin", unary<torch::asin>},
    {"Asinh", unary<torch::asinh>},
    {"Atan", unary<torch::atan>},
    {"Atanh", unary<torch::atanh>},
    {"BitShift", shift},
    {"BitwiseAnd", binary<torch::bitwise_and>},
    {"BitwiseNot", unary<torch::bitwise_not>},
    {"BitwiseOr", binary<torch::bitwise_or>},
    {"BitwiseXor", binary<torch::bitwise_xor>},
    {"Cast", cast},
    {"CastLike", cast_like},
    {"Ceil", unary<torch::ceil>},
    {"Celu", celu},
    {"Clip", clip},
    {"Cos", unary<torch::cos>},
    {"Cosh", unary<torch::cosh>},
    {"Div", divide},
    {"Dropout", dropout},
    {"Elu", elu},
    {"Equal", binary<equal>},
    {"Erf", unary<torch::erf>},
    {"Exp", unary<torch::exp>},
    {"Floor", unary<torch::floor>},
    {"Gelu", gelu},
    {"Greater", binary<greater>},
    {"GreaterOrEqual", binary<greater_equal>},
    {"HardSigmoid", hard_sigmoid},
    {"HardSwish", unary<torch::hardswish>},
    {"Identity", unary<identity>},
    {"IsInf", is_inf},
    {"IsNaN", unary<torch::isnan>},
    {"LeakyRelu", leaky_relu},
    {"Less", binary<less>},
    {"LessOrEqual", binary<less_equal>},
    {"Log", unary<torch::log>},
    {"Max", variadic<torch::maximum>},
    {"Mean", mean},
    {"Min", variadic<torch::minimum>},
    {"Mish", mish},
    {"Mod", modulo},
    {"Mul", binary<mul>},
    {"Neg", unary<torch::neg>},
    {"Not", unary<torch::logical_not>},
    {"Or", binary<torch::logical_or>},
    {"PRelu", prelu},
    {"Pow", power},
    {"Reciprocal", unary<reciprocal>},
    {"Relu", unary<torch::relu>},
    {"Round", unary<round>},
    {"Selu", selu},
    {"Shrink", shrink},
    {"Sigmoid", unary<torch::sigmoid>},
    {"Sign", unary<torch::sign>},
    {"Sin", unary<torch::sin>},
    {"Sinh", unary<torch::sinh>},
    {"Softplus", softplus},
    {"Softsign", softsign},
    {"Sqrt", unary<torch::sqrt>},
    {"Sub", binary<sub>},
    {"Sum", variadic<add>},
    {"Swish", swish},
    {"Tan", unary<torch::tan>},
    {"Tanh", unary<torch::tanh>},
    {"ThresholdedRelu", thresholded_relu},
    {"Where", where},
    {"Xor", binary<torch::logical_xor>},
    {"BiasGelu", bias_gelu, "com.microsoft"},
    {"FastGelu", fast_gelu, "com.microsoft"},
    {"Gelu", gelu, "com.microsoft"},
    {"QuickGelu", quick_gelu, "com.microsoft"},
};

}  // namespace

std::span<const GenericKernel> elementwise_kernels() {
  return kKernels;
}

}  // namespace tessera::nn
