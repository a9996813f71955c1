// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/analog/analog_kernel.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "tessera/core/error.h"

#include "nn/analog/cell_levels.h"
#include "nn/analog/column_effects.h"
#include "nn/analog/converters.h"
#include "nn/analog/devices.h"
#include "nn/analog/stacked_tiles.h"
#include "nn/analog/tile_split.h"
#include "nn/gpu/launch.h"

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
  Tensor weights;                  // as last read, in the network's units
  Pieces pieces;                   // of `weights`
  detail::StackedWeights stacked;  // of them on a GPU, if is_stacked()
  double compensation = 1;
};

Chip write_chip(const TileSpec& tile, const AnalogPreset& preset, const Tensor& weight,
                NoiseStream& noise) {
  detail::TileSplit split(tile, weight);
  std::vector<Tensor> scales = scales_of(split, weight, preset.column_scaling);
  Tensor scale_of_each = split.scale_of_each(scales, weight);
  detail::DevicePairs pairs(*preset.noise, weight / scale_of_each, noise);
  const Tensor programmed = pairs.programmed(*preset.noise);
  Tensor weights = programmed * scale_of_each;
  Pieces pieces{.weights = {}, .scales = std::move(scales)};
  return {.split = std::move(split),
          .scale_of_each = std::move(scale_of_each),
          .pairs = std::move(pairs),
          .readout_at_start = readout_of(programmed).item<double>(),
          .weights = std::move(weights),
          .pieces = std::move(pieces),
          .stacked = {}};
}

}  // namespace

struct AnalogKernel::Impl {
  TileSpec tile;
  AnalogPreset preset;
  Tensor input_range;
  detail::Strength strength;
  detail::MomentTables moment_tables;  // for training on a GPU
  bool training = false;
  NoiseStream noise;
  std::optional<Chip> chip;

  const detail::Strength& effective_strength() const {
    static const detail::Strength full;
    return training ? strength : full;
  }
  Tensor positive_range() const { return input_range.clamp_min(kSmallestRange); }

  Tensor training_noise(const Tensor& weight, const Tensor& scale);
  Pieces training_pieces(const detail::TileSplit& split, const Tensor& weight);
  detail::Readout readout(const LayerCall& call, const Tensor& scale, std::int64_t dims) const;

  bool has_column_effects() const { return preset.ir_drop > 0 || preset.read_noise > 0; }
  // Whether the pieces of a layer with these weights are run as one (detail::StackedWeights).
  bool is_stacked(const Tensor& weight, std::int64_t groups, std::int64_t pieces) const {
    return gpu::takes(weight) && weight.is_contiguous() && preset.column_scaling &&
           !has_column_effects() && (pieces == 1 || groups == 1);
  }
  void refresh_chip_weights();
  Tensor forward_stacked(const LayerCall& call, const detail::TileSplit& split);
  Tensor forward_pieces(const LayerCall& call, const detail::TileSplit& split);
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
  Tensor change = variance.sqrt_() * detail::standard_normal(relative, noise);
  if (shift.defined())
    change += shift;
  return change.mul_(scale).mul_(strength.value());
}

Pieces AnalogKernel::Impl::training_pieces(const detail::TileSplit& split, const Tensor& weight) {
  std::vector<Tensor> scales;
  Tensor change;
  {
    const torch::NoGradGuard no_grad;
    const Tensor plain = weight.detach();
    scales = scales_of(split, plain, preset.column_scaling);
    if (preset.train_programming_noise || preset.train_weight_noise > 0 ||
        preset.train_weight_noise_multiplicative > 0)
      change = training_noise(plain, split.scale_of_each(scales, plain));
  }
  // Noise is a constant to the gradient, even where its size depends on the weight.
  return {.weights = cut(split, change.defined() ? weight + change : weight),
          .scales = std::move(scales)};
}

detail::Readout AnalogKernel::Impl::readout(const LayerCall& call, const Tensor& scale,
                                            std::int64_t dims) const {
  const torch::NoGradGuard no_grad;
  // The column's largest weight times the full-scale input: the unit of noise and bound.
  const Tensor unit = scale * positive_range();
  detail::Readout result;
  result.levels = detail::converter_levels(tile.adc_bits);
  result.strength = effective_strength().value();
  result.channel_dim = std::holds_alternative<ir::Conv>(call.op) ? 1 : dims - 1;
  if (preset.output_noise > 0)
    result.noise_sigma = unit * (preset.output_noise * effective_strength().value());
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
  impl_->strength = detail::Strength(device);
  if (device.is_cuda() && preset.train_programming_noise)
    impl_->moment_tables = detail::moment_tables(*preset.noise, preset.train_seconds, device);
}

AnalogKernel::~AnalogKernel() = default;
AnalogKernel::AnalogKernel(AnalogKernel&&) noexcept = default;
AnalogKernel& AnalogKernel::operator=(AnalogKernel&&) noexcept = default;

Tensor AnalogKernel::forward(const LayerCall& call) {
  if (impl_->effective_strength().is_off())
    return apply_layer(call.op, call.x, call.weight, call.bias);
  TESSERA_CHECK(impl_->training || impl_->chip, "evaluation of an analog layer needs program()");
  const std::optional<detail::TileSplit> own_split =
      impl_->training ? std::optional(detail::TileSplit(impl_->tile, call.weight)) : std::nullopt;
  const detail::TileSplit& split = own_split ? *own_split : impl_->chip->split;
  const auto* conv = std::get_if<ir::Conv>(&call.op);
  // A chip's weights went into its cells when it was programmed.
  const Tensor weight =
      impl_->training ? detail::to_cells(call.weight, impl_->preset.weight_bits, impl_->strength)
                      : call.weight;
  const LayerCall in_cells{
      .layer = call.layer, .op = call.op, .x = call.x, .weight = weight, .bias = call.bias};
  return impl_->is_stacked(weight, conv ? conv->groups : 1, split.pieces())
             ? impl_->forward_stacked(in_cells, split)
             : impl_->forward_pieces(in_cells, split);
}

