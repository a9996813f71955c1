// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <set>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/log.h"
#include "tessera/flow/baselines.h"
#include "tessera/flow/run_folder.h"
#include "tessera/flow/version.h"
#include "tessera/nn/tensor/runtime.h"
#include "tessera/nn/train/evaluate.h"
#include "tessera/report/comparison.h"

#include "map_inputs.h"

namespace tessera::flow {
namespace {

// "fixed:int4/a8" → "fixed_int4_a8", a folder's name.
std::string folder_name(const std::string& strategy) {
  std::string name = strategy;
  std::replace_if(
      name.begin(), name.end(),
      [](unsigned char c) { return !std::isalnum(c) && c != '-' && c != '.'; }, '_');
  return name;
}

void check_settings(const CompareSettings& settings) {
  if (settings.strategies.empty())
    throw UsageError("strategies: found none; allowed: names of `tessera list strategies`");
  std::set<std::string> seen;
  for (const std::string& name : settings.strategies) {
    find_strategy(name);
    if (!seen.insert(name).second)
      throw UsageError(fmt::format("strategies: '{}' stands twice", name));
  }
}

// What nobody needs a search for: the highest energy, latency and digital weights of a network in
// one format, and an accuracy too far below the float network's.
plan::HypervolumeReference reference_of(const MapInputs& inputs, const MapSettings& settings,
                                        double drop) {
  const nn::Network network(inputs.network.graph, inputs.device);
  nn::FloatRunner runner;
  const torch::NoGradGuard no_grad;
  const double accuracy =
      nn::accuracy(network, runner, nn::take(inputs.data.validation, settings.validation_images),
                   inputs.preprocessing);
  plan::HypervolumeReference reference{.accuracy = accuracy - drop};
  std::vector<std::string> formats;
  for (const format::NumberFormat& format : digital_formats(inputs.platform))
    formats.push_back(format::to_string(format));
  if (has_analog_unit(inputs.platform))
    formats.emplace_back("analog");
  for (const std::string& format : formats) {
    const auto cost = inputs.model.evaluate(uniform_assignment(inputs.model, format));
    if (!cost)
      continue;
    const plan::Totals& t = cost->totals;
    reference.energy_pj = std::max(reference.energy_pj, t.energy_pj);
    reference.latency_ns = std::max(reference.latency_ns, t.latency_ns);
    reference.digital_weight_bytes =
        std::max(reference.digital_weight_bytes, static_cast<double>(t.digital_weight_bytes));
  }
  if (reference.energy_pj <= 0 || reference.digital_weight_bytes <= 0) {
    throw UnsupportedError(
        fmt::format("hardware {}: no digital format holds the whole network, to compare costs with",
                    inputs.platform.name));
  }
  return reference;
}

// `widened`: images of the budget that float training takes before the search.
void check_budget(const MapSettings& settings, std::int64_t paths, std::int64_t budget,
                  std::int64_t widened) {
  const std::int64_t least = widened + settings.batch * paths;
  if (budget >= least)
    return;
  throw UsageError(fmt::format(
      "budget: found {} images; allowed: at least {}, one step of {} images on {} paths{}", budget,
      least, settings.batch, paths, widened > 0 ? " after --widened-steps" : ""));
}

MapSettings run_settings(const CompareSettings& settings, const std::string& strategy,
                         std::uint64_t seed, std::int64_t paths, std::int64_t budget) {
  const std::int64_t widened =
      strategy == "mpaas" ? widened_steps(settings.map) * settings.map.batch : 0;
  check_budget(settings.map, paths, budget, widened);
  MapSettings map =
      with_budget(settings.map, find_strategy(strategy).training, paths, budget - widened);
  map.strategy = strategy;
  map.seed = seed;
  // Those are strategies of their own here.
  map.trained_baselines = false;
  map.front_size = 0;
  return map;
}

std::int64_t budget_or_default(const CompareSettings& settings, std::int64_t paths) {
  const std::int64_t budget =
      settings.budget_samples > 0 ? settings.budget_samples : budget_of(settings.map, paths);
  check_budget(settings.map, paths, budget, 0);
  return budget;
}

// The files that say what stands in a comparison.
void write_comparison(const std::filesystem::path& folder, const plan::Comparison& comparison) {
  write_atomic(folder / "compare.csv", report::comparison_csv(comparison));
  write_atomic(folder / "summary.csv", report::comparison_summary_csv(comparison));
  write_atomic(folder / "compare.json", plan::to_json(comparison).dump(1) + "\n");
  write_atomic(folder / "compare.html", report::comparison_html(comparison));
}

std::map<std::string, std::string> environment_of(const MapInputs& inputs) {
  const nn::RuntimeRecord runtime = nn::runtime_record(inputs.device);
  return {{"compiler", compiler_name()},
          {"libtorch", runtime.torch_version},
          {"cpu_capability", runtime.cpu_capability},
          {"threads", std::to_string(runtime.threads)},
          {"device", runtime.device}};
}

}  // namespace

std::int64_t budget_of(const MapSettings& settings, std::int64_t paths) {
  return settings.batch *
         ((settings.fair_steps + settings.ramp_steps) * paths + settings.tune_steps);
}

MapSettings with_budget(const MapSettings& settings, SearchTraining training, std::int64_t paths,
                        std::int64_t budget_samples) {
  const std::int64_t total = budget_samples / settings.batch;
  const std::int64_t planned = budget_of(settings, paths) / settings.batch;
  TESSERA_CHECK(planned > 0, "settings without any training step");
  const auto share = [&](std::int64_t steps) { return steps * total / planned; };
  MapSettings result = settings;
  result.fair_steps = share(settings.fair_steps);
  result.ramp_steps = share(settings.ramp_steps);
  // What is left over in the shares goes to the last training, or without one to the second phase.
  if (settings.tune_steps == 0)
    result.ramp_steps = total / paths - result.fair_steps;
  const std::int64_t fair_total = (result.fair_steps + result.ramp_steps) * paths;
  result.tune_steps = settings.tune_steps > 0 ? total - fair_total : 0;
  if (training == SearchTraining::kSteps)
    result.search_steps = fair_total;
  if (training == SearchTraining::kNone)
    result.tune_steps = total;
  return result;
}

std::vector<MapSettings> check_compare(const CompareSettings& settings, const MapContext& context) {
  check_settings(settings);
  std::vector<MapSettings> all;
  for (const std::string& strategy : settings.strategies) {
    MapSettings map = settings.map;
    map.strategy = strategy;
    const MapInputs inputs = load_inputs(map, context);
    const std::int64_t paths = most_paths(inputs.space);
    all.push_back(run_settings(settings, strategy, settings.map.seed, paths,
                               budget_or_default(settings, paths)));
  }
  return all;
}

plan::Comparison compare(const CompareSettings& settings, const MapContext& context) {
  check_settings(settings);
  const MapInputs inputs = load_inputs(settings.map, context);
  const std::int64_t paths = most_paths(inputs.space);
  plan::Comparison comparison{
      .command = context.command,
      .tessera_version = version(),
      .environment = environment_of(inputs),
      .network = inputs.network.file.file,
      .platform = inputs.platform.name,
      .data = inputs.data.spec,
      .budget_samples = budget_or_default(settings, paths),
      .t_eval_s = settings.map.drift_ns / 1e9,
      .reference = reference_of(inputs, settings.map, settings.reference_drop)};
  for (std::int64_t k = 0; k < settings.seeds; ++k) {
    for (const std::string& strategy : settings.strategies) {
      const std::uint64_t seed = settings.map.seed + static_cast<std::uint64_t>(k);
      const MapSettings map =
          run_settings(settings, strategy, seed, paths, comparison.budget_samples);
      const std::string folder = fmt::format("{}/seed-{}", folder_name(strategy), seed);
      MapContext run_context = context;
      run_context.out = context.out / folder;
      log_info(fmt::format("{}, seed {}", strategy, seed));
      map_network(map, run_context);
      plan::ComparedRun run =
          plan::compared_run(plan::read_run_record(run_context.out / "run.json"),
                             comparison.t_eval_s, comparison.reference);
      run.strategy = strategy;
      run.seed = seed;
      run.folder = folder;
      run.training_samples = run.search_samples;
      if (plan::chosen_mapping(run) != nullptr)
        run.training_samples += map.tune_steps * map.batch;
      comparison.runs.push_back(std::move(run));
      write_comparison(context.out, comparison);
      if (interrupted())
        return comparison;
    }
  }
  return comparison;
}

}  // namespace tessera::flow
