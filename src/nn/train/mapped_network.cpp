// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/train/mapped_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/nn/analog/analog_kernel.h"
#include "tessera/nn/quant/strum_kernel.h"
#include "tessera/nn/train/evaluate.h"

#include "nn/train/split_kernel.h"

namespace tessera::nn {
namespace {

// Share of a layer's inputs that the DAC's full scale covers at the start. Clipping the top
// thousandth costs less than spreading the converter's few levels over outliers; training moves it
// from there.
constexpr double kAnalogRangePercentile = 0.999;

double analog_input_range(const RangeObserver& observed) {
  const double high = observed.percentile(kAnalogRangePercentile);
  const double low = observed.percentile(1 - kAnalogRangePercentile);
  return std::max({std::abs(high), std::abs(low), 1e-6});
}

// An analog layer's noise-free twin for exported files: 8 bits over the DAC's range.
plan::AffineCode twin_input_code(double input_range) {
  return {.scales = {static_cast<float>(input_range / 127)},
          .zero_points = {0},
          .low = -127,
          .high = 127};
}

// Also of an integer part's code, which a split layer's analog part shares in exported files.
double twin_input_range(const plan::AffineCode& code) {
  const std::int32_t zero = code.zero_points.at(0);
  return static_cast<double>(code.scales.at(0)) * std::max(code.high - zero, zero - code.low);
}

}  // namespace

std::string kernel_parameter_name(const std::string& layer, const plan::Path& path,
                                  std::size_t index) {
  return fmt::format("kernel.{}.{}.{}", layer, plan::to_string(path), index);
}

void for_each_calibration_batch(const Dataset& data, const Preprocessing& preprocessing,
                                std::int64_t images,
                                const std::function<void(const std::vector<Tensor>&)>& use) {
  const Split part = take(data.train, images);
  for (std::int64_t begin = 0; begin < part.size(); begin += kEvaluationBatch) {
    const std::int64_t end = std::min(begin + kEvaluationBatch, part.size());
    use(network_inputs(part_of(part, begin, end), preprocessing));
  }
}

std::vector<RangeObserver> observe_ranges(const Network& network, const Dataset& data,
                                          const Preprocessing& preprocessing, std::int64_t images) {
  const torch::NoGradGuard no_grad;
  ObservingRunner runner(network.workload().layers.size());
  for_each_calibration_batch(data, preprocessing, images,
                             [&](const auto& inputs) { network.forward(inputs, runner); });
  return runner.observers();
}

namespace {

// Null for fp32. One of the two sources of ranges: observed inputs, or codes fixed before.
template <typename InputCode, typename InputRange>
std::unique_ptr<LayerKernel> build_part(const plan::Part& part, const hw::Platform& platform,
                                        torch::Device device, const InputCode& input_code,
                                        const InputRange& input_range) {
  if (const auto* real = std::get_if<format::Float>(&part.format)) {
    return real->bits == 16 ? make_float16_kernel(device) : nullptr;
  }
  if (const auto* integer = std::get_if<format::Integer>(&part.format)) {
    return std::make_unique<IntegerKernel>(*integer, input_code(integer->activation_bits), device);
  }
  if (const auto* strum = std::get_if<format::Strum>(&part.format)) {
    return std::make_unique<StrumKernel>(*strum, input_code(strum->activation_bits));
  }
  const auto& analog = std::get<format::Analog>(part.format);
  const auto* unit = std::get_if<hw::AnalogUnit>(&hw::find_unit(platform, part.unit));
  TESSERA_CHECK(unit != nullptr, "'{}' on '{}', a unit that is not analog",
                format::to_string(part.format), part.unit);
  const TileSpec tile{.rows = unit->tile_rows,
                      .columns = unit->tile_columns,
                      .dac_bits = unit->dac_bits,
                      .adc_bits = unit->adc_bits};
  return std::make_unique<AnalogKernel>(tile, analog_preset(analog.preset), input_range(), device);
}

template <typename InputCode, typename InputRange>
std::unique_ptr<LayerKernel> build_kernel(const plan::Path& path, const hw::Platform& platform,
                                          torch::Device device, const InputCode& input_code,
                                          const InputRange& input_range) {
  std::vector<detail::SplitPart> parts = detail::split_parts(path);
  if (parts.size() == 1)
    return build_part(path.parts.front(), platform, device, input_code, input_range);
  int activation_bits = 0;
  for (detail::SplitPart& part : parts) {
    if (std::holds_alternative<format::Strum>(part.first.format)) {
      throw UnsupportedError(fmt::format(
          "path '{}': a StruM part; its blocks are those of a whole layer, allowed parts: floats, "
          "integers, analog",
          plan::to_string(path)));
    }
    if (const auto* integer = std::get_if<format::Integer>(&part.first.format)) {
      if (integer->group > 0) {
        throw UnsupportedError(
            fmt::format("path '{}': a part with weights in groups; allowed: groups in a layer that "
                        "one unit runs "
                        "whole",
                        plan::to_string(path)));
      }
      if (activation_bits != 0 && activation_bits != integer->activation_bits) {
        throw UnsupportedError(fmt::format(
            "path '{}': parts whose activations have {} and {} bits; allowed: one width",
            plan::to_string(path), activation_bits, integer->activation_bits));
      }
      activation_bits = integer->activation_bits;
    }
    part.kernel = build_part(part.first, platform, device, input_code, input_range);
  }
  return detail::make_split_kernel(std::move(parts), device);
}

// The codes of a layer; none for floats.
std::optional<plan::LayerNumerics> kernel_numerics(const LayerKernel* kernel, const Tensor& weight);

// A split layer reads its input by the code of its integer parts, or else by its analog parts'.
std::optional<plan::LayerNumerics> split_numerics(const std::vector<detail::SplitPart>& parts,
                                                  const Tensor& weight) {
  std::optional<plan::LayerNumerics> all;
  bool integer_input = false;
  for (const detail::SplitPart& part : parts) {
    const Tensor channels = torch::tensor(part.channels, torch::kInt64).to(weight.device());
    const auto own = kernel_numerics(part.kernel.get(), weight.index_select(0, channels));
    if (!own)
      continue;
    const auto count = static_cast<std::size_t>(weight.size(0));
    if (!all) {
      all = plan::LayerNumerics{.weights = own->weights, .input = own->input};
      all->weights.scales.assign(count, 1);  // of channels in floats, which no code reads
      all->weights.zero_points.assign(count, 0);
    }
    const bool is_integer = std::holds_alternative<format::Integer>(part.first.format);
    if (is_integer && !integer_input)
      all->input = own->input;
    integer_input = integer_input || is_integer;
    all->weights.low = std::min(all->weights.low, own->weights.low);
    all->weights.high = std::max(all->weights.high, own->weights.high);
    for (std::size_t i = 0; i < part.channels.size(); ++i)
      all->weights.scales[static_cast<std::size_t>(part.channels[i])] = own->weights.scales[i];
  }
  return all;
}

std::optional<plan::LayerNumerics> kernel_numerics(const LayerKernel* kernel,
                                                   const Tensor& weight) {
  if (kernel == nullptr)
    return std::nullopt;
  if (const auto* integer = dynamic_cast<const IntegerKernel*>(kernel))
    return integer->numerics(weight);
  if (const auto* strum = dynamic_cast<const StrumKernel*>(kernel))
    return strum->numerics(weight);
  if (const auto* analog = dynamic_cast<const AnalogKernel*>(kernel)) {
    const int bits = analog->weight_bits();
    return plan::LayerNumerics{.weights = bits > 0 ? weight_code(weight, bits, RangeMethod::kMse)
                                                   : weight_code(weight, 8, RangeMethod::kMinMax),
                               .input = twin_input_code(analog->input_range())};
  }
  if (const auto* parts = detail::parts_of(*kernel))
    return split_numerics(*parts, weight);
  return std::nullopt;
}

}  // namespace

std::unique_ptr<LayerKernel> make_kernel(const plan::Path& path, const hw::Platform& platform,
                                         const RangeObserver& observed, torch::Device device,
                                         const CalibrationOptions& calibration) {
  return build_kernel(
      path, platform, device,
      [&](int bits) { return activation_code(observed, bits, calibration); },
      [&] { return analog_input_range(observed); });
}

std::unique_ptr<LayerKernel> make_kernel(const plan::Path& path, const hw::Platform& platform,
                                         const plan::LayerNumerics& numerics,
                                         torch::Device device) {
  return build_kernel(
      path, platform, device, [&](int) { return numerics.input; },
      [&] { return twin_input_range(numerics.input); });
}

std::vector<plan::Accuracy> measure(const Network& network, std::span<LayerKernel* const> kernels,
                                    const Split& split, const Preprocessing& preprocessing,
                                    const ChipPlan& plan, const Rng& rng,
                                    const std::function<void(double)>& done) {
  TESSERA_CHECK(kernels.size() == network.layers().size(), "{} kernels for {} layers",
                kernels.size(), network.layers().size());
  const torch::NoGradGuard no_grad;
  KernelRunner runner({kernels.begin(), kernels.end()});
  std::vector<std::pair<std::size_t, NoisyKernel*>> noisy;
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    if (kernels[i] == nullptr)
      continue;
    kernels[i]->set_training(false);
    kernels[i]->set_strength(1);
    if (auto* kernel = dynamic_cast<NoisyKernel*>(kernels[i]))
      noisy.emplace_back(i, kernel);
  }
  const auto top1 = [&] { return accuracy(network, runner, split, preprocessing); };
  std::vector<plan::Accuracy> results;
  for (const double seconds : plan.seconds) {
    results.push_back({.t_eval_s = seconds, .split = split.name, .images = split.size()});
  }
  if (noisy.empty()) {
    const double mean = top1();
    for (plan::Accuracy& result : results)
      result.mean = mean;
    return results;
  }
  std::vector<std::vector<double>> draws(results.size());
  for (std::int64_t chip = 0; chip < plan.chips; ++chip) {
    const Rng chip_rng = rng.split("chip").split(static_cast<std::uint64_t>(chip));
    for (const auto& [layer, kernel] : noisy) {
      kernel->program(network.layers()[layer].weight,
                      NoiseStream(chip_rng.split("program").split(layer), network.device()));
      kernel->set_noise(NoiseStream(chip_rng.split("read").split(layer), network.device()));
    }
    for (std::size_t t = 0; t < results.size(); ++t) {
      for (const auto& [layer, kernel] : noisy)
        kernel->drift_to(plan.seconds[t]);
      draws[t].push_back(top1());
      if (done) {
        const auto times = static_cast<std::int64_t>(results.size());
        done(static_cast<double>(chip * times + static_cast<std::int64_t>(t) + 1) /
             static_cast<double>(plan.chips * times));
      }
    }
  }
  for (std::size_t t = 0; t < results.size(); ++t) {
    const double n = static_cast<double>(draws[t].size());
    double sum = 0;
    for (const double draw : draws[t])
      sum += draw;
    const double mean = sum / n;
    double squares = 0;
    for (const double draw : draws[t])
      squares += (draw - mean) * (draw - mean);
    results[t].mean = mean;
    results[t].std = n > 1 ? std::sqrt(squares / (n - 1)) : 0;
    results[t].n = plan.chips;
  }
  return results;
}

