// SPDX-License-Identifier: Apache-2.0
#include "nn/quant/fake_quantize.h"

#include <limits>
#include <vector>

#include <ATen/Parallel.h>
#include <torch/autograd.h>

#include "tessera/core/error.h"
#include "tessera/nn/quant/quantize.h"

#include "nn/gpu/launch.h"
#include "nn/quant/loops.h"

namespace tessera::nn {
namespace detail {
namespace {

bool is_plain(const Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == torch::kFloat32 && x.numel() > 0 &&
         x.is_non_overlapping_and_dense();
}

bool loops_apply(const Tensor& x, const CodeTensors& codes) {
  return is_plain(x) && (codes.scale.numel() == 1 || x.is_contiguous());
}

CodeRows rows_of(const CodeTensors& codes) {
  return {.rows = codes.scale.numel(),
          .scale = codes.scale.data_ptr<float>(),
          .low = codes.low.data_ptr<float>(),
          .high = codes.high.data_ptr<float>(),
          .one_limit = codes.low.numel() == 1};
}

bool kernel_applies(const Tensor& x, const CodeTensors& codes) {
  return gpu::takes(x) && codes.low.numel() == 1 && codes.high.numel() == 1 &&
         (codes.scale.numel() == 1 || x.is_contiguous());
}

gpu::Codes kernel_codes(const CodeTensors& codes) {
  const bool on_device = !codes.scale.device().is_cpu();
  return {.scale = on_device ? 1.0F : codes.scale.item<float>(),
          .low = gpu::factor_of(codes.low),
          .high = gpu::factor_of(codes.high),
          .scales = on_device ? codes.scale.data_ptr<float>() : nullptr,
          .rows = codes.scale.numel()};
}

// clamp() would want scalars on the device of v, which these need not be.
Tensor clamp_to_codes(const Tensor& v, const CodeTensors& codes) {
  return at::minimum(at::maximum(v, codes.low), codes.high);
}

class FakeQuantize final : public torch::autograd::Function<FakeQuantize> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x, const Tensor& scale,
                        const Tensor& low, const Tensor& high, const Strength& given) {
    const CodeTensors codes{scale, low, high};
    const double strength = given.value();
    bool saturated = true;
    Tensor y;
    if (kernel_applies(x, codes)) {
      y = at::empty_like(x);
      if constexpr (gpu::kCompiled)
        gpu::fake_quantize(x.data_ptr<float>(), y.data_ptr<float>(), x.numel(), kernel_codes(codes),
                           given.factor(), gpu::current_stream());
    } else if (loops_apply(x, codes)) {
      y = at::empty_like(x);
      saturated =
          fake_quantize_loop(x.data_ptr<float>(), y.data_ptr<float>(), x.numel(), rows_of(codes),
                             static_cast<float>(strength), at::get_num_threads());
    } else {
      y = clamp_to_codes(x.div(scale), codes).round_().mul_(scale);
      if (strength != 1.0)
        y = x + strength * (y - x);
    }
    // Without saturation the gradient passes untouched and nothing need be kept.
    if (saturated)
      ctx->save_for_backward({x, scale, low, high});
    ctx->saved_data["saturated"] = saturated;
    ctx->saved_data["outside"] = 1.0 - strength;
    ctx->saved_data["strength"] = given.on_device();
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    Tensor g = grads[0];
    if (ctx->saved_data["saturated"].toBool())
      g = masked(g, ctx->get_saved_variables(), ctx->saved_data["outside"].toDouble(),
                 ctx->saved_data["strength"].toTensor());
    return {g, Tensor(), Tensor(), Tensor(), Tensor()};
  }

 private:
  static Tensor masked(const Tensor& given, const torch::autograd::variable_list& saved,
                       double outside, const Tensor& strength) {
    const Tensor& x = saved[0];
    const CodeTensors codes{saved[1], saved[2], saved[3]};
    if (kernel_applies(x, codes)) {
      const Tensor g = gpu::laid_out_like(x, given);
      Tensor gx = at::empty_like(g);
      if constexpr (gpu::kCompiled)
        gpu::fake_quantize_backward(g.data_ptr<float>(), x.data_ptr<float>(), gx.data_ptr<float>(),
                                    x.numel(), kernel_codes(codes),
                                    Strength::factor_of(strength, 1.0 - outside),
                                    gpu::current_stream());
      return gx;
    }
    const Tensor& g = given;
    if (loops_apply(x, codes) && is_plain(g) && g.strides() == x.strides()) {
      Tensor gx = at::empty_like(g);
      fake_quantize_backward_loop(g.data_ptr<float>(), x.data_ptr<float>(), gx.data_ptr<float>(),
                                  x.numel(), rows_of(codes), static_cast<float>(outside),
                                  at::get_num_threads());
      return gx;
    }
    const Tensor v = x.div(codes.scale);
    const Tensor inside = (v >= codes.low - 0.5).logical_and(v <= codes.high + 0.5);
    return at::where(inside, g, g * outside);
  }
};

class FakeFloat16 final : public torch::autograd::Function<FakeFloat16> {
 public:
  static Tensor forward(torch::autograd::AutogradContext*, const Tensor& x, const Strength& given) {
    const double strength = given.value();
    if (gpu::takes(x)) {
      Tensor y = at::empty_like(x);
      if constexpr (gpu::kCompiled)
        gpu::fake_float16(x.data_ptr<float>(), y.data_ptr<float>(), x.numel(), given.factor(),
                          gpu::current_stream());
      return y;
    }
    if (!is_plain(x)) {
      const Tensor rounded = x.to(torch::kFloat16).to(x.scalar_type());
      return strength == 1.0 ? rounded : x + strength * (rounded - x);
    }
    Tensor y = at::empty_like(x);
    fake_float16_loop(x.data_ptr<float>(), y.data_ptr<float>(), x.numel(),
                      static_cast<float>(strength), at::get_num_threads());
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list grads) {
    return {grads[0], Tensor()};
  }
};

}  // namespace

