// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/quantize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include <ATen/Parallel.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/hash.h"
#include "tessera/flow/inputs.h"
#include "tessera/format/strum_codec.h"
#include "tessera/hw/read_platform.h"
#include "tessera/nn/data/safetensors.h"
#include "tessera/nn/quant/post_training.h"
#include "tessera/nn/quant/strum_kernel.h"
#include "tessera/nn/tensor/runtime.h"
#include "tessera/nn/train/evaluate.h"
#include "tessera/nn/train/mapped_network.h"
#include "tessera/onnx/export.h"

#include "quantize_space.h"

namespace tessera::flow {

namespace {

const format::NumberFormat kInt8 = format::Integer{.weight_bits = 8, .activation_bits = 8};

// Data, and what the network's activations are on it.
struct Calibration {
  nn::Dataset data;
  nn::Preprocessing preprocessing;
  std::vector<nn::RangeObserver> ranges;
};

// Whether the network runs, or weights change. Otherwise each layer's weights are read from the
// file when they are needed, and are not in memory all at once.
bool needs_network(const QuantizeSettings& settings) {
  return !settings.data.empty() || settings.equalize;
}

class QuantizeRun {
 public:
  explicit QuantizeRun(const QuantizeSettings& settings)
      : settings_(settings),
        schemes_(parse_schemes(settings.scheme)),
        device_(nn::set_up_torch({.threads = settings.threads,
                                  .device = settings.device,
                                  .keep_freed_memory = !settings.data.empty()})),
        loaded_(load_network(settings.network, needs_network(settings) ? onnx::Constants::kInMemory
                                                                       : onnx::Constants::kInFile)),
        unit_(unit_for(hw::load_platform(settings.hardware, hw::platform_folders()), schemes_[0])),
        model_(ir::workload(loaded_.graph), unit_.platform),
        kept_(kept_layers(settings.keep, model_.workload())),
        ranges_{.method = nn::parse_range_method("--ranges", settings.ranges)} {
    if (needs_network(settings))
      network_.emplace(loaded_.graph, device_);
    if (settings.bias_correction && settings.data.empty())
      throw UsageError("--bias-correction needs --data to measure what quantisation shifts");
    if (schemes_.size() > 1 && !settings.search)
      throw UsageError(
          fmt::format("--scheme: {} formats; allowed: one, or --search to choose among "
                      "them for each layer",
                      schemes_.size()));
    if (settings.search && settings.search->max_accuracy_loss && settings.data.empty())
      throw UsageError("--max-accuracy-loss needs --data to measure the accuracy");
  }

  Expected<QuantizeReport> run();

 private:
  plan::Assignment uniform(const format::NumberFormat& format) const;
  Expected<plan::Assignment> decide();
  Expected<plan::Assignment> decide_for_accuracy(const QuantizeChoices& choices);
  void calibrate();
  // On the CPU.
  nn::LayerParameters parameters(std::size_t layer) const;
  nn::MappedNetwork mapped(const plan::Assignment& assignment) const {
    return {*network_, assignment, unit_.platform, calibration_->ranges, ranges_};
  }
  void correct_biases(const plan::Assignment& assignment);
  double top1(const plan::Assignment& assignment, const nn::Split& split) const;
  void measure_layers(const plan::Assignment& assignment);
  void measure_hardware();
  void write(const std::filesystem::path& folder);
  void write_packed_weights(const std::filesystem::path& file) const;

