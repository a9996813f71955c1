// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/progress.h"
#include "tessera/flow/map.h"
#include "tessera/flow/registry.h"
#include "tessera/flow/run_folder.h"

#include "map_inputs.h"
#include "measurements.h"
#include "stage_clock.h"

namespace tessera::flow {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One run of map_network(), stage after stage: map.cpp has the run and what it writes,
// map_search.cpp the search and the training of its front, map_baselines.cpp what they are compared
// with.
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
  double train_work(std::int64_t steps) const;
  bool asks_and_tells() const { return find_strategy(settings_.strategy).asks_and_tells; }
  // Members of the front to train.
  std::int64_t front_size() const { return asks_and_tells() ? settings_.front_size : 0; }
  double front_work() const;
  double search_work() const;
  double validation_work() const;
  double test_work() const;
  std::int64_t baseline_steps() const;
  double trained_baselines_work() const;
  double total_work() const;

  nn::Split validation() const;
  nn::Split test() const { return nn::take(inputs_.data.test, settings_.test_images); }
  nn::ChipPlan search_chips() const;
  bool keep_going() const { return !interrupted(); }

  const cost::TiledModel& model_of(const AdaptedPtr& adapted) const;
  const std::vector<nn::RangeObserver>& ranges_of(const AdaptedPtr& adapted) const;
  // Where the search of it starts.
  nn::Network start_of(const AdaptedPtr& adapted) const;

  // What checkpoints of a mapping are known by: the network and the paths. A search that its time
  // limit ended may choose others when it is continued.
  static std::string digest(const plan::Assignment& assignment, const AdaptedPtr& adapted);

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
  // `adapted`: the network that is mapped.
  nn::MappedNetwork train_mapping(const std::string& name, nn::MappedNetwork mapped,
                                  const AdaptedPtr& adapted, std::int64_t steps, double rate,
                                  const std::string& phase, double work);
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

}  // namespace tessera::flow
