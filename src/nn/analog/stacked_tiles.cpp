// SPDX-License-Identifier: Apache-2.0
#include "nn/analog/stacked_tiles.h"

#include <numeric>
#include <vector>

#include <torch/autograd.h>

#include "tessera/core/error.h"

#include "nn/gpu/launch.h"

namespace tessera::nn::detail {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class StackForTraining final : public torch::autograd::Function<StackForTraining> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& weight, std::int64_t pieces,
                               const TrainingNoise& noise, const Strength& strength,
                               NoiseStream& stream) {
    ctx->saved_data["pieces"] = pieces;
    ctx->saved_data["sizes"] = weight.sizes().vec();
    gpu::TrainingWeights options = shape_of(weight.sizes().vec(), pieces);
    options.additive = static_cast<float>(noise.additive);
    options.multiplicative = static_cast<float>(noise.multiplicative);
    options.strength = strength.factor();
    if (noise.moments.mean.defined()) {
      options.mean = noise.moments.mean.data_ptr<float>();
      options.sigma = noise.moments.sigma.data_ptr<float>();
      options.table_size = MomentTables::kSize;
    }
    const auto plain = weight.options().requires_grad(false);
    std::vector<std::int64_t> stacked = weight.sizes().vec();
    stacked[0] *= pieces;
    Tensor out = at::empty(stacked, plain);
    Tensor scales = at::empty({pieces * weight.size(0)}, plain);
    Tensor scratch = at::empty({2 * weight.size(0)}, plain);
    if constexpr (gpu::kCompiled)
      gpu::training_weights(weight.data_ptr<float>(), options, gpu::draw_from(stream.next()),
                            scales.data_ptr<float>(), out.data_ptr<float>(),
                            scratch.data_ptr<float>(), gpu::current_stream());
    ctx->mark_non_differentiable({scales});
    return {out, scales};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const std::vector<std::int64_t> sizes = ctx->saved_data["sizes"].toIntVector();
    const Tensor g = grads[0].contiguous();
    Tensor g_weight = at::empty(sizes, g.options());
    if constexpr (gpu::kCompiled)
      gpu::training_weights_backward(g.data_ptr<float>(),
                                     shape_of(sizes, ctx->saved_data["pieces"].toInt()),
                                     g_weight.data_ptr<float>(), gpu::current_stream());
    return {g_weight, Tensor(), Tensor(), Tensor(), Tensor()};
  }

 private:
  static gpu::TrainingWeights shape_of(const std::vector<std::int64_t>& sizes,
                                       std::int64_t pieces) {
    const std::int64_t n =
        std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>());
    return {.rows = sizes[0], .k = n / sizes[0], .pieces = pieces};
  }
};