  QuantizeSettings settings_;
  std::vector<format::NumberFormat> schemes_;
  torch::Device device_;
  LoadedNetwork loaded_;
  QuantizeUnit unit_;
  cost::TiledModel model_;
  std::vector<bool> kept_;
  nn::CalibrationOptions ranges_;
  std::optional<nn::Network> network_;
  std::optional<Calibration> calibration_;
  QuantizeReport report_;
};

plan::Assignment QuantizeRun::uniform(const format::NumberFormat& format) const {
  plan::Assignment assignment;
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    const std::int64_t channels = model_.workload().layers[i].dims.M;
    assignment.paths.push_back({{{unit_.unit, kept_[i] ? kInt8 : format, {0, channels}}}});
  }
  return assignment;
}

nn::LayerParameters QuantizeRun::parameters(std::size_t layer) const {
  if (!network_)
    return nn::load_parameters(loaded_.graph, model_.workload().layers[layer]);
  const nn::LayerParameters& own = network_->layers()[layer];
  return {.weight = own.weight.detach().cpu(),
          .bias = own.bias.defined() ? own.bias.detach().cpu() : torch::Tensor()};
}

void QuantizeRun::calibrate() {
  calibration_.emplace();
  calibration_->data = nn::load_dataset(settings_.data, settings_.seed);
  fit_data(loaded_.graph, calibration_->data, settings_.network.string());
  calibration_->preprocessing = nn::choose_preprocessing(loaded_.graph, calibration_->data);
  move_to(calibration_->data, device_);
  calibration_->ranges = nn::observe_ranges(
      *network_, calibration_->data, calibration_->preprocessing, settings_.calibration_images);
}

void QuantizeRun::correct_biases(const plan::Assignment& assignment) {
  const torch::NoGradGuard no_grad;
  const nn::MappedNetwork quantized = mapped(assignment);
  nn::BiasShiftRunner runner(quantized.kernels());
  nn::for_each_calibration_batch(calibration_->data, calibration_->preprocessing,
                                 settings_.calibration_images,
                                 [&](const auto& inputs) { network_->forward(inputs, runner); });
  report_.corrected_biases = runner.correct(*network_);
}

double QuantizeRun::top1(const plan::Assignment& assignment, const nn::Split& split) const {
  return mapped(assignment)
      .measure(split, calibration_->preprocessing, {}, Rng(settings_.seed))
      .front()
      .mean;
}

Expected<plan::Assignment> QuantizeRun::decide() {
  if (!settings_.search)
    return uniform(schemes_[0]);
  const QuantizeChoices choices =
      make_choices([this](std::size_t layer) { return parameters(layer).weight; }, model_,
                   unit_.unit, search_formats(schemes_), kept_);
  if (settings_.search->max_accuracy_loss)
    return decide_for_accuracy(choices);
  const auto choice = settings_.search->min_sqnr_db
                          ? choose_for_sqnr(choices, *settings_.search->min_sqnr_db)
                          : choose_for_energy(choices, *settings_.search->max_energy_pj);
  if (!choice)
    return tl::unexpected(choice.error());
  report_.search_labels = choice->labels;
  return choice->assignment;
}

// Accuracy does not add up over layers, noise nearly does: the budget of energy is halved towards
// the least under which the knapsack's choice keeps the accuracy.
Expected<plan::Assignment> QuantizeRun::decide_for_accuracy(const QuantizeChoices& choices) {
  constexpr int kHalvings = 7;
  const nn::Split& split = calibration_->data.validation;
  const plan::Assignment int8 = uniform(kInt8);
  const double wanted = top1(int8, split) - *settings_.search->max_accuracy_loss;
  double least = choices.fixed_pj;
  for (const auto& energies : choices.energy_pj)
    least += *std::min_element(energies.begin(), energies.end());
  double low = least;
  double high = model_.evaluate(int8)->totals.energy_pj;
  plan::Assignment best = int8;
  for (int i = 0; i <= kHalvings && high > low; ++i) {
    // The cheapest of all first.
    const double budget = i == 0 ? least * (1 + 1e-12) : (low + high) / 2;
    const auto choice = choose_for_energy(choices, budget);
    if (!choice)
      return tl::unexpected(choice.error());
    report_.search_labels += choice->labels;
    ++report_.search_evaluations;
    if (top1(choice->assignment, split) >= wanted) {
      best = choice->assignment;
      high = std::min(budget, choice->energy_pj);
    } else {
      low = budget;
    }
  }
  return best;
}

void QuantizeRun::measure_layers(const plan::Assignment& assignment) {
  const std::size_t count = assignment.paths.size();
  std::vector<WeightNoise> noise(count);
  report_.layers.resize(count);
  at::parallel_for(
      0, static_cast<std::int64_t>(count), 1, [&](std::int64_t begin, std::int64_t end) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
          const torch::Tensor weight = parameters(i).weight;
          const format::NumberFormat& format = assignment.paths[i].parts.front().format;
          noise[i] = weight_noise(weight, format);
          report_.layers[i] = {
              .name = model_.workload().layers[i].name,
              .format = format,
              .weights = weight.numel(),
              .stored_bits = format::stored_weight_bits(format, nn::weight_shape(weight)),
              .sqnr_db = sqnr_db(noise[i])};
        }
      });
  WeightNoise pooled;
  double changed_bits = 0;
  double changed_weights = 0;
  double bits = 0;
  double weights = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const QuantizedLayer& layer = report_.layers[i];
    bits += static_cast<double>(layer.stored_bits);
    weights += static_cast<double>(layer.weights);
    if (!kept_[i]) {
      pooled.signal += noise[i].signal;
      pooled.noise += noise[i].noise;
    }
    if (layer.format == kInt8)
      continue;
    changed_bits += static_cast<double>(layer.stored_bits);
    changed_weights += static_cast<double>(layer.weights);
  }
  report_.sqnr_db = sqnr_db(pooled);
  report_.changed_compression = changed_weights > 0 ? changed_bits / (8 * changed_weights) : 1;
  report_.compression = weights > 0 ? bits / (8 * weights) : 1;
}

