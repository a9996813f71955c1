// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/analog/analog_kernel.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "tessera/core/error.h"

#include "nn/analog/converters.h"
#include "nn/analog/devices.h"
#include "nn/analog/tile_split.h"

namespace tessera::nn {
namespace {

// Smallest full scale of the DAC that training may reach.
constexpr double kSmallestRange = 1e-6;
// Smallest readout that drift compensation divides by.
constexpr double kSmallestReadout = 1e-4;

// What compensation reads: a scalar on the weights' device.
Tensor readout_of(const Tensor& relative_weights) {
  return relative_weights.abs().mean().clamp_min_(kSmallestReadout);
}

// The layer's weights and scales [M] of their columns, piece by piece.
struct Pieces {
  std::vector<Tensor> weights;
  std::vector<Tensor> scales;
};

std::vector<Tensor> scales_of(const detail::TileSplit& split, const Tensor& weight,
                              bool column_scaling) {
  std::vector<Tensor> scales;
  for (std::int64_t p = 0; p < split.pieces(); ++p)
    scales.push_back(split.scale(split.weight_piece(weight, p), column_scaling));
  return scales;
}

std::vector<Tensor> cut(const detail::TileSplit& split, const Tensor& weight) {
  std::vector<Tensor> pieces;
  for (std::int64_t p = 0; p < split.pieces(); ++p)
    pieces.push_back(split.weight_piece(weight, p));
  return pieces;
}

// One set of programmed devices.
struct Chip {
  detail::TileSplit split;
  Tensor scale_of_each;  // of every weight, at programming
  detail::DevicePairs pairs;
  double readout_at_start = 1;
  Tensor weights;  // as last read, in the network's units
  Pieces pieces;   // of `weights`
  double compensation = 1;
};

Chip write_chip(const TileSpec& tile, const AnalogPreset& preset, const Tensor& weight,
                at::Generator& generator) {
  detail::TileSplit split(tile, weight);
  std::vector<Tensor> scales = scales_of(split, weight, preset.column_scaling);
  Tensor scale_of_each = split.scale_of_each(scales, weight);
  detail::DevicePairs pairs(*preset.noise, weight / scale_of_each, generator);
  const Tensor programmed = pairs.programmed(*preset.noise);
  Tensor weights = programmed * scale_of_each;
  Pieces pieces{.weights = cut(split, weights), .scales = std::move(scales)};
  return {.split = std::move(split),
          .scale_of_each = std::move(scale_of_each),
          .pairs = std::move(pairs),
          .readout_at_start = readout_of(programmed).item<double>(),
          .weights = std::move(weights),
          .pieces = std::move(pieces)};
}

}  // namespace

struct AnalogKernel::Impl {
  TileSpec tile;
  AnalogPreset preset;
  Tensor input_range;
  double strength = 1;
  bool training = false;
  at::Generator generator;
  std::optional<Chip> chip;

  double effective_strength() const { return training ? strength : 1.0; }
  Tensor positive_range() const { return input_range.clamp_min(kSmallestRange); }

