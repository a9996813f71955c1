// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/map.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include <torch/autograd.h>
#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/progress.h"
#include "tessera/core/units.h"
#include "tessera/flow/baselines.h"
#include "tessera/flow/inputs.h"
#include "tessera/flow/registry.h"
#include "tessera/flow/run_folder.h"
#include "tessera/flow/version.h"
#include "tessera/hw/read_platform.h"
#include "tessera/nn/tensor/runtime.h"

#include "map_inputs.h"
#include "map_outputs.h"
#include "measurements.h"
#include "stage_clock.h"

namespace tessera::flow {
namespace {

using Clock = std::chrono::steady_clock;
using format::NumberFormat;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool is_analog(const NumberFormat& f) {
  return std::holds_alternative<format::Analog>(f);
}

auto is_format(NumberFormat wanted) {
  return [wanted = std::move(wanted)](const NumberFormat& f) { return f == wanted; };
}

supernet::Limits limits_of(const MapSettings& s) {
  const auto limit = [](double value) { return value > 0 ? std::optional(value) : std::nullopt; };
  return {.min_accuracy = limit(s.min_accuracy),
          .max_energy_pj = limit(s.max_energy_pj),
          .max_latency_ns = limit(s.max_latency_ns),
          .min_analog_mac_ratio = limit(s.min_analog_macs)};
}

nn::TrainingOptions training_options(const MapSettings& settings, std::int64_t steps, double rate) {
  return {.optimizer = nn::Optimizer::kRelativeAdam,
          .steps = steps,
          .batch = settings.batch,
          .learning_rate = rate,
          .weight_clip = settings.weight_clip,
          .mask_steps = settings.mask_steps,
          .distillation = settings.distillation};
}

class MapRun {
 public:
  MapRun(const MapSettings& settings, const MapContext& context, MapInputs inputs)
      : settings_(settings),
        inputs_(std::move(inputs)),
        folder_(context.out, fingerprint(settings, inputs_)),
        measurements_(folder_),
        clock_(folder_),
        network_(inputs_.network.graph, inputs_.device),
        rng_(settings.seed),
        progress_(total_work()),
        start_(Clock::now()) {
    start_record(context);
  }

  Expected<plan::RunRecord> run();

 private:
  class StrategyObserver;
  // A network that the strategy made from the one that came; null: that one itself.
  using AdaptedPtr = std::shared_ptr<const supernet::Adapted>;

  // ---- Work, in images passed forward through the network; a backward pass counts as two. ----
  double train_work(std::int64_t steps) const {
    return static_cast<double>(steps * settings_.batch) * 4;  // forward, backward, teacher
  }
  bool asks_and_tells() const { return find_strategy(settings_.strategy).asks_and_tells; }
  // Members of the front to train.
  std::int64_t front_size() const { return asks_and_tells() ? settings_.front_size : 0; }
  double front_work() const {
    return static_cast<double>(front_size()) * (train_work(settings_.tune_steps) + test_work());
  }
  double search_work() const {
    if (asks_and_tells()) {
      return supernet_work(settings_) +
             static_cast<double>(settings_.evaluations * settings_.selection_images);
    }
    const std::int64_t paths = most_paths(inputs_.space);
    return static_cast<double>((settings_.fair_steps + settings_.ramp_steps) * settings_.batch) *
               (3.5 * static_cast<double>(paths)) +
           static_cast<double>(settings_.rounds * settings_.samples * settings_.selection_images *
                               settings_.selection_chips);
  }
  double validation_work() const {
    return static_cast<double>(validation().size() * settings_.chips);
  }
  double test_work() const {
    return static_cast<double>(test().size() * settings_.test_chips) *
           static_cast<double>(parse_times(settings_.test_times).size());
  }
  std::int64_t baseline_steps() const {
    return settings_.baseline_steps > 0
               ? settings_.baseline_steps
               : settings_.fair_steps + settings_.ramp_steps + settings_.tune_steps;
  }
  double trained_baselines_work() const {
    if (!settings_.trained_baselines)
      return 0;
    const double uniform = static_cast<double>(uniform_assignments().size());
    return uniform * (train_work(settings_.tune_steps) + validation_work() + test_work()) +
           (has_analog_unit(inputs_.platform) ? 2 * train_work(baseline_steps()) : 0);
  }
  double total_work() const {
    return 7 * validation_work() + search_work() + front_work() + train_work(settings_.tune_steps) +
           test_work() + trained_baselines_work();
  }

