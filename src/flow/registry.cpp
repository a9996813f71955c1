// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/registry.h"

#include <fmt/format.h>

#include <algorithm>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/flow/baselines.h"
#include "tessera/search/nsga2.h"
#include "tessera/search/samplers.h"
#include "tessera/supernet/ask_tell.h"
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
          .mask_steps = s.mask_steps,
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

// As `tessera train` has it.
constexpr double kFloatWeightDecay = 5e-4;

std::unique_ptr<supernet::Strategy> make_mpaas(const StrategyInputs& inputs) {
  const MapSettings& s = inputs.settings;
  for (const hw::Unit& unit : inputs.model.platform().units) {
    if (std::holds_alternative<hw::ArrayUnit>(unit)) {
      throw UsageError(
          fmt::format("strategy mpaas: {} has the spatial unit '{}'; allowed: chips of "
                      "analog and digital units, since loop nests of changed networks "
                      "are not searched",
                      inputs.model.platform().name, hw::name(unit)));
    }
  }
  return std::make_unique<supernet::Mpaas>(supernet::MpaasOptions{
      .adapt = {.extra_tiles = s.extra_tiles, .extra_latency = s.extra_latency},
      .networks = s.networks,
      .calibration_images = s.calibration_images,
      .widened = {.steps = s.widened_steps,
                  .batch = s.batch,
                  .learning_rate = s.widened_rate,
                  .weight_decay = kFloatWeightDecay},
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

// Steps of the supernetwork of all widths; a budget in plain steps counts each of its models.
std::int64_t supernet_steps(const MapSettings& s) {
  return s.search_steps > 0 ? std::max<std::int64_t>(s.search_steps / s.supernet_models, 1)
                            : s.supernet_steps;
}

// Share of a search by ask and tell that training the supernetwork takes, in images passed forward.
double supernet_share(const MapSettings& s) {
  if (s.accuracy_by != "supernetwork")
    return 0;
  const double training = supernet_work(s);
  const double measuring = static_cast<double>(s.evaluations * s.selection_images);
  return training / (training + measuring);
}

using MakeSearcher =
    std::function<std::unique_ptr<search::Searcher>(const supernet::SearcherInputs&)>;

const std::vector<std::string> kWays = {"supernetwork", "calibrated", "short-training"};

supernet::MakeAccuracy accuracy_model(const MapSettings& s, const std::string& way) {
  nn::TrainingOptions training = training_options(s);
  if (way == "short-training") {
    training.steps = s.short_steps;
    return [options = supernet::ShortTrainingOptions{training, s.selection_images}](
               const supernet::Problem& problem) {
      return supernet::make_short_training(problem, options);
    };
  }
  if (way != "supernetwork" && way != "calibrated")
    throw UsageError("accuracy-by: " + unknown_name("way to measure", way, kWays));
  training.steps = way == "calibrated" ? 0 : supernet_steps(s);
  return [options = supernet::SharedWeightsOptions{.training = training,
                                                   .models = s.supernet_models,
                                                   .images = s.selection_images,
                                                   .file = s.supernet_file}](
             const supernet::Problem& problem) {
    return supernet::make_shared_weights(problem, options);
  };
}

supernet::RankComparison rank_comparison(const MapSettings& s) {
  supernet::RankComparison comparison{.mappings = s.compare_ways, .own_name = s.accuracy_by};
  for (const std::string& way : kWays) {
    if (way != s.accuracy_by)
      comparison.others.emplace_back(way, accuracy_model(s, way));
  }
  return comparison;
}

// What searches by ask and tell have in common.
supernet::AskTellOptions ask_tell_options(const MapSettings& s, MakeSearcher make_searcher) {
  return {.objectives = supernet::parse_objectives(s.objectives),
          .evaluations = s.evaluations,
          .make_searcher = std::move(make_searcher),
          .hessian = {.images = s.hessian_images, .probes = s.hessian_probes},
          .make_accuracy = accuracy_model(s, s.accuracy_by),
          .comparison = rank_comparison(s),
          .prepare_share = supernet_share(s),
          .fixed_ends = s.fixed_ends,
          .tie_shapes = s.tie_shapes};
}

search::Nsga2Options nsga2_options(const MapSettings& s) {
  if (s.population % 2 != 0)
    throw UsageError(fmt::format("population: found {}; allowed: an even number", s.population));
  search::Nsga2Options options{.population = s.population};
  if (s.operators == "klhufek") {
    options.operators = search::Nsga2Operators::kKlhufek2024;
  } else if (s.operators != "standard") {
    const std::vector<std::string> known = {"standard", "klhufek"};
    throw UsageError("operators: " + unknown_name("set of operators", s.operators, known));
  }
  return options;
}

MakeSearcher nsga2_searcher(const MapSettings& s) {
  return [options = nsga2_options(s)](const supernet::SearcherInputs& to) {
    search::Nsga2Options own = options;
    own.start = to.uniform;
    own.start.insert(own.start.end(), to.programs.begin(), to.programs.end());
    return std::make_unique<search::Nsga2>(to.space, own, to.rng);
  };
}

std::unique_ptr<supernet::Strategy> make_nsga2(const StrategyInputs& inputs) {
  const MapSettings& s = inputs.settings;
  supernet::AskTellOptions options = ask_tell_options(s, nsga2_searcher(s));
  options.programs = s.warm_programs;
  return std::make_unique<supernet::AskTell>(std::move(options));
}

std::unique_ptr<supernet::Strategy> make_two_step(const StrategyInputs& inputs) {
  const MapSettings& s = inputs.settings;
  supernet::AskTellOptions options = ask_tell_options(s, nsga2_searcher(s));
  options.searched = {supernet::Objective::kAccuracy, supernet::Objective::kMemory};
  return std::make_unique<supernet::AskTell>(std::move(options));
}

std::unique_ptr<supernet::Strategy> make_hawq(const StrategyInputs& inputs) {
  const MapSettings& s = inputs.settings;
  supernet::AskTellOptions options =
      ask_tell_options(s, [batch = s.population](const supernet::SearcherInputs& to) {
        return std::make_unique<search::ListSearch>(to.programs, batch);
      });
  options.programs = s.population;
  return std::make_unique<supernet::AskTell>(std::move(options));
}

std::unique_ptr<supernet::Strategy> make_random(const StrategyInputs& inputs) {
  const MapSettings& s = inputs.settings;
  return std::make_unique<supernet::AskTell>(
      ask_tell_options(s, [batch = s.population](const supernet::SearcherInputs& to) {
        return std::make_unique<search::RandomSearch>(to.space, batch, to.rng);
      }));
}

std::unique_ptr<supernet::Strategy> make_exhaustive(const StrategyInputs& inputs) {
  const MapSettings& s = inputs.settings;
  return std::make_unique<supernet::AskTell>(ask_tell_options(
      s, [batch = s.population, most = s.evaluations](const supernet::SearcherInputs& to) {
        return std::make_unique<search::ExhaustiveSearch>(to.space, batch, most);
      }));
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

std::int64_t widened_steps(const MapSettings& s) {
  // One alone is the widest; of several the first is the network as it is.
  return s.widened_steps * std::max<std::int64_t>(s.networks - 1, 1);
}

double supernet_work(const MapSettings& s) {
  // Forward and backward count as three and a bit, with the teacher's forward pass.
  return 3.5 * static_cast<double>(supernet_steps(s) * s.supernet_models * s.batch);
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
      {"nsga2", "evolution over all paths by ask and tell: a front of the `objectives`",
       SearchTraining::kSteps, make_nsga2, true},
      {"two-step", "the same by accuracy and memory, priced afterwards: a baseline for nsga2",
       SearchTraining::kSteps, make_two_step, true},
      {"hawq",
       "an exact integer program over Hessian sensitivities, for `population` energy budgets",
       SearchTraining::kSteps, make_hawq, true},
      {"random", "paths drawn at random: a baseline for nsga2", SearchTraining::kSteps, make_random,
       true},
      {"exhaustive", "every mapping, where there are at most `evaluations`", SearchTraining::kSteps,
       make_exhaustive, true},
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
