// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include <ATen/Parallel.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/nn/quant/quantize.h"

#include "nn/gpu/launch.h"
#include "nn/quant/fake_quantize.h"
#include "nn/quant/loops.h"

namespace tessera::nn {
namespace detail {
namespace {

// The search tries clipping at 1, 0.95, … 0.25 of the largest weight: for 8 bits the best lies near
// 1, for 2 bits and a Gaussian near 0.3. It costs 16 passes over weights that the convolution
// itself reads hundreds of times, so it runs on every call and a scale depends on nothing but the
// weights: a resumed training needs no state of it.
constexpr ScaleCandidates kCandidates{.count = 16, .step = 0.05};
constexpr double kWeightPercentile = 0.999;
// Smallest scale beside the layer's largest one. A dead channel with a bias would otherwise need
// more than 32 bits for that bias at scale s_x·s_w.
constexpr double kSmallestScale = 1.0 / 65536;

// The search with LibTorch's operators, for other devices. rows: [M,K], widest: [M].
Tensor best_scales(const Tensor& rows, const Tensor& widest, const Tensor& high) {
  Tensor best = widest.clone();
  Tensor least = at::full_like(widest, std::numeric_limits<float>::infinity());
  for (int i = 0; i < kCandidates.count; ++i) {
    const Tensor scale = widest * (1.0 - kCandidates.step * i);
    const Tensor v = rows / scale.unsqueeze(1);
    const Tensor error =
        (v - at::minimum(at::maximum(v, -high), high).round_()).square_().sum(1) * scale.square();
    best = at::where(error < least, scale, best);
    least = at::minimum(error, least);
  }
  return best;
}

Tensor largest_magnitude(const Tensor& rows, RangeMethod method) {
  if (method != RangeMethod::kPercentile)
    return rows.abs().amax(1);
  const std::int64_t k = rows.size(1);
  const auto rank = std::llround(std::ceil(kWeightPercentile * static_cast<double>(k)));
  return std::get<0>(rows.abs().kthvalue(std::clamp<std::int64_t>(rank, 1, k), 1));
}

}  // namespace

Tensor weight_scales(const Tensor& weight, const Tensor& high, RangeMethod method,
                     WeightGranularity granularity) {
  TESSERA_CHECK(method != RangeMethod::kEntropy, "entropy sets ranges of activations alone");
  const torch::NoGradGuard no_grad;
  const Tensor w = weight.detach().to(torch::kFloat32).contiguous();
  const Tensor rows = granularity == WeightGranularity::kPerChannel ? w.reshape({w.size(0), -1})
                                                                    : w.reshape({1, -1});
  if (method == RangeMethod::kMse && gpu::takes(rows)) {
    Tensor scales = at::empty({rows.size(0)}, rows.options());
    Tensor scratch = at::empty_like(scales);
    if constexpr (gpu::kCompiled)
      gpu::weight_scales(rows.data_ptr<float>(), rows.size(0), rows.size(1),
                         {.high = gpu::factor_of(high),
                          .count = kCandidates.count,
                          .step = static_cast<float>(kCandidates.step),
                          .smallest = static_cast<float>(kSmallestScale),
                          .least = std::numeric_limits<float>::min()},
                         scales.data_ptr<float>(), scratch.data_ptr<float>(),
                         gpu::current_stream());
    return scales;
  }
  Tensor widest = largest_magnitude(rows, method) / high;
  // A layer of zeros gets the smallest normal scale: any represents it.
  const Tensor floor =
      (widest.amax() * kSmallestScale).clamp_min(std::numeric_limits<float>::min());
  widest = at::maximum(widest, floor);
  if (method != RangeMethod::kMse)
    return widest;
  if (!rows.device().is_cpu())
    return at::maximum(best_scales(rows, widest, high), floor);
  Tensor scales = at::empty_like(widest);
  best_scale_loop(rows.data_ptr<float>(), rows.size(0), rows.size(1), widest.data_ptr<float>(),
                  high.item<float>(), kCandidates, scales.data_ptr<float>(), at::get_num_threads());
  return at::maximum(scales, floor);
}

}  // namespace detail

plan::AffineCode weight_code(const Tensor& weight, int bits, RangeMethod method,
                             WeightGranularity granularity) {
  TESSERA_CHECK((bits >= 2 && bits <= 8) || bits == 16, "{} bits", bits);
  TESSERA_CHECK(weight.numel() > 0, "a layer without weights");
  const std::int64_t high = (std::int64_t{1} << (bits - 1)) - 1;
  const Tensor limit = torch::full({}, static_cast<double>(high));
  const Tensor scales =
      detail::weight_scales(weight, limit, method, granularity).cpu().contiguous();
  plan::AffineCode code;
  code.scales.assign(scales.data_ptr<float>(), scales.data_ptr<float>() + scales.numel());
  code.zero_points.assign(code.scales.size(), 0);
  code.low = static_cast<std::int32_t>(-high);
  code.high = static_cast<std::int32_t>(high);
  return code;
}

plan::AffineCode weight_code(const Tensor& weight, const format::Integer& format,
                             RangeMethod method) {
  if (format.group == 0)
    return weight_code(weight, format.weight_bits, method);
  // To the search, a group is a row like any other. The zeros that fill up a channel's last one
  // cost nothing at any scale.
  plan::AffineCode code =
      weight_code(detail::group_rows(weight.detach(), format.group), format.weight_bits, method);
  code.group = format.group;
  return code;
}

}  // namespace tessera::nn