Tensor AnalogKernel::Impl::forward_stacked(const LayerCall& call, const detail::TileSplit& split) {
  const detail::Strength& effect = effective_strength();
  const Tensor range = positive_range();
  const Tensor x = detail::dac(call.x, range, detail::converter_levels(tile.dac_bits), effect);
  const detail::StackedWeights weights =
      training
          ? detail::stack_for_training(call.weight, split.pieces(),
                                       {.additive = preset.train_weight_noise,
                                        .multiplicative = preset.train_weight_noise_multiplicative,
                                        .moments = moment_tables},
                                       effect, noise)
          : chip->stacked;
  const Tensor sums = apply_layer(call.op, x, weights.weights, Tensor());
  return detail::read_out(sums, call.bias,
                          {.scales = weights.scales,
                           .range = range,
                           .pieces = split.pieces(),
                           .noise = preset.output_noise,
                           .bound = tile.adc_bits > 0 ? preset.output_bound : 0,
                           .levels = detail::converter_levels(tile.adc_bits),
                           .gain = training ? 1.0 : chip->compensation,
                           .channels_last_dimension = !std::holds_alternative<ir::Conv>(call.op)},
                          effect, noise);
}

Tensor AnalogKernel::Impl::forward_pieces(const LayerCall& call, const detail::TileSplit& split) {
  const Pieces own_pieces = training ? training_pieces(split, call.weight) : Pieces{};
  const Pieces& pieces = training ? own_pieces : chip->pieces;
  const auto* conv = std::get_if<ir::Conv>(&call.op);
  const Tensor range = positive_range();
  const Tensor x =
      detail::dac(call.x, range, detail::converter_levels(tile.dac_bits), effective_strength());
  Tensor sum;
  for (std::size_t p = 0; p < pieces.weights.size(); ++p) {
    const Tensor part = split.input_piece(x, static_cast<std::int64_t>(p), conv ? conv->groups : 1);
    Tensor columns = apply_layer(call.op, part, pieces.weights[p], Tensor());
    if (has_column_effects()) {
      columns = columns +
                detail::column_effects(
                    {.ir_drop = preset.ir_drop,
                     .read_noise = preset.read_noise,
                     .op = call.op,
                     .x = part,
                     .weight = pieces.weights[p],
                     .rows = split.row_positions(pieces.weights[p], static_cast<std::int64_t>(p)),
                     .row_count = split.rows(static_cast<std::int64_t>(p)),
                     .scale = pieces.scales[p],
                     .range = positive_range()},
                    noise) *
                    effective_strength().value();
    }
    detail::Readout settings = readout(call, pieces.scales[p], columns.dim());
    settings.gain = training ? 1.0 : chip->compensation;
    settings.range = range;
    // The digital bias is added once.
    const Tensor bias = p + 1 == pieces.weights.size() ? call.bias : Tensor();
    columns = detail::read_out(std::move(columns), bias, settings, noise);
    sum = sum.defined() ? sum + columns : columns;
  }
  return sum;
}

void AnalogKernel::set_strength(double strength) {
  impl_->strength.set(strength);
}
void AnalogKernel::set_training(bool training) {
  impl_->training = training;
}
void AnalogKernel::set_noise(NoiseStream noise) {
  impl_->noise = std::move(noise);
}
bool AnalogKernel::can_be_recorded() const {
  return !impl_->has_column_effects();  // their strength is the host's
}
std::vector<Tensor> AnalogKernel::parameters() const {
  return {impl_->input_range};
}

void AnalogKernel::Impl::refresh_chip_weights() {
  // With one group, as is_stacked() needs it where there are several pieces; with one piece the
  // groups don't matter.
  if (is_stacked(chip->weights, 1, chip->split.pieces())) {
    chip->stacked.weights = detail::stack(chip->weights, chip->split.pieces());
    chip->stacked.scales = at::cat(chip->pieces.scales);
  }
  chip->pieces.weights = cut(chip->split, chip->weights);
}

void AnalogKernel::program(const Tensor& weight, NoiseStream chip) {
  const torch::NoGradGuard no_grad;
  const Tensor in_cells =
      detail::to_cells(weight.detach(), impl_->preset.weight_bits, detail::Strength());
  impl_->chip.emplace(write_chip(impl_->tile, impl_->preset, in_cells, chip));
  impl_->refresh_chip_weights();
}

void AnalogKernel::drift_to(double seconds) {
  TESSERA_CHECK(impl_->chip.has_value(), "drift_to() needs program()");
  TESSERA_CHECK(seconds >= 0, "{} s after programming", seconds);
  const torch::NoGradGuard no_grad;
  Chip& chip = *impl_->chip;
  const Tensor read = chip.pairs.read(*impl_->preset.noise, seconds, impl_->noise);
  chip.compensation = chip.readout_at_start / readout_of(read).item<double>();
  chip.weights = read * chip.scale_of_each;
  impl_->refresh_chip_weights();
}

double AnalogKernel::input_range() const {
  return std::max(impl_->input_range.item<double>(), kSmallestRange);
}

int AnalogKernel::weight_bits() const {
  return impl_->preset.weight_bits;
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
