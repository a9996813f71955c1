// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/registry.h"

#include <algorithm>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/flow/baselines.h"
#include "tessera/supernet/fixed.h"
#include "tessera/supernet/harmonica.h"
#include "tessera/supernet/lionheart.h"
#include "tessera/supernet/mpaas.h"
#include "tessera/supernet/mps.h"
#include "tessera/supernet/odimo.h"
#include "tessera/supernet/uniform.h"

namespace tessera::flow {
namespace {

nn::TrainingOptions training_options(const MapSettings& s) {
  return {.optimizer = nn::Optimizer::kRelativeAdam,
          .batch = s.batch,
          .learning_rate = s.learning_rate,
          .weight_clip = s.weight_clip,
          .distillation = s.distillation};
}

std::int64_t search_steps(const StrategyInputs& inputs) {
  const MapSettings& s = inputs.settings;
  return s.search_steps > 0 ? s.search_steps
                            : (s.fair_steps + s.ramp_steps) * most_paths(inputs.space);
}

supernet::MpsOptions mps_options(const MapSettings& s, const supernet::TrainingEffects& effects) {
  return {.fair_steps = s.fair_steps,
          .sensitivity_images = s.selection_images,
          .ramp_steps = s.ramp_steps,
          .effects = effects,
          .training = training_options(s),
          .rounds = s.rounds,
          .samples_per_round = s.samples,
          .selection_images = s.selection_images,
          .selection_chips = s.selection_chips};
}

std::unique_ptr<supernet::Strategy> make_mpaas(const StrategyInputs& inputs) {
  const MapSettings& s = inputs.settings;
  return std::make_unique<supernet::Mpaas>(supernet::MpaasOptions{
      .adapt = {.extra_tiles = s.extra_tiles, .extra_latency = s.extra_latency},
      .networks = s.networks,
      .calibration_images = s.calibration_images,
      .mps = mps_options(s, {})});
}

// A supernetwork whose training leaves something out: the rows of the paper's ablation.
StrategyEntry mps(const std::string& variant, const std::string& summary,
                  const supernet::TrainingEffects& effects) {
  return {variant.empty() ? "mps" : "mps:" + variant, summary, SearchTraining::kFairSteps,
          [effects](const StrategyInputs& inputs) {
            return std::make_unique<supernet::Mps>(mps_options(inputs.settings, effects));
          }};
}

std::unique_ptr<supernet::Strategy> make_lionheart(const StrategyInputs& inputs) {
  const MapSettings& s = inputs.settings;
  return std::make_unique<supernet::Lionheart>(
      supernet::LionheartOptions{.threshold = s.lionheart_threshold,
                                 .patience = s.lionheart_patience,
                                 .steps = search_steps(inputs),
                                 .training = training_options(s)});
}

std::unique_ptr<supernet::Strategy> make_odimo(const StrategyInputs& inputs) {
  return std::make_unique<supernet::Odimo>(supernet::OdimoOptions{
      .steps = search_steps(inputs), .training = training_options(inputs.settings)});
}

std::unique_ptr<supernet::Strategy> make_harmonica(const StrategyInputs& inputs) {
  return std::make_unique<supernet::Harmonica>(supernet::HarmonicaOptions{
      .steps = search_steps(inputs), .training = training_options(inputs.settings)});
}

std::unique_ptr<supernet::Strategy> make_uniform(const StrategyInputs&) {
  return std::make_unique<supernet::Uniform>();
}

std::unique_ptr<supernet::Strategy> make_ends_digital(const StrategyInputs& inputs) {
  const auto assignment = ends_digital_assignment(inputs.model);
  if (!assignment) {
    throw UsageError("strategy fixed:ends-digital: " + inputs.model.platform().name +
                     " has no digital path for every layer");
  }
  return std::make_unique<supernet::Fixed>(*assignment);
}

StrategyEntry fixed(const std::string& format) {
  return {"fixed:" + format,
          format == "analog" ? "every layer that fits on tiles, others int8"
                             : "every layer in " + format,
          SearchTraining::kNone, [format](const StrategyInputs& inputs) {
            return std::make_unique<supernet::Fixed>(uniform_assignment(inputs.model, format));
          }};
}

}  // namespace

std::int64_t most_paths(const supernet::Space& space) {
  std::size_t most = 1;
  for (const auto& paths : space)
    most = std::max(most, paths.size());
  return static_cast<std::int64_t>(most);
}

const std::vector<StrategyEntry>& strategies() {
  using supernet::TrainingNoise;
  static const std::vector<StrategyEntry> entries = {
      mps("",
          "mixed-precision supernetwork: fair training, noise by sensitivity, rank-preserving "
          "selection",
          {}),
      mps("plain", "mps, its supernetwork trained in float32",
          {.quantisation = false, .noise = TrainingNoise::kNone}),
      mps("qat", "mps, its supernetwork trained with quantisation and without noise",
          {.noise = TrainingNoise::kNone}),
      mps("hwa", "mps, its supernetwork trained with quantisation and full noise from the start",
          {.noise = TrainingNoise::kFull}),
      mps("nshwa", "mps, its supernetwork trained with noise by sensitivity, unquantised",
          {.quantisation = false}),
      {"mpaas", "mps on networks widened to fill their tiles, and on the network as it is",
       SearchTraining::kFairSteps, make_mpaas},
      {"lionheart",
       "layers to tiles one by one, largest first, each trained and held to a threshold",
       SearchTraining::kSteps, make_lionheart},
      {"odimo", "each output channel's unit by a trained softmax, at four weights of the cost",
       SearchTraining::kSteps, make_odimo},
      {"harmonica", "the channels that bear noise worst on the digital unit, at four shares",
       SearchTraining::kSteps, make_harmonica},
      {"uniform", "one format for all layers, no training: each format in turn",
       SearchTraining::kNone, make_uniform},
      fixed("analog"),
      {"fixed:ends-digital", "analog but for the first and the last layer", SearchTraining::kNone,
       make_ends_digital},
      fixed("fp32"),
      fixed("fp16"),
      fixed("int8"),
      fixed("int4/a8"),
  };
  return entries;
}

const StrategyEntry& find_strategy(std::string_view name) {
  std::vector<std::string> names;
  for (const StrategyEntry& entry : strategies()) {
    if (entry.name == name)
      return entry;
    names.push_back(entry.name);
  }
  throw UsageError("strategy: " + unknown_name("strategy", name, names));
}

}  // namespace tessera::flow
