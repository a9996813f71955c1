// SPDX-License-Identifier: Apache-2.0
#include "kernels.h"

#include <array>
#include <limits>

#include <torch/autograd.h>

#include "tessera/core/error.h"
#include "tessera/nn/tensor/network.h"

namespace tessera::nn {

namespace {

using Inputs = std::vector<Tensor>;

constexpr std::array<std::int64_t, 2> kNoPadding{0, 0};

bool is_symmetric(const std::array<std::int64_t, 4>& pads) {
  return pads[0] == pads[2] && pads[1] == pads[3];
}

bool is_zero(const std::array<std::int64_t, 4>& pads) {
  return pads == std::array<std::int64_t, 4>{};
}

// Pads are top, left, bottom, right; LibTorch wants the last dimension first.
Tensor pad_image(const Tensor& x, const std::array<std::int64_t, 4>& pads, double value) {
  return torch::constant_pad_nd(x, {pads[1], pads[3], pads[0], pads[2]}, value);
}

Tensor unary(const ir::Unary& op, const Tensor& x) {
  switch (op.kind) {
    case ir::UnaryKind::kIdentity:
      return x;
    case ir::UnaryKind::kRelu:
      return torch::relu(x);
    case ir::UnaryKind::kClip:
      return torch::clamp(x, op.alpha, op.beta);
    case ir::UnaryKind::kLeakyRelu:
      return torch::leaky_relu(x, op.alpha);
    case ir::UnaryKind::kSigmoid:
      return torch::sigmoid(x);
    case ir::UnaryKind::kTanh:
      return torch::tanh(x);
    case ir::UnaryKind::kHardSigmoid:
      return torch::clamp(x * op.alpha + op.beta, 0, 1);
    case ir::UnaryKind::kHardSwish:
      return torch::hardswish(x);
  }
  TESSERA_CHECK(false, "unary kind {}", static_cast<int>(op.kind));
}

Tensor binary(const ir::Binary& op, const Tensor& a, const Tensor& b) {
  switch (op.kind) {
    case ir::BinaryKind::kAdd:
      return a + b;
    case ir::BinaryKind::kSub:
      return a - b;
    case ir::BinaryKind::kMul:
      return a * b;
    case ir::BinaryKind::kDiv:
      return a / b;
  }
  TESSERA_CHECK(false, "binary kind {}", static_cast<int>(op.kind));
}

// LibTorch pads a pooling window by at most half of it, the same on both sides.
bool pads_inside(const ir::Pool& op) {
  return is_symmetric(op.pads) && op.pads[0] * 2 <= op.kernel[0] && op.pads[1] * 2 <= op.kernel[1];
}

Tensor max_pool(const ir::Pool& op, const Tensor& x) {
  if (pads_inside(op)) {
    return torch::max_pool2d(x, op.kernel, op.strides, {op.pads[0], op.pads[1]}, {1, 1},
                             op.ceil_mode);
  }
  const Tensor padded = pad_image(x, op.pads, -std::numeric_limits<double>::infinity());
  return torch::max_pool2d(padded, op.kernel, op.strides, kNoPadding, {1, 1}, op.ceil_mode);
}

Tensor average_pool(const ir::Pool& op, const Tensor& x) {
  if (pads_inside(op)) {
    return torch::avg_pool2d(x, op.kernel, op.strides, {op.pads[0], op.pads[1]}, op.ceil_mode,
                             op.count_include_pad);
  }
  const auto pool = [&](const Tensor& image) {
    return torch::avg_pool2d(pad_image(image, op.pads, 0), op.kernel, op.strides, kNoPadding,
                             op.ceil_mode);
  };
  if (op.count_include_pad)
    return pool(x);
  // The share of each window that lies inside the image turns means over all into means over it.
  return pool(x) / pool(torch::ones_like(x));
}

Tensor pool(const ir::Pool& op, const Tensor& x) {
  return op.kind == ir::PoolKind::kMax ? max_pool(op, x) : average_pool(op, x);
}

Tensor global_pool(const ir::GlobalPool& op, const Tensor& x) {
  constexpr std::array<std::int64_t, 2> kSpatial{2, 3};
  return op.kind == ir::PoolKind::kMax ? torch::amax(x, kSpatial, /*keepdim=*/true)
                                       : torch::mean(x, kSpatial, /*keepdim=*/true);
}

Tensor flattened(const Tensor& x) {
  return x.dim() == 1 ? x.unsqueeze(1) : x.flatten(1);
}

Tensor reshape(const ir::Reshape& op, const Tensor& x) {
  std::vector<std::int64_t> sizes{x.size(0)};
  sizes.insert(sizes.end(), op.sizes.begin(), op.sizes.end());
  return x.reshape(sizes);
}

template <typename Op>
[[noreturn]] void not_glue(const Op& op) {
  TESSERA_CHECK(false, "{} is not stateless glue", ir::name(ir::Op(op)));
}

}  // namespace

Tensor apply_layer(const ir::Op& op, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (std::holds_alternative<ir::Linear>(op))
    return torch::linear(x, weight, bias);
  const auto* conv = std::get_if<ir::Conv>(&op);
  TESSERA_CHECK(conv != nullptr, "{} is not a layer", ir::name(op));
  if (is_symmetric(conv->pads)) {
    return torch::conv2d(x, weight, bias, conv->strides, {conv->pads[0], conv->pads[1]},
                         conv->dilations, conv->groups);
  }
  return torch::conv2d(pad_image(x, conv->pads, 0), weight, bias, conv->strides, kNoPadding,
                       conv->dilations, conv->groups);
}

Tensor apply_glue(const ir::Op& op, const Inputs& in) {
  return std::visit(ir::Overloaded{
                        [&](const ir::Unary& o) { return unary(o, in.at(0)); },
                        [&](const ir::Binary& o) { return binary(o, in.at(0), in.at(1)); },
                        [&](const ir::Pool& o) { return pool(o, in.at(0)); },
                        [&](const ir::GlobalPool& o) { return global_pool(o, in.at(0)); },
                        [&](const ir::Flatten&) { return flattened(in.at(0)); },
                        [&](const ir::Reshape& o) { return reshape(o, in.at(0)); },
                        [&](const ir::Concat& o) { return torch::cat(in, o.axis); },
                        [&](const ir::Pad& o) {
                          return is_zero(o.pads) ? in.at(0) : pad_image(in.at(0), o.pads, o.value);
                        },
                        [&](const ir::Softmax& o) { return torch::softmax(in.at(0), o.axis); },
                        [](const ir::Conv& o) -> Tensor { not_glue(o); },
                        [](const ir::Linear& o) -> Tensor { not_glue(o); },
                        [](const ir::BatchNorm& o) -> Tensor { not_glue(o); },
                        [](const ir::Generic& o) -> Tensor { not_glue(o); },
                        [](const ir::Unknown& o) -> Tensor { not_glue(o); },
                    },
                    op);
}

}  // namespace tessera::nn