CodeTensors tensors_of(const plan::AffineCode& code, const Tensor& x) {
  TESSERA_CHECK(code.group == 0, "groups of {}", code.group);
  TESSERA_CHECK(!code.scales.empty() && code.scales.size() == code.zero_points.size(),
                "{} scales, {} zero points", code.scales.size(), code.zero_points.size());
  const auto count = static_cast<std::int64_t>(code.scales.size());
  TESSERA_CHECK(count == 1 || (x.dim() > 0 && x.size(0) == count), "{} scales for {} channels",
                count, x.dim() > 0 ? x.size(0) : 0);
  std::vector<float> low;
  std::vector<float> high;
  for (const std::int32_t zero : code.zero_points) {
    low.push_back(static_cast<float>(code.low - zero));
    high.push_back(static_cast<float>(code.high - zero));
  }
  const auto tensor = [&](const std::vector<float>& values) {
    const Tensor t = torch::tensor(values);
    // A 0-dim tensor of the CPU acts as a scalar on any device.
    return count == 1 ? t.reshape({}) : along_first(t.to(x.device()), x);
  };
  return {tensor(code.scales), tensor(low), tensor(high)};
}

namespace {
Tensor zero_points_of(const plan::AffineCode& code, const Tensor& x) {
  const Tensor t = torch::tensor(code.zero_points, torch::kInt32);
  return code.zero_points.size() == 1 ? t.reshape({}) : along_first(t.to(x.device()), x);
}

}  // namespace

Tensor along_first(const Tensor& values, const Tensor& like) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(like.dim()), 1);
  shape[0] = values.numel();
  return values.reshape(shape);
}

Tensor group_rows(const Tensor& weight, std::int64_t group) {
  const std::int64_t per_channel = weight.numel() / weight.size(0);
  const std::int64_t missing = (group - per_channel % group) % group;
  const Tensor flat = weight.reshape({weight.size(0), per_channel});
  return (missing > 0 ? at::constant_pad_nd(flat, {0, missing}) : flat).reshape({-1, group});
}

Tensor from_group_rows(const Tensor& rows, const Tensor& like) {
  const std::int64_t channels = like.size(0);
  return rows.reshape({channels, -1})
      .narrow(1, 0, like.numel() / channels)
      .reshape(like.sizes())
      .contiguous();
}

Tensor fake_quantize(const Tensor& x, const CodeTensors& codes, const Strength& strength) {
  if (strength.is_off()) {
    return x;
  }
  return FakeQuantize::apply(x, codes.scale, codes.low, codes.high, strength);
}

Tensor fake_float16(const Tensor& x, const Strength& strength) {
  return strength.is_off() ? x : FakeFloat16::apply(x, strength);
}

}  // namespace detail

namespace {

// f(x, code) with the groups of x's code as rows of their own.
template <typename F>
Tensor by_groups(const Tensor& x, const plan::AffineCode& code, const F& f) {
  plan::AffineCode of_rows = code;
  of_rows.group = 0;
  return detail::from_group_rows(f(detail::group_rows(x, code.group), of_rows), x);
}

}  // namespace

Tensor quantize(const Tensor& x, const plan::AffineCode& code) {
  if (code.group > 0)
    return by_groups(x, code,
                     [](const Tensor& rows, const auto& of) { return quantize(rows, of); });
  const detail::CodeTensors codes = detail::tensors_of(code, x);
  return detail::clamp_to_codes(x.div(codes.scale), codes)
      .round_()
      .to(torch::kInt32)
      .add_(detail::zero_points_of(code, x));
}

Tensor dequantize(const Tensor& codes, const plan::AffineCode& code) {
  if (code.group > 0)
    return by_groups(codes, code,
                     [](const Tensor& rows, const auto& of) { return dequantize(rows, of); });
  return (codes - detail::zero_points_of(code, codes)).to(torch::kFloat32) *
         detail::tensors_of(code, codes).scale;
}

Tensor fake_quantize(const Tensor& x, const plan::AffineCode& code) {
  if (code.group > 0)
    return by_groups(x, code,
                     [](const Tensor& rows, const auto& of) { return fake_quantize(rows, of); });
  return detail::fake_quantize(x, detail::tensors_of(code, x), {});
}

Tensor fake_float16(const Tensor& x) {
  return detail::fake_float16(x, detail::Strength());
}

Tensor quantize_bias(const Tensor& bias, float input_scale,
                     const std::vector<float>& weight_scales) {
  const auto channels = static_cast<std::size_t>(bias.numel());
  TESSERA_CHECK(weight_scales.size() == 1 || weight_scales.size() == channels,
                "{} weight scales for {} channels", weight_scales.size(), channels);
  std::vector<float> scales(channels);
  for (std::size_t m = 0; m < channels; ++m) {
    scales[m] = input_scale * weight_scales[weight_scales.size() == 1 ? 0 : m];
  }
  const Tensor steps = torch::tensor(scales).to(bias.device(), torch::kFloat64);
  return bias.to(torch::kFloat64)
      .div(steps)
      .round_()
      .clamp_(static_cast<double>(std::numeric_limits<std::int32_t>::min()),
              static_cast<double>(std::numeric_limits<std::int32_t>::max()))
      .to(torch::kInt32);
}

}  // namespace tessera::nn
