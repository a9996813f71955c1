// SPDX-License-Identifier: Apache-2.0
#include "nn/analog/converters.h"

#include <numeric>
#include <vector>

#include <ATen/Parallel.h>
#include <torch/autograd.h>

#include "tessera/core/error.h"

#include "nn/analog/devices.h"
#include "nn/analog/readout.h"
#include "nn/gpu/launch.h"
#include "nn/quant/loops.h"

namespace tessera::nn::detail {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool is_plain(const Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == torch::kFloat32 && x.numel() > 0 &&
         x.is_non_overlapping_and_dense();
}

class Dac final : public torch::autograd::Function<Dac> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& range,
                        std::int64_t levels, const Strength& given) {
    const double strength = given.value();
    bool clamped = true;
    Tensor y;
    if (gpu::takes(x)) {
      y = at::empty_like(x);
      if constexpr (gpu::kCompiled)
        gpu::dac(x.data_ptr<float>(), y.data_ptr<float>(), x.numel(), range.data_ptr<float>(),
                 static_cast<int>(levels), given.factor(), gpu::current_stream());
    } else if (is_plain(x)) {
      y = at::empty_like(x);
      clamped = convert(x, y, range.item<float>(), static_cast<float>(levels),
                        static_cast<float>(strength));
    } else {
      y = at::minimum(at::maximum(x, -range), range);
      if (levels > 0) {
        const Tensor step = range / static_cast<double>(levels);
        y = y.div_(step).round_().mul_(step);
      }
      if (strength != 1.0)
        y = x + strength * (y - x);
    }
    if (clamped)
      ctx->save_for_backward({x, range});
    ctx->saved_data["clamped"] = clamped;
    ctx->saved_data["strength"] = strength;
    ctx->saved_data["strength_on_device"] = given.on_device();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const Tensor& g = grads[0];
    if (!ctx->saved_data["clamped"].toBool())
      return {g, Tensor(), Tensor(), Tensor()};
    const variable_list saved = ctx->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& range = saved[1];
    const double strength = ctx->saved_data["strength"].toDouble();
    if (gpu::takes(x)) {
      const Tensor gy = gpu::laid_out_like(x, g);
      Tensor gx = at::empty_like(gy);
      Tensor g_range = at::empty_like(range);
      Tensor scratch = at::empty({gpu::kSumScratch}, range.options());
      if constexpr (gpu::kCompiled)
        gpu::dac_backward(
            gy.data_ptr<float>(), x.data_ptr<float>(), gx.data_ptr<float>(), x.numel(),
            range.data_ptr<float>(),
            Strength::factor_of(ctx->saved_data["strength_on_device"].toTensor(), strength),
            g_range.data_ptr<float>(), scratch.data_ptr<float>(), gpu::current_stream());
      return {gx, g_range, Tensor(), Tensor()};
    }
    if (is_plain(x) && is_plain(g) && g.strides() == x.strides()) {
      Tensor gx = at::empty_like(g);
      const double sum = clamp_backward_loop(
          g.data_ptr<float>(), x.data_ptr<float>(), gx.data_ptr<float>(), x.numel(),
          range.item<float>(), static_cast<float>(1 - strength), at::get_num_threads());
      return {gx, at::full_like(range, strength * sum), Tensor(), Tensor()};
    }
    const Tensor outside = x.abs() > range;
    const Tensor sum = at::where(outside, g * x.sign(), at::zeros_like(g)).sum();
    return {at::where(outside, g * (1 - strength), g),
            (strength * sum).to(range.scalar_type()).reshape(range.sizes()), Tensor(), Tensor()};
  }

 private:
  static bool convert(const Tensor& x, Tensor& y, float range, float levels, float strength) {
    const float* from = x.data_ptr<float>();
    float* to = y.data_ptr<float>();
    const int threads = at::get_num_threads();
    if (levels == 0.0F)
      return clamp_loop(from, to, x.numel(), range, strength, threads);
    const float step = range / levels;
    // What lies within half a step outside the range is clamped too, although no code saturates.
    const float low = -levels;
    fake_quantize_loop(from, to, x.numel(),
                       {.rows = 1, .scale = &step, .low = &low, .high = &levels}, strength,
                       threads);
    return true;
  }
};

