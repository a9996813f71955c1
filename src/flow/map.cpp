// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/map.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/hash.h"
#include "tessera/flow/baselines.h"
#include "tessera/flow/inputs.h"
#include "tessera/flow/version.h"
#include "tessera/hw/read_platform.h"
#include "tessera/nn/tensor/runtime.h"

#include "map_outputs.h"
#include "map_run.h"

namespace tessera::flow {
namespace {

nn::TrainingOptions training_options(const MapSettings& settings, std::int64_t steps, double rate) {
  return {.optimizer = nn::Optimizer::kRelativeAdam,
          .steps = steps,
          .batch = settings.batch,
          .learning_rate = rate,
          .weight_clip = settings.weight_clip,
          .mask_steps = settings.mask_steps,
          .distillation = settings.distillation};
}

}  // namespace

std::string MapRun::digest(const plan::Assignment& assignment, const AdaptedPtr& adapted) {
  Sha256 hash;
  hash.add(std::to_string(adapted ? adapted->number : 0));
  for (const plan::Path& path : assignment.paths)
    hash.add(plan::to_string(path) + "\n");
  return hash.hex();
}

double MapRun::train_work(std::int64_t steps) const {
  return static_cast<double>(steps * settings_.batch) * 4;  // forward, backward, teacher
}

double MapRun::front_work() const {
  return static_cast<double>(front_size()) * (train_work(settings_.tune_steps) + test_work());
}

double MapRun::search_work() const {
  if (asks_and_tells()) {
    return supernet_work(settings_) +
           static_cast<double>(settings_.evaluations * settings_.selection_images);
  }
  const std::int64_t paths = most_paths(inputs_.space);
  const double widened = settings_.strategy == "mpaas" ? train_work(widened_steps(settings_)) : 0;
  return widened +
         static_cast<double>((settings_.fair_steps + settings_.ramp_steps) * settings_.batch) *
             (3.5 * static_cast<double>(paths)) +
         static_cast<double>(settings_.rounds * settings_.samples * settings_.selection_images *
                             settings_.selection_chips);
}

double MapRun::validation_work() const {
  return static_cast<double>(validation().size() * settings_.chips);
}

double MapRun::test_work() const {
  return static_cast<double>(test().size() * settings_.test_chips) *
         static_cast<double>(parse_times(settings_.test_times).size());
}

std::int64_t MapRun::baseline_steps() const {
  return settings_.baseline_steps > 0
             ? settings_.baseline_steps
             : settings_.fair_steps + settings_.ramp_steps + settings_.tune_steps;
}

double MapRun::trained_baselines_work() const {
  if (!settings_.trained_baselines)
    return 0;
  const double uniform = static_cast<double>(uniform_assignments().size());
  return uniform * (train_work(settings_.tune_steps) + validation_work() + test_work()) +
         (has_analog_unit(inputs_.platform) ? 2 * train_work(baseline_steps()) : 0);
}

double MapRun::total_work() const {
  return 7 * validation_work() + search_work() + front_work() + train_work(settings_.tune_steps) +
         test_work() + trained_baselines_work();
}

nn::Split MapRun::validation() const {
  return nn::take(inputs_.data.validation, settings_.validation_images);
}

nn::ChipPlan MapRun::search_chips() const {
  return {.chips = settings_.chips, .seconds = {settings_.drift_ns / 1e9}};
}

const cost::TiledModel& MapRun::model_of(const AdaptedPtr& adapted) const {
  return adapted ? adapted->model : inputs_.model;
}

const std::vector<nn::RangeObserver>& MapRun::ranges_of(const AdaptedPtr& adapted) const {
  return adapted ? adapted->ranges : ranges_;
}

nn::Network MapRun::start_of(const AdaptedPtr& adapted) const {
  return adapted ? nn::Network(adapted->start, inputs_.device) : network_.clone();
}

void MapRun::start_record(const MapContext& context) {
  record_.command = context.command;
  record_.tessera_version = version();
  const nn::RuntimeRecord runtime = nn::runtime_record(inputs_.device);
  record_.environment = {{"compiler", compiler_name()},
                         {"libtorch", runtime.torch_version},
                         {"cpu_capability", runtime.cpu_capability},
                         {"threads", std::to_string(runtime.threads)},
                         {"device", runtime.device}};
  record_.network_file = inputs_.network.file.file;
  record_.network_sha256 = inputs_.network.file.sha256;
  record_.platform_name = inputs_.platform.name;
  record_.platform_sha256 = inputs_.platform.sha256;
  record_.platform_summary = inputs_.platform.summary;
  record_.data = inputs_.data.spec;
  record_.preprocessing = describe(inputs_.preprocessing);
  record_.settings = settings_by_key(settings_);
  record_.status = "running";
  record_.workload = inputs_.model.workload();
  for (const hw::Provenance& row : hw::provenance(inputs_.platform)) {
    record_.constants.push_back(
        {.path = row.path, .value = row.value, .source = row.source, .plus_minus = row.plus_minus});
  }
}

void MapRun::add_candidate(const std::string& label, const std::string& kind,
                           const plan::Assignment& assignment, const plan::Cost& cost,
                           std::vector<plan::Accuracy> accuracy) {
  record_.candidates.push_back({.label = label,
                                .kind = kind,
                                .assignment = assignment,
                                .totals = cost.totals,
                                .accuracy = std::move(accuracy),
                                .levels = plan::level_energies(cost)});
}

nn::MappedNetwork MapRun::train_mapping(const std::string& name, nn::MappedNetwork mapped,
                                        const AdaptedPtr& adapted, std::int64_t steps, double rate,
                                        const std::string& phase, double work) {
  progress_.start_phase(phase, work);
  // A widened network that was not trained further teaches what the narrow one does, only slower.
  std::optional<nn::Network> widened;
  if (adapted && adapted->is_trained)
    widened.emplace(start_of(adapted));
  if (settings_.learned_steps)
    mapped.learn_steps();
  const Rng rng = rng_.split(name);
  nn::Trainer trainer(mapped.trained(), inputs_.data, inputs_.preprocessing,
                      training_options(settings_, steps, rate), rng.split("data"),
                      widened ? &*widened : &network_);
  const std::string mapping = digest(mapped.assignment(), adapted);
  nlohmann::json losses = nlohmann::json::array();  // [step, loss], kept with the state
  if (const auto checkpoint = folder_.load(name)) {
    const auto kept = nlohmann::json::parse(checkpoint->json);
    if (kept.at("mapping") == mapping) {
      trainer.restore(checkpoint->tensors);
      losses = kept.at("losses");
    }
  }
  const auto save = [&](const nn::Trainer& now) {
    const nlohmann::json json = {{"mapping", mapping}, {"losses", losses}};
    folder_.save(name, {.tensors = now.state(), .json = json.dump()});
    clock_.keep();
  };
  Clock::time_point last_save = Clock::now();
  mapped.train(trainer, rng, [&](const nn::Trainer& now, const torch::Tensor& loss) {
    if (now.steps_done() > 0 && now.steps_done() % 20 == 0 && loss.defined()) {
      losses.push_back({now.steps_done(), nn::checked_loss(now, loss)});
    }
    progress_.update(static_cast<double>(now.steps_done()) /
                     static_cast<double>(std::max<std::int64_t>(steps, 1)));
    if (seconds_since(last_save) > 10) {
      save(now);
      last_save = Clock::now();
    }
    return keep_going();
  });
  save(trainer);
  for (const auto& row : losses)
    record_.trace.push_back({name, row.at(0), "loss", row.at(1)});
  return mapped;
}

void MapRun::tune_chosen() {
  chosen_network_ = train_mapping(
      "tune", std::move(*chosen_network_), chosen_adapted_, settings_.tune_steps,
      settings_.tune_rate, "fine-tuning of the chosen mapping", train_work(settings_.tune_steps));
}

void MapRun::measure_chosen() {
  progress_.start_phase("chosen mapping on the test set", test_work() + validation_work());
  const std::string label = "chosen " + digest(*chosen_, chosen_adapted_);
  std::vector<plan::Accuracy> accuracy = measurements_.once(label + " validation", [&] {
    return chosen_network_->measure(validation(), inputs_.preprocessing, search_chips(),
                                    rng_.split("evaluation"));
  });
  for (const plan::Accuracy& row : measurements_.once(label + " test", [&] {
         return chosen_network_->measure(
             test(), inputs_.preprocessing,
             {.chips = settings_.test_chips, .seconds = parse_times(settings_.test_times)},
             rng_.split("test"), [&](double done) { progress_.update(done); });
       })) {
    accuracy.push_back(row);
  }
  const auto cost = model_of(chosen_adapted_).evaluate(*chosen_);
  TESSERA_CHECK(cost.has_value(), "the chosen mapping does not fit: {}", cost.error().detail);
  add_candidate("chosen", "chosen", *chosen_, *cost, accuracy);
  record_.alternatives =
      find_alternatives(model_of(chosen_adapted_),
                        chosen_adapted_ ? chosen_adapted_->space : inputs_.space, *chosen_);
  write(*chosen_network_, chosen_adapted_, "done", std::move(accuracy));
}

plan::Mapping MapRun::mapping_of(const nn::MappedNetwork& mapped, const AdaptedPtr& adapted,
                                 std::vector<plan::Accuracy> accuracy) const {
  const cost::TiledModel& model = model_of(adapted);
  const auto cost = model.evaluate(mapped.assignment());
  TESSERA_CHECK(cost.has_value(), "a mapping to write does not fit: {}", cost.error().detail);
  plan::Mapping mapping;
  mapping.network = adapted ? write_adapted(folder_.path(), *adapted, inputs_.preprocessing)
                            : inputs_.network.file;
  mapping.platform = {.name = inputs_.platform.name, .sha256 = inputs_.platform.sha256};
  mapping.assignment = mapped.assignment();
  mapping.workload = model.workload();
  mapping.cost = *cost;
  mapping.accuracy = std::move(accuracy);
  mapping.numerics = mapped.numerics();
  mapping.search.strategy = settings_.strategy;
  mapping.search.seed = settings_.seed;
  if (solution_) {
    mapping.search.evaluations = solution_->evaluations;
    mapping.search.training_samples = solution_->training_samples;
  }
  mapping.seconds = seconds_since(start_);
  return mapping;
}

void MapRun::write(const nn::MappedNetwork& mapped, const AdaptedPtr& adapted,
                   const std::string& status, std::vector<plan::Accuracy> accuracy) {
  record_.chosen = mapping_of(mapped, adapted, std::move(accuracy));
  record_.workload = record_.chosen.workload;
  record_.chosen.weights =
      status == "done" ? std::string(kFinalWeights) : free_weights_name(folder_.path());
  record_.status = status;
  record_.timing["seconds"] = record_.chosen.seconds;
  write_outputs(folder_.path(), record_, mapped, inputs_.preprocessing);
}

std::optional<plan::RunRecord> MapRun::finished_record() const {
  const std::filesystem::path path = folder_.path() / "run.json";
  if (!std::filesystem::exists(path))
    return std::nullopt;
  plan::RunRecord record = plan::read_run_record(path);
  return record.status == "done" ? std::optional(std::move(record)) : std::nullopt;
}

Expected<plan::RunRecord> MapRun::run() {
  if (auto finished = finished_record())
    return std::move(*finished);
  write_atomic(folder_.path() / "resolved.yaml", resolved_yaml(settings_));
  ranges_ = nn::observe_ranges(network_, inputs_.data, inputs_.preprocessing,
                               settings_.calibration_images);
  const auto timed = [&](const std::string& name, const auto& stage) {
    clock_.start(name);
    stage();
    clock_.stop();
    record_.timing[name + "_seconds"] = clock_.seconds(name);
  };
  timed("baselines", [&] { post_training_baselines(); });
  timed("search", [&] { search(); });
  if (front_size() > 0)
    timed("front", [&] { train_front(); });
  choose();
  if (!infeasible_) {
    if (keep_going() && trained_front_.empty())
      timed("tune", [&] { tune_chosen(); });
    if (settings_.trained_baselines)
      timed("trained_baselines", [&] { trained_baselines(); });
    if (keep_going()) {
      timed("test", [&] { measure_chosen(); });
    }
  }
  progress_.finish();
  if (keep_going() && !infeasible_)
    return record_;
  if (infeasible_ && keep_going()) {
    record_.status = "infeasible";
    record_.notes.push_back("No mapping keeps the limits. " + infeasible_->detail);
    write_record(folder_.path(), record_);
    return tl::unexpected(*infeasible_);
  }
  record_.status = "interrupted";
  record_.notes.push_back(
      "The run was interrupted; the mapping is the best so far, without its final training.");
  write_record(folder_.path(), record_);
  return record_;
}

void check_map(const MapSettings& settings, const MapContext& context) {
  load_inputs(settings, context);
}

Expected<plan::RunRecord> map_network(const MapSettings& settings, const MapContext& context) {
  return MapRun(settings, context, load_inputs(settings, context)).run();
}

}  // namespace tessera::flow