  Tensor training_noise(const Tensor& weight, const Tensor& scale);
  Pieces training_pieces(const detail::TileSplit& split, const Tensor& weight);
  detail::Readout readout(const LayerCall& call, const Tensor& scale, std::int64_t dims) const;
};

// What a forward pass in training adds to weights with these scales (one for each weight).
Tensor AnalogKernel::Impl::training_noise(const Tensor& weight, const Tensor& scale) {
  const Tensor relative = weight / scale;
  Tensor variance = at::full_like(relative, preset.train_weight_noise * preset.train_weight_noise);
  if (preset.train_weight_noise_multiplicative > 0)
    variance += (relative * preset.train_weight_noise_multiplicative).square_();
  Tensor shift;
  if (preset.train_programming_noise) {
    const detail::PairMoments moments =
        detail::pair_moments(*preset.noise, relative, preset.train_seconds);
    // One factor for the layer undoes the drift's mean, as compensation will on the chip.
    const Tensor compensation = readout_of(relative) / readout_of(moments.mean);
    variance += (moments.sigma * compensation).square_();
    shift = moments.mean * compensation - relative;
  }
  Tensor noise = variance.sqrt_() * detail::standard_normal(relative, generator);
  if (shift.defined())
    noise += shift;
  return noise.mul_(scale).mul_(strength);
}

Pieces AnalogKernel::Impl::training_pieces(const detail::TileSplit& split, const Tensor& weight) {
  std::vector<Tensor> scales;
  Tensor noise;
  {
    const torch::NoGradGuard no_grad;
    const Tensor plain = weight.detach();
    scales = scales_of(split, plain, preset.column_scaling);
    if (preset.train_programming_noise || preset.train_weight_noise > 0 ||
        preset.train_weight_noise_multiplicative > 0)
      noise = training_noise(plain, split.scale_of_each(scales, plain));
  }
  // Noise is a constant to the gradient, even where its size depends on the weight.
  return {.weights = cut(split, noise.defined() ? weight + noise : weight),
          .scales = std::move(scales)};
}

detail::Readout AnalogKernel::Impl::readout(const LayerCall& call, const Tensor& scale,
                                            std::int64_t dims) const {
  const torch::NoGradGuard no_grad;
  // The column's largest weight times the full-scale input: the unit of noise and bound.
  const Tensor unit = scale * positive_range();
  detail::Readout result;
  result.levels = detail::converter_levels(tile.adc_bits);
  result.strength = effective_strength();
  result.channel_dim = std::holds_alternative<ir::Conv>(call.op) ? 1 : dims - 1;
  if (preset.output_noise > 0)
    result.noise_sigma = unit * (preset.output_noise * effective_strength());
  if (tile.adc_bits > 0)
    result.full_scale = unit * preset.output_bound;
  return result;
}

AnalogKernel::AnalogKernel(TileSpec tile, const AnalogPreset& preset, double input_range,
                           torch::Device device)
    : impl_(std::make_unique<Impl>()) {
  TESSERA_CHECK(input_range > 0, "input range {}", input_range);
  impl_->tile = tile;
  impl_->preset = preset;
  impl_->input_range =
      torch::full({}, input_range, torch::dtype(torch::kFloat32).device(device)).requires_grad_();
}

AnalogKernel::~AnalogKernel() = default;
AnalogKernel::AnalogKernel(AnalogKernel&&) noexcept = default;
AnalogKernel& AnalogKernel::operator=(AnalogKernel&&) noexcept = default;

Tensor AnalogKernel::forward(const LayerCall& call) {
  const double strength = impl_->effective_strength();
  if (strength == 0.0)
    return apply_layer(call.op, call.x, call.weight, call.bias);
  TESSERA_CHECK(impl_->training || impl_->chip, "evaluation of an analog layer needs program()");
  const std::optional<detail::TileSplit> own_split =
      impl_->training ? std::optional(detail::TileSplit(impl_->tile, call.weight)) : std::nullopt;
  const detail::TileSplit& split = own_split ? *own_split : impl_->chip->split;
  const Pieces own_pieces = own_split ? impl_->training_pieces(split, call.weight) : Pieces{};
  const Pieces& pieces = own_split ? own_pieces : impl_->chip->pieces;
  const auto* conv = std::get_if<ir::Conv>(&call.op);

  const Tensor x = detail::dac(call.x, impl_->positive_range(),
                               detail::converter_levels(impl_->tile.dac_bits), strength);
  Tensor sum;
  for (std::size_t p = 0; p < pieces.weights.size(); ++p) {
    const Tensor part = split.input_piece(x, static_cast<std::int64_t>(p), conv ? conv->groups : 1);
    Tensor columns = apply_layer(call.op, part, pieces.weights[p], Tensor());
    detail::Readout readout = impl_->readout(call, pieces.scales[p], columns.dim());
    readout.gain = own_split ? 1.0 : impl_->chip->compensation;
    // The digital bias is added once.
    const Tensor bias = p + 1 == pieces.weights.size() ? call.bias : Tensor();
    columns = detail::read_out(std::move(columns), bias, readout, impl_->generator);
    sum = sum.defined() ? sum + columns : columns;
  }
  return sum;
}

void AnalogKernel::set_strength(double strength) {
  impl_->strength = strength;
}
void AnalogKernel::set_training(bool training) {
  impl_->training = training;
}
void AnalogKernel::set_generator(at::Generator generator) {
  impl_->generator = std::move(generator);
}
std::vector<Tensor> AnalogKernel::parameters() const {
  return {impl_->input_range};
}

void AnalogKernel::program(const Tensor& weight, at::Generator chip) {
  const torch::NoGradGuard no_grad;
  impl_->chip.emplace(write_chip(impl_->tile, impl_->preset, weight.detach(), chip));
}

void AnalogKernel::drift_to(double seconds) {
  TESSERA_CHECK(impl_->chip.has_value(), "drift_to() needs program()");
  TESSERA_CHECK(seconds >= 0, "{} s after programming", seconds);
  const torch::NoGradGuard no_grad;
  Chip& chip = *impl_->chip;
  const Tensor read = chip.pairs.read(*impl_->preset.noise, seconds, impl_->generator);
  chip.compensation = chip.readout_at_start / readout_of(read).item<double>();
  chip.weights = read * chip.scale_of_each;
  chip.pieces.weights = cut(chip.split, chip.weights);
}

double AnalogKernel::input_range() const {
  return std::max(impl_->input_range.item<double>(), kSmallestRange);
}

Tensor AnalogKernel::chip_weights() const {
  TESSERA_CHECK(impl_->chip.has_value(), "chip_weights() needs program()");
  return impl_->chip->weights;
}

double AnalogKernel::drift_compensation() const {
  TESSERA_CHECK(impl_->chip.has_value(), "drift_compensation() needs program()");
  return impl_->chip->compensation;
}

}  // namespace tessera::nn