void QuantizeRun::measure_hardware() {
  hw::Platform plain = unit_.platform;
  for (hw::Unit& unit : plain.units) {
    if (auto* digital = std::get_if<hw::DigitalUnit>(&unit))
      digital->strum_pe.reset();
  }
  const auto cost = cost::TiledModel(model_.workload(), plain).evaluate(uniform(kInt8));
  if (!cost)
    throw UsageError(fmt::format("--hardware: int8 does not fit: {}", cost.error().detail));
  report_.int8_energy_pj = cost->totals.energy_pj;
  const auto& unit = std::get<hw::DigitalUnit>(hw::find_unit(unit_.platform, unit_.unit));
  const auto* strum = std::get_if<format::Strum>(&schemes_[0]);
  if (strum == nullptr || !unit.strum_pe)
    return;
  report_.static_pe = hw::strum_savings(*unit.strum_pe, hw::StrumPeKind::kStatic, *strum);
  report_.dynamic_pe = hw::strum_savings(*unit.strum_pe, hw::StrumPeKind::kDynamic, *strum);
}

Expected<QuantizeReport> QuantizeRun::run() {
  const auto start = std::chrono::steady_clock::now();
  report_.scheme = format::to_string(schemes_[0]);
  if (settings_.equalize)
    report_.equalized_pairs = nn::equalize_layers(*network_);
  if (!settings_.data.empty())
    calibrate();
  const auto assignment = decide();
  if (!assignment)
    return tl::unexpected(assignment.error());
  const auto cost = model_.evaluate(*assignment);
  if (!cost)
    return tl::unexpected(cost.error());
  measure_layers(*assignment);
  measure_hardware();

  plan::Mapping& mapping = report_.mapping;
  mapping.network = loaded_.file;
  mapping.platform = {.name = unit_.platform.name, .sha256 = unit_.platform.sha256};
  mapping.assignment = *assignment;
  mapping.workload = model_.workload();
  mapping.cost = *cost;
  mapping.search.strategy = settings_.search ? "knapsack" : "uniform";
  mapping.search.seed = settings_.seed;
  mapping.search.evaluations = report_.search_evaluations;
  if (calibration_) {
    const nn::Split& test = calibration_->data.test;
    QuantizeAccuracy& accuracy = report_.accuracy.emplace();
    accuracy.images = test.size();
    if (settings_.baselines) {
      nn::FloatRunner exact;
      accuracy.fp32 = nn::accuracy(*network_, exact, test, calibration_->preprocessing);
      accuracy.int8 = top1(uniform(kInt8), test);
    }
    if (settings_.bias_correction)
      correct_biases(*assignment);
    accuracy.quantized = top1(*assignment, test);
    mapping.accuracy = {
        {.mean = report_.accuracy->quantized, .split = test.name, .images = test.size()}};
    mapping.numerics = mapped(*assignment).numerics();
  }
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  mapping.seconds = seconds();
  if (!settings_.out.empty())
    write(settings_.out);
  report_.seconds = seconds();
  return std::move(report_);
}