class StackedReadOut final : public torch::autograd::Function<StackedReadOut> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& sums, const Tensor& bias,
                        const Tensor& range, const StackedReadout& readout,
                        const Strength& strength, NoiseStream& noise) {
    const bool wants_gradient = sums.requires_grad() || bias.requires_grad();
    const bool linear = readout.channels_last_dimension;
    const bool innermost = linear || (sums.dim() == 4 && !sums.is_contiguous());
    TESSERA_CHECK(sums.is_contiguous() || sums.is_contiguous(at::MemoryFormat::ChannelsLast),
                  "sums of an unknown layout");
    std::vector<std::int64_t> sizes = sums.sizes().vec();
    gpu::Readout kernel = shape_of(sizes, readout.pieces, linear, innermost);
    kernel.scales = readout.scales.data_ptr<float>();
    kernel.range = range.data_ptr<float>();
    kernel.noise = static_cast<float>(readout.noise);
    kernel.bound = static_cast<float>(readout.bound);
    kernel.levels = readout.levels;
    kernel.gain = static_cast<float>(readout.gain);
    kernel.bias = bias.numel() > 0 ? bias.data_ptr<float>() : nullptr;
    kernel.strength = strength.factor();
    ctx->saved_data["sizes"] = sizes;
    sizes[channel_dim(sizes, linear)] /= readout.pieces;
    const auto format = format_of(linear, innermost);
    Tensor out = at::empty(sizes, sums.options().requires_grad(false), format);
    Tensor clipped;
    if (wants_gradient && readout.bound > 0)
      clipped = at::empty_like(sums, torch::kUInt8);
    gpu::Draw draw;
    ctx->saved_data["seed"] = Tensor();
    if (readout.noise > 0) {
      const NoiseStream::Draw drawn = noise.next();
      draw = gpu::draw_from(drawn);
      ctx->saved_data["seed"] = drawn.seed;
      ctx->saved_data["key"] = static_cast<std::int64_t>(drawn.key);
    }
    ctx->saved_data["noise"] = readout.noise;
    ctx->saved_data["scales"] = readout.scales;
    if constexpr (gpu::kCompiled)
      gpu::read_out(sums.data_ptr<float>(), out.data_ptr<float>(), kernel, draw,
                    clipped.defined() ? clipped.data_ptr<std::uint8_t>() : nullptr,
                    gpu::current_stream());
    ctx->saved_data["clipped"] = clipped;
    ctx->saved_data["pieces"] = readout.pieces;
    ctx->saved_data["linear"] = linear;
    ctx->saved_data["innermost"] = innermost;
    ctx->saved_data["gain"] = readout.gain;
    ctx->saved_data["strength"] = strength.value();
    ctx->saved_data["strength_on_device"] = strength.on_device();
    ctx->saved_data["has_bias"] = bias.numel() > 0;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const std::vector<std::int64_t> sizes = ctx->saved_data["sizes"].toIntVector();
    const bool linear = ctx->saved_data["linear"].toBool();
    const bool innermost = ctx->saved_data["innermost"].toBool();
    const Tensor clipped = ctx->saved_data["clipped"].toTensor();
    const auto format = format_of(linear, innermost);
    const Tensor g = grads[0].contiguous(format);
    gpu::Readout kernel = shape_of(sizes, ctx->saved_data["pieces"].toInt(), linear, innermost);
    kernel.gain = static_cast<float>(ctx->saved_data["gain"].toDouble());
    kernel.strength = Strength::factor_of(ctx->saved_data["strength_on_device"].toTensor(),
                                          ctx->saved_data["strength"].toDouble());
    Tensor g_sums = at::empty(sizes, g.options(), format);
    const Tensor seed = ctx->saved_data["seed"].toTensor();
    const Tensor scales = ctx->saved_data["scales"].toTensor();
    gpu::Draw draw;
    Tensor g_range;
    if (seed.defined()) {
      draw = {.seed = seed.data_ptr<std::int64_t>(),
              .key = static_cast<std::uint64_t>(ctx->saved_data["key"].toInt())};
      kernel.noise = static_cast<float>(ctx->saved_data["noise"].toDouble());
      kernel.scales = scales.data_ptr<float>();
      g_range = at::empty({}, g.options());
    }
    Tensor scratch = at::empty({gpu::kSumScratch}, g.options());
    if constexpr (gpu::kCompiled)
      gpu::read_out_backward(g.data_ptr<float>(),
                             clipped.defined() ? clipped.data_ptr<std::uint8_t>() : nullptr,
                             g_sums.data_ptr<float>(), kernel, draw,
                             g_range.defined() ? g_range.data_ptr<float>() : nullptr,
                             scratch.data_ptr<float>(), gpu::current_stream());
    Tensor g_bias;
    if (ctx->saved_data["has_bias"].toBool()) {
      std::vector<std::int64_t> others(static_cast<std::size_t>(g.dim()));
      std::iota(others.begin(), others.end(), 0);
      others.erase(others.begin() + static_cast<std::ptrdiff_t>(channel_dim(sizes, linear)));
      g_bias = g.sum(others);
    }
    return {g_sums, g_bias, g_range, Tensor(), Tensor(), Tensor()};
  }

 private:
  static std::size_t channel_dim(const std::vector<std::int64_t>& sizes, bool linear) {
    return linear ? sizes.size() - 1 : 1;
  }
  static at::MemoryFormat format_of(bool linear, bool innermost) {
    return innermost && !linear ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  }
  static gpu::Readout shape_of(const std::vector<std::int64_t>& sizes, std::int64_t pieces,
                               bool linear, bool innermost) {
    const std::int64_t n =
        std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>());
    const std::int64_t columns = sizes[channel_dim(sizes, linear)];
    const std::int64_t inner = innermost ? 1 : n / (sizes[0] * columns);
    return {.outer = n / (columns * inner),
            .channels = columns / pieces,
            .inner = inner,
            .pieces = pieces};
  }
};

}  // namespace

MomentTables moment_tables(const NoiseModel& noise, double seconds, torch::Device device) {
  const torch::NoGradGuard no_grad;
  const Tensor x = at::linspace(0, 1, MomentTables::kSize, torch::kFloat64);
  const PairMoments moments = pair_moments(noise, x, seconds);
  return {.mean = moments.mean.to(torch::kFloat32).to(device),
          .sigma = moments.sigma.to(torch::kFloat32).to(device)};
}

StackedWeights stack_for_training(const Tensor& weight, std::int64_t pieces,
                                  const TrainingNoise& options, const Strength& strength,
                                  NoiseStream& noise) {
  const variable_list both = StackForTraining::apply(weight, pieces, options, strength, noise);
  return {.weights = both[0], .scales = both[1]};
}

Tensor stack(const Tensor& weight, std::int64_t pieces) {
  if (pieces == 1)
    return weight;
  const std::int64_t k = weight.numel() / weight.size(0);
  const Tensor row = at::arange(k, weight.options().dtype(torch::kInt64));
  std::vector<Tensor> parts;
  std::int64_t begin = 0;
  for (std::int64_t p = 0; p < pieces; ++p) {
    const std::int64_t end = begin + k / pieces + (p < k % pieces ? 1 : 0);
    const Tensor own = (row >= begin).logical_and_(row < end).to(weight.scalar_type());
    parts.push_back((weight.reshape({weight.size(0), k}) * own).reshape(weight.sizes()));
    begin = end;
  }
  return at::cat(parts);
}

Tensor read_out(const Tensor& sums, const Tensor& bias, const StackedReadout& readout,
                const Strength& strength, NoiseStream& noise) {
  // LibTorch 1.13 takes no undefined tensors into a function of one's own.
  const Tensor given = bias.defined() ? bias : at::empty({0}, sums.options());
  return StackedReadOut::apply(sums, given, readout.range, readout, strength, noise);
}

}  // namespace tessera::nn::detail