MappedNetwork::MappedNetwork(const Network& start, plan::Assignment assignment,
                             const hw::Platform& platform, std::span<const RangeObserver> ranges,
                             const CalibrationOptions& calibration)
    : assignment_(std::move(assignment)), network_(start.clone()) {
  TESSERA_CHECK(assignment_.paths.size() == network_.layers().size() &&
                    ranges.size() == assignment_.paths.size(),
                "{} paths and {} ranges for {} layers", assignment_.paths.size(), ranges.size(),
                network_.layers().size());
  for (std::size_t i = 0; i < assignment_.paths.size(); ++i) {
    kernels_.push_back(
        make_kernel(assignment_.paths[i], platform, ranges[i], network_.device(), calibration));
  }
}

MappedNetwork::MappedNetwork(const Network& start, plan::Assignment assignment,
                             const hw::Platform& platform, const plan::Numerics& numerics)
    : assignment_(std::move(assignment)), network_(start.clone()) {
  for (std::size_t i = 0; i < assignment_.paths.size(); ++i) {
    const std::string& name = network_.workload().layers.at(i).name;
    const auto found = numerics.find(name);
    const bool is_float = std::all_of(
        assignment_.paths[i].parts.begin(), assignment_.paths[i].parts.end(),
        [](const plan::Part& part) { return std::holds_alternative<format::Float>(part.format); });
    if (!is_float && (found == numerics.end() || found->second.input.scales.empty())) {
      throw ConfigError(fmt::format("mapping: layer '{}' ({}) has no input code under 'numerics'",
                                    name, plan::to_string(assignment_.paths[i])));
    }
    const plan::LayerNumerics codes = is_float ? plan::LayerNumerics{} : found->second;
    kernels_.push_back(make_kernel(assignment_.paths[i], platform, codes, network_.device()));
  }
}