// [M] shaped to broadcast along y's channels.
Tensor along_channels(const Tensor& t, const Tensor& y, std::int64_t dim) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(y.dim()), 1);
  shape[static_cast<std::size_t>(dim)] = t.numel();
  return t.reshape(shape);
}

const float* pointer_or_null(const Tensor& t) {
  return t.defined() ? t.data_ptr<float>() : nullptr;
}

bool channels_innermost(const Tensor& y) {
  return y.dim() == 4 && y.is_contiguous(at::MemoryFormat::ChannelsLast);
}

class ReadOut final : public torch::autograd::Function<ReadOut> {
 public:
  static Tensor forward(AutogradContext* ctx, Tensor y, const Tensor& bias, const Tensor& range,
                        const Readout& readout, NoiseStream& noise) {
    const bool sizes_noise = range.numel() > 0 && readout.noise_sigma.defined();
    ctx->saved_data["sizes_noise"] = sizes_noise;
    if (sizes_noise) {
      ctx->saved_data["range"] = range.detach();
      ctx->saved_data["sigma"] = readout.noise_sigma.contiguous();
    }
    ctx->saved_data["dim"] = readout.channel_dim;
    ctx->saved_data["gain"] = readout.gain;
    ctx->saved_data["outside"] = readout.gain * (1 - readout.strength);
    ctx->saved_data["has_bias"] = bias.numel() > 0;
    // Places of clipped outputs, a list: the ADC's bound is far out, so that they are few.
    const Tensor clipped = is_plain(y) && (y.is_contiguous() || channels_innermost(y))
                               ? by_loop(ctx, y, bias, readout, noise)
                               : by_operators(ctx, y, bias, readout, noise);
    ctx->saved_data["any_clipped"] = clipped.numel() > 0;
    if (clipped.numel() > 0)
      ctx->save_for_backward({clipped});
    ctx->mark_dirty({y});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const Tensor& g = grads[0];
    const double gain = ctx->saved_data["gain"].toDouble();
    Tensor gy = gain == 1.0 ? g : g * gain;
    if (ctx->saved_data["any_clipped"].toBool()) {
      const Tensor clipped = ctx->get_saved_variables()[0];
      const Tensor values = g.reshape(-1).index_select(0, clipped);
      gy = gy.clone(at::MemoryFormat::Contiguous);
      gy.view(-1).index_copy_(0, clipped, values * ctx->saved_data["outside"].toDouble());
    }
    Tensor gb;
    if (ctx->saved_data["has_bias"].toBool()) {
      std::vector<std::int64_t> others(static_cast<std::size_t>(g.dim()));
      std::iota(others.begin(), others.end(), 0);
      others.erase(others.begin() + ctx->saved_data["dim"].toInt());
      gb = g.sum(others);
    }
    return {gy, gb, noise_gradient(ctx, gy), Tensor(), Tensor()};
  }

 private:
  // gy: of the sums, what the ADC clipped left out.
  static Tensor noise_gradient(AutogradContext* ctx, const Tensor& gy) {
    if (!ctx->saved_data["sizes_noise"].toBool())
      return Tensor();
    const Tensor range = ctx->saved_data["range"].toTensor();
    const Tensor drawn = ctx->saved_data["drawn"].toTensor();
    if (drawn.defined())
      return ((gy * drawn).sum() / range).to(range.scalar_type()).reshape(range.sizes());
    const Tensor g = gy.contiguous();
    const Tensor sigma = ctx->saved_data["sigma"].toTensor();
    const std::int64_t dim = ctx->saved_data["dim"].toInt();
    std::int64_t inner = 1;
    for (std::int64_t d = dim + 1; d < g.dim(); ++d)
      inner *= g.size(d);
    const double sum = noise_gradient_loop(
        g.data_ptr<float>(), g.numel(),
        {.channels = g.size(dim), .inner = inner, .noise_sigma = sigma.data_ptr<float>()},
        static_cast<std::uint64_t>(ctx->saved_data["seed"].toInt()), at::get_num_threads());
    return at::full_like(range, sum) / range;
  }