  nn::Split validation() const {
    return nn::take(inputs_.data.validation, settings_.validation_images);
  }
  nn::Split test() const { return nn::take(inputs_.data.test, settings_.test_images); }
  nn::ChipPlan search_chips() const {
    return {.chips = settings_.chips, .seconds = {settings_.drift_ns / 1e9}};
  }
  bool keep_going() const { return !interrupted(); }

  const cost::TiledModel& model_of(const AdaptedPtr& adapted) const {
    return adapted ? adapted->model : inputs_.model;
  }
  const std::vector<nn::RangeObserver>& ranges_of(const AdaptedPtr& adapted) const {
    return adapted ? adapted->ranges : ranges_;
  }
  // Before any training of this run.
  nn::Network start_of(const AdaptedPtr& adapted) const {
    return adapted ? nn::Network(adapted->start, inputs_.device) : network_.clone();
  }

  void start_record(const MapContext& context);
  // What the folder holds when this run has ended before.
  std::optional<plan::RunRecord> finished_record() const;
  void add_candidate(const std::string& label, const std::string& kind,
                     const plan::Assignment& assignment, const plan::Cost& cost,
                     std::vector<plan::Accuracy> accuracy);

  // None, with a note in the record, when the mapping does not fit.
  std::optional<plan::Cost> baseline_cost(const std::string& label,
                                          const plan::Assignment& assignment);
  // Measures and records a baseline, on the test set too where asked for.
  void add_baseline(const std::string& label, const nn::MappedNetwork& mapped,
                    const plan::Cost& cost, bool on_test);
  void post_training_baselines();
  void search();
  void train_front();
  nn::MappedNetwork network_of(std::size_t index) const;
  void choose();
  void tune_chosen();
  // One integer width everywhere, of those that a search by ask and tell chooses from; by label.
  std::vector<std::pair<std::string, plan::Assignment>> uniform_assignments() const;
  void trained_baselines();
  void analog_baselines();
  void widened_baseline();
  void measure_chosen();
  nn::MappedNetwork train_mapping(const std::string& name, nn::MappedNetwork mapped,
                                  std::int64_t steps, double rate, const std::string& phase,
                                  double work);
  plan::Mapping mapping_of(const nn::MappedNetwork& mapped, const AdaptedPtr& adapted,
                           std::vector<plan::Accuracy> accuracy) const;
  void write(const nn::MappedNetwork& mapped, const AdaptedPtr& adapted, const std::string& status,
             std::vector<plan::Accuracy> accuracy);

  const MapSettings settings_;
  MapInputs inputs_;
  RunFolder folder_;
  Measurements measurements_;
  StageClock clock_;
  nn::Network network_;  // the trained float network
  Rng rng_;
  Progress progress_;
  Clock::time_point start_;
  std::vector<nn::RangeObserver> ranges_;
  plan::RunRecord record_;
  std::optional<supernet::Solution> solution_;
  std::vector<nn::MappedNetwork> trained_front_;  // of the solution's front, when it was trained
  std::optional<plan::Assignment> chosen_;
  AdaptedPtr chosen_adapted_;
  std::optional<nn::MappedNetwork> chosen_network_;
  std::optional<Infeasible> infeasible_;
};

// Lets a strategy report, save and stop.
class MapRun::StrategyObserver final : public supernet::Observer {
 public:
  explicit StrategyObserver(MapRun& run) : run_(run) {}

  bool keep_going() override {
    if (run_.settings_.max_minutes > 0 &&
        seconds_since(run_.start_) > 60 * run_.settings_.max_minutes) {
      if (!out_of_time_) {
        run_.record_.notes.push_back(fmt::format(
            "The search ended at its limit of {} min; a wall-time limit is not reproducible.",
            run_.settings_.max_minutes));
      }
      out_of_time_ = true;
    }
    return !out_of_time_ && run_.keep_going();
  }
  bool interrupted() override { return !run_.keep_going(); }
  void progress(double fraction, const std::string& phase) override {
    if (phase != phase_) {
      // One weight for the whole search: its phases share it by fraction.
      phase_ = phase;
      run_.progress_.rename_phase(phase);
    }
    run_.progress_.update(fraction);
  }
  void trace(const plan::TracePoint& point) override { run_.record_.trace.push_back(point); }
  void found(const std::vector<supernet::Evaluated>& best, const nn::Network& network,
             const nn::TensorMap& kernel_state) override {
    const auto index = supernet::choose(limits_of(run_.settings_), best);
    if (!index)
      return;
    const supernet::Evaluated& chosen = best[*index];
    run_.progress_.set_note(
        fmt::format("best {:.2f} % at {}", 100 * chosen.accuracy.mean,
                    format_quantity(chosen.totals.energy_pj, Dimension::kEnergy)));
    nn::MappedNetwork mapped(network, supernet::assignment_of(run_.inputs_.space, chosen),
                             run_.inputs_.platform, run_.ranges_of(chosen.adapted));
    mapped.load_kernel_state(kernel_state);
    run_.write(mapped, chosen.adapted, "running", {chosen.accuracy});
    if (run_.asks_and_tells())
      write_front(run_.folder_.path(), run_.inputs_.space, best);
  }
  bool checkpoint_due() override {
    if (seconds_since(last_save_) < kSecondsBetweenCheckpoints)
      return false;
    last_save_ = Clock::now();
    return true;
  }
  void save(std::string_view name, const supernet::Checkpoint& checkpoint) override {
    run_.folder_.save(name, checkpoint);
    run_.clock_.keep();
  }
  std::optional<supernet::Checkpoint> load(std::string_view name) override {
    return run_.folder_.load(name);
  }