std::vector<LayerKernel*> MappedNetwork::kernels() const {
  std::vector<LayerKernel*> pointers;
  for (const auto& kernel : kernels_)
    pointers.push_back(kernel.get());
  return pointers;
}

std::vector<Tensor> MappedNetwork::parameters() const {
  std::vector<Tensor> all = network_.parameters();
  for (const auto& kernel : kernels_) {
    if (kernel == nullptr)
      continue;
    for (const Tensor& parameter : kernel->parameters())
      all.push_back(parameter);
  }
  return all;
}

Trained MappedNetwork::trained() const {
  Trained all{.parameters = parameters()};
  for (const auto& kernel : kernels_) {
    if (kernel == nullptr)
      continue;
    for (const Tensor& buffer : kernel->buffers())
      all.buffers.push_back(buffer);
  }
  return all;
}

TensorMap MappedNetwork::kernel_state() const {
  TensorMap state;
  for (std::size_t i = 0; i < kernels_.size(); ++i) {
    if (kernels_[i] == nullptr)
      continue;
    const std::vector<Tensor> parameters = kernels_[i]->parameters();
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      state[kernel_parameter_name(network_.workload().layers[i].name, assignment_.paths[i], k)] =
          parameters[k].detach().clone();
    }
  }
  return state;
}

