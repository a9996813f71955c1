// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include <torch/autograd.h>

#include "kernel.h"

namespace tessera::nn {
namespace {

Tensors matmul(const KernelCall& call) {
  const Tensor& a = call.in(0);
  const Tensor& b = call.in(1);
  return {torch::matmul(a, b)};
}

Tensors fused_matmul(const KernelCall& call) {
  const Tensor a = call.integer("transA", 0) != 0 ? call.in(0).transpose(-1, -2) : call.in(0);
  const Tensor b = call.integer("transB", 0) != 0 ? call.in(1).transpose(-1, -2) : call.in(1);
  const Tensor product = torch::matmul(a, b);
  const double alpha = call.real("alpha", 1);
  return {alpha == 1 ? product : product * alpha};
}

Tensors gemm(const KernelCall& call) {
  Tensor y = fused_matmul(call)[0];
  if (call.has(2)) {
    const double beta = call.real("beta", 1);
    y = y + (beta == 1 ? call.in(2) : call.in(2) * beta);
  }
  return {y.to(call.in(0).scalar_type())};
}

Tensors einsum(const KernelCall& call) {
  return {torch::einsum(call.text("equation", ""), call.inputs)};
}

Tensors determinant(const KernelCall& call) {
  return {torch::det(call.in(0))};
}

// softmax(scale·Q·Kᵀ + mask)·V over [N, heads, T, D]; `mask` may be undefined.
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, double scale, const Tensor& mask,
              double softcap) {
  Tensor scores = torch::matmul(q, k.transpose(-1, -2)) * scale;
  if (softcap > 0)
    scores = softcap * torch::tanh(scores / softcap);
  if (mask.defined())
    scores = scores + mask;
  return torch::matmul(torch::softmax(scores, -1), v);
}

// -∞ above the diagonal.
Tensor causal_mask(const Tensor& q, const Tensor& k) {
  const Tensor rows = torch::arange(q.size(-2), q.device()).unsqueeze(1);
  const Tensor columns = torch::arange(k.size(-2), q.device()).unsqueeze(0);
  return torch::zeros({q.size(-2), k.size(-2)}, q.options())
      .masked_fill(columns > rows, -std::numeric_limits<double>::infinity());
}

Tensor split_heads(const Tensor& x, std::int64_t heads) {
  return x.reshape({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

Tensor join_heads(const Tensor& x) {
  return x.transpose(1, 2).reshape({x.size(0), x.size(2), x.size(1) * x.size(3)});
}

Tensors attention(const KernelCall& call) {
  Tensor q = call.in(0);
  Tensor k = call.in(1);
  Tensor v = call.in(2);
  const bool joined = q.dim() == 3;
  if (joined) {
    q = split_heads(q, call.integer("q_num_heads", 1));
    k = split_heads(k, call.integer("kv_num_heads", 1));
    v = split_heads(v, call.integer("kv_num_heads", 1));
  }
  // Query heads that share a key head stand next to each other.
  if (const std::int64_t shared = q.size(1) / k.size(1); shared > 1) {
    k = k.repeat_interleave(shared, 1);
    v = v.repeat_interleave(shared, 1);
  }
  Tensor mask;
  if (call.has(3)) {
    const Tensor& given = call.in(3);
    mask = given.scalar_type() == torch::kBool
               ? torch::zeros(given.sizes(), q.options())
                     .masked_fill(~given, -std::numeric_limits<double>::infinity())
               : given;
  }
  if (call.integer("is_causal", 0) != 0)
    mask = mask.defined() ? mask + causal_mask(q, k) : causal_mask(q, k);
  const double scale = ir::has_attribute(call.op, "scale")
                           ? call.real("scale", 1)
                           : 1 / std::sqrt(static_cast<double>(q.size(3)));
  const Tensor y = attend(q, k, v, scale, mask, call.real("softcap", 0));
  return {joined ? join_heads(y) : y};
}

Tensors fused_attention(const KernelCall& call) {
  Tensor joined = torch::matmul(call.in(0), call.in(1));
  if (call.has(2))
    joined = joined + call.in(2);
  const std::int64_t heads = call.integer("num_heads", 1);
  const std::vector<Tensor> parts = joined.chunk(3, 2);
  const Tensor q = split_heads(parts[0], heads);
  const Tensor k = split_heads(parts[1], heads);
  Tensor mask;
  if (call.has(3)) {
    const Tensor padding = call.in(3).to(q.scalar_type()).unsqueeze(1).unsqueeze(1);
    mask = (1 - padding) * call.real("mask_filter_value", -10000);
  }
  if (call.integer("unidirectional", 0) != 0)
    mask = mask.defined() ? mask + causal_mask(q, k) : causal_mask(q, k);
  const double scale = ir::has_attribute(call.op, "scale")
                           ? call.real("scale", 1)
                           : 1 / std::sqrt(static_cast<double>(q.size(3)));
  return {join_heads(attend(q, k, split_heads(parts[2], heads), scale, mask, 0))};
}

constexpr GenericKernel kKernels[] = {
    {"Attention", attention},
    {"Det", determinant},
    {"Einsum", einsum},
    {"Gemm", gemm},
    {"MatMul", matmul},
    {"Attention", fused_attention, "com.microsoft"},
    {"FusedMatMul", fused_matmul, "com.microsoft"},
};

}  // namespace

std::span<const GenericKernel> product_kernels() {
  return kKernels;
}

}  // namespace tessera::nn