 private:
  static constexpr double kSecondsBetweenCheckpoints = 10;
  MapRun& run_;
  std::string phase_;
  Clock::time_point last_save_ = Clock::now();
  bool out_of_time_ = false;
};

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

std::optional<plan::Cost> MapRun::baseline_cost(const std::string& label,
                                                const plan::Assignment& assignment) {
  auto cost = inputs_.model.evaluate(assignment);
  if (cost)
    return std::move(*cost);
  record_.notes.push_back(
      fmt::format("Baseline '{}' does not fit: {}", label, cost.error().detail));
  return std::nullopt;
}

void MapRun::add_baseline(const std::string& label, const nn::MappedNetwork& mapped,
                          const plan::Cost& cost, bool on_test) {
  std::vector<plan::Accuracy> accuracy = measurements_.once("baseline " + label, [&] {
    return mapped.measure(validation(), inputs_.preprocessing, search_chips(),
                          rng_.split("evaluation"));
  });
  if (on_test) {
    for (plan::Accuracy& row : measurements_.once("baseline test " + label, [&] {
           return mapped.measure(test(), inputs_.preprocessing,
                                 {.chips = settings_.test_chips, .seconds = search_chips().seconds},
                                 rng_.split("test"));
         })) {
      accuracy.push_back(std::move(row));
    }
  }
  add_candidate(label, "baseline", mapped.assignment(), cost, std::move(accuracy));
}

void MapRun::post_training_baselines() {
  progress_.start_phase("baselines without training", 5 * validation_work());
  const auto run_baseline = [&](const std::string& label, const auto& wanted,
                                const auto& otherwise) {
    if (!keep_going())
      return;
    const auto assignment = assign(inputs_.model, wanted, otherwise);
    if (!assignment)
      return;  // the platform does not offer this format
    const auto cost = baseline_cost(label, *assignment);
    if (!cost)
      return;
    add_baseline(label, nn::MappedNetwork(network_, *assignment, inputs_.platform, ranges_), *cost,
                 settings_.test_baselines || label == "fp32");
  };
  const auto never = [](const NumberFormat&) { return false; };
  for (const NumberFormat& format : digital_formats(inputs_.platform)) {
    run_baseline(format::to_string(format), is_format(format), never);
  }
  if (has_analog_unit(inputs_.platform))
    run_baseline("analog, untrained", is_analog, fallback_digital(inputs_.platform));
}

void MapRun::search() {
  progress_.start_phase("search", search_work());
  const supernet::Problem problem{
      .network = network_,
      .model = inputs_.model,
      .data = inputs_.data,
      .preprocessing = inputs_.preprocessing,
      .ranges = ranges_,
      .space = inputs_.space,
      .limits = limits_of(settings_),
      .evaluation = {.images = settings_.validation_images, .chips = search_chips()},
      .rng = rng_.split("search")};
  StrategyObserver observer(*this);
  const StrategyInputs strategy_inputs{
      .settings = settings_, .model = inputs_.model, .space = inputs_.space};
  solution_ = find_strategy(settings_.strategy).make(strategy_inputs)->run(problem, observer);
  record_.sensitivity = solution_->sensitivity;
  record_.notes.insert(record_.notes.end(), solution_->notes.begin(), solution_->notes.end());
  if (front_size() > 0)
    return;  // train_front() lists them
  int number = 0;
  for (const supernet::Evaluated& member : solution_->front) {
    const plan::Assignment assignment = supernet::assignment_of(inputs_.space, member);
    const auto cost = model_of(member.adapted).evaluate(assignment);
    TESSERA_CHECK(cost.has_value(), "a member of the front does not fit: {}", cost.error().detail);
    add_candidate(fmt::format("front {}", ++number), "front", assignment, *cost, {member.accuracy});
  }
}

// Members spread over the front, each trained like the chosen mapping and measured anew: shared
// weights rank mappings, they do not say how accurate one can become.
void MapRun::train_front() {
  std::vector<supernet::Evaluated> members;
  const std::size_t found = solution_->front.size();
  const std::size_t count = std::min(found, static_cast<std::size_t>(front_size()));
  for (std::size_t k = 0; k < count && keep_going(); ++k) {
    const std::size_t index = count == 1 ? 0 : k * (found - 1) / (count - 1);
    supernet::Evaluated member = solution_->front[index];
    const std::string name = fmt::format("front {}", k + 1);
    nn::MappedNetwork mapped = network_of(index);
    mapped = train_mapping(fmt::format("front-{}", k + 1), std::move(mapped), settings_.tune_steps,
                           settings_.tune_rate, "training of " + name,
                           train_work(settings_.tune_steps) + test_work());
    if (!keep_going())
      break;
    std::vector<plan::Accuracy> accuracy = measurements_.once(name + " validation", [&] {
      return mapped.measure(validation(), inputs_.preprocessing, search_chips(),
                            rng_.split("evaluation"));
    });
    member.accuracy = accuracy.front();
    for (plan::Accuracy& row : measurements_.once(name + " test", [&] {
           return mapped.measure(test(), inputs_.preprocessing,
                                 {.chips = settings_.test_chips, .seconds = search_chips().seconds},
                                 rng_.split("test"));
         })) {
      accuracy.push_back(std::move(row));
    }
    plan::Mapping mapping = mapping_of(mapped, nullptr, accuracy);
    mapping.weights = kFinalWeights;
    write_mapping(folder_.path() / "front" / std::to_string(k + 1), mapping, mapped,
                  inputs_.preprocessing);
    add_candidate(name, "front", mapped.assignment(), mapping.cost, std::move(accuracy));
    members.push_back(std::move(member));
    trained_front_.push_back(std::move(mapped));
  }
  if (keep_going())
    solution_->front = std::move(members);
}

void MapRun::choose() {
  const auto index = supernet::choose(limits_of(settings_), solution_->front);
  if (!index) {
    infeasible_ = index.error();
    return;
  }
  chosen_ = supernet::assignment_of(inputs_.space, solution_->front[*index]);
  chosen_adapted_ = solution_->front[*index].adapted;
  if (!trained_front_.empty() && keep_going())
    chosen_network_ = std::move(trained_front_[*index]);
  else
    chosen_network_ = network_of(*index);
}

// A member of the solution's front with the weights that the search left it.
nn::MappedNetwork MapRun::network_of(std::size_t index) const {
  const supernet::Evaluated& member = solution_->front[index];
  const plan::Assignment assignment = supernet::assignment_of(inputs_.space, member);
  const auto& ranges = ranges_of(member.adapted);
  if (solution_->weights.empty()) {
    nn::MappedNetwork mapped(*solution_->network, assignment, inputs_.platform, ranges);
    mapped.load_kernel_state(solution_->kernel_state);
    return mapped;
  }
  const supernet::Weights& own = solution_->weights.at(index);
  nn::MappedNetwork mapped(own.load_into(start_of(member.adapted)), assignment, inputs_.platform,
                           ranges);
  mapped.load_kernel_state(own.kernels);
  return mapped;
}

nn::MappedNetwork MapRun::train_mapping(const std::string& name, nn::MappedNetwork mapped,
                                        std::int64_t steps, double rate, const std::string& phase,
                                        double work) {
  progress_.start_phase(phase, work);
  const Rng rng = rng_.split(name);
  nn::Trainer trainer(mapped.trained(), inputs_.data, inputs_.preprocessing,
                      training_options(settings_, steps, rate), rng.split("data"), &network_);
  nlohmann::json losses = nlohmann::json::array();  // [step, loss], kept with the state
  if (const auto checkpoint = folder_.load(name)) {
    trainer.restore(checkpoint->tensors);
    losses = nlohmann::json::parse(checkpoint->json);
  }
  const auto save = [&](const nn::Trainer& now) {
    folder_.save(name, {.tensors = now.state(), .json = losses.dump()});
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
  chosen_network_ =
      train_mapping("tune", std::move(*chosen_network_), settings_.tune_steps, settings_.tune_rate,
                    "fine-tuning of the chosen mapping", train_work(settings_.tune_steps));
}

std::vector<std::pair<std::string, plan::Assignment>> MapRun::uniform_assignments() const {
  std::vector<std::pair<std::string, plan::Assignment>> assignments;
  if (!asks_and_tells())
    return assignments;
  for (const NumberFormat& format : digital_formats(inputs_.platform)) {
    const auto* integer = std::get_if<format::Integer>(&format);
    if (integer == nullptr || integer->weight_bits != integer->activation_bits)
      continue;
    plan::Assignment assignment;
    for (const std::vector<plan::Path>& paths : inputs_.space) {
      const auto path = std::find_if(paths.begin(), paths.end(), [&](const plan::Path& p) {
        return p.parts.front().format == format;
      });
      if (path != paths.end())
        assignment.paths.push_back(*path);
    }
    if (assignment.paths.size() == inputs_.space.size())
      assignments.emplace_back(format::to_string(format), std::move(assignment));
  }
  return assignments;
}

void MapRun::trained_baselines() {
  // From the shared weights and for as long as members of the front.
  for (const auto& [format, assignment] : uniform_assignments()) {
    const std::string label = format + ", trained";
    const auto cost = keep_going() ? baseline_cost(label, assignment) : std::nullopt;
    if (!cost)
      continue;
    nn::MappedNetwork mapped(*solution_->network, assignment, inputs_.platform, ranges_);
    mapped.load_kernel_state(solution_->kernel_state);
    mapped = train_mapping("baseline-" + format, std::move(mapped), settings_.tune_steps,
                           settings_.tune_rate, "baseline: " + label,
                           train_work(settings_.tune_steps) + validation_work() + test_work());
    if (keep_going())
      add_baseline(label, mapped, *cost, true);
  }
  if (chosen_adapted_)
    widened_baseline();
  if (has_analog_unit(inputs_.platform))
    analog_baselines();
}

void MapRun::analog_baselines() {
  const auto run_baseline = [&](const std::string& label, const std::string& name,
                                const plan::Assignment& assignment) {
    if (!keep_going())
      return;
    const auto cost = baseline_cost(label, assignment);
    if (!cost)
      return;
    const nn::MappedNetwork mapped = train_mapping(
        name, nn::MappedNetwork(network_, assignment, inputs_.platform, ranges_), baseline_steps(),
        settings_.learning_rate, "baseline: " + label, train_work(baseline_steps()));
    if (keep_going())
      add_baseline(label, mapped, *cost, settings_.test_baselines);
  };
  const auto digital = fallback_digital(inputs_.platform);
  const auto analog = assign(inputs_.model, is_analog, digital);
  if (!analog)
    return;
  run_baseline("analog, trained", "baseline-analog", *analog);
  if (const auto ends = ends_digital_assignment(inputs_.model))
    run_baseline("ends digital", "baseline-ends", *ends);
  record_.notes.push_back(
      fmt::format("'ends digital' is analog but for the first and the last layer; it and "
                  "'analog, trained' were trained with noise, {} steps of {} images.",
                  baseline_steps(), settings_.batch));
}

// Whether a gain is that of more parameters alone: the chosen mapping's network in float32, trained
// as long as the other baselines.
void MapRun::widened_baseline() {
  const cost::TiledModel& model = chosen_adapted_->model;
  const auto never = [](const NumberFormat&) { return false; };
  const auto assignment = assign(model, is_format(format::Float{.bits = 32}), never);
  const auto cost = assignment ? model.evaluate(*assignment) : infeasible("path", "no fp32 unit");
  if (!cost || !keep_going())
    return;
  const std::string label = "fp32, widened, trained";
  const nn::MappedNetwork mapped =
      train_mapping("baseline-widened",
                    nn::MappedNetwork(start_of(chosen_adapted_), *assignment, inputs_.platform,
                                      chosen_adapted_->ranges),
                    baseline_steps(), settings_.learning_rate, "baseline: " + label,
                    train_work(baseline_steps()));
  if (keep_going())
    add_baseline(label, mapped, *cost, settings_.test_baselines);
}

void MapRun::measure_chosen() {
  progress_.start_phase("chosen mapping on the test set", test_work() + validation_work());
  std::vector<plan::Accuracy> accuracy = measurements_.once("chosen validation", [&] {
    return chosen_network_->measure(validation(), inputs_.preprocessing, search_chips(),
                                    rng_.split("evaluation"));
  });
  for (const plan::Accuracy& row : measurements_.once("chosen test", [&] {
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

}  // namespace

void check_map(const MapSettings& settings, const MapContext& context) {
  load_inputs(settings, context);
}

Expected<plan::RunRecord> map_network(const MapSettings& settings, const MapContext& context) {
  return MapRun(settings, context, load_inputs(settings, context)).run();
}

}  // namespace tessera::flow