void MappedNetwork::learn_steps() {
  for (std::size_t i = 0; i < kernels_.size(); ++i) {
    if (auto* integer = dynamic_cast<IntegerKernel*>(kernels_[i].get()))
      integer->learn_steps(network_.layers()[i].weight);
  }
}

void MappedNetwork::load_kernel_state(const TensorMap& state) {
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < kernels_.size(); ++i) {
    if (kernels_[i] == nullptr)
      continue;
    // Integer kernels have no other parameters than these.
    auto* integer = dynamic_cast<IntegerKernel*>(kernels_[i].get());
    if (integer != nullptr && state.contains(kernel_parameter_name(
                                  network_.workload().layers[i].name, assignment_.paths[i], 0)))
      integer->learn_steps(network_.layers()[i].weight);
    const std::vector<Tensor> parameters = kernels_[i]->parameters();
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      const std::string name =
          kernel_parameter_name(network_.workload().layers[i].name, assignment_.paths[i], k);
      const auto found = state.find(name);
      if (found == state.end() || found->second.sizes() != parameters[k].sizes()) {
        throw IoError(fmt::format("weights file: '{}' is missing or has another shape", name));
      }
      parameters[k].copy_(found->second);
    }
  }
}

void MappedNetwork::train(Trainer& trainer, const Rng& rng,
                          const std::function<bool(const Trainer&, const Tensor&)>& keep_going) {
  Tensor loss;
  while (!trainer.done() && keep_going(trainer, loss))
    loss = train_step(trainer, rng);
}

Tensor MappedNetwork::train_step(Trainer& trainer, const Rng& rng) {
  if (!noise_seed_.defined())
    noise_seed_ = NoiseStream::make_seed(network_.device());
  NoiseStream::set_seed(noise_seed_,
                        rng.split("noise").split(static_cast<std::uint64_t>(trainer.steps_done())));
  for (const auto& kernel : kernels_) {
    if (kernel == nullptr)
      continue;
    kernel->set_training(true);
    kernel->set_strength(1);
    if (trainer.mask_is_due())
      kernel->refresh_mask();
  }
  const auto backward = [&](const Batch& batch) {
    for (std::size_t i = 0; i < kernels_.size(); ++i) {
      if (kernels_[i] != nullptr)
        kernels_[i]->set_noise(NoiseStream(noise_seed_, i));
    }
    KernelRunner runner(kernels());
    const Tensor value = trainer.loss(network_.forward(batch.inputs, runner), batch);
    value.backward();
    return value.detach();
  };
  const bool recorded = std::all_of(kernels_.begin(), kernels_.end(), [](const auto& kernel) {
    return kernel == nullptr || kernel->can_be_recorded();
  });
  return recorded ? trainer.recorded_step(backward) : trainer.step(backward);
}

std::vector<plan::Accuracy> MappedNetwork::measure(const Split& split,
                                                   const Preprocessing& preprocessing,
                                                   const ChipPlan& plan, const Rng& rng,
                                                   const std::function<void(double)>& done) const {
  return nn::measure(network_, kernels(), split, preprocessing, plan, rng, done);
}

plan::Numerics MappedNetwork::numerics() const {
  plan::Numerics all;
  for (std::size_t i = 0; i < kernels_.size(); ++i) {
    const std::string& name = network_.workload().layers[i].name;
    const Tensor& weight = network_.layers()[i].weight;
    if (auto numerics = kernel_numerics(kernels_[i].get(), weight))
      all[name] = std::move(*numerics);
  }
  return all;
}

}  // namespace tessera::nn
