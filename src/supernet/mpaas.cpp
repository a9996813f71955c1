// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/mpaas.h"

#include <fmt/format.h>

#include <algorithm>

#include <torch/types.h>

#include "tessera/core/error.h"
#include "tessera/core/units.h"

#include "widened_training.h"

namespace tessera::supernet {
namespace {

// Lets the training or the search of one network among several report as a part of the whole.
class PartObserver final : public Observer {
 public:
  struct Part {
    std::size_t index = 0, count = 1;
    std::shared_ptr<const Adapted> adapted;  // null: the problem's own network
    double begin = 0, end = 1;               // of this network's work
  };
  PartObserver(Observer& whole, const Limits& limits, Part part,
               const std::vector<Evaluated>& earlier)
      : whole_(whole), limits_(limits), part_(std::move(part)), earlier_(earlier) {}

  bool keep_going() override { return whole_.keep_going(); }
  bool interrupted() override { return whole_.interrupted(); }
  void progress(double fraction, const std::string& phase) override {
    const double done = part_.begin + (part_.end - part_.begin) * fraction;
    whole_.progress((static_cast<double>(part_.index) + done) / static_cast<double>(part_.count),
                    prefix() + phase);
  }
  void trace(const plan::TracePoint& point) override {
    plan::TracePoint own = point;
    own.phase = prefix() + point.phase;
    whole_.trace(own);
  }
  // What is on disk stays there while an earlier network's mapping would be chosen.
  void found(const std::vector<Evaluated>& best, const nn::Network& network,
             const nn::TensorMap& kernel_state) override {
    std::vector<Evaluated> all = earlier_;
    for (const Evaluated& candidate : best) {
      all.push_back(candidate);
      all.back().adapted = part_.adapted;
    }
    const auto index = choose(limits_, all);
    if (index && *index >= earlier_.size())
      whole_.found({all[*index]}, network, kernel_state);
  }
  bool checkpoint_due() override { return whole_.checkpoint_due(); }
  void save(std::string_view name, const Checkpoint& checkpoint) override {
    whole_.save(own_name(name), checkpoint);
  }
  std::optional<Checkpoint> load(std::string_view name) override {
    return whole_.load(own_name(name));
  }

 private:
  std::string prefix() const {
    return part_.count > 1 ? fmt::format("network {}: ", part_.index + 1) : "";
  }
  std::string own_name(std::string_view name) const {
    return fmt::format("network{}-{}", part_.index + 1, name);
  }

  Observer& whole_;
  const Limits& limits_;
  Part part_;
  const std::vector<Evaluated>& earlier_;
};

// One of `count` equal shares of a budget.
MpsOptions share_of(MpsOptions options, std::int64_t count) {
  for (std::int64_t* steps : {&options.fair_steps, &options.ramp_steps})
    *steps /= count;
  options.rounds = std::max<std::int64_t>(options.rounds / count, 1);
  return options;
}

std::string describe(const std::vector<ir::WidthGroup>& groups, const Adaptation& adaptation,
                     const plan::Totals& before) {
  std::string widths;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (adaptation.widths[i] != groups[i].width) {
      widths += fmt::format("{}{} {} to {}", widths.empty() ? "" : ", ", groups[i].name,
                            groups[i].width, adaptation.widths[i]);
    }
  }
  const plan::Totals& after = adaptation.totals;
  return fmt::format(
      "parameters {} to {}; with every layer that fits on tiles: tiles {} to {}, energy {} to {}, "
      "latency {} to {}; widths {}",
      before.params, after.params, before.tiles, after.tiles,
      format_quantity(before.energy_pj, Dimension::kEnergy),
      format_quantity(after.energy_pj, Dimension::kEnergy),
      format_quantity(before.latency_ns, Dimension::kTime),
      format_quantity(after.latency_ns, Dimension::kTime), widths.empty() ? "as they are" : widths);
}

}  // namespace

Adapted make_adapted(const Problem& problem, ir::Graph start, std::int64_t calibration_images,
                     int number) {
  const nn::Network network(start, problem.network.device());
  cost::TiledModel model(network.workload(), problem.model.platform());
  Space space = problem.space;
  for (std::size_t layer = 0; layer < space.size(); ++layer) {
    for (plan::Path& path : space[layer]) {
      TESSERA_CHECK(path.parts.size() == 1, "a path in {} parts", path.parts.size());
      path.parts.front().channels.end = network.workload().layers[layer].dims.M;
    }
  }
  return {.number = number,
          .start = std::move(start),
          .model = std::move(model),
          .space = std::move(space),
          .ranges =
              nn::observe_ranges(network, problem.data, problem.preprocessing, calibration_images)};
}

