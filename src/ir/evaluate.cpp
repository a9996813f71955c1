// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "tessera/ir/passes.h"

namespace tessera::ir {
namespace {

float apply(const Unary& unary, float x) {
  switch (unary.kind) {
    case UnaryKind::kIdentity:
      return x;
    case UnaryKind::kRelu:
      return std::max(x, 0.0F);
    case UnaryKind::kClip:
      return std::min(std::max(x, unary.alpha), unary.beta);
    case UnaryKind::kLeakyRelu:
      return x < 0 ? unary.alpha * x : x;
    case UnaryKind::kSigmoid:
      return 1.0F / (1.0F + std::exp(-x));
    case UnaryKind::kTanh:
      return std::tanh(x);
    case UnaryKind::kHardSigmoid:
      return std::clamp(unary.alpha * x + unary.beta, 0.0F, 1.0F);
    case UnaryKind::kHardSwish:
      return x * std::clamp(x / 6.0F + 0.5F, 0.0F, 1.0F);
  }
  return x;
}

// Integers wrap on overflow, as ONNX leaves it open; a division by zero is not evaluated.
template <typename T>
T apply(BinaryKind kind, T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    const auto ua = static_cast<std::uint64_t>(a);
    const auto ub = static_cast<std::uint64_t>(b);
    switch (kind) {
      case BinaryKind::kAdd:
        return static_cast<T>(ua + ub);
      case BinaryKind::kSub:
        return static_cast<T>(ua - ub);
      case BinaryKind::kMul:
        return static_cast<T>(ua * ub);
      case BinaryKind::kDiv:
        return b == -1 ? static_cast<T>(0 - ua) : a / b;
    }
  } else {
    switch (kind) {
      case BinaryKind::kAdd:
        return a + b;
      case BinaryKind::kSub:
        return a - b;
      case BinaryKind::kMul:
        return a * b;
      case BinaryKind::kDiv:
        return a / b;
    }
  }
  return a;
}

// Steps of a broadcast operand along the output's dimensions, 0 where it is repeated.
std::vector<std::int64_t> broadcast_strides(const Shape& from, const Shape& to) {
  std::vector<std::int64_t> strides(to.size(), 0);
  std::int64_t step = 1;
  for (std::size_t i = 1; i <= from.size(); ++i) {
    const std::int64_t size = from[from.size() - i];
    strides[to.size() - i] = size == 1 ? 0 : step;
    step *= size;
  }
  return strides;
}

template <typename T>
Tensor binary(BinaryKind kind, const Tensor& a, const Tensor& b, const Shape& shape) {
  const auto strides_a = broadcast_strides(a.shape(), shape);
  const auto strides_b = broadcast_strides(b.shape(), shape);
  std::vector<T> out(static_cast<std::size_t>(element_count(shape)));
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::int64_t rest = static_cast<std::int64_t>(i);
    std::int64_t at_a = 0;
    std::int64_t at_b = 0;
    for (std::size_t k = shape.size(); k-- > 0;) {
      at_a += rest % shape[k] * strides_a[k];
      at_b += rest % shape[k] * strides_b[k];
      rest /= shape[k];
    }
    out[i] = apply(kind, a.values<T>()[static_cast<std::size_t>(at_a)],
                   b.values<T>()[static_cast<std::size_t>(at_b)]);
  }
  return Tensor::from(shape, out);
}

Tensor reshaped(const Tensor& tensor, const Shape& shape) {
  return Tensor(tensor.dtype(), shape, {tensor.bytes().begin(), tensor.bytes().end()});
}

}  // namespace

std::optional<Tensor> evaluate(const Op& op, std::span<const Tensor> inputs, const Shape& shape) {
  if (std::holds_alternative<Flatten>(op) || std::holds_alternative<Reshape>(op))
    return reshaped(inputs[0], shape);
  if (const auto* unary = std::get_if<Unary>(&op)) {
    if (unary->kind == UnaryKind::kIdentity)
      return inputs[0];
    if (inputs[0].dtype() != DType::kFloat32)
      return std::nullopt;
    const auto x = inputs[0].values<float>();
    std::vector<float> y(x.size());
    std::ranges::transform(x, y.begin(), [&](float v) { return apply(*unary, v); });
    return Tensor::from(shape, y);
  }
  if (const auto* operation = std::get_if<Binary>(&op)) {
    const Tensor& a = inputs[0];
    const Tensor& b = inputs[1];
    if (a.dtype() == DType::kFloat32 && b.dtype() == DType::kFloat32)
      return binary<float>(operation->kind, a, b, shape);
    const bool integers = a.dtype() == DType::kInt64 && b.dtype() == DType::kInt64;
    const bool divides_by_zero = integers && operation->kind == BinaryKind::kDiv &&
                                 std::ranges::count(b.values<std::int64_t>(), 0) > 0;
    if (integers && !divides_by_zero)
      return binary<std::int64_t>(operation->kind, a, b, shape);
  }
  return std::nullopt;
}

}  // namespace tessera::ir
