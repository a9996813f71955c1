// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "tessera/core/error.h"
#include "tessera/core/units.h"

#include "map_outputs.h"
#include "map_run.h"

namespace tessera::flow {
namespace {

supernet::Limits limits_of(const MapSettings& s) {
  const auto limit = [](double value) { return value > 0 ? std::optional(value) : std::nullopt; };
  return {.min_accuracy = limit(s.min_accuracy),
          .max_energy_pj = limit(s.max_energy_pj),
          .max_latency_ns = limit(s.max_latency_ns),
          .min_analog_mac_ratio = limit(s.min_analog_macs)};
}

}  // namespace

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
  const auto best = supernet::choose(limits_of(settings_), solution_->front);
  if (!best)
    return;  // choose() says what clashes
  std::vector<supernet::Evaluated> members;
  const std::size_t found = solution_->front.size();
  const std::size_t count = std::min(found, static_cast<std::size_t>(front_size()));
  for (std::size_t k = 0; k < count && keep_going(); ++k) {
    const std::size_t index = count == 1 ? *best : k * (found - 1) / (count - 1);
    supernet::Evaluated member = solution_->front[index];
    const std::string name = fmt::format("front {}", k + 1);
    nn::MappedNetwork mapped = network_of(index);
    mapped = train_mapping(fmt::format("front-{}", k + 1), std::move(mapped), nullptr,
                           settings_.tune_steps, settings_.tune_rate, "training of " + name,
                           train_work(settings_.tune_steps) + test_work());
    if (!keep_going())
      break;
    const std::string label = name + " " + digest(mapped.assignment(), nullptr);
    std::vector<plan::Accuracy> accuracy = measurements_.once(label + " validation", [&] {
      return mapped.measure(validation(), inputs_.preprocessing, search_chips(),
                            rng_.split("evaluation"));
    });
    member.accuracy = accuracy.front();
    for (plan::Accuracy& row : measurements_.once(label + " test", [&] {
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

}  // namespace tessera::flow