// The part of a widened network's work that its float training takes, in backward passes.
double Mpaas::float_share_of(const MpsOptions& mps, const Space& space) const {
  std::size_t paths = 1;
  for (const auto& layer : space)
    paths = std::max(paths, layer.size());
  const auto fair =
      static_cast<double>((mps.fair_steps + mps.ramp_steps) * static_cast<std::int64_t>(paths));
  const auto steps = static_cast<double>(options_.widened.steps);
  return steps / std::max(steps + fair, 1.0);
}

Solution Mpaas::run(const Problem& problem, Observer& observer) {
  const ir::Graph graph = problem.network.to_graph();
  const std::vector<ir::WidthGroup> groups = ir::width_groups(graph);
  const hw::Platform& platform = problem.model.platform();
  const std::vector<Adaptation> chain = adaptations(graph, groups, platform, options_.adapt);
  if (chain.size() == 1) {
    throw UsageError(fmt::format(
        "mpaas: none of the network's {} inner widths can grow on {} with {} extra tiles and {} % "
        "extra latency; allowed: more of either",
        groups.size(), platform.name, options_.adapt.extra_tiles,
        100 * options_.adapt.extra_latency));
  }
  const std::vector<Adaptation> chosen = spread(chain, static_cast<std::size_t>(options_.networks));
  const MpsOptions share = share_of(options_.mps, static_cast<std::int64_t>(chosen.size()));
  const double float_share = float_share_of(share, problem.space);

  Solution solution;
  std::vector<Evaluated> all;
  std::vector<Weights> weights;
  for (std::size_t i = 0; i < chosen.size() && (i == 0 || observer.keep_going()); ++i) {
    const bool is_own = chosen[i] == chain.front();
    const int number = static_cast<int>(i) + 1;
    std::shared_ptr<const Adapted> adapted;
    if (!is_own) {
      ir::Graph start = ir::widen(graph, groups, chosen[i].widths, problem.rng.split("widen"));
      if (options_.widened.steps > 0) {
        PartObserver part_observer(observer, problem.limits,
                                   {.index = i, .count = chosen.size(), .end = float_share}, all);
        std::optional<ir::Graph> trained =
            train_widened(start, problem, options_.widened, options_.calibration_images,
                          problem.rng.split("float").split(i), part_observer);
        if (!trained) {
          solution.notes.push_back(
              fmt::format("Network {}: its float training did not end; no mapping of it was "
                          "searched.",
                          number));
          break;
        }
        start = std::move(*trained);
        solution.training_samples += options_.widened.steps * options_.widened.batch;
      }
      Adapted made = make_adapted(problem, std::move(start), options_.calibration_images, number);
      made.is_trained = options_.widened.steps > 0;
      adapted = std::make_shared<const Adapted>(std::move(made));
    }
    const nn::Network network(adapted ? adapted->start : graph, problem.network.device());
    const Problem part{.network = network,
                       .model = adapted ? adapted->model : problem.model,
                       .data = problem.data,
                       .preprocessing = problem.preprocessing,
                       .ranges = adapted ? adapted->ranges : problem.ranges,
                       .space = adapted ? adapted->space : problem.space,
                       .limits = problem.limits,
                       .evaluation = problem.evaluation,
                       .rng = problem.rng.split("network").split(i)};
    PartObserver part_observer(observer, problem.limits,
                               {.index = i,
                                .count = chosen.size(),
                                .adapted = adapted,
                                .begin = adapted ? float_share : 0},
                               all);
    Solution found = Mps(share).run(part, part_observer);
    const Weights trained = Weights::of(*found.network, std::move(found.kernel_state));
    for (Evaluated& candidate : found.front) {
      candidate.adapted = adapted;
      all.push_back(std::move(candidate));
      weights.push_back(trained);  // tensors are shared, not copied
    }
    solution.sensitivity = std::move(found.sensitivity);  // of the widest in the end
    solution.evaluations += found.evaluations;
    solution.training_samples += found.training_samples;
    solution.notes.push_back(
        fmt::format("Network {}: {}.", number, describe(groups, chosen[i], chain.front().totals)));
  }
  for (const std::size_t member : front_members(all)) {
    solution.front.push_back(all[member]);
    solution.weights.push_back(weights[member]);
  }
  return solution;
}

}  // namespace tessera::supernet