void QuantizeRun::write(const std::filesystem::path& folder) {
  const auto note = [&](const char* name) {
    report_.files.push_back((folder / name).string());
    return folder / name;
  };
  write_packed_weights(note("packed.safetensors"));
  if (report_.equalized_pairs > 0 || report_.corrected_biases > 0) {
    // The mapping's codes belong to weights that have changed.
    const std::filesystem::path changed = note("network.onnx");
    onnx::export_onnx(network_->to_graph(), {}, changed);
    report_.mapping.network = {.file = changed.string(), .sha256 = sha256_file(changed)};
  }
  write_atomic(note("platform.yaml"), hw::write_platform(unit_.platform));
  write_atomic(note("mapping.json"), plan::to_json(report_.mapping).dump(1) + "\n");
  if (!calibration_)
    return;
  ir::Graph graph = network_->to_graph();
  note_preprocessing(graph, calibration_->preprocessing);
  onnx::export_onnx(graph,
                    {.mapping = onnx::ExportMapping{.assignment = report_.mapping.assignment,
                                                    .numerics = report_.mapping.numerics}},
                    note("model.onnx"));
}

// "LAYER.weight.strum", the packed file of docs/strum.md, or "LAYER.weight" in integer codes, and
// "LAYER.weight.scale" [M] per output channel or [M, groups]; layers in floating formats as they
// are.
void QuantizeRun::write_packed_weights(const std::filesystem::path& file) const {
  const std::size_t count = report_.layers.size();
  std::vector<nn::NamedTensors> of_layers(count);
  std::vector<torch::Tensor> biases(count);
  at::parallel_for(
      0, static_cast<std::int64_t>(count), 1, [&](std::int64_t begin, std::int64_t end) {
        const torch::NoGradGuard no_grad;
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
          const QuantizedLayer& layer = report_.layers[i];
          const auto [weight, bias] = parameters(i);
          biases[i] = bias;
          plan::AffineCode code = nn::strum_base_code(weight);
          nn::NamedTensors& tensors = of_layers[i];
          const auto* strum = std::get_if<format::Strum>(&layer.format);
          const auto* integer = std::get_if<format::Integer>(&layer.format);
          if (strum != nullptr) {
            const std::vector<std::byte> bytes =
                format::write_packed(nn::strum_pack(weight, *strum));
            torch::Tensor packed =
                torch::empty({static_cast<std::int64_t>(bytes.size())}, torch::kUInt8);
            std::memcpy(packed.data_ptr(), bytes.data(), bytes.size());
            tensors.emplace_back(layer.name + ".weight.strum", packed);
          } else if (integer != nullptr) {
            code = nn::weight_code(weight, *integer, nn::RangeMethod::kMse);
            tensors.emplace_back(
                layer.name + ".weight",
                nn::quantize(weight, code).to(code.high <= 127 ? torch::kInt8 : torch::kInt16));
          } else {
            tensors.emplace_back(layer.name + ".weight", weight);
            continue;
          }
          const torch::Tensor scales = torch::tensor(code.scales);
          tensors.emplace_back(layer.name + ".weight.scale",
                               code.group > 0 ? scales.reshape({weight.size(0), -1}) : scales);
        }
      });
  nn::SafeTensors content;
  for (nn::NamedTensors& tensors : of_layers) {
    for (auto& tensor : tensors)
      content.tensors.push_back(std::move(tensor));
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (biases[i].defined())
      content.tensors.emplace_back(report_.layers[i].name + ".bias", biases[i]);
  }
  content.metadata["tessera.packed"] = "1";
  content.metadata["tessera.network.sha256"] = loaded_.file.sha256;
  nn::write_safetensors(file, content);
}

}  // namespace

Expected<QuantizeReport> quantize_network(const QuantizeSettings& settings) {
  return QuantizeRun(settings).run();
}

}  // namespace tessera::flow