  static Tensor by_loop(AutogradContext* ctx, Tensor& y, const Tensor& bias, const Readout& readout,
                        NoiseStream& noise) {
    const Tensor sigma =
        readout.noise_sigma.defined() ? readout.noise_sigma.contiguous() : Tensor();
    const Tensor full_scale =
        readout.full_scale.defined() ? readout.full_scale.contiguous() : Tensor();
    const Tensor b = bias.numel() > 0 ? bias.contiguous() : Tensor();
    const std::uint64_t seed = sigma.defined() ? noise.next_seed() : 0;
    ctx->saved_data["seed"] = static_cast<std::int64_t>(seed);
    ctx->saved_data["drawn"] = Tensor();
    std::int64_t inner = 1;
    for (std::int64_t d = readout.channel_dim + 1; y.is_contiguous() && d < y.dim(); ++d)
      inner *= y.size(d);
    const std::vector<std::int64_t> clipped =
        readout_loop(y.data_ptr<float>(), y.numel(),
                     {.channels = y.size(readout.channel_dim),
                      .inner = inner,
                      .noise_sigma = pointer_or_null(sigma),
                      .full_scale = pointer_or_null(full_scale),
                      .bias = pointer_or_null(b),
                      .levels = readout.levels,
                      .strength = static_cast<float>(readout.strength),
                      .gain = static_cast<float>(readout.gain)},
                     seed, true, at::get_num_threads());
    return torch::tensor(clipped, torch::kInt64);
  }

  static Tensor by_operators(AutogradContext* ctx, Tensor& y, const Tensor& bias,
                             const Readout& readout, NoiseStream& noise) {
    const auto along = [&](const Tensor& t) { return along_channels(t, y, readout.channel_dim); };
    Tensor clipped = at::empty({0}, y.options().dtype(torch::kInt64));
    if (readout.noise_sigma.defined()) {
      const Tensor drawn = along(readout.noise_sigma) * standard_normal(y, noise);
      ctx->saved_data["drawn"] = drawn;
      y.add_(drawn);
    }
    if (readout.full_scale.defined()) {
      const Tensor bound = along(readout.full_scale).to(y.scalar_type());
      clipped = (y.abs() > bound).reshape(-1).nonzero().reshape(-1);
      Tensor q = at::minimum(at::maximum(y, -bound), bound);
      if (readout.levels > 0) {
        const Tensor step = bound / static_cast<double>(readout.levels);
        q = q.div_(step).round_().mul_(step);
      }
      if (readout.strength == 1.0) {
        y.copy_(q);
      } else {
        y.add_(readout.strength * (q - y));
      }
    }
    if (readout.gain != 1.0)
      y.mul_(readout.gain);
    if (bias.numel() > 0)
      y.add_(along(bias));
    return clipped;
  }
};

}  // namespace

int converter_levels(int bits) {
  TESSERA_CHECK(bits == 0 || (bits >= 2 && bits <= 16), "a converter of {} bits", bits);
  return bits == 0 ? 0 : (1 << (bits - 1)) - 1;
}

Tensor dac(const Tensor& x, const Tensor& range, int levels, const Strength& strength) {
  return strength.is_off() ? x : Dac::apply(x, range, levels, strength);
}

Tensor read_out(Tensor y, const Tensor& bias, const Readout& readout, NoiseStream& noise) {
  // LibTorch 1.13 takes no undefined tensors into a function of one's own.
  const Tensor given = bias.defined() ? bias : at::empty({0}, y.options());
  const Tensor range = readout.range.defined() ? readout.range : given.new_empty({0});
  // Clipped outputs are remembered for gradients by their place in the contiguous order.
  if (torch::GradMode::is_enabled())
    y = y.contiguous();
  return ReadOut::apply(std::move(y), given, range, readout, noise);
}

}  // namespace tessera::nn::detail
